"""The legacy side: a Server that forwards through an `httpx.AsyncBaseTransport`.

A request goes through three steps: headers (pure) -> transport -> headers (pure). The Forwarder calls
`handle_async_request`. It never calls `Client.send`, because that keeps a cookie jar and follows Location. Any
transport fits: ours, `httpx.AsyncHTTPTransport`, `httpx.MockTransport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import httpx

from overgrow.caches.header_memo import ForwardedHeaders, HeaderMemo
from overgrow.connection_login import request_carries_login
from overgrow.exchange import (
    ClientGone,
    Failure,
    Inbound,
    Reply,
    Spool,
    custom_reason,
    failure_reply,
)
from overgrow.forwarding.client.httpx_messages import Pairs, RawRequest, pairs_of
from overgrow.forwarding.client.login import ConnectionLogin, upstream_key
from overgrow.forwarding.client.transport import (
    NO_BODY,
    LegacyTransport,
    PoolSlot,
    UpstreamTimeouts,
)
from overgrow.forwarding.download import Download
from overgrow.forwarding.failures import FOREIGN, RETRY_AFTER_S, failure_of
from overgrow.forwarding.headers import (
    MAX_FORWARDS_METHODS,
    PrivateAddress,
    headers_for_client,
    headers_for_legacy,
    is_forwarding_loop,
    legacy_address_to_hide,
    max_forwards,
    trailers_for_client,
)
from overgrow.forwarding.outcomes import FailureStreak, LegacyOutcome
from overgrow.forwarding.unfinished import UnfinishedUploads, UploadSlot
from overgrow.http import streams_events
from overgrow.routing.facts import Head, Headers
from overgrow.routing.fold_hints import server_description
from overgrow.routing.model import Decision, Legacy, RouteTable, Timeouts
from overgrow.slow_clients.buffered_body import BufferedBody, buffer_body
from overgrow.slow_clients.slowest import end_slowest

RELIEF_INTERVAL_S = 0.01  # how often slow clients are checked while connections are scarce
MAX_SPILLING = 8  # responses that move to the spool at the same time: fewer finish sooner
_BUSY = Failure("legacy-busy", "queue", "front", retry_after_s=RETRY_AFTER_S)

TransportFor = Callable[[Legacy], httpx.AsyncBaseTransport]


class Upstream(NamedTuple):
    """One legacy address, prepared once for each table and not for each request."""

    legacy: Legacy
    transport: httpx.AsyncBaseTransport
    url: httpx.URL
    is_ours: bool  # the transport keeps connections that carry a login for their clients
    host: bytes | None  # replaces the public Host; None keeps it
    private: PrivateAddress | None
    unfinished: UnfinishedUploads | None  # None: the transport counts no connections


class Forwarder:
    """Server for the legacy side. Belongs to the event loop that first uses it.

    A table with another legacy address gets a transport of its own at its first request. The former transport
    finishes its requests in flight. It is closed together with the Forwarder.
    """

    def __init__(
        self,
        table_of: Callable[[], RouteTable],
        transport_for: TransportFor,
        spool: Spool | None = None,
        note_cookie: Callable[[Head, bytes], None] | None = None,
    ) -> None:
        self._table_of = table_of
        self._note_cookie = note_cookie
        self._transport_for = transport_for
        self._upstream: Upstream | None = None
        self._former: list[httpx.AsyncBaseTransport] = []
        self._spool = spool
        self._downloads: set[Download] = set()
        self._is_relieving = False
        self._reads_next_response = (
            True  # whether to read the headers by which the next response names its software
        )
        self._identifying_headers = b""
        self._streak = FailureStreak()
        self._has_answered = False  # since the last failure, or since somebody asked

    # Map 11 (docs/architecture.md#a-request-by-numbers)
    async def serve(
        self, inbound: Inbound, decision: Decision, *, is_admitted: bool = False
    ) -> Reply:
        """Forward one request. A network failure is returned as a Reply with a failure.

        If `is_admitted` is True, the body may be sent to legacy while it is still arriving.
        """
        if inbound.body is not None and not is_admitted:
            return await self._serve_with_body(inbound, inbound.body, decision)
        legacy, upstream = self._table_of().legacy, self._upstream
        if upstream is None or upstream.legacy is not legacy:
            try:
                upstream = self._get_or_build_upstream(legacy)
            except OSError as error:  # the certificates cannot be read any more
                return _failure_or_empty_reply(self.note_failure(failure_of(error), legacy))
        pairs: Pairs | None = _find_remembered_headers(inbound.head, upstream)
        if pairs is None:
            refused = _loop_or_last_hop_reply(inbound.head, legacy.via)
            if refused is not None:
                return refused
            pairs = _build_and_remember_headers(inbound, upstream)
        timeouts = decision.route.timeouts if decision.route else legacy.timeouts
        request = _build_request(inbound, upstream, pairs, timeouts)
        try:
            response = await upstream.transport.handle_async_request(request)
        except FOREIGN as error:
            return _failure_or_empty_reply(self.note_failure(failure_of(error), legacy))
        if self._reads_next_response:
            self._reads_next_response, self._identifying_headers = (
                False,
                server_description(pairs_of(response)),
            )
        try:
            reply = _build_reply(response, inbound.head, upstream)
        except BaseException:
            await response.stream.aclose()  # type: ignore[union-attr]  # its place in the pool
            raise
        if reply.body.__class__ is not bytes:
            self._attach_download(reply, response.stream, inbound, upstream)
        return reply

    async def _serve_with_body(
        self, inbound: Inbound, body: AsyncIterator[bytes], decision: Decision
    ) -> Reply:
        """Forward a request with a body: at once, or when enough of the body has arrived."""
        try:
            upstream = self._get_or_build_upstream(self._table_of().legacy)
        except OSError as error:
            return _failure_or_empty_reply(failure_of(error))
        unfinished, client = upstream.unfinished, inbound.client_connection
        if unfinished is None or client is None or client.has_received_whole_body:
            return await self.serve(inbound, decision, is_admitted=True)
        slot = unfinished.try_acquire(client)
        if slot is not None:
            return await self._serve_while_body_arrives(inbound, body, decision, ArrivingBody(slot))
        timeouts = decision.route.timeouts if decision.route else upstream.legacy.timeouts
        try:
            buffered = await buffer_body(
                body, self._spool, timeouts.idle_s, unfinished.has_free_slot
            )
        except ClientGone as error:
            return _failure_or_empty_reply(failure_of(error))
        except TimeoutError:
            return _failure_or_empty_reply(
                Failure("client-timeout", "read", "client", "the body paused")
            )
        arriving = ArrivingBody(None, buffered)
        if buffered.rest is not None:
            self.schedule_scarcity_relief()
            arriving.slot = await unfinished.wait_for_slot(client, timeouts.connect_s)
            if arriving.slot is None:
                arriving.close()
                return _failure_or_empty_reply(_BUSY)
        # The client has received its 100 from us already.
        asked = [pair for pair in inbound.head.headers if pair[0] != b"expect"]
        inbound.head = inbound.head._replace(headers=asked)
        return await self._serve_while_body_arrives(
            inbound, buffered.chunks(self._spool), decision, arriving
        )

    async def _serve_while_body_arrives(
        self,
        inbound: Inbound,
        body: AsyncIterator[bytes],
        decision: Decision,
        arriving: ArrivingBody,
    ) -> Reply:
        inbound.body = arriving.chunks(body)
        try:
            reply = await self.serve(inbound, decision, is_admitted=True)
        except BaseException:
            arriving.close()
            raise
        if isinstance(reply.body, bytes):
            arriving.close()
        else:
            reply.close = partial(_free_slot_and_close, arriving, reply.close)
        return reply

    def _attach_download(
        self, reply: Reply, stream: Any, inbound: Inbound, upstream: Upstream
    ) -> None:
        """Put a Download around the body of a response that is still arriving, and keep track of it."""
        is_counted = upstream.is_ours and not streams_events(reply.headers)
        spool = self._spool if is_counted else None
        body = Download(stream, inbound.client_connection if is_counted else None, spool)
        self._downloads.add(body)
        reply.body, reply.close = body, partial(self._close_download, body)

    async def _close_download(self, body: Download) -> None:
        self._downloads.discard(body)
        await body.aclose()

    def schedule_scarcity_relief(self) -> None:
        """While few connections are free, check regularly that slow clients do not hold them for long."""
        if not self._is_relieving:
            self._is_relieving = True
            asyncio.get_running_loop().call_later(RELIEF_INTERVAL_S, self._relieve_scarcity)

    def _relieve_scarcity(self) -> None:
        self._is_relieving = False
        upstream = self._upstream
        if upstream is None or upstream.unfinished is None:
            return
        waiting = upstream.unfinished.waiting_requests + getattr(
            upstream.transport, "waiting_requests", 0
        )
        if not waiting and not getattr(upstream.transport, "are_connections_scarce", False):
            return
        self._spill_bodies_of_slow_clients()
        holders = [body.client for body in self._downloads if body.is_arriving_from_legacy]
        if waiting:
            end_slowest([*holders, *upstream.unfinished.uploading_clients()], waiting)
        self.schedule_scarcity_relief()

    def _spill_bodies_of_slow_clients(self) -> None:
        """Start to move some of the responses that wait for slow clients to the spool."""
        room = MAX_SPILLING - sum(body.is_spilling for body in self._downloads)
        for body in self._downloads:
            if room <= 0:
                return
            room -= body.start_spilling_if_held_back(self._spill_more_if_scarce)

    def _spill_more_if_scarce(self) -> None:
        """If connections are still scarce after a move to the spool has ended, start to move the next response."""
        upstream = self._upstream
        if upstream is not None and getattr(upstream.transport, "are_connections_scarce", False):
            self._spill_bodies_of_slow_clients()

    async def reserve_slot(self, timeouts: Timeouts) -> PoolSlot | Failure:
        """Reserve one of `max_connections` for a connection that the caller opens.

        Return the failure `legacy-busy` if none becomes free in time.
        """
        try:
            transport = self._get_or_build_upstream(self._table_of().legacy).transport
            if not isinstance(transport, LegacyTransport):
                return PoolSlot(
                    lambda: None
                )  # other transports do not count the caller's connections
            return await transport.reserve_slot(_timeout_extensions(timeouts)["overgrow"])
        except FOREIGN as error:
            return failure_of(error)

    def get_identifying_headers_and_ask_for_newer(self) -> bytes:
        """Return what the last examined response says about legacy's software, and ask to examine the next response."""
        self._note_answer_if_any()
        current = self._upstream
        is_current = current is not None and current.legacy == self._table_of().legacy
        return self._identifying_headers if is_current else b""

    def note_failure(self, failure: Failure, legacy: Legacy) -> Failure:
        """Return the failure. Count it if the legacy app of the current table caused it."""
        if failure.party == "legacy" and legacy.url == self._table_of().legacy.url:
            self._note_answer_if_any()
            if self._has_answered:
                self._streak.reset()
            self._has_answered = False
            self._streak.add(failure)
        return failure

    def note_handshake_outcome(self, failure: Failure | None, legacy: Legacy) -> None:
        """Note whether legacy answered a WebSocket handshake, or why not."""
        if failure is not None:
            self.note_failure(failure, legacy)
        elif legacy.url == self._table_of().legacy.url:
            self._has_answered = True

    def take_new_outcome_of_legacy(self) -> LegacyOutcome | None:
        """Return the outcome of requests since the last call: an answer, else the latest failure, else None."""
        self._note_answer_if_any()
        if not self._has_answered:
            return self._streak.take_new()
        self._has_answered = False
        self._streak.reset()
        return LegacyOutcome(None)

    def _note_answer_if_any(self) -> None:
        """If a response came since the last call, note it. Then watch for the next response."""
        self._has_answered = self._has_answered or not self._reads_next_response
        self._reads_next_response = True

    def has_seen_shared_login(self) -> bool:
        """Whether legacy has logged a user in over a client's connection that several users share."""
        transport = self._upstream.transport if self._upstream is not None else None
        return isinstance(transport, LegacyTransport) and transport.has_seen_shared_login

    def renew_connections(self) -> None:
        """Use new connections from now on, because the certificates changed.

        Requests in flight finish on the old connections.
        """
        current, self._upstream = self._upstream, None
        if current is not None:
            self._former.append(current.transport)

    def _get_or_build_upstream(self, legacy: Legacy) -> Upstream:
        """Return the upstream of this table's legacy app. If the app's settings changed, build a new upstream."""
        current = self._upstream
        if current is None or current.legacy is not legacy:
            current = self._upstream = self._build_upstream(legacy, current)
        return current

    def _build_upstream(self, legacy: Legacy, current: Upstream | None) -> Upstream:
        if current is not None and current.legacy == legacy:
            return current._replace(legacy=legacy)
        if current is not None:
            self._former.append(current.transport)
        self._reads_next_response, self._identifying_headers = True, b""
        self._has_answered = False
        self._streak.reset()
        url = httpx.URL("http://localhost" if legacy.url.startswith("unix:") else legacy.url)
        host = url.netloc if legacy.host == "upstream" else None
        transport = self._transport_for(legacy)
        is_ours = isinstance(transport, LegacyTransport)
        unfinished = None
        if isinstance(transport, LegacyTransport):
            unfinished = UnfinishedUploads(max(1, legacy.max_connections // 2))
            transport.on_scarce = self.schedule_scarcity_relief
        private = legacy_address_to_hide(legacy.url)
        if self._note_cookie is not None:
            private = private or PrivateAddress("", "", 0, b"")
            private = private._replace(note_cookie=self._note_cookie)
        return Upstream(legacy, transport, url, is_ours, host, private, unfinished)

    async def aclose(self) -> None:
        """Close every connection to legacy, idle or not."""
        for transport in (*self._former, *([self._upstream.transport] if self._upstream else [])):
            await transport.aclose()


def _loop_or_last_hop_reply(head: Head, via: str) -> Reply | None:
    """Return 508 for a forwarding loop, the last hop's response for Max-Forwards: 0 (RFC 9110 7.6.2), or None."""
    if is_forwarding_loop(head.headers, via):
        return failure_reply(Failure("loop", "read", "front"))
    if max_forwards(head) == 0:
        return _build_last_hop_reply(head)
    return None


_UNREFLECTED = frozenset({b"cookie", b"authorization", b"proxy-authorization"})


def _build_last_hop_reply(head: Head) -> Reply:
    """Return the final recipient's response to Max-Forwards: 0 (RFC 9110 9.3.7 and 9.3.8)."""
    if head.method == "OPTIONS":
        return Reply(200, [(b"content-length", b"0")])
    lines = [b"%b: %b" % pair for pair in head.headers if pair[0] not in _UNREFLECTED]
    body = b"\r\n".join([b"TRACE %b HTTP/%b" % (head.target, head.http_version.encode()), *lines])
    length = str(len(body)).encode()
    return Reply(200, [(b"content-type", b"message/http"), (b"content-length", length)], body)


def _find_remembered_headers(head: Head, upstream: Upstream) -> Pairs | None:
    """Return the headers that were built for the client's last request, if they fit this request; else return None.

    They fit if the upstream and the client's address, scheme and host are still the same.
    """
    headers = head.headers
    if type(headers) is not HeaderMemo or head.method in MAX_FORWARDS_METHODS:
        return None
    forwarded = headers.forwarded
    if forwarded is None or forwarded.upstream is not upstream:
        return None
    return forwarded if forwarded.client == head[_CLIENT] else None


# The fields of a Head that headers to legacy depend on beside its headers: peer, client, scheme, host, peer_trusted.
_CLIENT = slice(3, 8)


def _build_and_remember_headers(inbound: Inbound, upstream: Upstream) -> Pairs:
    """Build the headers for legacy. If the client repeats its headers, keep the result in their HeaderMemo."""
    head = inbound.head
    pairs = headers_for_legacy(
        head,
        via=upstream.legacy.via,
        upstream_host=upstream.host,
        has_body=inbound.body is not None,
        forwarded=upstream.legacy.forwarded,
        rewrite_headers=upstream.legacy.rewrite_headers,
    )
    if not upstream.is_ours and request_carries_login(pairs):
        pairs.append((b"connection", b"close"))  # any other transport would give it to others
    headers = head.headers
    if type(headers) is not HeaderMemo or head.method in MAX_FORWARDS_METHODS:
        return pairs
    headers.forwarded = ForwardedHeaders(pairs, upstream, head[_CLIENT])
    return headers.forwarded


def _build_request(
    inbound: Inbound, upstream: Upstream, headers: Pairs, timeouts: Timeouts
) -> httpx.Request:
    head = inbound.head
    client = inbound.client_connection
    owner = client and inbound.owner
    extensions = {
        "target": head.target,
        **_timeout_extensions(timeouts),
        "owner": owner,
        "client": client,
    }
    if client is not None and client.attached_login is not None:
        login = login_of(inbound, upstream.legacy)
        if login is not None:
            extensions["login"] = login
    if inbound.inform is not None:
        extensions["on_informational"] = partial(
            _forward_interim_response, inbound.inform, upstream.legacy.via, head
        )
    stream = NO_BODY if inbound.body is None else _RequestStream(inbound)
    return RawRequest(head.method, upstream.url, headers, stream, extensions)


def login_of(inbound: Inbound, legacy: Legacy) -> ConnectionLogin[Any] | None:
    """Return the login of the client's connection at this legacy app; None if there is none.

    A login whose connection has ended is returned too.
    """
    client = inbound.owner()
    login = None if client is None else client.attached_login
    return (
        login
        if isinstance(login, ConnectionLogin) and login.upstream == upstream_key(legacy)
        else None
    )


@lru_cache(maxsize=1024)
def _timeout_extensions(timeouts: Timeouts) -> dict[str, Any]:
    """Return the timeouts in two forms: one for our transport, and one for httpx's own transport."""
    limits = UpstreamTimeouts(
        connect_s=timeouts.connect_s,
        response_s=timeouts.response_s,
        idle_s=timeouts.idle_s,
        stream_idle_s=timeouts.stream_idle_s,
    )
    plain = {
        "connect": timeouts.connect_s,
        "pool": timeouts.connect_s,
        "read": timeouts.response_s,
        "write": timeouts.idle_s,
    }
    return {"overgrow": limits, "timeout": plain}


async def _forward_interim_response(
    inform: Callable[[int, Headers], Awaitable[None]],
    via: str,
    head: Head,
    status: int,
    headers: Headers,
) -> None:
    """Apply the header rules to a 1xx and pass it on.

    A 100 is not passed on, because it concerns only legacy and us.
    """
    if status not in {100, 101}:
        headers = headers_for_client(headers, via=via, head=head, private=None)
        await inform(status, [pair for pair in headers if pair[0] != b"content-length"])


class _RequestStream(httpx.AsyncByteStream):
    """The client's body as an httpx stream; it marks the request when reading has begun."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._inbound.started = True
        if self._inbound.body is not None:
            async for chunk in self._inbound.body:
                yield chunk


def _failure_or_empty_reply(failure: Failure) -> Reply:
    """Return the error page for a failure, or an empty reply if the client is gone."""
    if failure.party == "client" and failure.code == "client-gone":
        return Reply(0, [], failure=failure)
    return failure_reply(failure)


def _build_reply(response: httpx.Response, head: Head, upstream: Upstream) -> Reply:
    raw_headers = pairs_of(response)
    headers = headers_for_client(
        raw_headers, via=upstream.legacy.via, head=head, private=upstream.private
    )
    status, extensions = response.status_code, response.extensions
    reason = custom_reason(status, extensions.get("reason_phrase"))
    stream: Any = response.stream
    whole = getattr(stream, "whole", None)
    if whole is not None and not stream.trailer_pairs:  # nothing is left to close
        return Reply(status, headers, whole, reason=reason)
    raw_trailers = extensions.get("trailers")
    trailers = (
        None if raw_trailers is None else partial(_client_trailers, raw_trailers, raw_headers)
    )
    if whole is not None:
        return Reply(status, headers, whole, trailers=trailers, reason=reason)
    return Reply(status, headers, stream, trailers=trailers, reason=reason)


def _client_trailers(raw_trailers: Callable[[], Headers], raw_headers: Headers) -> Headers:
    """Return the trailers that the client may see; usually there are none."""
    raw = raw_trailers()
    return trailers_for_client(raw, raw_headers) if raw else ()


class ArrivingBody:
    """What a request holds while its body arrives: its upload slot, and the part of the body that was buffered."""

    __slots__ = ("_gathered", "slot")

    def __init__(self, slot: UploadSlot | None, buffered: BufferedBody | None = None) -> None:
        self.slot = slot
        self._gathered = buffered

    async def chunks(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the body; free the slot when it ends."""
        async for chunk in body:
            yield chunk
        self.close()

    def close(self) -> None:
        """Free the slot, and drop what was buffered."""
        if self.slot is not None:
            self.slot.release()
        if self._gathered is not None:
            self._gathered.close()


async def _free_slot_and_close(
    arriving: ArrivingBody, close: Callable[[], Awaitable[None]]
) -> None:
    arriving.close()
    await close()
