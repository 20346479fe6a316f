"""Decides which responses may carry the cookie that distinguishes the clients of a canary.

Pure. Rule: if a cache may give a response to other clients, the response gets no id, because all these clients
would count as one from then on. If the headers leave this open, the response gets no id either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime

from overgrow.routing.facts import Headers

ID_COOKIE = "overgrow_id"
_ID_AGE_S = 365 * 24 * 3600

Directive = tuple[str, str | None]  # the name in lower case, and its argument if it has one

_ELEMENT = re.compile(r'((?:[^",]|"(?:[^"\\]|\\.)*")*)(?:,|\Z)', re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A cache obeys the field that targets it and ignores Cache-Control (RFC 9213 2.2).
_FOR_SOME_CACHES = ("cache-control", "surrogate-control", "edge-control")
_LETS_STORE = frozenset({"public", "s-maxage"})
# With any argument but 0 a cache may reuse what it stored (RFC 9111 5.2.2, RFC 5861).
_LASTS = frozenset({"max-age", "immutable", "stale-while-revalidate", "stale-if-error"})


def id_cookie(client_id: str, scheme: str) -> bytes:
    """Return the Set-Cookie value that gives a client its id."""
    secure = "; Secure" if scheme == "https" else ""
    return (
        f"{ID_COOKIE}={client_id}; Path=/; Max-Age={_ID_AGE_S}; HttpOnly; SameSite=Lax{secure}"
    ).encode()


def may_caches_share_response(status: int, headers: Headers, now_s: float) -> bool:
    """Return whether a cache may give the response to other clients (RFC 9111 3). Such a response must get no id.

    A 304 updates a stored response, headers included (RFC 9111 4.3.4).
    """
    fields = [(name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    if status == 304 or any(_lets_some_cache_store(*field) for field in fields):
        return True
    lines = [value for name, value in fields if name == "cache-control"]
    if lines:
        found = list(_parse_directives(",".join(lines)))
        if _forbids_sharing(found):
            return False
        if _allows_reuse(found):
            return True
    expires = [value for name, value in fields if name == "expires"]
    if expires:
        return _expires_in_future(
            expires, [value for name, value in fields if name == "date"], now_s
        )
    if any(name == "max-age" for line in lines for name, _ in _parse_directives(line)):
        return False
    # RFC 9111 4.2.2: without a lifetime a cache may estimate one from Last-Modified.
    return any(name == "last-modified" for name, _ in fields)


def _lets_some_cache_store(name: str, value: str) -> bool:
    """Return whether a header for some caches only, such as CDN-Cache-Control, allows these to store the response."""
    if name == "x-accel-expires":  # nginx's: seconds, or @ and a unix time
        return value.strip() not in ("0", "")
    if name == "cache-control" or not name.endswith(_FOR_SOME_CACHES):
        return False
    found = list(_parse_directives(value))
    return bool(found) and not _forbids_sharing(found) and found != [("max-age", "0")]


def _parse_directives(text: str) -> Iterator[Directive]:
    """Yield the directives of a Cache-Control line; a malformed directive gets an empty name."""
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:  # an unclosed quote
            yield "", None
            return
        position = element.end()
        name, equals, argument = element[1].partition("=")
        if element[1].strip():
            known = _TOKEN.fullmatch(name.strip())
            yield known[0].lower() if known else "", argument.strip().strip('"') if equals else None


def _forbids_sharing(directives: Iterable[Directive]) -> bool:
    """Return whether the directives forbid every shared cache to reuse the response.

    `private` or `no-cache` with an argument such as "set-cookie" does not count: it concerns only one field,
    and many caches ignore the argument. must-understand cancels no-store (RFC 9111 5.2.2.3).
    """
    found = list(directives)
    names = {name for name, _ in found}
    if names & _LETS_STORE or "" in names:
        return False
    bare = {name for name, argument in found if argument is None}
    return bool({"private", "no-cache"} & bare) or (
        "no-store" in bare and "must-understand" not in names
    )


def _allows_reuse(directives: Iterable[Directive]) -> bool:
    """Return whether a cache may reuse what it stored, even if only for a short time."""
    return any(
        name == "" or name in _LETS_STORE or (name in _LASTS and not _is_zero_argument(argument))
        for name, argument in directives
    )


def _is_zero_argument(argument: str | None) -> bool:
    """Return whether a directive's argument is 0; False for a malformed argument."""
    return bool(argument) and not (argument or "").strip("0")


def _expires_in_future(expires: list[str], dates: list[str], now_s: float) -> bool:
    """Return whether Expires is later than the response's Date. If there is no Date, compare with the present time.

    RFC 9111 5.3: a value such as 0 is in the past. Any other invalid date counts as future, because some caches
    may understand it.
    """
    dated = [_unix_time(date) for date in dates]
    since_s = next((at for at in dated if at is not None), now_s)
    return any(_is_http_date_after(text.strip(), since_s) for text in expires)


def _is_http_date_after(text: str, since_s: float) -> bool:
    at = _unix_time(text)
    return text not in ("0", "-1", "") if at is None else at > since_s


def _unix_time(text: str) -> float | None:
    """Return an HTTP-date as unix time; None for any other text."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
