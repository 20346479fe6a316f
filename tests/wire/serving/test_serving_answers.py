"""How our worker frames answers, and what the app is given of a request. Raw sockets."""

from __future__ import annotations

import json
import stat

import pytest

from tests.wire.serving.servers import Client, code_in, status_of


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: shop", *headers, "", ""]
    return "\r\n".join(lines).encode()


def seen(server, request: bytes) -> dict:
    with server.client() as client:
        client.send(request)
        return json.loads(client.read_answer()[1])


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/seen//a/../b;c?d=%2F&&e", id="nothing is normalised"),
        pytest.param("/seen?q=%ff{|}", id="odd bytes stay"),
        pytest.param("http://other.example/seen?x=1", id="RFC 9112 3.2.2: absolute form"),
        pytest.param("/seen%2Fx", id="an encoded slash"),
    ],
)
def test_the_target_reaches_the_app_byte_for_byte(server, target):
    request = get(target) if "seen?" in target else None
    if request is None:
        # Paths of their own are answered by the default page: ask through the query instead.
        request = get("/seen?target=" + target)
        target = "/seen?target=" + target

    assert seen(server, request)["target"] == target


def test_path_and_query_of_an_absolute_target_follow_its_authority(server):
    found = seen(server, get("http://other.example:8080/seen?x=1"))

    assert (found["path"], found["raw_path"], found["query_string"]) == ("/seen", "/seen", "x=1")


def test_header_order_duplicates_and_values_reach_the_app(server):
    found = seen(server, get("/seen", "X-B: 1", "X-A: \t two  words \t", "X-b: 3", "X-Empty:"))

    assert found["headers"] == [
        ["host", "shop"],
        ["x-b", "1"],
        ["x-a", "two  words"],
        ["x-b", "3"],
        ["x-empty", ""],
    ]


def test_forwarding_headers_do_not_change_scheme_or_peer(server):
    found = seen(server, get("/seen", "X-Forwarded-Proto: https", "X-Forwarded-For: 10.0.0.1"))

    assert (found["scheme"], found["peer"], found["client"][0]) == (
        "http",
        "127.0.0.1",
        "127.0.0.1",
    )
    assert ["x-forwarded-proto", "https"] in found["headers"]


def test_a_header_with_an_underscore_is_no_reason_to_refuse(server):
    assert status_of(server.exchange(get("/", "X_Odd: 1", "Connection: close"))) == 200


@pytest.mark.parametrize("method", ["PROPFIND", "M-SEARCH", "x", "OPTIONS", "DELETE"])
def test_any_method_reaches_the_app(server, method):
    assert seen(server, get("/seen", method=method))["method"] == method


def test_a_connection_is_marked_by_the_socket_that_accepted_it(server):
    request = get("/seen").replace(b"Host: shop", b"Host: " + server.admin[7:].encode())
    found = []
    for address in (server.public, server.admin):
        with Client(address) as client:
            client.send(request)
            found.append(json.loads(client.read_answer()[1])["listener"])

    assert found == ["public", "admin"]


def test_unix_sockets_are_told_apart_and_their_peers_are_named_unix(start, socket_folder):
    server = start(bind=f"unix:{socket_folder}/public", admin=f"unix:{socket_folder}/admin")
    found = []
    for address in (server.public, server.admin):
        with Client(address) as client:
            client.send(get("/seen", "X-Forwarded-Proto: https"))
            found.append(json.loads(client.read_answer()[1]))

    assert [each["listener"] for each in found] == ["public", "admin"]
    assert [(each["peer"], each["client"], each["scheme"]) for each in found] == [
        ("unix", None, "http"),
        ("unix", None, "http"),
    ]


def test_an_answer_carries_no_server_header_and_a_date(server):
    head = server.exchange(get("/", "Connection: close")).partition(b"\r\n\r\n")[0].lower()

    assert b"\r\nserver:" not in head
    assert b"\r\ndate: " in head


def test_requests_follow_each_other_on_one_connection(server):
    with server.client() as client:
        for _ in range(3):
            client.send(get("/"))

            assert client.read_answer()[1] == b"hello"


def test_pipelined_requests_are_answered_in_order(server):
    with server.client() as client:
        body = b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        client.send(get("/") + body + get("/wait?s=0") + get("/"))

        bodies = [client.read_answer()[1] for _ in range(4)]

    assert bodies == [b"hello", b"3", b"waited", b"hello"]


def test_http_1_0_closes_unless_asked_to_stay(server):
    assert server.exchange(get("/", version="1.0")).endswith(b"hello")
    with server.client() as client:
        client.send(get("/", "Connection: keep-alive", version="1.0"))
        head, _ = client.read_answer()
        client.send(get("/", version="1.0"))

        assert b"connection: keep-alive" in head
        assert client.read_answer()[1] == b"hello"


def test_a_body_of_unknown_length_is_chunked(server):
    answer = server.exchange(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    )

    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_a_body_of_unknown_length_ends_an_http_1_0_connection(server):
    answer = server.exchange(b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")

    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\nhello")


def test_a_chunked_request_body_arrives_unframed(server):
    chunked = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    head = b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.client() as client:
        client.send(head + chunked + get("/"))

        assert [client.read_answer()[1] for _ in range(2)] == [b"11", b"hello"]


@pytest.mark.parametrize("length", ["", "&length=1"], ids=["chunked", "with a length"])
def test_a_large_body_arrives_whole_at_a_client_that_starts_late(server, length):
    answer = server.exchange(get(f"/big?size=3000000{length}", "Connection: close"))

    assert answer.count(b"x") >= 3_000_000


def test_a_large_upload_waits_for_the_app(server):
    size = 5_000_000
    with server.client() as client:
        client.send(f"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        client.send(b"x" * size)

        assert client.read_answer()[1] == str(size).encode()


@pytest.mark.parametrize("code", [204, 304])
def test_an_answer_that_has_no_body_sends_none(server, code):
    with server.client() as client:
        client.send(get(f"/status?code={code}") + get("/"))
        head = client.read_until(b"\r\n\r\n")
        following, body = client.read_answer()

    assert f"HTTP/1.1 {code} ".encode() in head
    assert b"transfer-encoding" not in head
    assert (b"content-length" in head) == (code == 304)  # RFC 9110 8.6
    assert (status_of(following), body) == (200, b"hello")


def test_head_gets_the_headers_of_get_and_no_body(server):
    with server.client() as client:
        client.send(get("/", method="HEAD") + get("/"))
        head = client.read_until(b"\r\n\r\n")

        assert b"content-length: 5" in head
        assert client.read_answer()[1] == b"hello"


def test_framing_is_the_servers_whatever_the_app_says(server):
    answer = server.exchange(get("/own-framing", "Connection: close"))

    assert answer.lower().count(b"transfer-encoding") == 1
    assert answer.lower().count(b"\r\nconnection:") == 1
    assert answer.endswith(b"4\r\nbody\r\n0\r\n\r\n")


def test_the_head_goes_out_although_no_body_follows(server):
    with server.client() as client:
        client.send(get("/head-alone"))

        assert b"x-early: yes" in client.read_until(b"\r\n\r\n")


@pytest.mark.parametrize("value", ["a%0d%0aInjected:%201", "a%0ab", "a%00b", "a%0d%0a"])
def test_a_header_value_that_ends_its_line_is_never_sent(server, value):
    answer = server.exchange(get(f"/header?value={value}", "Connection: close"))

    assert (status_of(answer), code_in(answer)) == (500, "migrated-crash")
    assert b"Injected" not in answer


@pytest.mark.parametrize("path", ["/fail", "/silent"])
def test_an_app_that_gives_no_answer_is_answered_for(server, path):
    answer = server.exchange(get(path))

    assert (status_of(answer), code_in(answer)) == (500, "migrated-crash")
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("raise", id="chunked, the app raises"),
        pytest.param("return", id="chunked, the app returns"),
        pytest.param("raise&length=1", id="with a length, the app raises"),
        pytest.param("return&length=1", id="with a length, the app returns"),
        pytest.param("finish&length=1", id="shorter than its length"),
        pytest.param("raise&trailers=1", id="trailers announced, the app raises"),
        pytest.param("return&trailers=1", id="trailers announced, the app returns"),
        pytest.param("finish&length=1&trailers=1", id="trailers announced, too short"),
    ],
)
def test_half_an_answer_never_looks_whole(server, how):
    answer = server.exchange(get(f"/midway?how={how}"))

    assert b"half." in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len(answer.partition(b"\r\n\r\n")[2]) < 11


def test_half_an_answer_without_framing_ends_in_a_reset(server):
    with server.client() as client:
        client.send(get("/midway?how=raise", version="1.0"))
        client.read_until(b"\r\n\r\n")

        assert client.was_reset()


def test_an_aborted_answer_ends_in_a_reset(server):
    with server.client() as client:
        client.send(get("/midway?how=abort"))
        client.read_until(b"half.\r\n")

        assert client.was_reset()


def test_trailers_reach_a_client_that_takes_them(server):
    answer = server.exchange(get("/trailers", "TE: trailers", "Connection: close, TE"))

    assert answer.endswith(b"4\r\nbody\r\n0\r\nx-checksum: 42\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/trailers", [], id="RFC 9110 6.5.1: not without TE: trailers"),
        pytest.param("/trailers?none=1", ["TE: trailers"], id="announced, but never sent"),
    ],
)
def test_a_body_ends_without_trailers(server, path, headers):
    answer = server.exchange(get(path, "Connection: close", *headers))

    assert answer.endswith(b"4\r\nbody\r\n0\r\n\r\n")


def test_an_informational_answer_comes_before_the_final_one(server):
    with server.client() as client:
        client.send(get("/hints"))

        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 Early Hints\r\nlink: ")
        assert client.read_answer()[1] == b"hinted"


def test_http_1_0_gets_no_informational_answer(server):
    assert server.exchange(get("/hints", version="1.0")).startswith(b"HTTP/1.1 200 ")


def test_100_continue_is_sent_when_the_app_asks_for_the_body(server):
    with server.client() as client:
        client.send(
            b"POST /count HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        interim = client.read_until(b"\r\n\r\n")
        client.send(b"abc")

        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.read_answer()[1] == b"3"


def test_an_app_that_ignores_the_body_sends_no_100_and_ends_the_connection(server):
    answer = server.exchange(
        b"POST /ignore-body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_an_early_answer_reaches_a_client_that_is_still_sending(server):
    with server.client() as client:
        client.send(b"POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        client.send(b"x" * 400_000)

        assert client.read_to_end().endswith(b"enough")


def test_a_refused_upgrade_ends_the_connection_and_drops_what_followed(server):
    handshake = get("/seen", "Connection: Upgrade", "Upgrade: websocket")

    answer = server.exchange(handshake + get("/"))

    assert b'"can_switch_protocol": true' in answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(get("/seen", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), id="h2c"),
        pytest.param(get("/seen", "Upgrade: websocket"), id="not named in Connection"),
        pytest.param(get("/seen", "Connection: upgrade", "Upgrade: websocket, h2c"), id="two"),
        pytest.param(
            get("/seen", "Connection: upgrade", "Upgrade: websocket", method="POST"), id="no GET"
        ),
    ],
)
def test_any_other_upgrade_is_a_plain_request(server, request_bytes):
    with server.client() as client:
        client.send(request_bytes + get("/"))

        assert json.loads(client.read_answer()[1])["can_switch_protocol"] is False
        assert client.read_answer()[1] == b"hello"


@pytest.mark.parametrize(("plan", "admin_mode"), [({}, 0o600), ({"admin_for_all": True}, 0o666)])
def test_an_admin_unix_socket_is_its_owners_unless_a_token_guards_it(
    socket_folder, start, plan, admin_mode
):
    start(bind=f"unix:{socket_folder}/public", admin=f"unix:{socket_folder}/admin", **plan)
    modes = [stat.S_IMODE((socket_folder / name).stat().st_mode) for name in ("public", "admin")]

    assert [0o666, admin_mode] == modes
