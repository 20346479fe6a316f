"""A small faulty network: passes bytes between two sockets, late, in pieces, or only so far."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple

from tests.wire.front.ends import PATIENCE_S, End

WHOLE = 1 << 62


class Fault(NamedTuple):
    """What happens to one direction: the default is nothing."""

    latency_s: float = 0.0  # before the first byte
    piece_bytes: int = 65_536
    pause_s: float = 0.0  # between two pieces
    cut_at: int = WHOLE  # so many bytes pass, then:
    ending: Literal["close", "reset", "half-close", "silence"] = "close"


NONE = Fault()


def relay_to(port: int, *, down: Fault = NONE, up: Fault = NONE) -> Callable[[End], None]:
    """A script for Legacy.scripted: connects to `port` and passes bytes; `down` is towards the client."""

    def script(near: End) -> None:
        with End(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) as far:
            upward = threading.Thread(target=_pump, args=(near, far, up))
            upward.start()
            _pump(far, near, down)
            upward.join(PATIENCE_S)

    return script


def _pump(source: End, sink: End, fault: Fault) -> None:
    """Pass bytes until the source ends or the fault strikes."""
    passed = 0
    with suppress(OSError):
        while data := (b"" if passed >= fault.cut_at else source.socket.recv(fault.piece_bytes)):
            time.sleep(fault.pause_s if passed else fault.latency_s)
            data = data[: fault.cut_at - passed]
            sink.send(data)
            passed += len(data)
        _end(source, sink, fault.ending if passed >= fault.cut_at else "half-close")


def _end(source: End, sink: End, ending: str) -> None:
    if ending == "reset":
        # A thread in recv() holds the socket open past its close: wake it, that RST goes out now.
        sink.socket.shutdown(socket.SHUT_RD)
        sink.reset()
    elif ending == "half-close":
        sink.finish()
    elif ending == "close":
        with suppress(OSError):
            sink.socket.shutdown(socket.SHUT_RDWR)
        sink.close()
    else:
        source.to_end()  # and says nothing
