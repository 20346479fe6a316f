"""PHP's three handlers: genuine sessions by PHP 8.2 (texts with marks of the format, objects, enums), and false ones."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.identity.formats import php
from overgrow.routing.identity import Refusal

GENUINE = {
    "php": base64.b64decode(
        "bmFtZXxzOjg6Ilpvw6t8eDsiIjtufE47cnxkOjAuMTtiaWd8ZDoxLjBFKzEwMDtpbmZ8ZDpJTkY7ZmxhZ3N8"
        "YTozOntpOjA7YjoxO2k6MTtiOjA7czo0OiJkZWVwIjthOjE6e3M6MjoiZXIiO2k6LTc7fX11c2VyX2lkfGk6"
        "NzthdXRofGE6Mjp7czo0OiJ1c2VyIjthOjE6e3M6MjoiaWQiO3M6MToiNyI7fXM6NToicm9sZXMiO2E6Mjp7"
        "aTowO3M6MToiYSI7aToxO3M6MToiYiI7fX1jYXJ0fE86NDoiQ2FydCI6Mjp7czoxOiJsIjthOjE6e3M6MToi"
        "aCI7aToyO31zOjc6IgBDYXJ0AHQiO2Q6MS41O31zdWl0fEU6MTE6IlN1aXQ6SGVhcnRzIjtvd258QzozOiJP"
        "d24iOjQ6e2E7fWJ9c2FtZXxSOjExOw=="
    ),
    "php_binary": base64.b64decode(
        "BG5hbWVzOjg6Ilpvw6t8eDsiIjsBbk47AXJkOjAuMTsDYmlnZDoxLjBFKzEwMDsDaW5mZDpJTkY7BWZsYWdz"
        "YTozOntpOjA7YjoxO2k6MTtiOjA7czo0OiJkZWVwIjthOjE6e3M6MjoiZXIiO2k6LTc7fX0HdXNlcl9pZGk6"
        "NzsEYXV0aGE6Mjp7czo0OiJ1c2VyIjthOjE6e3M6MjoiaWQiO3M6MToiNyI7fXM6NToicm9sZXMiO2E6Mjp7"
        "aTowO3M6MToiYSI7aToxO3M6MToiYiI7fX0EY2FydE86NDoiQ2FydCI6Mjp7czoxOiJsIjthOjE6e3M6MToi"
        "aCI7aToyO31zOjc6IgBDYXJ0AHQiO2Q6MS41O30Ec3VpdEU6MTE6IlN1aXQ6SGVhcnRzIjsDb3duQzozOiJP"
        "d24iOjQ6e2E7fWJ9BHNhbWVSOjExOw=="
    ),
    "php_serialize": base64.b64decode(
        "YToxMjp7czo0OiJuYW1lIjtzOjg6Ilpvw6t8eDsiIjtzOjE6Im4iO047czoxOiJyIjtkOjAuMTtzOjM6ImJp"
        "ZyI7ZDoxLjBFKzEwMDtzOjM6ImluZiI7ZDpJTkY7czo1OiJmbGFncyI7YTozOntpOjA7YjoxO2k6MTtiOjA7"
        "czo0OiJkZWVwIjthOjE6e3M6MjoiZXIiO2k6LTc7fX1zOjc6InVzZXJfaWQiO2k6NztzOjQ6ImF1dGgiO2E6"
        "Mjp7czo0OiJ1c2VyIjthOjE6e3M6MjoiaWQiO3M6MToiNyI7fXM6NToicm9sZXMiO2E6Mjp7aTowO3M6MToi"
        "YSI7aToxO3M6MToiYiI7fX1zOjQ6ImNhcnQiO086NDoiQ2FydCI6Mjp7czoxOiJsIjthOjE6e3M6MToiaCI7"
        "aToyO31zOjc6IgBDYXJ0AHQiO2Q6MS41O31zOjQ6InN1aXQiO0U6MTE6IlN1aXQ6SGVhcnRzIjtzOjM6Im93"
        "biI7QzozOiJPd24iOjQ6e2E7fWJ9czo0OiJzYW1lIjtSOjEyO30="
    ),
}


def read(data: bytes, handler="php"):
    return php.read_session(data, handler)


@pytest.mark.parametrize("handler", php.HANDLERS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("user_id", 7),
        ("auth.user.id", "7"),
        ("auth.roles", ["a", "b"]),
        ("name", 'Zo\u00eb|x;"'),
        ("r", 0.1),
        ("big", 1e100),
        ("inf", float("inf")),
        ("flags.0", True),
        ("flags.deep.er", -7),
        ("n", None),
        ("missing", None),
        ("user_id.deeper", None),
        ("cart", Refusal("objects")),
        ("cart.l", Refusal("objects")),
        ("suit", Refusal("objects")),
        ("own", Refusal("objects")),
        ("same", Refusal("objects")),
    ],
)
def test_values_of_a_genuine_session_are_read(handler, path, value):
    session = read(GENUINE[handler], handler)

    assert value == php.value_at(session, path.split("."))


def test_a_text_that_is_not_utf_8_is_refused_where_it_is_the_identity():
    session = read(b'other|i:1;user_id|s:2:"\xff\xfe";')

    found = [php.value_at(session, [key]) for key in ("other", "user_id")]

    assert found == [1, Refusal("malformed")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"user_id", id="no value"),
        pytest.param(b"user_id|", id="an empty value"),
        pytest.param(b"user_id|i:7", id="cut off"),
        pytest.param(b"user_id|i:7;rest", id="something after the end"),
        pytest.param(b"user_id|i:;", id="no number"),
        pytest.param(b"user_id|i:0x7;", id="not a decimal number"),
        pytest.param(b"user_id|i:" + b"9" * 40 + b";", id="a number without bound"),
        pytest.param(b"user_id|x:7;", id="an unknown type"),
        pytest.param(b'user_id|S:1:"7";', id="the escaped text of PHP 6"),
        pytest.param(b'user_id|s:9:"7";', id="a text longer than the file"),
        pytest.param(b'user_id|s:-1:"7";', id="a negative length"),
        pytest.param(b'user_id|s:1:"77";', id="a text shorter than it is"),
        pytest.param(b"user_id|s:1:'7';", id="other quotes"),
        pytest.param(b"user_id|a:1:{i:0;}", id="an array without its value"),
        pytest.param(b"user_id|a:999999999:{}", id="an array longer than the file"),
        pytest.param(b"user_id|a:1:{d:0.5;i:1;}", id="a key that is a fraction"),
        pytest.param(b"user_id|a:1:{b:1;i:1;}", id="a key that is a truth value"),
        pytest.param(b"user_id|a:-1:{}", id="an array of minus one"),
        pytest.param(b"user_id|d:abc;", id="no fraction"),
        pytest.param(b"user_id|d:1.2.3;", id="two points"),
        pytest.param(b"a|" + b"a:1:{i:0;" * 200, id="nested without an end"),
        pytest.param(b'user_id|C:3:"Own":99:{x}', id="an object longer than the file"),
        pytest.param(GENUINE["php_binary"], id="of another handler"),
        pytest.param(GENUINE["php_serialize"], id="of a third handler"),
    ],
)
def test_a_false_session_is_refused(data):
    assert read(data) == Refusal("malformed")


@pytest.mark.parametrize("handler", ["php_binary", "php_serialize"])
def test_the_session_of_another_handler_is_refused(handler):
    assert read(GENUINE["php"], handler) == Refusal("malformed")


def test_a_session_without_bound_is_refused():
    assert read(b"x" * ((1 << 20) + 1)) == Refusal("too-large")


@pytest.mark.parametrize("handler", php.HANDLERS)
def test_an_empty_session_is_a_session(handler):
    assert read(b"", handler) == {}


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("adqv7tem640ga2taglvebrdubg", True),
        ("A-z,0123456789ABCDEFGHIJ", True),
        ("../../etc/passwd0123456789", False),
        ("adqv7tem640ga2taglve/rdubg", False),
        ("adqv7tem640ga2taglve..rdubg", False),
        ("adqv7tem640ga2taglvebrdubg\n", False),
        ("adqv7tem640ga2taglvebrdub\u0664", False),
        ("adqv7tem640ga2taglvebr\0ubg", False),
        ("short", False),
        ("", False),
        ("a" * 257, False),
    ],
)
def test_only_what_php_issues_is_an_id(text, is_id):
    assert is_id == php.is_session_id(text)


@given(st.binary(max_size=300), st.sampled_from(php.HANDLERS))
def test_no_bytes_make_the_php_reader_raise(data, handler):
    assert isinstance(read(data, handler), Refusal | dict)


@given(st.sampled_from(php.HANDLERS), st.integers(0, len(GENUINE["php"]) - 1), st.integers(1, 255))
def test_no_changed_byte_makes_the_php_reader_raise(handler, at, change):
    changed = bytearray(GENUINE[handler])
    changed[at % len(changed)] ^= change

    session = read(bytes(changed), handler)

    assert isinstance(session, Refusal) or php.value_at(session, ["auth", "user"]) is not session
