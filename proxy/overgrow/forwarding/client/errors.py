"""The exceptions of the transport: httpx's own classes, marked with the stage in which the failure happened.

Rule: every failure of the network is an httpx.TransportError with a `stage` ("queue", "connect", "send", "head"
or "body"). An exception that the request's own body iterator raises is never wrapped.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import httpx

Stage = Literal["queue", "connect", "send", "head", "body"]
AnyError = TypeVar("AnyError", bound=httpx.TransportError)


class ResponseCut(httpx.RemoteProtocolError):
    """The upstream ended its connection before the response was complete."""


class Malformed(Exception):
    """What the upstream sent is not HTTP/1; the text says which rule it breaks."""


def transport_error(kind: type[AnyError], stage: Stage, message: str) -> AnyError:
    """Return an exception of this class that carries the stage of its failure."""
    error = kind(message)
    error.stage = stage  # type: ignore[attr-defined]
    error.retried = False  # type: ignore[attr-defined]
    return error
