"""Reads the trace context from the headers of the client's request, and writes it into headers for a side.

Rule: the propagators that OTEL_PROPAGATORS names decide which headers these are. Our headers replace those of
the client, because a side must see only one context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.trace import SpanContext

from overgrow.caches.header_memo import HeaderMemo
from overgrow.http import Pair
from overgrow.routing.facts import Headers

_STANDARD = frozenset({"traceparent", "tracestate", "baggage"})
_NO_CONTEXT = Context()


class _ValuesByName(Getter[dict[str, list[str]]]):
    """How a propagator reads headers."""

    def get(self, carrier: dict[str, list[str]], key: str) -> list[str] | None:
        return carrier.get(key.lower())

    def keys(self, carrier: dict[str, list[str]]) -> list[str]:
        return list(carrier)


_GETTER = _ValuesByName()


class Propagation:
    """Reads and writes the headers of one propagator."""

    def __init__(self, propagator: TextMapPropagator) -> None:
        self._propagator = propagator
        self.names = frozenset(name.lower().encode() for name in propagator.fields)
        # The headers of a context without tracestate and baggage are one line, which is quick to write.
        self.is_standard = "traceparent" in propagator.fields and propagator.fields <= _STANDARD

    def has_context(self, headers: Headers) -> bool:
        """Return whether a request has a header of the propagator."""
        if type(headers) is not HeaderMemo:
            return not self.names.isdisjoint(dict(headers))
        if headers.has_trace_context is None:
            headers.has_trace_context = not self.names.isdisjoint(dict(headers))
        return headers.has_trace_context

    def read_context(self, headers: Iterable[Pair]) -> Context:
        """Return the context in a request's headers; an empty context if they are invalid."""
        carrier: dict[str, list[str]] = {}
        for name, value in headers:
            if name in self.names:
                carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        return self._propagator.extract(carrier, _NO_CONTEXT, getter=_GETTER)

    def pairs_of(self, context: Context) -> list[Pair]:
        """Return the headers that describe a context."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context)
        return [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in carrier.items()
        ]

    def root_pairs_of(self, span: SpanContext, context: Context) -> list[Pair]:
        """Return the headers of a span that began its trace: `context` has nothing but this span."""
        if not self.is_standard or span.trace_state or not span.is_valid:
            return self.pairs_of(context)
        line = "00-%032x-%016x-%02x" % (span.trace_id, span.span_id, span.trace_flags)  # noqa: UP031 - the quickest
        return [(b"traceparent", line.encode())]

    def without_context(self, headers: Iterable[Pair]) -> list[Pair]:
        """Return the headers without those of the propagator."""
        return [pair for pair in headers if pair[0].lower() not in self.names]


def lines_of(pairs: Sequence[Pair]) -> bytes:
    """Return headers as lines for the wire."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])
