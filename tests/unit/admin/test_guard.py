import pytest

from overgrow.admin.auth_rules import bearer_of, is_known_host, is_own_origin, is_right_token


@pytest.mark.parametrize(
    ("host", "known"),
    [
        pytest.param("127.0.0.1", True, id="an IPv4 literal"),
        pytest.param("127.0.0.1:8001", True, id="with a port"),
        pytest.param("10.20.30.40:1", True, id="any address: it cannot be rebound"),
        pytest.param("[::1]:8001", True, id="an IPv6 literal with a port"),
        pytest.param("[::1]", True, id="an IPv6 literal"),
        pytest.param("localhost:8001", True, id="localhost"),
        pytest.param("LocalHost", True, id="names have no case"),
        pytest.param("ops.test:8001", True, id="a name of OVERGROW_ADMIN_HOSTS"),
        pytest.param("OPS.test", True, id="such a name in any case"),
        pytest.param("evil.test", False, id="another name"),
        pytest.param("127.0.0.1.evil.test", False, id="a name that begins like an address"),
        pytest.param("localhost.evil.test", False, id="a name that begins like localhost"),
        pytest.param("evil.ops.test", False, id="a subdomain of an allowed name"),
        pytest.param("127.1", False, id="a short form is no literal"),
        pytest.param("0x7f000001", False, id="nor is a hexadecimal one"),
        pytest.param("::1", False, id="IPv6 without brackets"),
        pytest.param("[::1%25eth0]", False, id="a zone"),
        pytest.param("[127.0.0.1]", False, id="IPv4 in brackets"),
        pytest.param("[::1", False, id="an open bracket"),
        pytest.param("[::1]evil.test", False, id="something after the bracket"),
        pytest.param("localhost:8001@evil.test", False, id="user information"),
        pytest.param("localhost:http", False, id="a port that is none"),
        pytest.param("", False, id="no Host"),
    ],
)
def test_only_addresses_and_known_names_are_hosts(host, known):
    assert is_known_host(host, ("ops.test",)) is known


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        pytest.param(None, True, id="no page"),
        pytest.param("http://localhost:8001", True, id="our own page"),
        pytest.param("https://localhost:8001", True, id="ours behind TLS"),
        pytest.param("http://localhost:9000", False, id="another port"),
        pytest.param("http://evil.test", False, id="another site"),
        pytest.param("null", False, id="a sandboxed page"),
        pytest.param("", False, id="empty"),
        pytest.param("http://[", False, id="no URL"),
        pytest.param("localhost:8001", False, id="no scheme"),
    ],
)
def test_an_origin_is_ours_or_absent(origin, own):
    assert is_own_origin(origin, "localhost:8001") is own


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("s3cret", True),
        ("S3cret", False),
        ("s3cre", False),
        ("", False),
        ("s3cret ", False),
        ("\ud800", False),
    ],
)
def test_a_token_is_right_or_not(given, right):
    assert is_right_token(given, "s3cret") is right


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("abc", None),
        (None, None),
    ],
)
def test_a_bearer_token_is_read_from_its_header(header, token):
    assert token == bearer_of(header)
