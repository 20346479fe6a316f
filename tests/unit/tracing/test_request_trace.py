from __future__ import annotations

import pytest
from opentelemetry.propagators.composite import CompositePropagator

from overgrow.exchange import Failure
from overgrow.tracing.request_trace import CURRENT, LegacyTracer
from tests.unit.tracing.conftest import exchange, head, scope_of

PARENT = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNSAMPLED = (b"traceparent", PARENT[1][:-2] + b"00")
LEGACY = "http://10.0.0.7:9000"


def refuse(_):
    raise AssertionError("an attribute was computed")


def test_an_unsampled_request_has_no_attribute_computed(start, spans):
    tracing = start(ratio=0.0)
    trace = tracing.begin(scope_of(head()), refuse)
    LegacyTracer(tracing, LEGACY).begin("GET", b"/items/7")
    trace.finish(exchange())
    trace.leave()

    assert [] == spans()


def test_an_unsampled_context_goes_on_as_unsampled(start, begin):
    tracing = start(ratio=0.0)
    trace = begin(tracing)
    attempt = LegacyTracer(tracing, LEGACY).begin("GET", b"/items/7")

    name, _, value = attempt.lines.strip().partition(b": ")
    version, trace_id, span_id, flags = value.split(b"-")
    assert (b"traceparent", b"00", 0) == (name, version, int(flags, 16) & 1)
    assert trace.span.get_span_context().trace_id == int(trace_id, 16)
    assert trace.span.get_span_context().span_id == int(span_id, 16)


def test_the_decision_of_the_client_is_followed(start, begin):
    tracing = start()

    assert [True, False] == [begin(tracing, each).is_recording for each in (PARENT, UNSAMPLED)]


def test_a_malformed_context_begins_a_trace_and_is_replaced(start, begin):
    asked = head((b"traceparent", b"00-nonsense"))
    trace = begin(start(), of=asked)

    (sent,) = [
        value for name, value in trace.headers_for_side(asked.headers) if name == b"traceparent"
    ]
    assert b"%032x" % trace.span.get_span_context().trace_id == sent.split(b"-")[1]
    assert trace.has_context


def test_without_a_propagator_headers_stay_as_they_are(start, begin):
    tracing = start(propagator=CompositePropagator([]))
    trace = begin(tracing, PARENT)
    attempt = LegacyTracer(tracing, LEGACY).begin("GET", b"/items/7")

    headers = head(PARENT).headers
    assert (False, b"", headers) == (
        trace.has_context,
        attempt.lines,
        list(trace.headers_for_side(headers)),
    )


def test_repeated_requests_of_a_task_have_traces_of_their_own(start):
    tracing = start()
    ids = set()
    for _ in range(3):
        trace = tracing.begin(scope_of(head()), lambda _: head())
        ids.add(trace.span.get_span_context().trace_id)
        trace.finish(exchange())
        trace.leave()

    assert (3, None) == (len(ids), CURRENT.get())


def test_the_exchange_learns_the_ids_of_the_span(start, begin):
    tracing = start()
    trace = begin(tracing, PARENT)

    told = trace.finish(exchange()).trace
    span_id = f"{trace.span.get_span_context().span_id:016x}"
    assert ("0af7651916cd43dd8448eb211c80319c", span_id, True) == told


ENDS = [
    pytest.param((200, None), None, "UNSET", id="fine"),
    pytest.param((404, None), None, "UNSET", id="the client's error"),
    pytest.param((400, Failure("bad-request", "read", "client")), None, "UNSET", id="refused"),
    pytest.param((410, Failure("gone", "decide", "front")), None, "UNSET", id="gone"),
    pytest.param((500, None), "500", "ERROR", id="an error of the app"),
    pytest.param((502, Failure("legacy-connect", "connect", "legacy")), "legacy-connect", "ERROR", id="away"),
    pytest.param((200, Failure("legacy-closed", "body", "legacy")), "legacy-closed", "ERROR", id="broken"),
    pytest.param((0, Failure("client-gone", "body", "client")), "client-gone", "ERROR", id="left"),
]  # fmt: skip


@pytest.mark.parametrize(("ended", "error", "expected"), ENDS)
def test_a_request_ends_as_the_conventions_have_it(  # noqa: PLR0917  columns of the table
    start, begin, spans, ended, error, expected
):
    begin(start()).finish(exchange(*ended))

    (span,) = spans()
    assert (error, expected) == (span.attributes.get("error.type"), span.status)
    assert (ended[0] or None) == span.attributes.get("http.response.status_code")


ATTEMPTS = [
    pytest.param((200, None), None, "UNSET", id="fine"),
    pytest.param((404, None), "404", "ERROR", id="not found"),
    pytest.param((503, None), "503", "ERROR", id="busy"),
    pytest.param((None, Failure("legacy-timeout", "head", "legacy")), "legacy-timeout", "ERROR", id="late"),
    pytest.param((200, Failure("legacy-closed", "body", "legacy")), "legacy-closed", "ERROR", id="broken"),
    pytest.param((None, Failure("client-gone", "head", "client")), None, "UNSET", id="cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("ended", "error", "expected"), ATTEMPTS)
def test_an_attempt_ends_as_the_conventions_have_it(  # noqa: PLR0917  columns of the table
    start, begin, spans, ended, error, expected
):
    tracing = start()
    begin(tracing)
    attempt = LegacyTracer(tracing, LEGACY).begin("GET", b"/items/7")
    attempt.end(*ended)
    attempt.end(500, None)

    (span,) = spans()
    assert (error, expected) == (span.attributes.get("error.type"), span.status)


def test_a_request_that_never_reached_the_wire_has_no_attempt(start, begin, spans):
    tracing = start()
    begin(tracing)
    LegacyTracer(tracing, LEGACY).begin("GET", b"/").end(
        None, Failure("legacy-busy", "queue", "front")
    )

    assert [] == spans()


def test_a_fault_of_the_front_door_ends_the_span_with_its_class(start, begin, spans):
    begin(start()).fail(KeyError("a secret"))

    (span,) = spans()
    assert ("KeyError", "ERROR") == (span.attributes["error.type"], span.status)
    assert "a secret" not in str(span)


def test_nothing_that_serves_no_request_is_traced(start, spans):
    assert LegacyTracer(start(), LEGACY).begin("GET", b"/probe") is None
    assert [] == spans()


@pytest.mark.parametrize(
    ("listed", "method", "recorded"),
    [
        pytest.param(None, "QUERY", "QUERY", id="known by default"),
        pytest.param(None, "get", "_OTHER", id="case counts"),
        pytest.param("GET,PURGE", "PURGE", "PURGE", id="listed"),
        pytest.param("GET,PURGE", "POST", "_OTHER", id="a list replaces the default"),
    ],
)
def test_known_methods_are_those_of_the_variable(start, begin, spans, listed, method, recorded):  # noqa: PLR0917  columns of the table
    environ = {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": listed} if listed else {}
    asked = head(method=method)
    begin(start(environ=environ), of=asked).finish(exchange(of=asked, route=None))

    (span,) = spans()
    assert recorded == span.attributes["http.request.method"]
    assert (method if recorded == "_OTHER" else None) == span.attributes.get(
        "http.request.method_original"
    )
    assert ("HTTP" if recorded == "_OTHER" else method) == span.name


@pytest.mark.parametrize(
    ("url", "address", "full"),
    [
        pytest.param("http://10.0.0.7:9000", ("10.0.0.7", 9000), "http://10.0.0.7:9000/a", id="port"),
        pytest.param("https://legacy.example", ("legacy.example", 443), "https://legacy.example/a", id="tls"),
        pytest.param("http://[::1]:9000", ("::1", 9000), "http://[::1]:9000/a", id="IPv6"),
        pytest.param("unix:/run/a.sock", ("/run/a.sock", None), "http://localhost/a", id="unix"),
    ],
)  # fmt: skip
def test_an_attempt_names_the_address_of_legacy(start, begin, spans, url, address, full):  # noqa: PLR0917  as above
    tracing = start()
    begin(tracing)
    LegacyTracer(tracing, url).begin("GET", b"/a").end(200, None)

    (span,) = spans()
    told = span.attributes
    assert (*address, full) == (told["server.address"], told.get("server.port"), told["url.full"])
