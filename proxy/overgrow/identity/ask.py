"""The reader `ask`: it asks legacy who the user is, by a GET with the user's own cookies.

200 with a JSON object that has `id` names a user. 401, 403 or a redirect means that nobody is signed in. After
any other answer the identity is unavailable. This works with every legacy app, and also renews its sessions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from overgrow.identity.reader import (
    Fetched,
    IdentityReader,
    Lookup,
    LookupFailed,
    Materials,
    Outcome,
    StoreAway,
    values_of,
)
from overgrow.routing.facts import Head, parse_cookies
from overgrow.routing.identity import Identity, IdentitySource, Refusal

MAX_ANSWER_BYTES = 64 * 1024
MAX_ID_LENGTH = 1024
_NOBODY = frozenset({401, 403})
# After any other failure, legacy was reached: a request that makes it close a connection must not hold back others.
_LEGACY_IS_AWAY = frozenset(
    {"legacy-connect", "legacy-timeout", "legacy-busy", "legacy-open", "local-busy"}
)
_CREDENTIALS = frozenset({b"cookie", b"authorization"})
_JSON = ("application/json", "+json")


class UserAnswer(NamedTuple):
    """Legacy's answer: status, content type, body. If legacy did not answer, the status is 0, and `why` is the code."""

    status: int
    content_type: str = ""
    body: bytes = b""
    why: str = ""
    cookies: tuple[bytes, ...] = ()  # the values of its Set-Cookie lines


AskLegacy = Callable[[Head], Awaitable[UserAnswer]]


class AskReader:
    """Asks legacy who the user is."""

    def __init__(self, materials: Materials, ask: AskLegacy) -> None:
        self.source: IdentitySource = materials.source
        self._ask = ask

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:  # noqa: ARG002  as the protocol has it
        """Return the query to legacy. Requests with the same credentials and the same host have the same query."""
        session = self._session_of(head)
        if not session:
            return Refusal("no-value")
        parts = [head.host.lower().encode(), *session, *self._other_parts(head)]
        return Lookup(_digest(parts), head, _digest(session))

    def _session_of(self, head: Head) -> list[bytes]:
        """Return what tells sessions apart: the named cookie, else all cookies and any Authorization."""
        if self.source.cookie is None:
            return [part for pair in head.headers if pair[0] in _CREDENTIALS for part in pair]
        return values_of(head, self.source)

    def _other_parts(self, head: Head) -> list[bytes]:
        """Return what legacy may read beside the named cookie: an answer must not be kept for a request without it.

        A cookie whose name begins with the named one belongs to it: `session.sig` signs `session` (cookie-session), and
        ASP.NET Core cuts a long cookie into `NAMEC1`, `NAMEC2`, where NAME itself is `chunks-2` for every user.
        """
        name = (self.source.cookie or "").encode()
        beside = [
            part
            for pair in parse_cookies(head.headers)
            if name and pair[0].startswith(name)
            for part in pair
        ]
        return beside + [
            part for pair in head.headers if pair[0] == b"authorization" for part in pair
        ]

    async def fetch(self, lookup: Lookup, now_s: float) -> Fetched:  # noqa: ARG002
        """Ask legacy.

        Raises:
            StoreAway: if its answer does not say who the user is.

        """
        answer = await self._ask(self._question(lookup.question))
        return Fetched(outcome_of_answer(answer, self.source), answer.cookies)

    def _question(self, head: Head) -> Head:
        """Return the head of the query. It is the user's request, but as a GET of the path of `ask` without a body."""
        path = (self.source.ask or "/").encode()
        headers = [pair for pair in head.headers if pair[0] not in _OF_THE_REQUEST]
        return head._replace(
            method="GET",
            target=path,
            headers=[*headers, (b"accept", b"application/json")],
            upgrade=False,
        )

    async def touch(self, head: Head, now_s: float) -> bytes | None:
        """Do nothing: each query renews the session, and a new query is sent whenever `cache` has expired."""

    async def aclose(self) -> None:
        """Do nothing, because the front door's own connections to legacy are used."""


def _digest(parts: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()


# Headers that are about the user's own request, and would change the answer to the question.
_OF_THE_REQUEST = frozenset(
    {
        *(b"accept", b"accept-encoding", b"content-length", b"content-type", b"content-encoding"),
        *(b"transfer-encoding", b"trailer", b"te", b"expect", b"range", b"if-range"),
        *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"),
        *(b"idempotency-key", b"connection", b"upgrade"),
    }
)


def outcome_of_answer(answer: UserAnswer, source: IdentitySource) -> Outcome:
    """Return the user that legacy's answer names, or the result that nobody is signed in.

    Raises:
        StoreAway: if there is no answer.
        LookupFailed: if the answer says nothing about the user.

    """
    path, status = source.ask, answer.status
    if status == 0:
        kind = StoreAway if answer.why in _LEGACY_IS_AWAY else LookupFailed
        raise kind(f"GET {path} on legacy failed: {answer.why}")
    if status in _NOBODY or 300 <= status < 400:
        return Refusal("anonymous")
    if status != 200:
        raise LookupFailed(
            f"GET {path} on legacy is answered {status}; 200, 401, 403 or a redirect is needed"
        )
    said = _read_object(answer)
    key = source.id_key or "id"
    if said is not None and key in said and said[key] is None:
        return Refusal("anonymous")
    user_id = None if said is None else _text_of(said.get(key))
    if said is None or user_id is None:
        raise LookupFailed(
            f'GET {path} on legacy is answered 200 without JSON such as {{"id": "7"}}'
        )
    name = _text_of(said.get(source.name_key or "name"))
    return Identity(user_id, name, _roles_of(said.get(source.roles_key or "roles")), said, "ask")


def _read_object(answer: UserAnswer) -> Mapping[str, Any] | None:
    kind = answer.content_type.partition(";")[0].strip().lower()
    if not kind.endswith(_JSON) or len(answer.body) > MAX_ANSWER_BYTES:
        return None
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _text_of(value: object) -> str | None:
    """Return the text of a name or number. None for any other value, and for text that cannot be put into a header."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    is_fit = 0 < len(text) <= MAX_ID_LENGTH and text.isprintable()
    return text if is_fit else None


def _roles_of(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def build_ask_reader(ask: AskLegacy) -> Callable[[Materials], IdentityReader]:
    """Return the function that builds readers which ask legacy by `ask`."""
    return lambda materials: AskReader(materials, ask)
