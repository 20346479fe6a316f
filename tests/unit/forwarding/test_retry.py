"""The retry rule: a request is sent again only if nobody can notice."""

from __future__ import annotations

import httpx
import pytest

from overgrow.forwarding.client.errors import ResponseCut
from overgrow.forwarding.client.retry import Attempt, may_retry

LOST = Attempt("GET", was_reused=True, has_response_begun=False, has_body_begun=False)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        *[(method, True) for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")],
        *[(method, False) for method in ("POST", "PATCH", "PROPFIND", "get")],
    ],
)
def test_only_a_request_whose_repetition_changes_nothing_is_retried(method, expected):
    """RFC 9110 9.2.2."""
    assert may_retry(LOST._replace(method=method), httpx.ReadError("")) is expected


@pytest.mark.parametrize(
    ("fact", "value"),
    [("was_reused", False), ("has_response_begun", True), ("has_body_begun", True)],
)
def test_each_fact_of_an_attempt_forbids_a_retry(fact, value):
    assert not may_retry(LOST._replace(**{fact: value}), httpx.ReadError(""))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ReadError(""), True),
        (httpx.WriteError(""), True),
        (ResponseCut(""), True),
        (httpx.ReadTimeout(""), False),
        (httpx.RemoteProtocolError(""), False),
        (OSError(), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_lost_connection_is_retried(error, expected):
    assert may_retry(LOST, error) is expected
