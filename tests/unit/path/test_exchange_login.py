"""Which headers speak of a login that holds for the connection."""

import pytest

from overgrow.connection_login import (
    comes_through_a_proxy,
    names_login,
    request_carries_login,
    response_carries_login,
)


@pytest.mark.parametrize(
    "value",
    [
        b"NTLM",
        b"ntlm TlRMTVNTUAAB",
        b"Negotiate",
        b"\tNEGOTIATE\tYII=",
        b"Nego2 x",
        b"Kerberos",
        b"CredSSP x",
        b"Basic realm=x, NTLM",
        b"Basic realm=x,NTLM,Negotiate",
        b'Digest realm="a \\" b", nonce="c", Negotiate',
        b'Basic realm="never closed, NTLM',
        b"Basic realm=x NTLM",
        b"NTLM, Basic realm=x",
        b"Negotiate:PKU2U",
        b'NTLM realm="x\\',
        b'"' + b'\\"' * 100_000 + b" ntlm",
    ],
)
def test_a_scheme_that_logs_the_connection_in_is_found(value):
    assert names_login(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic bnRsbTpudGxt",
        b'Basic realm="NTLM, Negotiate"',
        b"Bearer a.ntlm.b",
        b"Bearer x-negotiate",
        b"NTLMv9x abc",
        b"Renegotiate",
        b'Digest realm="say \\"NTLM\\", please"',
    ],
)
def test_other_schemes_are_left_to_the_request(value):
    assert not names_login(value)


def test_names_that_speak_of_connections_alone_need_no_scheme():
    assert response_carries_login([(b"Persistent-Auth", b"false")])
    assert not response_carries_login([(b"X-Auth", b"NTLM"), (b"WWW-Authenticate", b"Basic")])


@pytest.mark.parametrize(
    "name",
    [
        b"www-authenticate", b"proxy-authenticate", b"authentication-info",
        b"proxy-authentication-info", b"persistent-auth", b"proxy-support",
    ],
)  # fmt: skip
def test_an_answer_carries_a_login_in_each_header_that_may_name_one(name):
    """RFC 4559; one that was missed would show a user what is another's."""
    assert response_carries_login([(name, b"NTLM")])
    assert response_carries_login([(name.title(), b"Negotiate YII=")])


@pytest.mark.parametrize(
    ("name", "always"),
    [(b"persistent-auth", True), (b"proxy-support", True), (b"www-authenticate", False)],
)
def test_a_header_that_speaks_of_connections_alone_needs_no_scheme(name, always):
    assert response_carries_login([(name, b"whatever")]) is always


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"x-real-ip", b"forwarded"])
def test_what_reverse_proxies_add_tells_that_users_share_a_connection(name):
    assert comes_through_a_proxy([(name, b"192.0.2.1")])
    assert not comes_through_a_proxy([(b"via", b"1.1 corporate")])


def test_only_credentials_for_the_origin_log_a_request_in():
    assert request_carries_login([(b"authorization", b"NTLM x")])
    assert not request_carries_login([(b"x-authorization", b"NTLM x"), (b"cookie", b"a=NTLM")])
