"""What both ends of the front door need of a transport beyond asyncio's own calls."""

from __future__ import annotations

import asyncio
import socket

import pytest

from overgrow.transports import reset, write_pieces


class Resetting(asyncio.Protocol):
    def connection_made(self, transport):
        reset(transport)


def test_a_reset_connection_breaks_for_its_peer():
    async def scenario():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Resetting, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            async with server:
                return await loop.sock_recv(client, 1)

    with pytest.raises(ConnectionResetError):
        asyncio.run(scenario())


def test_a_reset_unix_connection_ends_for_its_peer(socket_folder):
    async def scenario():
        loop = asyncio.get_running_loop()
        path = str(socket_folder / "socket")
        server = await loop.create_unix_server(Resetting, path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.setblocking(False)
            async with server:
                return await loop.sock_recv(client, 1)

    assert asyncio.run(scenario()) == b""


class Transport:
    def __init__(self):
        self.calls = []

    def write(self, data):
        self.calls.append(data)

    def writelines(self, pieces):
        self.calls.append([*pieces])


def test_pieces_are_joined_for_asyncio_which_would_not_pause(monkeypatch):
    monkeypatch.setattr(Transport, "__module__", "asyncio.selector_events")
    transport = Transport()
    write_pieces(transport, (b"a", b"b"))

    assert transport.calls == [b"ab"]


def test_pieces_are_not_joined_for_another_transport():
    transport = Transport()
    write_pieces(transport, (b"a", b"b"))

    assert transport.calls == [[b"a", b"b"]]
