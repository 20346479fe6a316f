"""PHP's session files: the three handlers php, php_binary and php_serialize. Pure.

Texts are counted in bytes. Objects are skipped and never built. An identity inside an object is refused, and so
is a value that refers to another value. Seen on PHP 8.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from overgrow.identity.formats.php_values import OBJECT, PhpReader, UnreadableError
from overgrow.identity.formats.signed_text import MAX_SESSION_BYTES
from overgrow.routing.identity import Refusal

PhpSession = Mapping[bytes, object]

_SESSION_ID = re.compile(r"[A-Za-z0-9,-]{22,256}", re.ASCII)
_UNDEFINED = 0x80  # php_binary: the bit of the length byte that says "no value follows"


def is_session_id(text: str) -> bool:
    """Whether PHP may have issued this id. Anything else must not become part of a path."""
    return _SESSION_ID.fullmatch(text) is not None


def read_session(data: bytes, handler: str) -> PhpSession | Refusal:
    """The variables of a session in the format of `session.serialize_handler`."""
    if len(data) > MAX_SESSION_BYTES:
        return Refusal("too-large")
    try:
        return dict(_HANDLERS[handler](data))
    except UnreadableError:
        return Refusal("malformed")


def value_at(session: PhpSession, path: Sequence[str]) -> object | Refusal:
    """The value at a path of keys, with texts decoded. It is None if there is no such path."""
    value: object = session
    for key in path:
        if value is OBJECT:
            return Refusal("objects")
        value = _member(value, key)
    if value is OBJECT:
        return Refusal("objects")
    return _decode(value)


def _member(value: object, key: str) -> object:
    if not isinstance(value, Mapping):
        return None
    named = value.get(key.encode())
    return value.get(int(key)) if named is None and key.isdecimal() and len(key) < 19 else named


def _decode(value: object) -> object | Refusal:
    if isinstance(value, Mapping):
        return [_decode(each) for each in value.values() if isinstance(each, bytes)]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Refusal("malformed")


def _read_php(data: bytes) -> Iterator[tuple[bytes, object]]:
    reader = PhpReader(data)
    while not reader.is_at_end:
        yield reader.until(b"|"), reader.value()


def _read_php_binary(data: bytes) -> Iterator[tuple[bytes, object]]:
    reader = PhpReader(data)
    while not reader.is_at_end:
        length = reader.take(1)[0]
        key = reader.take(length & ~_UNDEFINED)
        yield key, None if length & _UNDEFINED else reader.value()


def _read_php_serialize(data: bytes) -> Iterator[tuple[bytes, object]]:
    if not data:
        return
    reader = PhpReader(data)
    values = reader.value()
    if not isinstance(values, dict) or not reader.is_at_end:
        raise UnreadableError
    for key, value in values.items():
        yield key if isinstance(key, bytes) else str(key).encode(), value


_Handler = Callable[[bytes], Iterator[tuple[bytes, object]]]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    "php": _read_php,
    "php_binary": _read_php_binary,
    "php_serialize": _read_php_serialize,
}
HANDLERS: Final = tuple(_HANDLERS)
