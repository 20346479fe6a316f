"""A tunnel that does not come about leaves no connection to legacy open."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.exchange import Failure
from overgrow.forwarding.tunnel import tunnel
from overgrow.forwarding.tunnel.tunnel import open_tunnel
from overgrow.routing.model import Legacy, Timeouts

ASKED = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
TIMEOUTS = Timeouts(connect_s=5.0, response_s=0.02)
WITHOUT_PROTOCOL = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"


class Connected(asyncio.Transport):
    """A connection that remembers its end."""

    def __init__(self):
        super().__init__()
        self.is_aborted = False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def is_closing(self):
        return self.is_aborted

    def write(self, data):
        pass

    def pause_reading(self):
        pass

    def abort(self):
        self.is_aborted = True


class Dialling:
    """Connects at once, says what legacy says, and may fail all the same."""

    def __init__(self, says=b"", error=None):
        self.transport = Connected()
        self._says, self._error = says, error

    async def dial(self, protocol, connect_s):
        protocol.connection_made(self.transport)
        if self._says:
            protocol.data_received(self._says)
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("dialling", "code"),
    [
        pytest.param(Dialling(error=TimeoutError()), "legacy-timeout", id="too late"),
        pytest.param(Dialling(error=OSError("TLS")), "legacy-connect", id="not to be trusted"),
        pytest.param(Dialling(), "legacy-timeout", id="no answer"),
        pytest.param(Dialling(b"nonsense"), "legacy-protocol", id="no HTTP"),
        pytest.param(Dialling(WITHOUT_PROTOCOL), "legacy-protocol", id="no protocol named"),
    ],
)
def test_a_connection_that_becomes_no_tunnel_is_ended(monkeypatch, dialling, code):
    monkeypatch.setattr(tunnel, "dialler_of", lambda *_: dialling)

    found = asyncio.run(open_tunnel(Legacy("http://legacy.test"), ASKED, timeouts=TIMEOUTS))

    assert isinstance(found, Failure)
    assert (found.code, dialling.transport.is_aborted) == (code, True)


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()], ids=["answer", "dialling"])
def test_a_tunnel_that_is_given_up_ends_its_connection(monkeypatch, error):
    dialling = Dialling(error=error)
    monkeypatch.setattr(tunnel, "dialler_of", lambda *_: dialling)

    async def scenario():
        opening = asyncio.create_task(
            open_tunnel(Legacy("http://legacy.test"), ASKED, timeouts=Timeouts(response_s=60.0))
        )
        for _ in range(3):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait({opening})

    asyncio.run(scenario())

    assert dialling.transport.is_aborted
