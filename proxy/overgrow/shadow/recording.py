"""What one user asks and is answered, kept while it passes by.

Rule: the user's request and answer go on as they are; a witness that loses count of them says so and
lets them go. It tells what it saw once, when the exchange is over.
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
]
# Those that say nothing of the answers: the front door was told to stop, or the user had none of the side.
UNSTORED_REASONS = frozenset[DropReason]({"closing", "killed", "no-answer"})


class RecordingLimits(NamedTuple):
    """How many bytes are kept of a request and of an answer; up to how many an answer is hashed."""

    request_bytes: int
    answer_bytes: int
    hashed_bytes: int


class Recording:
    """Stands beside one exchange. `told` is called once: at the end, or when there is nothing to see."""

    __slots__ = (
        "_answer",
        "_answer_bytes",
        "_fingerprint",
        "_hashed_bytes",
        "_held_bytes",
        "_memory",
        "_on_done",
        "_request",
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
        self._answer_bytes = sizes.answer_bytes
        self._hashed_bytes = sizes.hashed_bytes
        self._held_bytes = 0
        self._answer: Tee | None = None
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

    def wrap(self, reply: Reply) -> None:
        """Watch an answer on its way to the user; tell when it is over."""
        self._note_reply(reply, reply.headers)
        if self.drop_reason is not None:
            self._on_done(self)
            return
        if not isinstance(reply.body, bytes):
            reply.body = self._answer = Tee(
                reply.body, self._answer_bytes, self._memory, self._hashed_bytes
            )
        close = reply.close

        async def close_and_report() -> None:
            reply.close = close_nothing  # it leads back here: a circle
            try:
                await close()
            finally:
                self._on_done(self)

        reply.close = close_and_report

    def take_whole(self, reply: Reply, headers: Headers) -> None:
        """Take an answer that is all here and through, and tell of it."""
        self._note_reply(reply, headers)
        self._on_done(self)

    def _note_reply(self, reply: Reply, headers: Headers) -> None:
        """Take note of an answer as the side gave it: the front door may add headers of its own."""
        self.reply, self.headers = reply, headers
        self.drop_reason = self.drop_reason or drop_reason_of(reply, self._hashed_bytes)

    def abort(self) -> None:
        """There will be no answer to watch."""
        self.drop_reason = self.drop_reason or "unfinished"
        self._on_done(self)

    @property
    def held_bytes(self) -> int:
        """What is held of the room, for whoever owns it after this."""
        return self._held_bytes + sum(tee.held_bytes for tee in self._tees())

    def release(self) -> None:
        """Give back what is held; an upload may go on after its answer, and is kept no longer."""
        self._memory.release(self._held_bytes)
        self._held_bytes = 0
        for tee in self._tees():
            tee.discard()

    def _tees(self) -> list[Tee]:
        return [tee for tee in (self._request, self._answer) if tee is not None]

    def request_body(self) -> bytes | None:
        """What the user sent; None for no body. Only where there is no loss."""
        return self._request.whole if self._request is not None else None

    def answer(self, reply: Reply) -> ResponseSnapshot:
        """What the user was answered. Only where there is no loss."""
        body, fingerprint = self._whole_body(), self._fingerprint
        if self._answer is not None:
            body, fingerprint = self._answer.whole or b"", self._answer.fingerprint
        return ResponseSnapshot(
            reply.status,
            tuple(self.headers),
            b"" if fingerprint is not None else body,
            fingerprint,
        )

    def _whole_body(self) -> bytes:
        """The body of an answer that was all here from the start."""
        body = self.reply.body if self.reply is not None else b""
        return body if isinstance(body, bytes) else b""

    def finish(self) -> None:
        """Find out, when all is over, whether both bodies are here; `loss` says why not."""
        self.drop_reason = self.drop_reason or self._tee_drop_reason(
            self._request, "request-too-large"
        )
        self.drop_reason = self.drop_reason or self._tee_drop_reason(
            self._answer, "answer-too-large"
        )
        if self.drop_reason is None and self._answer is None:
            body = self._whole_body()
            size = len(body)
            if size > self._answer_bytes:
                self._fingerprint = FingerprintBuilder([body]).fingerprint()
            elif self._memory.reserve(size):
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


def drop_reason_of(reply: Reply, answer_bytes: int) -> DropReason | None:
    """Why an answer cannot be compared, as far as its head tells."""
    if reply.failure is not None or reply.fallback is not None or reply.upgraded is not None:
        return "no-answer"  # of the side that was chosen
    if isinstance(reply.body, bytes):
        return "answer-too-large" if len(reply.body) > answer_bytes else None
    if any(pair[0] == b"content-type" and is_event_stream(pair[1]) for pair in reply.headers):
        return "stream"
    return "answer-too-large" if declared_length(reply.headers) > answer_bytes else None
