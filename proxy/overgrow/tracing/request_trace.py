"""The span of one request, kind SERVER, and the spans of its attempts to reach legacy, kind CLIENT.

Rule: the sampler decides first. If a request is not sampled, attributes are not computed and further spans are
not made. Only its context is passed on, so that the sides do not decide about sampling themselves. CURRENT
holds the trace of the request that this task serves; it is reset when the request ends, and no connection
remembers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from functools import partial
from random import getrandbits
from typing import Any, TypeVar

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from overgrow.app_types import Environ, Scope
from overgrow.exchange import Exchange, Failure, TraceIds
from overgrow.http import Pair
from overgrow.routing.facts import Head, Headers
from overgrow.tracing.attributes import (
    Attributes,
    RedactQuery,
    RuleOf,
    client_error_type,
    exchange_attributes,
    known_methods,
    method_attributes,
    request_attributes,
    server_error_type,
    span_name,
    template_of,
    upstream_attributes,
    url_of_attempt,
)
from overgrow.tracing.propagation import Propagation, lines_of

T = TypeVar("T")

LOWER_HALF = (1 << 64) - 1  # of a trace id: the half by which samplers decide
_RANDOM = TraceFlags(TraceFlags.RANDOM_TRACE_ID)  # not sampled
_ROOT = Context()
_ERROR = Status(StatusCode.ERROR)

CURRENT: ContextVar[RequestTrace | None] = ContextVar("overgrow.trace", default=None)
# The id of the next trace that this task begins; None: a random one.
NEXT_TRACE_ID: ContextVar[int | None] = ContextVar("overgrow.next_trace_id", default=None)


def _environ_key(name: bytes) -> str:
    return f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"


class LazyAttributes(Mapping[str, Any]):
    """Attributes that are computed when a sampler or a span first reads them."""

    def __init__(self, compute: Callable[[], Attributes]) -> None:
        self._compute = compute
        self._found: Attributes | None = None

    def _attributes(self) -> Attributes:
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __getitem__(self, key: str) -> Any:
        return self._attributes()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes())

    def __len__(self) -> int:
        return len(self._attributes())


def _note_nothing(_exchange: Exchange) -> None:
    """Do nothing."""


class Tracing:
    """Makes the spans of one process. Until `tracer` is set, after the fork, its spans are not recorded.

    `unsampled_from` is known if the sampler decides by the trace id alone: it drops a trace whose id has a lower half of
    this number or more. Then the id is drawn here, and the SDK is asked only for a trace that it will sample.
    """

    def __init__(
        self,
        propagation: Propagation,
        redact_query: RedactQuery,
        environ: Mapping[str, str],
        rule_of: RuleOf = lambda _head: None,
    ) -> None:
        self.rule_of = rule_of
        self.tracer: Tracer = NoOpTracer()
        self.propagation = propagation
        self.is_standard = propagation.is_standard
        self.redact_query = redact_query
        self.known_methods = known_methods(environ)
        self.unsampled_from: int | None = None
        self.note_sampled: Callable[[Exchange], object] = _note_nothing
        self.current = CURRENT.get

    def begin(self, scope: Scope, read_head: Callable[[Scope], Head]) -> RequestTrace:
        """Start the trace of a request, and make it the current one; `read_head` is called only if it is sampled."""
        headers, bound, drawn = scope["headers"], self.unsampled_from, None
        if bound is not None and not self.propagation.has_context(headers):
            ids = getrandbits(192)
            drawn = ids >> 64
            if drawn & LOWER_HALF >= bound:
                trace: RequestTrace = UnsampledTrace(self, ids)
                trace.token = CURRENT.set(trace)
                return trace
        trace = self._begin_span(
            scope["method"], headers, partial(self._attributes, scope, read_head), drawn
        )
        trace.token = CURRENT.set(trace)
        return trace

    def begin_call(self, head: Head) -> RequestTrace:
        """Start the trace of a request whose app the WSGI mount calls itself."""

        def attributes() -> Attributes:
            return request_attributes(head, self.known_methods, self.redact_query)

        return self._begin_span(head.method, head.headers, attributes, None)

    def _attributes(self, scope: Scope, read_head: Callable[[Scope], Head]) -> Attributes:
        client = scope.get("client")
        port = client[1] if client else None
        return request_attributes(read_head(scope), self.known_methods, self.redact_query, port)

    def _begin_span(
        self,
        method: str,
        headers: Headers,
        attributes: Callable[[], Attributes],
        drawn: int | None,
    ) -> RequestTrace:
        """Start a span that continues the trace which the headers name; a new trace gets the id that was drawn."""
        has_context = self.propagation.has_context(headers)
        parent = self.propagation.read_context(headers) if has_context else _ROOT
        token = NEXT_TRACE_ID.set(drawn)
        try:
            span = self.tracer.start_span(
                span_name(method, self.known_methods),
                parent,
                SpanKind.SERVER,
                LazyAttributes(attributes),
            )
        finally:
            NEXT_TRACE_ID.reset(token)
        return RequestTrace(self, span, parent, has_context=has_context)


class RequestTrace:
    """The span of one request that this process answers, and its context."""

    __slots__ = (
        "_context",
        "_lines",
        "_pairs",
        "has_context",
        "is_recording",
        "parent",
        "span",
        "token",
        "tracing",
    )

    span: Span
    has_context: bool  # the client sent headers of a context, which ours replace
    is_recording: bool
    parent: Context
    links: Sequence[Link] = ()
    attempt_attributes: Attributes = {}  # noqa: RUF012 - of a user's own request: none

    def __init__(self, tracing: Tracing, span: Span, parent: Context, *, has_context: bool) -> None:
        self.tracing = tracing
        self.span = span
        self.parent = parent
        self.has_context = has_context
        self.is_recording = span.is_recording()
        self.token: Token[RequestTrace | None] | None = None
        self._context: Context | None = None
        self._pairs: list[Pair] | None = None
        self._lines: bytes | None = None

    @property
    def context(self) -> Context:
        """The context in which the request is served."""
        if self._context is None:
            self._context = set_span_in_context(self.span, self.parent)
        return self._context

    @property
    def pairs(self) -> list[Pair]:
        """The headers that describe the context."""
        if self._pairs is None:
            propagation = self.tracing.propagation
            if self.parent is _ROOT:
                span = self.span.get_span_context()
                self._pairs = propagation.root_pairs_of(span, self.context)
            else:
                self._pairs = propagation.pairs_of(self.context)
        return self._pairs

    @property
    def lines(self) -> bytes:
        """The headers that describe the context, as lines for the wire."""
        if self._lines is None:
            self._lines = lines_of(self.pairs)
        return self._lines

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the context."""
        token = attach(self.context)
        try:
            return call(*arguments)
        finally:
            detach(token)

    def write_to_environ(self, environ: Environ) -> None:
        """Put the context into a request's headers, in place of the client's."""
        for name in self.tracing.propagation.names:
            environ.pop(_environ_key(name), None)
        for name, value in self.pairs:
            environ[_environ_key(name)] = value.decode("latin-1")

    def headers_for_side(self, headers: Headers) -> Headers:
        """Return a request's headers with our context in place of the client's."""
        kept = self.tracing.propagation.without_context(headers) if self.has_context else headers
        return [*kept, *self.pairs]

    def finish(self, exchange: Exchange) -> Exchange:
        """End the span with what the exchange shows; return the exchange with the ids of the span."""
        if not self.is_recording:
            return exchange
        tracing = self.tracing
        span, template = self.span, template_of(exchange, tracing.rule_of)
        span.set_attributes(exchange_attributes(exchange, template))
        if template is not None:
            method = exchange.head.method
            span.update_name(span_name(method, tracing.known_methods, template))
        if server_error_type(exchange.status, exchange.failure):
            span.set_status(_ERROR)
        span.end()
        ids = span.get_span_context()
        is_sampled = ids.trace_flags.sampled
        trace = TraceIds(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", is_sampled)
        exchange = exchange._replace(trace=trace)
        tracing.note_sampled(exchange)
        return exchange

    def leave(self) -> None:
        """Forget the request, because the connection may carry another one."""
        if self.token is not None:
            CURRENT.reset(self.token)
            self.token = None

    def fail(self, error: BaseException) -> None:
        """End the span of a request that ended without an exchange: a fault of the front door."""
        if self.is_recording and self.span.is_recording():
            self.span.set_attribute("error.type", type(error).__qualname__)
            self.span.set_status(_ERROR)
            self.span.end()


class UnsampledTrace(RequestTrace):
    """A request that is not sampled: 192 random bits, of which spans are made only if somebody asks.

    It is its own attempt to reach legacy, because such attempts carry the context of the request.
    """

    __slots__ = ("_ids",)

    has_context = replaces_headers = is_recording = False
    parent = _ROOT

    def __init__(self, tracing: Tracing, ids: int) -> None:
        self.tracing = tracing
        self._ids = ids  # of the trace, 128 bits, and of the span, 64
        self._context = None

    @property
    def span(self) -> Span:  # type: ignore[override]
        """A span that is not recorded."""
        trace_id, span_id = self._ids >> 64, self._ids & LOWER_HALF
        return NonRecordingSpan(SpanContext(trace_id, span_id, False, _RANDOM))

    @property
    def lines(self) -> bytes:
        """The headers that describe the context, as they are written."""
        if not self.tracing.is_standard:
            return lines_of(self.pairs)
        ids = self._ids
        return b"traceparent: 00-%032x-%016x-02\r\n" % (ids >> 64, ids & LOWER_HALF)

    @property
    def pairs(self) -> list[Pair]:
        """The headers that describe the context."""
        if not self.tracing.propagation.is_standard:
            return self.tracing.propagation.pairs_of(self.context)
        ids = self._ids
        return [(b"traceparent", b"00-%032x-%016x-02" % (ids >> 64, ids & LOWER_HALF))]

    def end(self, status: int | None, failure: Failure | None) -> None:
        """Do nothing: as an attempt, it has no span."""

    def resend(self) -> UnsampledTrace:
        """Return itself: the second attempt carries the same context."""
        return self


class LegacyTracer:
    """Starts the spans of attempts to reach one legacy app."""

    def __init__(self, tracing: Tracing, url: str) -> None:
        self._tracing = tracing
        self._address, self._base = upstream_attributes(url)

    @property
    def header_names(self) -> frozenset[bytes]:
        """The headers that the context of an attempt replaces."""
        return self._tracing.propagation.names

    def begin(
        self, method: str, target: bytes
    ) -> AttemptTrace | UnsampledAttempt | UnsampledTrace | None:
        """Start the span of an attempt; None if it serves no request that is traced."""
        trace = CURRENT.get()
        if trace is None or type(trace) is UnsampledTrace:
            return trace
        if not trace.is_recording:
            return UnsampledAttempt(trace.lines, replaces_headers=trace.has_context)
        return self.begin_recording(trace, method, target, 0)

    def begin_recording(
        self, trace: RequestTrace, method: str, target: bytes, resend_count: int
    ) -> AttemptTrace:
        """Start the span of an attempt of a request that is sampled."""
        tracing = self._tracing

        def attributes() -> Attributes:
            found = method_attributes(method, tracing.known_methods) | self._address
            found["url.full"] = url_of_attempt(self._base, target, tracing.redact_query)
            found["network.protocol.version"] = "1.1"
            if resend_count:
                found["http.request.resend_count"] = resend_count
            return found | trace.attempt_attributes

        context = trace.context
        span = tracing.tracer.start_span(
            span_name(method, tracing.known_methods),
            context,
            SpanKind.CLIENT,
            LazyAttributes(attributes),
            trace.links,
        )
        again = None
        if resend_count == 0:
            again = lambda: self.begin_recording(trace, method, target, 1)  # noqa: E731
        lines = lines_of(tracing.propagation.pairs_of(set_span_in_context(span, context)))
        return AttemptTrace(span, lines, again, replaces_headers=trace.has_context)


class UnsampledAttempt:
    """An attempt without a span: it carries the context of its request."""

    __slots__ = ("lines", "replaces_headers")

    is_recording = False

    def __init__(self, lines: bytes, *, replaces_headers: bool) -> None:
        self.lines = lines
        self.replaces_headers = replaces_headers

    def end(self, status: int | None, failure: Failure | None) -> None:
        """Do nothing."""

    def resend(self) -> UnsampledAttempt:
        """Return itself: the second attempt carries the same context."""
        return self


class AttemptTrace:
    """The span of one attempt to send a request to legacy."""

    __slots__ = ("_begin_again", "_span", "_status", "lines", "replaces_headers")

    is_recording = True

    def __init__(
        self,
        span: Span,
        lines: bytes,
        begin_again: Callable[[], AttemptTrace] | None,
        *,
        replaces_headers: bool,
    ) -> None:
        self._span: Span | None = span
        self._begin_again = begin_again
        self.lines = lines
        self.replaces_headers = replaces_headers

    def end(self, status: int | None, failure: Failure | None) -> None:
        """End the span. A failure of the client, or a cancelled attempt, does not count as an error of the attempt.

        If no connection became free, nothing was sent, and the span is dropped.
        """
        span, self._span = self._span, None
        if span is None or (failure is not None and failure.party == "front"):
            return
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        is_cancelled = failure is not None and failure.party == "client"
        error = "" if is_cancelled else client_error_type(status, failure)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(_ERROR)
        span.end()

    def resend(self) -> AttemptTrace:
        """Start the span of the second attempt."""
        assert self._begin_again is not None  # noqa: S101 - there is no third
        return self._begin_again()


class CopyTrace(RequestTrace):
    """The trace of a copied request. It is a separate trace with a link to the original request.

    Migrated serves its copy in the context of `span`. For legacy there is no such span, because each attempt
    begins a trace.
    """

    __slots__ = ("attempt_attributes", "links")

    def __init__(
        self, tracing: Tracing, span: Span, links: Sequence[Link], attributes: Attributes
    ) -> None:
        super().__init__(tracing, span, _ROOT, has_context=True)
        self.is_recording = self.is_recording or span is INVALID_SPAN
        self.links = links
        self.attempt_attributes = attributes
