"""The environ that an app sees: PEP 3333, and nothing a client could forge."""

from __future__ import annotations

import io

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request

from overgrow.wsgi.environ import FileWrapper, build_environ


@pytest.fixture
def environ_for(head_with):
    def build(**head):
        return build_environ(head_with(**head), io.BytesIO(), multiprocess=True)

    return build


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        pytest.param(b"/orders/7?a=1&b=2", "/orders/7", "a=1&b=2", id="path and query"),
        pytest.param(b"/a%20b", "/a b", "", id="escapes are decoded"),
        pytest.param(b"/%ff", "/\xff", "", id="bytes that are no UTF-8 pass as latin-1"),
        pytest.param(b"/%C3%A9", "/\xc3\xa9", "", id="UTF-8 passes byte by byte as latin-1"),
        pytest.param(b"/a?b%3f?c", "/a", "b%3f?c", id="the query stays raw, its marks too"),
        pytest.param(b"*", "*", "", id="OPTIONS of the whole server"),
        pytest.param(b"/a%", "/a%", "", id="a broken escape stays"),
    ],
)
def test_the_target_is_split_and_the_path_decoded(environ_for, target, path, query):
    environ = environ_for(target=target)

    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target.decode()
    assert environ["SCRIPT_NAME"] == ""


@pytest.mark.parametrize(
    ("host", "scheme", "server"),
    [
        pytest.param("shop.test", "http", ("shop.test", "80"), id="port of http"),
        pytest.param("shop.test", "https", ("shop.test", "443"), id="port of https"),
        pytest.param("shop.test:8000", "http", ("shop.test", "8000"), id="port given"),
        pytest.param("[::1]:8000", "http", ("[::1]", "8000"), id="IPv6 with port"),
        pytest.param("[::1]", "http", ("[::1]", "80"), id="the colons of IPv6 are no port"),
        pytest.param("", "http", ("localhost", "80"), id="HTTP/1.0 without Host"),
    ],
)
def test_the_server_is_named_after_the_public_host(environ_for, host, scheme, server):
    environ = environ_for(host=host, scheme=scheme)

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == server


def test_the_client_scheme_and_host_that_were_found_are_shown(environ_for):
    headers = [(b"host", b"10.0.0.1:8000"), (b"x-forwarded-host", b"shop.test")]

    environ = environ_for(headers=headers, client="203.0.113.5", scheme="https", host="shop.test")

    request = Request(environ)
    assert request.remote_addr == "203.0.113.5"
    assert request.host_url == "https://shop.test/"


@pytest.mark.parametrize(
    "name",
    [
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix",
        b"forwarded", b"x-overgrow-override", b"x-overgrow-anything", b"remote_addr", b"x_secret",
    ],
)  # fmt: skip
def test_what_a_client_could_forge_is_dropped(environ_for, name):
    environ = environ_for(headers=[(name, b"forged"), (b"x-kept", b"1")])

    assert "forged" not in environ.values()
    assert environ["HTTP_X_KEPT"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        b"connection", b"forwarded", b"keep-alive", b"proxy", b"proxy-authorization",
        b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"x-original-url",
        b"x-rewrite-url",
    ],
)  # fmt: skip
@pytest.mark.parametrize("peer_trusted", [False, True])
def test_what_is_for_this_hop_or_for_legacy_alone_is_dropped(environ_for, name, peer_trusted):
    environ = environ_for(headers=[(name, b"hidden")], peer_trusted=peer_trusted)

    assert "hidden" not in environ.values()


def test_the_host_that_was_found_is_shown_once(environ_for):
    environ = environ_for(headers=[(b"host", b"10.0.0.1")], host="shop.test")

    assert environ["HTTP_HOST"] == "shop.test"
    assert "HTTP_HOST" not in environ_for(headers=[(b"host", b"10.0.0.1")], host="")


@pytest.mark.parametrize("trusted", [False, True])
def test_what_connection_names_is_dropped_but_for_what_an_app_needs(environ_for, trusted):
    """RFC 9110 7.6.1; a client could otherwise take away how long its body is."""
    headers = [
        (b"connection", b"Content-Length, content-type, host, x-forwarded-user"),
        (b"connection", b"X-Hop"),
        (b"content-length", b"3"),
        (b"content-type", b"text/plain"),
        (b"x-hop", b"1"),
        (b"x-forwarded-user", b"alice"),
    ]

    environ = environ_for(headers=headers, peer_trusted=trusted)

    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("3", "text/plain")
    assert environ["HTTP_HOST"] == "shop.test"
    assert "HTTP_X_HOP" not in environ
    assert environ.get("HTTP_X_FORWARDED_USER") == ("alice" if trusted else None)


def test_an_app_that_still_has_proxy_fix_sees_the_same_client(environ_for):
    headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"ftp")]
    environ = environ_for(headers=headers, client="203.0.113.5", scheme="https")

    list(ProxyFix(lambda environ, start_response: [])(environ, None))

    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.5", "https")


def test_repeated_headers_are_joined_by_commas_and_cookies_by_semicolons(environ_for):
    repeated = [(b"accept", b"a"), (b"cookie", b"x=1"), (b"accept", b"b"), (b"cookie", b"y=2")]

    environ = environ_for(headers=repeated)

    assert environ["HTTP_ACCEPT"] == "a,b"
    assert environ["HTTP_COOKIE"] == "x=1; y=2"


def test_content_type_and_length_have_no_prefix(environ_for):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"3")]

    environ = environ_for(headers=headers)

    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "3")
    assert not [key for key in environ if key.startswith("HTTP_CONTENT")]


def test_a_client_at_a_unix_socket_has_no_address(environ_for):
    environ = environ_for(client="unix", peer="unix")

    assert environ["REMOTE_ADDR"] == ""


def test_the_file_wrapper_reads_large_blocks_and_closes_the_file():
    file = io.BytesIO(b"x" * 100_000)
    wrapper = FileWrapper(file, 8192)

    sizes = [len(block) for block in wrapper]
    wrapper.close()

    assert sizes == [65536, 34464]
    assert file.closed


def test_the_file_wrapper_of_a_file_without_close_has_none():
    class Endless:
        def read(self, size):
            return b"x" * size

    assert not hasattr(FileWrapper(Endless()), "close")


SAID = [(b"x-forwarded-user", b"alice"), (b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"x")]


def test_what_a_trusted_peer_says_of_the_user_is_shown(environ_for):
    headers = [*SAID, (b"connection", b"x-forwarded-user, x-hop"), (b"x-hop", b"1")]

    environ = environ_for(headers=headers, peer_trusted=True)

    assert [("HTTP_X_FORWARDED_USER", "alice")] == [
        (key, value) for key, value in environ.items() if key.startswith(("HTTP_X_", "HTTP_F"))
    ]


def test_the_same_name_in_the_next_request_of_a_stranger_is_not_shown(environ_for):
    environ_for(headers=SAID, peer_trusted=True)

    assert "HTTP_X_FORWARDED_USER" not in environ_for(headers=SAID)
