"""Builds a WSGI environ (PEP 3333) from a Head. Pure, except for the body stream in it.

Rule: the app sees the client, scheme and host that the front door found, so that it needs no ProxyFix. Headers
that a client could forge (X-Forwarded-*, Forwarded, X-Overgrow-*, names with underscores) do not reach the app.
If the peer is trusted, the app gets those X-Forwarded-* headers that the front door itself does not use, such
as X-Forwarded-User. Text is bytes decoded as latin-1, as PEP 3333 requires.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import IO
from urllib.parse import unquote_to_bytes

from overgrow.app_types import Environ
from overgrow.http import CONNECTION_HEADERS, DEFAULT_PORTS, is_own_header
from overgrow.legacy_calls.calls import ENVIRON_KEY, LegacyCalls
from overgrow.routing.facts import Head
from overgrow.routing.forwarded import is_claim, is_claim_for_migrated
from overgrow.routing.identity import Identity, environ_of_identity
from overgrow.routing.readings import REWRITING

_BLOCK_BYTES = 64 * 1024


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of blocks of at least 64 KiB.

    Frameworks ask for 8 KiB, but larger blocks need fewer hand-overs between a thread and the loop.
    """

    def __init__(self, file: IO[bytes], block_bytes: int = _BLOCK_BYTES) -> None:
        self._file = file
        self._block_bytes = max(block_bytes, _BLOCK_BYTES)
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        """Return self, because `__next__` reads one block after another."""
        return self

    def __next__(self) -> bytes:
        """Read the next block."""
        block = self._file.read(self._block_bytes)
        if block:
            return block
        raise StopIteration


def build_environ(
    head: Head,
    wsgi_input: object,
    *,
    multiprocess: bool,
    commit: Callable[[], None] | None = None,
) -> Environ:
    """Return the environ of one request: the keys that PEP 3333 requires, and common extensions.

    `commit` is offered as `overgrow.commit`: apps call it just before they commit a transaction.
    """
    path, _, query = head.target.partition(b"?")
    target = head.target.decode("latin-1")
    server_name, server_port = _server_name_and_port(head)
    environ: Environ = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": f"HTTP/{head.http_version}",
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "SERVER_SOFTWARE": "overgrow",
        "REMOTE_ADDR": "" if head.client == "unix" else head.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": head.scheme,
        "wsgi.input": wsgi_input,
        "wsgi.input_terminated": True,  # our input ends by itself, or raises if the body is cut off
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if commit is not None:
        environ["overgrow.commit"] = commit
    _add_headers(environ, head)
    return environ


def add_legacy_and_user(
    build: Callable[[], Environ], calls: LegacyCalls, identity: Identity | None
) -> Environ:
    """Return the environ that `build` returns, with the way to legacy, and with the user if somebody is signed in."""
    environ = build()
    environ[ENVIRON_KEY] = calls
    if identity is not None:
        environ.update(environ_of_identity(identity))
    return environ


def _server_name_and_port(head: Head) -> tuple[str, str]:
    """Return SERVER_NAME and SERVER_PORT. PEP 3333 requires that both are not empty."""
    name, colon, port = head.host.rpartition(":")
    if not colon or port.endswith("]"):  # no port, or the colon of an IPv6 literal
        name, port = head.host, ""
    return name or "localhost", port or str(DEFAULT_PORTS.get(head.scheme, 80))


def _add_headers(environ: Environ, head: Head) -> None:
    named = _connection_tokens(head)
    key_of = _environ_key_from_trusted if head.peer_trusted else _environ_key
    for name, value in head.headers:
        key = key_of(name)
        if key is None or name in named:
            continue
        text = value.decode("latin-1")
        if key in environ:
            # RFC 9110 5.3 joins with a comma, RFC 6265 5.4 forbids that for Cookie.
            text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        environ[key] = text
    if head.host:
        environ["HTTP_HOST"] = head.host


def _connection_tokens(head: Head) -> frozenset[bytes]:
    """Return the header names that Connection lists, which are for this hop only (RFC 9110 7.6.1).

    Headers that PEP 3333 needs, and forwarding headers, are left out, because a client must not be able to hide
    these from the app.
    """
    lines = [value for name, value in head.headers if name == b"connection"]
    if not lines:
        return _NONE
    named = {token.strip().lower() for line in lines for token in line.split(b",")}
    return frozenset(name for name in named - _NEEDED if not is_claim(name))


_NONE: frozenset[bytes] = frozenset()
_NEEDED = frozenset({b"host", b"content-length", b"content-type"})
# For this hop only; for legacy only; and Proxy, which some libraries would take for the variable HTTP_PROXY.
_HIDDEN = CONNECTION_HEADERS | REWRITING | {b"forwarded", b"host", b"proxy", b"proxy-authorization"}


@lru_cache(maxsize=512)
def _environ_key(name: bytes) -> str | None:
    """Return the environ key of a header; None if the header is hidden from the app."""
    name = name.lower()
    if b"_" in name or is_own_header(name) or name in _HIDDEN or is_claim(name):
        return None
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


@lru_cache(maxsize=512)
def _environ_key_from_trusted(name: bytes) -> str | None:
    """Return the environ key of a header of a trusted peer; None if the header is hidden from the app.

    The app may see more headers of a trusted peer than of other peers.
    """
    if b"_" not in name and is_claim_for_migrated(name):
        return f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
    return _environ_key(name)
