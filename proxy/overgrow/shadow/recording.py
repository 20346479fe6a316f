"""Keeps one user's request and response while they pass, to be compared later.

Rule: request and response pass on unchanged. If a recording cannot keep both of them whole, it sets a drop
reason and keeps nothing. It calls `on_done` once, when the exchange is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from overgrow.exchange import Inbound, Reply, close_nothing
from overgrow.http import declared_length, is_event_stream
from overgrow.routing.facts import Headers
from overgrow.shadow.tee import MemoryBudget, Tee
from overgrow.shadow.values.snapshot import Fingerprint, FingerprintBuilder, ResponseSnapshot

# Why a request that was drawn is not compared: the label of overgrow_shadow_dropped_total.
DropReason = Literal[
    "answer-too-large",
    "budget",
    "closing",
    "conditional",
    "fault",
    "killed",
    "memory",
    "no-answer",
    "queue-full",
    "request-too-large",
    "stale",
    "stream",
    "too-much-work",
    "unfinished",
    "wrote",
]
# Reasons that say nothing of the responses: the front door was stopped, or the side gave the user none.
UNSTORED_REASONS = frozenset[DropReason]({"closing", "killed", "no-answer"})


class RecordingLimits(NamedTuple):
    """Sizes in bytes: of the largest request and response that are kept, and of the largest response that is hashed."""

    request_bytes: int
    response_bytes: int
    hashed_bytes: int


class Recording:
    """Records one exchange.

    Call wrap_reply, record_sent_reply or abort once; the recording then calls `on_done` at the end. `on_done`
    must call set_final_drop_reason, and then either take the bodies or call release_memory.
    """

    __slots__ = (
        "_fingerprint",
        "_hashed_bytes",
        "_held_bytes",
        "_memory",
        "_on_done",
        "_request",
        "_response",
        "_response_bytes",
        "drop_reason",
        "headers",
        "reply",
    )

    def __init__(
        self,
        inbound: Inbound,
        budget: MemoryBudget,
        on_done: Callable[[Recording], None],
        sizes: RecordingLimits,
    ) -> None:
        self._memory = budget
        self._on_done = on_done
        self._response_bytes = sizes.response_bytes
        self._hashed_bytes = sizes.hashed_bytes
        self._held_bytes = 0
        self._response: Tee | None = None
        self._fingerprint: Fingerprint | None = None
        self._request: Tee | None = None
        self.reply: Reply | None = None
        self.headers: Headers = ()
        self.drop_reason: DropReason | None = None
        if inbound.body is None:
            return
        if declared_length(inbound.head.headers) > sizes.request_bytes:
            self.drop_reason = "request-too-large"
            return
        inbound.body = self._request = Tee(inbound.body, sizes.request_bytes, budget)

    def wrap_reply(self, reply: Reply) -> None:
        """Record a response on its way to the user. When the response is closed, call `on_done`."""
        self._store_reply(reply, reply.headers)
        if self.drop_reason is not None:
            self._on_done(self)
            return
        if not isinstance(reply.body, bytes):
            reply.body = self._response = Tee(
                reply.body, self._response_bytes, self._memory, self._hashed_bytes
            )
        close = reply.close

        async def close_and_report() -> None:
            reply.close = close_nothing  # it leads back here: a circle
            try:
                await close()
            finally:
                self._on_done(self)

        reply.close = close_and_report

    def record_sent_reply(self, reply: Reply, headers: Headers) -> None:
        """Take a response that has been sent completely, and call `on_done`."""
        self._store_reply(reply, headers)
        self._on_done(self)

    def _store_reply(self, reply: Reply, headers: Headers) -> None:
        """Remember a response with the headers of the side. The front door may add headers of its own later."""
        self.reply, self.headers = reply, headers
        self.drop_reason = self.drop_reason or drop_reason_of(reply, self._hashed_bytes)

    def abort(self) -> None:
        """Call `on_done` without a response, because none will come."""
        self.drop_reason = self.drop_reason or "unfinished"
        self._on_done(self)

    @property
    def held_bytes(self) -> int:
        """How many bytes of the memory budget this recording uses.

        Whoever takes the bodies must release these bytes.
        """
        return self._held_bytes + sum(tee.held_bytes for tee in self._tees())

    def release_memory(self) -> None:
        """Return the used bytes to the memory budget. Of an upload that is still arriving, keep nothing more."""
        self._memory.release(self._held_bytes)
        self._held_bytes = 0
        for tee in self._tees():
            tee.discard_kept_body()

    def _tees(self) -> list[Tee]:
        return [tee for tee in (self._request, self._response) if tee is not None]

    def request_body(self) -> bytes | None:
        """Return the body of the user's request; None if it has no body. Valid only if there is no drop reason."""
        return self._request.whole_body if self._request is not None else None

    def build_response_snapshot(self, reply: Reply) -> ResponseSnapshot:
        """Return the response that the user got. Valid only if there is no drop reason."""
        body, fingerprint = self._single_piece_body(), self._fingerprint
        if self._response is not None:
            body, fingerprint = self._response.whole_body or b"", self._response.fingerprint
        return ResponseSnapshot(
            reply.status,
            tuple(self.headers),
            b"" if fingerprint is not None else body,
            fingerprint,
        )

    def _single_piece_body(self) -> bytes:
        """Return the body of a response that came in one piece."""
        body = self.reply.body if self.reply is not None else b""
        return body if isinstance(body, bytes) else b""

    def set_final_drop_reason(self) -> None:
        """At the end, check whether both bodies were kept. If one was not, set `drop_reason`."""
        self.drop_reason = self.drop_reason or self._tee_drop_reason(
            self._request, "request-too-large"
        )
        self.drop_reason = self.drop_reason or self._tee_drop_reason(
            self._response, "answer-too-large"
        )
        if self.drop_reason is None and self._response is None:
            body = self._single_piece_body()
            size = len(body)
            if size > self._response_bytes:
                self._fingerprint = FingerprintBuilder([body]).fingerprint()
            elif self._memory.try_reserve(size):
                self._held_bytes = size
            else:
                self.drop_reason = "memory"

    @staticmethod
    def _tee_drop_reason(tee: Tee | None, too_large: DropReason) -> DropReason | None:
        if tee is None:
            return None
        if tee.drop_reason is not None:
            return too_large if tee.drop_reason == "too-large" else "memory"
        return None if tee.is_ended else "unfinished"


def drop_reason_of(reply: Reply, response_bytes: int) -> DropReason | None:
    """Return why a response with this head cannot be compared; None if it can be compared."""
    if reply.failure is not None or reply.fallback is not None or reply.upgraded is not None:
        return "no-answer"  # the chosen side gave none
    if isinstance(reply.body, bytes):
        return "answer-too-large" if len(reply.body) > response_bytes else None
    if any(pair[0] == b"content-type" and is_event_stream(pair[1]) for pair in reply.headers):
        return "stream"
    return "answer-too-large" if declared_length(reply.headers) > response_bytes else None
