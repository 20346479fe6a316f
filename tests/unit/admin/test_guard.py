import errno
import os
import stat
import threading

import pytest

from proxy.admin.guard import (
    bearer_of,
    is_known_host,
    is_own_origin,
    is_session,
    is_token,
    session,
    signing_key,
)

KEY = b"a key"


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
    [("s3cret", True), ("S3cret", False), ("", False), ("s3cret ", False), ("\ud800", False)],
)
def test_a_token_is_right_or_not(given, right):
    assert is_token(given, "s3cret") is right


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


def test_a_session_is_valid_until_it_runs_out():
    cookie = session("s3cret", KEY, 1000)

    assert is_session(cookie, "s3cret", KEY, 999.9)
    assert not is_session(cookie, "s3cret", KEY, 1000)


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param(session("other", KEY, 1000), id="of another token"),
        pytest.param(session("s3cret", b"other", 1000), id="of another key"),
        pytest.param(
            session("s3cret", KEY, 1000).replace("1000", "9999"), id="with a later expiry"
        ),
        pytest.param("v1.1000.", id="without a signature"),
        pytest.param("v1.1000.\u20ac", id="not ASCII"),
        pytest.param("v1.\u0661\u0660\u0660\u0660.x", id="other digits"),
        pytest.param("v1." + "9" * 5000 + ".x", id="endless digits"),
        pytest.param("v1", id="a word"),
    ],
)
def test_a_session_nobody_signed_is_none(cookie):
    assert not is_session(cookie, "s3cret", KEY, 10)


def test_the_signing_key_is_made_once_and_for_the_owner_only(tmp_path):
    keys = {signing_key(tmp_path) for _ in range(3)}

    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_workers_that_make_the_key_at_once_agree_on_one(tmp_path):
    keys = []
    threads = [
        threading.Thread(target=lambda: keys.append(signing_key(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (8, 1) == (len(keys), len(set(keys)))


def test_a_key_that_is_there_is_used(tmp_path):
    (tmp_path / "secret").write_bytes(b"mine")

    assert signing_key(tmp_path) == b"mine"


def test_an_empty_secret_signs_nothing_and_is_made_anew(tmp_path):
    (tmp_path / "secret").touch()  # what a power cut can leave

    assert len(signing_key(tmp_path)) == 64
    assert signing_key(tmp_path) == (tmp_path / "secret").read_bytes()


def test_a_full_disk_leaves_no_half_written_secret_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        signing_key(tmp_path)

    assert list(tmp_path.iterdir()) == []
