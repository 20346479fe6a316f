"""Passes evidence to the store and counts it in the metrics.

It is an EvidenceSink for the mirror and a Sink of exchanges. A helper of the composition root. Only the store
knows how a record is kept.
"""

from __future__ import annotations

from typing import Protocol

from overgrow.evidence import FallbackRecord, NotCompared, Record, Served
from overgrow.exchange import Exchange, FellBack
from overgrow.observe.metrics import Metrics
from overgrow.shadow.coverage import CoverageSink
from overgrow.shadow.findings.noise_counter import NoiseCounter
from overgrow.shadow.judge import Judgement
from overgrow.shadow.recording import UNSTORED_REASONS, DropReason
from overgrow.shadow.sessions import SessionCookieNames


class RecordWriter(Protocol):
    """The part of a store's writer (overgrow.store.writer.Writer) that EvidenceRecorder needs."""

    def put(self, record: Record) -> None:
        """Take a record. This method never waits and never raises."""

    def close(self) -> object:
        """Store the waiting records, and end."""


class EvidenceRecorder:
    """Takes records from the mirror and from exchanges.

    Records that come before the worker opens the store, or after it closes the store, are dropped.
    """

    def __init__(self, sessions: SessionCookieNames | None = None) -> None:
        self.metrics: Metrics | None = None
        self.writer: RecordWriter | None = None
        self.is_without_store = False
        self._coverage = CoverageSink(self, sessions)
        self._noise_counter = NoiseCounter()

    def record(self, exchange: Exchange) -> None:
        """Store a user's request, for the coverage of its route. If the request fell back, store its fallback too."""
        if self.writer is None:
            return
        self._coverage.record(exchange)
        if exchange.fallback is not None:
            self.store_record(_fallback_record(exchange, exchange.fallback))

    def store_record(self, record: Record) -> None:
        """If there is a store, store one record."""
        if self.writer is not None:
            self.writer.put(record)

    # Map 20 (docs/architecture.md#a-request-by-numbers)
    def record_comparison(self, judgement: Judgement) -> None:
        """Count and store a comparison, and learn its noise."""
        compared, noise = judgement
        self._count_metric("overgrow_shadow_total", compared.route, compared.verdict)
        self.store_record(compared)
        if noise is not None:
            self._noise_counter.add(compared.route, compared.at, noise)

    def record_unanswered_copy(self, served: Served) -> None:
        """Count and store a copy to which a side gave no response."""
        self._count_metric("overgrow_shadow_total", served.route, "unanswered")
        self._put_not_compared(served, "unanswered")

    def record_dropped_request(self, reason: DropReason, served: Served | None = None) -> None:
        """Count and store a request that was drawn for a comparison but not compared."""
        self._count_metric("overgrow_shadow_dropped_total", reason)
        if served is not None and reason not in UNSTORED_REASONS:
            self._put_not_compared(served, reason)

    def store_noise(self) -> None:
        """Store the noise that was learned since the previous call."""
        for learned in self._noise_counter.pop_changed_noise():
            self.store_record(learned)

    def _put_not_compared(self, served: Served, why: str) -> None:
        self.store_record(NotCompared(served.route, served.control, served.at, served.shape, why))

    def _count_metric(self, name: str, *labels: str) -> None:
        if self.metrics is not None:
            self.metrics.add(name, *labels)


def _fallback_record(exchange: Exchange, fell_back: FellBack) -> FallbackRecord:
    failure = exchange.failure
    return FallbackRecord(
        route=exchange.decision.route_name,
        at=exchange.started_at,
        method=exchange.head.method,
        migrated=fell_back.code,
        legacy=failure.code if failure is not None else str(exchange.status),
        duration_s=exchange.duration_s,
    )
