"""Translates between two forms of one request: a WSGI environ and an ASGI scope. Pure.

Rule: the target is kept byte for byte if the server provides it (RAW_URI or REQUEST_URI). WSGI changes headers:
names in upper case, repeated headers joined, and the order lost.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote

from overgrow.app_types import Environ, Scope
from overgrow.exchange import NativeScope
from overgrow.http import OWN_COOKIES
from overgrow.routing.facts import Head, Headers
from overgrow.routing.forwarded import is_claim_for_migrated
from overgrow.routing.identity import ENVIRON_KEY, environ_of_identity
from overgrow.routing.model import Decision

_NO_ADDRESS = {"", "unix"}  # what a head has in place of an address
_UNIX = {"", "<local>"}  # what gunicorn and Werkzeug set for a peer at a unix socket
_SAFE_IN_PATH = "/:@!$&'()*+,;=~-._"  # RFC 3986 3.3; what was escaped beyond that is escaped again
_OWN_COOKIES = tuple(name.decode() for name in OWN_COOKIES)
# Claims that nobody vouches for; and headers that some programs take for the path or for a variable.
_HIDDEN = frozenset({"HTTP_FORWARDED", "HTTP_PROXY", "HTTP_X_ORIGINAL_URL", "HTTP_X_REWRITE_URL"})
_OURS = ("HTTP_X_OVERGROW", "HTTP_X_OVERGROW_")  # the first 16 characters


def build_scope(environ: Environ, extension: NativeScope) -> Scope:
    """Return the ASGI scope of a request, with `extension` as `scope["overgrow"]`."""
    path, _, query = target_of(environ).partition(b"?")
    peer = peer_of(environ)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers_of(environ),
        "client": None if peer in _NO_ADDRESS else (peer, _port(environ.get("REMOTE_PORT"))),
        "server": (environ["SERVER_NAME"], _port(environ["SERVER_PORT"])),
        "extensions": {},
        "overgrow": extension,
    }


def target_of(environ: Environ) -> bytes:
    """Return the request target as the client sent it.

    If the server does not provide it, build it from the other values.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return _latin1_bytes(raw)
    path = quote_from_bytes(
        _latin1_bytes(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")),
        safe=_SAFE_IN_PATH,
    )
    query = _latin1_bytes(environ.get("QUERY_STRING", ""))
    return (path or "/").encode() + (b"?" + query if query else b"")


def peer_of(environ: Environ) -> str:
    """Return the peer's address: "unix" for a unix socket, "" if the server does not provide an address."""
    peer: str = environ.get("REMOTE_ADDR", "")
    return "unix" if "REMOTE_ADDR" in environ and peer in _UNIX else peer


def headers_of(environ: Environ) -> list[tuple[bytes, bytes]]:
    """Return the headers, names in lower case, with Host first, as clients send it."""
    found = [
        (key[5:].lower().replace("_", "-").encode("latin-1"), _latin1_bytes(value))
        for key, value in environ.items()
        if key.startswith("HTTP_") and key != "HTTP_HOST"
    ]
    if environ.get("CONTENT_TYPE"):
        found.append((b"content-type", _latin1_bytes(environ["CONTENT_TYPE"])))
    if environ.get("CONTENT_LENGTH"):
        found.append((b"content-length", _latin1_bytes(environ["CONTENT_LENGTH"])))
    if "HTTP_HOST" in environ:
        found.insert(0, (b"host", _latin1_bytes(environ["HTTP_HOST"])))
    return found


def sanitize_environ(environ: Environ, head: Head) -> None:
    """Set the caller's environ to what the front door found, and remove headers that a client could forge."""
    for key in [key for key in environ if _is_forgeable(key, trusted=head.peer_trusted)]:
        del environ[key]
    environ["wsgi.url_scheme"] = head.scheme
    if head.host:
        environ["HTTP_HOST"] = head.host
    if head.client not in _NO_ADDRESS:
        environ["REMOTE_ADDR"] = head.client
    _drop_own_cookies(environ)


def drop_headers(environ: Environ, sent: Headers, kept: Headers) -> None:
    """Remove from the caller's environ the headers that were sent, but that this peer may not send."""
    if len(sent) != len(kept):
        for name in {name for name, _ in sent} - {name for name, _ in kept}:
            environ.pop("HTTP_" + name.decode("latin-1").upper().replace("-", "_"), None)


def hand_over_identity(environ: Environ, decision: Decision) -> None:
    """Put the user into the caller's environ; where nobody is signed in, take out whom the caller named.

    If the route does not ask who the user is, the REMOTE_USER of the server in front stays.
    """
    environ.pop(ENVIRON_KEY, None)
    if decision.identity is not None:
        environ.update(environ_of_identity(decision.identity))
    elif decision.route is not None and decision.route.asks_identity:
        environ.pop("REMOTE_USER", None)


def _is_forgeable(key: str, *, trusted: bool) -> bool:
    """Whether the app must not see this key: a header of our own, or a forwarding header of an untrusted peer."""
    if key[:16] == "HTTP_X_FORWARDED" and key[16:17] in ("", "_"):
        return not (
            trusted and is_claim_for_migrated(key[5:].lower().replace("_", "-").encode("latin-1"))
        )
    return key in _HIDDEN or key[:16] in _OURS


def _drop_own_cookies(environ: Environ) -> None:
    """Remove the front door's own cookies, such as the override of testers."""
    cookies = environ.get("HTTP_COOKIE", "")
    if not any(name in cookies for name in _OWN_COOKIES):
        return
    kept = [
        pair for pair in cookies.split(";") if pair.partition("=")[0].strip() not in _OWN_COOKIES
    ]
    environ["HTTP_COOKIE"] = ";".join(kept).strip()
    if not environ["HTTP_COOKIE"]:
        del environ["HTTP_COOKIE"]


def _latin1_bytes(text: str) -> bytes:
    """Return the bytes of an environ's text, which stands for bytes in latin-1 (PEP 3333)."""
    return text.encode("latin-1", "replace")


def _port(text: object) -> int:
    return int(str(text)) if str(text).isdecimal() else 0
