"""Which headers speak of a login that holds for the connection."""

import pytest

from proxy.exchange_login import answer_carries_login, names_login, request_carries_login


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
    assert answer_carries_login([(b"Persistent-Auth", b"false")])
    assert not answer_carries_login([(b"X-Auth", b"NTLM"), (b"WWW-Authenticate", b"Basic")])


def test_only_credentials_for_the_origin_log_a_request_in():
    assert request_carries_login([(b"authorization", b"NTLM x")])
    assert not request_carries_login([(b"x-authorization", b"NTLM x"), (b"cookie", b"a=NTLM")])
