"""An upstream connection with a login: it serves a single connection of a client, and both connections end together.

Rule: to legacy and the client, the two connections look like one. When the client disconnects, its login ends.
When legacy ends the login's connection, the client's connection ends too, so that the client logs in again on a
new connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar

from overgrow.connection_login import ClientConnection
from overgrow.forwarding.client.errors import ResponseCut, transport_error
from overgrow.forwarding.client.response_cycle import ResponseCycle
from overgrow.routing.model import Legacy

_ENDED = "The connection to the upstream on which this client had logged in has ended."


class LoggedInConnection(Protocol):
    """The upstream connection on which a client has logged in."""

    login: ConnectionLogin[Any] | None
    exchange: ResponseCycle | None

    def is_open_without_unexpected_bytes(self) -> bool:
        """Whether the connection is open and has received no unexpected bytes."""
        ...

    def switch_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the open socket to another protocol."""
        ...

    def close(self) -> None:
        """Close the socket now."""
        ...


C = TypeVar("C", bound=LoggedInConnection)


def upstream_key(legacy: Legacy) -> tuple[object, ...]:
    """Return a key for a legacy setting. Two settings have equal keys if a login under one is valid under the other."""
    return legacy.url, legacy.tls_ca, legacy.tls_name


class ConnectionLogin(Generic[C]):
    """A login: it ties a client's connection to a connection to legacy.

    `connection` is the connection to legacy; it is None once one of the two connections has ended.
    """

    __slots__ = ("_client", "connection", "upstream")

    def __init__(self, connection: C, client: ClientConnection, upstream: object) -> None:
        former, client.attached_login = client.attached_login, self
        self._client: ClientConnection | None = client
        self.connection: C | None = connection
        self.upstream = upstream  # where it holds
        if former is not None:  # at another address of legacy, by an earlier table
            former.end_connection_to_legacy()

    def end_connection_to_legacy(self) -> None:
        """Close the upstream connection, because the client's connection has ended.

        If a request is under way, its sender abandons the request, which closes the connection.
        """
        self._client = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.login = None
            if connection.exchange is None:
                connection.close()

    def check_and_return_connection(self) -> C:
        """Return the upstream connection for the client's next request. It must still be usable.

        Raises:
            httpx.TransportError: if the connection has ended meanwhile, so that the login is lost.

        """
        connection = self.connection
        if (
            connection is None
            or connection.exchange is not None
            or not connection.is_open_without_unexpected_bytes()
        ):
            self.end_connection_of_client()
            if connection is not None:
                connection.login = None
                connection.close()
            raise transport_error(ResponseCut, "send", _ENDED)
        return connection

    def switch_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the upstream connection to another protocol, for an upgrade.

        Raises:
            httpx.TransportError: if the connection has ended meanwhile.

        """
        connection = self.check_and_return_connection()
        self.connection = None
        connection.switch_protocol(protocol)

    def close_client_after_response(self) -> None:
        """Tell the client that its connection ends after the current response."""
        if self._client is not None:
            self._client.close_after_response()

    def end_connection_of_client(self) -> None:
        """End the client's connection, because the upstream's has ended."""
        self.connection = None
        client, self._client = self._client, None
        if client is not None:
            client.close_after_response()
