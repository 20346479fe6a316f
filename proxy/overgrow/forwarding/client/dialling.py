"""Connects to legacy: looks up its name, tries its addresses, and handles TLS and unix sockets.

Rule: if a name has several addresses, the first one to connect wins (RFC 8305). The next address is tried after a
quarter of a second, or at once if an attempt is refused; earlier attempts continue meanwhile. The caller limits the
total time. The name is looked up for every connection, with one look-up at a time. While the resolver hangs, the
addresses of its last answer are used. Certificates are always verified.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from overgrow.files import read_regular

ATTEMPT_DELAY_S = 0.25  # RFC 8305 8
TRIED_LAST_S = 60.0  # how long an address that failed, or was too slow, is tried after the others
LOOKUP_WAIT_S = 1.0  # the longest wait for the resolver if its previous addresses are known
NO_LIMIT_S = 60.0  # assumed where connecting has no time limit

Resolve = Callable[[str, int], Sequence[Any]]


def resolve(host: str, port: int) -> Sequence[Any]:
    """Look a name up, as socket.getaddrinfo does for TCP."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Dialler:
    """Connects to one upstream, `http://host[:port]`, `https://...` or `unix:/path`.

    `tls_name` is the name that the certificate must have and that SNI sends; the default is the host of `url`.
    """

    def __init__(
        self,
        url: str,
        tls_ca: str | Path | ssl.SSLContext | None = None,
        tls_name: str | None = None,
        *,
        resolve: Resolve = resolve,
    ) -> None:
        self.address = _check_and_split_url(url)
        self._tls = _get_or_create_tls_context(tls_ca) if self.address.scheme == "https" else None
        self._name = None if self._tls is None else tls_name or self.address.hostname
        self._port = self.address.port or (80 if self._tls is None else 443)
        self._lookup = _HostLookup(self.address.hostname or "", self._port, resolve)
        self._tried_last: dict[str, float] = {}  # until when, in the loop's time

    async def dial(self, protocol: asyncio.Protocol, lookup_s: float | None) -> None:
        """Connect the protocol. The caller limits the total time.

        `lookup_s` bounds the look-up of the name, and determines how soon the next address is tried.

        Raises:
            OSError: if every attempt to connect failed; ssl.SSLError is an OSError.
            UnicodeError: for a text that cannot be a host name.

        """
        host = self.address.hostname or ""
        if self.address.scheme == "unix":
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: protocol, self.address.path)
            return
        limit_s = NO_LIMIT_S if lookup_s is None else lookup_s
        hosts = [host] if _is_ip_address(host) else await self._lookup.resolve_hosts(limit_s)
        if len(hosts) == 1:
            await self._connect_to_host(hosts[0], lambda: protocol)
            return
        transport, early = await self._connect_first_of(
            hosts, min(ATTEMPT_DELAY_S, limit_s / len(hosts) / 2)
        )
        early.replace_with(transport, protocol)

    async def _connect_to_host(
        self, host: str, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to one address, TLS included."""
        loop = asyncio.get_running_loop()
        return await loop.create_connection(
            factory, host, self._port, ssl=self._tls, server_hostname=self._name
        )

    async def _connect_first_of(
        self, hosts: Sequence[str], delay_s: float
    ) -> tuple[asyncio.Transport, _PlaceholderProtocol]:
        """Try the addresses one after another, each a little later than the previous one, until one connects."""
        loop = asyncio.get_running_loop()
        waiting = self._order_hosts(hosts, loop.time())
        running: dict[asyncio.Task[Any], str] = {}
        errors: list[str] = []
        try:
            while waiting or running:
                if waiting:
                    host = waiting.pop(0)
                    running[loop.create_task(self._connect_to_host(host, _PlaceholderProtocol))] = (
                        host
                    )
                pause_s = delay_s if waiting else None
                done, _ = await asyncio.wait(
                    running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        begun, winner = list(running.values()), running.pop(task)
                        self._tried_last.pop(winner, None)
                        self._deprioritize_hosts(begun[: begun.index(winner)])
                        return cast("tuple[asyncio.Transport, _PlaceholderProtocol]", task.result())
                    if not isinstance(error, OSError):
                        raise error
                    self._deprioritize_hosts([running[task]])
                    errors.append(f"{running.pop(task)}: {error}")
        finally:
            for task in running:
                task.add_done_callback(_abort_losing_connection)
                task.cancel()
        raise OSError("; ".join(errors))

    def _order_hosts(self, hosts: Sequence[str], now: float) -> list[str]:
        """Return the addresses in order; those that failed recently come last."""
        for host in [host for host, until in self._tried_last.items() if until <= now]:
            del self._tried_last[host]
        return sorted(hosts, key=lambda host: host in self._tried_last)

    def _deprioritize_hosts(self, hosts: Iterable[str]) -> None:
        until = asyncio.get_running_loop().time() + TRIED_LAST_S
        self._tried_last.update(dict.fromkeys(hosts, until))


@lru_cache(maxsize=8)
def dialler_of(
    url: str, tls_ca: str | Path | ssl.SSLContext | None, tls_name: str | None
) -> Dialler:
    """Return the Dialler of a URL; requests and tunnels share it, so that both know which addresses failed."""
    return Dialler(url, tls_ca, tls_name)


class _PlaceholderProtocol(asyncio.Protocol):
    """Stands for the real protocol until one address has connected first, and keeps the bytes that come meanwhile."""

    def __init__(self) -> None:
        self._data = b""
        self._is_lost = False
        self._error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        """Keep the bytes for the real protocol."""
        self._data += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the connection ended, and why."""
        self._is_lost, self._error = True, exc

    def replace_with(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Connect the real protocol to the transport, and report to it everything that has happened so far."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._data:
            protocol.data_received(self._data)
        if self._is_lost:
            protocol.connection_lost(self._error)


def _abort_losing_connection(
    task: asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]],
) -> None:
    """Abort a connection that was made after another address had connected first."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()


class _HostLookup:
    """The addresses of a name: all callers share one look-up at a time, and the last result is kept."""

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port, self._resolve = host, port, resolve
        self._known: list[str] = []
        self._lookup_future: asyncio.Future[Sequence[Any]] | None = None
        self._lookup_began = 0.0

    async def resolve_hosts(self, limit_s: float) -> list[str]:
        """Return the addresses, IPv6 and IPv4 by turns.

        While the resolver hangs or fails, return the previous addresses.

        Raises:
            OSError: if there is no such name.
            UnicodeError: for a text that cannot be a host name.

        """
        lookup = self._get_or_start_lookup()
        patience_s = min(LOOKUP_WAIT_S, limit_s / 2) if self._known else None
        if patience_s is not None:  # others may have waited before
            patience_s -= lookup.get_loop().time() - self._lookup_began
        try:
            async with asyncio.timeout(patience_s):
                self._known = _interleave_families(await asyncio.shield(lookup))
        except TimeoutError:
            if not self._known:
                raise
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN or not self._known:
                raise
        return self._known

    def _get_or_start_lookup(self) -> asyncio.Future[Sequence[Any]]:
        """Return the look-up under way, or start a new one."""
        loop, lookup = asyncio.get_running_loop(), self._lookup_future
        if lookup is None or lookup.done() or lookup.get_loop() is not loop:
            lookup = self._lookup_future = loop.create_future()
            lookup.add_done_callback(_consume_error)
            self._lookup_began = loop.time()
            # Not the loop's own threads: a few names that hang would stop everything else that runs there.
            thread = threading.Thread(
                target=self._resolve_in_thread, args=(lookup,), name="lookup", daemon=True
            )
            thread.start()
        return lookup

    def _resolve_in_thread(self, lookup: asyncio.Future[Sequence[Any]]) -> None:
        try:
            found = self._resolve(self._host, self._port)
        except (OSError, UnicodeError) as error:
            _set_outcome_in_loop(lookup, lookup.set_exception, error)
        else:
            _set_outcome_in_loop(lookup, lookup.set_result, found)


def _set_outcome_in_loop(
    lookup: asyncio.Future[Any], setter: Callable[[Any], None], value: object
) -> None:
    """Set the outcome of a look-up in its loop. If the loop has closed, do nothing."""

    def set_if_pending() -> None:
        if not lookup.done():
            setter(value)

    with contextlib.suppress(RuntimeError):
        lookup.get_loop().call_soon_threadsafe(set_if_pending)


def _consume_error(lookup: asyncio.Future[Any]) -> None:
    """Retrieve the error of an abandoned look-up, so that asyncio does not log the error."""
    if not lookup.cancelled():
        lookup.exception()


def _interleave_families(found: Sequence[Any]) -> list[str]:
    """Return the addresses of a look-up, each once, IPv6 and IPv4 by turns (RFC 8305 4)."""
    families: dict[int, list[str]] = {}
    for family, _, _, _, where in found:
        families.setdefault(family, []).append(where[0])
    turns = chain.from_iterable(zip_longest(*families.values()))
    return list(dict.fromkeys([host for host in turns if host is not None]))


@lru_cache(maxsize=64)
def _is_ip_address(host: str) -> bool:
    """Whether the host is an IP address, so that it needs no look-up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_and_split_url(url: str) -> SplitResult:
    """Check and split the upstream's address."""
    address = urlsplit(url)
    if address.scheme == "unix":
        if not address.path or address.netloc:
            raise ValueError(f"{url!r} is not a unix address; write unix:/path/to/socket")
        return address
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(
            f"{url!r} is not an upstream; write http://host[:port], https:// or unix:/path"
        )
    if address.path not in ("", "/") or address.query or address.fragment or address.username:
        raise ValueError(f"{url!r} must be scheme, host and port only; remove the rest")
    if address.port == 0:
        raise ValueError(f"{url!r} has port 0; write the port that the upstream listens on")
    return address


_trusted: dict[str, ssl.SSLContext] = {}  # by CA file, as `trust` read it last


def load_ca_certificates(tls_ca: str | None) -> None:
    """Read the certificates for connections made from now on. It reads files, so do not call it in the event loop.

    Raises:
        OSError: if they cannot be used; the certificates that were read before stay in use.

    """
    _trusted[str(tls_ca)] = _create_tls_context(tls_ca)
    dialler_of.cache_clear()


def _get_or_create_tls_context(tls_ca: str | Path | ssl.SSLContext | None) -> ssl.SSLContext:
    """Return a context that verifies certificates against this CA file, or the system's."""
    if isinstance(tls_ca, ssl.SSLContext):
        return tls_ca
    return _trusted.get(str(tls_ca)) or _create_tls_context(tls_ca)


def _create_tls_context(tls_ca: str | Path | None) -> ssl.SSLContext:
    if tls_ca is not None:
        read_regular(Path(tls_ca), 1)  # OpenSSL would wait for somebody to write into a FIFO
    context = ssl.create_default_context(cafile=None if tls_ca is None else str(tls_ca))
    context.set_alpn_protocols(["http/1.1"])
    return context
