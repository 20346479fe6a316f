"""A Sink that records users' requests of routes with a shadow, to measure the share of compared requests."""

from __future__ import annotations

from overgrow.evidence import Served
from overgrow.exchange import Exchange
from overgrow.shadow.judge import EvidenceSink
from overgrow.shadow.sampling import SHADOWED_REASONS, shape_of_request
from overgrow.shadow.sessions import SessionCookieNames


class CoverageSink:
    """Passes a Served record to the evidence for each answered request of a route with a shadow.

    A request is skipped if it failed, or if the reason for its side is outside SHADOWED_REASONS.
    """

    def __init__(self, evidence: EvidenceSink, sessions: SessionCookieNames | None = None) -> None:
        self._evidence = evidence
        self._sessions = sessions or SessionCookieNames()

    def record(self, exchange: Exchange) -> None:
        """Record one exchange."""
        decision = exchange.decision
        route = decision.route
        if route is None or not route.shadow or decision.reason not in SHADOWED_REASONS:
            return
        if exchange.failure is not None or exchange.status == 0:
            return
        at = exchange.started_at
        shape = shape_of_request(exchange.head, decision, self._sessions, exchange.status)
        self._evidence.store_record(Served(route.name, decision.side, at, shape))
