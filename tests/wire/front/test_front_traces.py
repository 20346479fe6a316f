"""Traces of requests on the wire, as a collector gets them: parents, kinds, attributes, status, and no span more."""

from __future__ import annotations

import re
import secrets
from contextlib import closing

import pytest

from tests.otlp import CLIENT, ERROR, INTERNAL, SERVER, UNSET, running_collector, settings_for
from tests.story.front import eventually, running_front
from tests.unit.tracing.http_conventions import (
    CLIENT_NAMES,
    CLIENT_REQUIRED,
    OURS,
    SERVER_NAMES,
    SERVER_REQUIRED,
)
from tests.wire.front.ends import OK, Legacy, Wire, answer, request

TABLE = """\
version: 1
app: tests.wire.front.traced_app:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - {name: item, path: "/items/<int:id>", target: legacy}
  - {name: area, prefix: /area, target: legacy}
  - {name: hasty, path: /hasty, target: legacy, response_timeout: 300ms}
  - {name: moved, path: "/moved/<int:id>", methods: [GET], target: migrated}
  - {name: failing, path: /failing, methods: [GET], target: migrated, fallback: true}
  - {name: late, path: /late, methods: [GET], target: migrated, response_timeout: 200ms}
  - {name: copied, path: /copied, methods: [GET], target: legacy, shadow: {percent: 100%, noise: 0%}}
  - {name: moved-area, prefix: /moved-area, target: migrated}
  - {name: retired, path: /retired, target: gone}
"""


class Traces:
    """A front door with tracing, its legacy socket, and the collector."""

    def __init__(self, front, legacy, collector):
        self.front, self.collector = front, collector
        self.wire = Wire(front.port, legacy)
        self.legacy = legacy

    def of(self, target, *fields, answered=OK, method="GET", body=None):
        """The spans of one request that legacy answers, and what legacy saw."""
        trace_id, parent = new_parent()
        asked = request(method, target, parent, *fields, body=body)
        seen, shown = self.wire.exchange(asked, answered)
        return Trace(self.collector.trace_of(trace_id), trace_id), seen, shown

    def of_own(self, target, *fields, method="GET"):
        """The spans of one request that legacy does not see, and the answer."""
        trace_id, parent = new_parent()
        client = self.wire.client()
        client.send(request(method, target, parent, *fields))
        shown = client.message(method)
        return Trace(self.collector.trace_of(trace_id), trace_id), shown


class Trace:
    """The spans of one trace."""

    def __init__(self, spans, trace_id):
        self.spans, self.trace_id = spans, trace_id

    @property
    def server(self):
        (found,) = [span for span in self.spans if span.kind == SERVER]
        return found

    @property
    def attempts(self):
        found = [span for span in self.spans if span.kind == CLIENT]
        return sorted(found, key=lambda span: span["http.request.resend_count"] or 0)

    def kinds(self):
        return sorted(span.kind for span in self.spans)


def new_parent():
    """A trace id, and the header of a client whose trace it is."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"traceparent: 00-{trace_id}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    legacy = Legacy()
    with (
        running_collector() as collector,
        closing(legacy),
        running_front(
            TABLE, folder, legacy.port, data=folder / "unused", **settings_for(collector.port)
        ) as front,
    ):
        yield front, legacy, collector


@pytest.fixture
def traces(standing):
    traces = Traces(*standing)
    yield traces
    traces.wire.end()


def test_a_forwarded_request_has_one_span_and_one_for_its_attempt(traces):
    trace, _, _ = traces.of("/items/7?page=2")

    assert [SERVER, CLIENT] == trace.kinds()
    assert "00f067aa0ba902b7" == trace.server.parent_id
    assert trace.server.span_id == trace.attempts[0].parent_id


def test_the_span_of_a_request_says_what_was_decided(traces):
    trace, _, _ = traces.of("/items/7?page=2")

    span = trace.server
    told = {name: span[name] for name in span.attributes if name.startswith("overgrow.")}
    revision = traces.front.readyz()["revision"]
    expected = {"route": "item", "side": "legacy", "reason": "target", "revision": revision}
    assert {f"overgrow.{name}": value for name, value in expected.items()} == told
    assert ("GET /items/<int:id>", "/items/<int:id>") == (span.name, span["http.route"])


def test_the_attributes_of_a_request_are_those_of_the_conventions(traces):
    trace, _, _ = traces.of("/items/7?page=2", "User-Agent: a browser", "Host: shop.example:8080")

    span = trace.server
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/items/7",
        "url.query": "page=2",
        "url.scheme": "http",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "a browser",
    }
    assert expected == {name: span[name] for name in expected}
    assert (UNSET, None) == (span.status, span["error.type"])


def test_the_attributes_of_an_attempt_are_those_of_the_conventions(traces):
    trace, _, _ = traces.of("/items/7?page=2")

    (span,) = trace.attempts
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": traces.legacy.port,
        "url.full": f"http://127.0.0.1:{traces.legacy.port}/items/7?page=2",
        "network.protocol.version": "1.1",
    }
    assert (expected, "GET", UNSET) == (span.attributes, span.name, span.status)


def test_legacy_continues_the_trace_of_the_attempt(traces):
    trace, seen, _ = traces.of("/items/7", "tracestate: vendor=x", "baggage: tier=gold")

    expected = f"00-{trace.trace_id}-{trace.attempts[0].span_id}-01"
    assert (expected, "vendor=x", "tier=gold") == (
        seen["traceparent"],
        seen["tracestate"],
        seen["baggage"],
    )


def test_no_request_of_a_connection_inherits_the_trace_of_another(traces):
    client = traces.wire.client()
    end = None
    seen = []
    for _ in range(4):  # from the third on, the connection repeats what it remembers
        client.send(request("GET", "/items/7"))
        end = end or traces.legacy.accept()
        seen.append(end.message()["traceparent"])
        end.send(OK)
        client.message()

    ids = [parent.split("-")[1] for parent in seen]
    for trace_id in ids:
        trace = Trace(traces.collector.trace_of(trace_id), trace_id)
        assert ([SERVER, CLIENT], "") == (trace.kinds(), trace.server.parent_id)
    assert 4 == len(set(ids))


def test_a_retried_request_has_a_span_for_each_attempt(traces):
    client = traces.wire.client()
    client.send(request("GET", "/items/1"))
    first = traces.legacy.accept()
    first.message()
    first.send(OK)
    client.message()
    trace_id, parent = new_parent()
    client.send(request("GET", "/items/2", parent))
    lost = first.message()
    first.close()
    seen = traces.legacy.answers(OK)
    client.message()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    assert [SERVER, CLIENT, CLIENT] == trace.kinds()
    one, two = trace.attempts
    assert (ERROR, "legacy-closed", None) == (
        one.status,
        one["error.type"],
        one["http.request.resend_count"],
    )
    assert (UNSET, 1, 200) == (
        two.status,
        two["http.request.resend_count"],
        two["http.response.status_code"],
    )
    assert [one.span_id, two.span_id] == [
        each["traceparent"].split("-")[2] for each in (lost, seen)
    ]
    assert {trace.server.span_id} == {one.parent_id, two.parent_id}


def test_spans_of_the_migrated_app_are_children_of_the_request(traces):
    trace, _ = traces.of_own("/moved/7")

    (own,) = [span for span in trace.spans if span.kind == INTERNAL]
    assert [INTERNAL, SERVER] == trace.kinds()
    assert (trace.server.span_id, "the-app") == (own.parent_id, own.scope)
    assert ("GET /moved/<int:id>", "migrated") == (trace.server.name, trace.server["overgrow.side"])


def test_the_migrated_app_gets_the_context_of_the_request_in_its_headers(traces):
    trace, shown = traces.of_own("/moved/7", "baggage: tier=gold")

    assert f'"00-{trace.trace_id}-{trace.server.span_id}-01"'.encode() in shown.body
    assert b'"Baggage":"tier=gold"' in shown.body


def test_a_request_that_fell_back_has_the_spans_of_both_sides(traces):
    trace, _, _ = traces.of("/failing")

    assert [INTERNAL, SERVER, CLIENT] == trace.kinds()
    assert {trace.server.span_id} == {span.parent_id for span in trace.spans if span.kind != SERVER}
    assert ("legacy", "fallback", "500", UNSET) == (
        trace.server["overgrow.side"],
        trace.server["overgrow.reason"],
        trace.server["overgrow.fallback.code"],
        trace.server.status,
    )


def test_a_request_that_legacy_does_not_answer_in_time_is_an_error(traces):
    trace_id, parent = new_parent()
    client = traces.wire.client()
    client.send(request("GET", "/hasty", parent))
    traces.legacy.accept().message()
    client.message()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    (attempt,) = trace.attempts
    assert [("legacy-timeout", ERROR, 504), ("legacy-timeout", ERROR, None)] == [
        (span["error.type"], span.status, span["http.response.status_code"])
        for span in (trace.server, attempt)
    ]


def test_a_request_that_migrated_does_not_answer_in_time_is_an_error(traces):
    trace, _ = traces.of_own("/late")

    span = trace.server
    assert ([SERVER], "migrated-timeout", ERROR, 504) == (
        trace.kinds(),
        span["error.type"],
        span.status,
        span["http.response.status_code"],
    )


def test_a_response_that_breaks_off_has_its_status_and_an_error(traces):
    trace_id, parent = new_parent()
    client = traces.wire.client()
    client.send(request("GET", "/items/7", parent))
    end = traces.legacy.accept()
    end.message()
    end.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.head()
    end.close()
    client.ends()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    (attempt,) = trace.attempts
    assert 2 * [("legacy-closed", ERROR, 200)] == [
        (span["error.type"], span.status, span["http.response.status_code"])
        for span in (trace.server, attempt)
    ]


def test_a_client_that_leaves_is_no_error_of_the_attempt(traces):
    trace_id, parent = new_parent()
    client = traces.wire.client()
    client.send(request("GET", "/items/7", parent))
    traces.legacy.accept().message()
    client.close()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    (attempt,) = trace.attempts
    assert [("client-gone", ERROR, None), (None, UNSET, None)] == [
        (span["error.type"], span.status, span["http.response.status_code"])
        for span in (trace.server, attempt)
    ]


def test_a_client_that_leaves_mid_response_is_no_error_of_the_attempt(traces):
    trace_id, parent = new_parent()
    client = traces.wire.client()
    client.send(request("GET", "/items/7", parent))
    end = traces.legacy.accept()
    end.message()
    end.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.head()
    client.reset()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    (attempt,) = trace.attempts
    assert [("client-gone", ERROR, 200), (None, UNSET, 200)] == [
        (span["error.type"], span.status, span["http.response.status_code"])
        for span in (trace.server, attempt)
    ]


def test_an_error_of_legacy_is_an_error_of_both_spans(traces):
    trace, _, _ = traces.of("/items/7", answered=answer(status="503 Busy"))

    assert 2 * [("503", ERROR)] == [
        (span["error.type"], span.status) for span in (trace.server, trace.attempts[0])
    ]


def test_a_page_that_legacy_lacks_is_an_error_of_the_attempt_alone(traces):
    trace, _, _ = traces.of("/items/7", answered=answer(status="404 Not Found"))

    assert [(None, UNSET), ("404", ERROR)] == [
        (span["error.type"], span.status) for span in (trace.server, trace.attempts[0])
    ]


def test_a_copy_is_a_trace_of_its_own_with_a_link(traces):
    trace, _, _ = traces.of("/copied")

    copy = traces.collector.wait_for(
        lambda span: span.kind == SERVER and span.links == (trace.server.span_id,)
    )
    own = traces.collector.wait_for(lambda span: span.parent_id == copy.span_id)
    assert [SERVER, CLIENT] == trace.kinds()
    assert ("", True, "migrated") == (
        copy.parent_id,
        copy["overgrow.shadow"],
        copy["overgrow.side"],
    )
    assert trace.trace_id != copy.trace_id == own.trace_id
    assert (200, UNSET, "GET /copied") == (
        copy["http.response.status_code"],
        copy.status,
        copy.name,
    )


def test_an_upgrade_has_a_span_for_its_handshake(traces):
    trace_id, parent = new_parent()
    upgrade = ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    client = traces.wire.client()
    client.send(
        request("GET", "/items/7", parent, *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    )
    end = traces.legacy.accept()
    seen = end.head()
    end.send(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert 101 == client.head().status
    client.close()
    end.close()

    trace = Trace(traces.collector.trace_of(trace_id), trace_id)
    (attempt,) = trace.attempts
    assert f"00-{trace_id}-{attempt.span_id}-01" == seen["traceparent"]
    assert [(101, UNSET), (101, UNSET)] == [
        (span["http.response.status_code"], span.status) for span in (trace.server, attempt)
    ]


def test_a_request_that_the_parser_refuses_has_no_span(traces):
    refused, parent = new_parent()
    client = traces.wire.client()
    client.send(request("GET", "/items/7", parent, "Content-Length: x"))
    assert 400 == client.message().status

    traces.of_own("/retired")
    assert [] == [span for span in traces.collector.spans if span.trace_id == refused]


def test_a_gone_route_has_one_span_without_an_error(traces):
    trace, _ = traces.of_own("/retired")

    assert ([SERVER], "GET /retired", 410, UNSET, None) == (
        trace.kinds(),
        trace.server.name,
        trace.server["http.response.status_code"],
        trace.server.status,
        trace.server["error.type"],
    )


def test_a_request_without_a_route_is_named_by_its_method(traces):
    trace, _, _ = traces.of("/unrouted")

    assert ("GET", None, "default") == (
        trace.server.name,
        trace.server["http.route"],
        trace.server["overgrow.route"],
    )


def test_a_prefix_is_the_template_of_its_paths(traces):
    trace, _, _ = traces.of("/area/51")

    assert ("GET /area/*", "/area/*") == (trace.server.name, trace.server["http.route"])


def test_the_rule_of_the_app_is_the_template_below_a_migrated_prefix(traces):
    trace, _ = traces.of_own("/moved-area/51/map")

    expected = "/moved-area/<int:number>/map"
    assert (f"GET {expected}", expected) == (trace.server.name, trace.server["http.route"])


def test_an_unknown_method_is_recorded_as_other(traces):
    trace, _, _ = traces.of("/items/7", method="SHOUT")

    assert 2 * [("_OTHER", "SHOUT")] == [
        (span["http.request.method"], span["http.request.method_original"])
        for span in (trace.server, trace.attempts[0])
    ]
    assert ["HTTP /items/<int:id>", "HTTP"] == [trace.server.name, trace.attempts[0].name]


SECRET = "s3cr3t-7f1c"


def test_no_secret_of_a_request_is_exported(traces):
    fields = (
        f"Authorization: Bearer {SECRET}",
        f"Cookie: session={SECRET}; overgrow_id={SECRET}",
        f"X-Api-Key: {SECRET}",
        f"Referer: http://shop.example/?token={SECRET}",
    )
    body = f"password={SECRET}".encode()
    said = answer(f"Set-Cookie: session={SECRET}", body=body)
    target = f"/items/7?token={SECRET}&q={SECRET}&sig={SECRET}&{SECRET}=1&page=2"
    trace, _, _ = traces.of(target, *fields, answered=said, method="POST", body=body)

    assert "token=REDACTED&q=REDACTED&sig=REDACTED&REDACTED&page=2" == trace.server["url.query"]
    assert [] == [data for data in traces.collector.bodies if SECRET.encode() in data]


@pytest.mark.parametrize(
    ("kind", "required", "known"),
    [
        pytest.param(SERVER, SERVER_REQUIRED, SERVER_NAMES, id="request"),
        pytest.param(CLIENT, CLIENT_REQUIRED, CLIENT_NAMES, id="attempt"),
    ],
)
def test_the_names_of_attributes_are_those_of_the_conventions(traces, kind, required, known):
    traces.of("/items/7")

    ours = [
        span for span in traces.collector.spans if (span.scope, span.kind) == ("overgrow", kind)
    ]
    assert set() == set().union(*(span.attributes for span in ours)) - known - OURS
    assert [] == [span for span in ours if not required <= set(span.attributes)]


def test_the_trace_of_our_own_span_is_an_exemplar(traces):
    asked = b"GET /items/1 HTTP/1.1\r\nhost: shop.test\r\n\r\n"
    traces.wire.exchange(asked, OK)

    def exemplars():
        accept = {"Accept": "application/openmetrics-text"}
        text = traces.front.get("/metrics", admin=True, headers=accept)[2].decode()
        return re.findall(r'route="item".* # \{trace_id="(\w+)"\}', text)

    spans = [span for trace in eventually(exemplars) for span in traces.collector.trace_of(trace)]
    assert {"item"} == {span["overgrow.route"] for span in spans if span.kind == SERVER}
