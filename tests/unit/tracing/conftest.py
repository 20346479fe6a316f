"""Spans in memory: a Tracing whose provider is its own, so that no test sets the one of the process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from overgrow.exchange import Exchange
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision, Route
from overgrow.tracing.propagation import Propagation
from overgrow.tracing.request_trace import Tracing
from overgrow.tracing.sdk import DrawnIds

STANDARD = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
ROUTE = Route("item", path="/items/<int:id>", target="migrated")


def head(*headers, target=b"/items/7", method="GET"):
    return head_of(method, target, [(b"host", b"shop"), *headers], peer="127.0.0.1", scheme="http")


def scope_of(asked):
    """What an ASGI server tells of a request."""
    return {"method": asked.method, "headers": asked.headers, "client": ("127.0.0.1", 5000)}


def exchange(status=200, failure=None, *, of=None, route=ROUTE, side="migrated"):
    decision = Decision(route, side, "target" if route else "default", "abc")
    return Exchange(of or head(), decision, status, failure, 1.0, 0.03, 0.02, 0, 5)


@pytest.fixture
def memory():
    return InMemorySpanExporter()


@pytest.fixture
def start(memory):
    """Make a Tracing with a sampler; by default all is sampled."""

    def start(ratio=None, propagator=STANDARD, environ=None, **more):
        sampler = ParentBased(ALWAYS_ON if ratio is None else TraceIdRatioBased(ratio))
        provider = TracerProvider(sampler=sampler, id_generator=DrawnIds(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        tracing = Tracing(Propagation(propagator), lambda query: query, environ or {}, **more)
        tracing.tracer = provider.get_tracer("overgrow")
        if ratio is not None:
            tracing.unsampled_from = TraceIdRatioBased.get_bound_for_rate(ratio)
        return tracing

    return start


@pytest.fixture
def begin():
    """Begin the trace of a request with these headers, and leave it at the end of the test."""
    begun = []

    def begin(tracing, *headers, of=None):
        asked = of or head(*headers)
        begun.append(tracing.begin(scope_of(asked), lambda _: asked))
        return begun[-1]

    yield begin
    for trace in reversed(begun):
        trace.leave()


@pytest.fixture
def spans(memory):
    """The finished spans, in the order of their ends."""
    return lambda: [
        SimpleNamespace(
            name=span.name,
            kind=span.kind.name,
            id=span.context.span_id,
            trace_id=span.context.trace_id,
            parent=span.parent.span_id if span.parent else None,
            attributes=dict(span.attributes or {}),
            status=span.status.status_code.name,
            links=[link.context.span_id for link in span.links],
        )
        for span in memory.get_finished_spans()
    ]
