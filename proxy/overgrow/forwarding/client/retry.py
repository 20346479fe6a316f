"""The one retry: whether a request whose connection was lost may be sent once more. Pure.

An upstream may close a kept connection just as a request is sent on it. The client must not notice that. Rule: all
conditions for the retry are in `may_retry`, and all facts that it needs are in Attempt. The caller sends a second
time on a new connection, and never a third time.
"""

from __future__ import annotations

from typing import NamedTuple

import httpx

from overgrow.forwarding.client.errors import ResponseCut
from overgrow.http import IDEMPOTENT_METHODS

LOST_CONNECTION = (httpx.ReadError, httpx.WriteError, ResponseCut)


class Attempt(NamedTuple):
    """What is known of a request that failed."""

    method: str
    was_reused: bool  # its connection had carried a request before
    has_response_begun: bool  # at least one byte of a response came
    has_body_begun: bool  # its body was asked for and cannot be read a second time


def may_retry(attempt: Attempt, error: BaseException) -> bool:
    """Whether a request may be sent once more: it got no response, and sending it twice has the same effect as once."""
    if not isinstance(error, LOST_CONNECTION):
        return False  # a limit or a fault in what came: it would happen again
    if not attempt.was_reused:
        return False  # a new connection that is lost is the upstream's fault
    if attempt.has_response_begun or attempt.has_body_begun:
        return False
    return attempt.method in IDEMPOTENT_METHODS  # RFC 9110 9.2.2, RFC 9112 9.3.1
