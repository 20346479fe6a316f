"""The SDK's own transport to Sentry, with short time limits, and a note of how each attempt ended.

Rule: redirects are not followed, because the receiver could redirect events and the key to any address. Answers
are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import urllib3
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport

from overgrow.telemetry.receivers import ReceiverStatus

TIMEOUT_S = 10


class WatchedTransport(HttpTransport):
    """Sends envelopes from a separate thread, and reports the outcome of each attempt to `status`."""

    TIMEOUT = TIMEOUT_S
    status: ReceiverStatus | None = None

    def _request(
        self,
        method: str,
        endpoint_type: EndpointType,
        body: Any,
        headers: Mapping[str, str],
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self._auth.get_api_url(endpoint_type),
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except Exception as error:
            self._note(describe_error(error))
            raise

    def _handle_response(self, response: Any, envelope: Envelope | None) -> None:
        self._update_rate_limits(response)
        is_taken = 200 <= response.status < 300
        self._note(None if is_taken else f"status {response.status}")
        if not is_taken:
            self._handle_request_error(envelope, loss_reason=f"status_{response.status}")

    def on_dropped_event(self, reason: str) -> None:
        """Note that an event was dropped because earlier events could not be sent."""
        if reason == "full_queue":
            self._note("too many events wait")

    def _note(self, why: str | None) -> None:
        if self.status is None:
            return
        if why is None:
            self.status.note_success()
        else:
            self.status.note_failure(why)


def describe_error(error: Exception) -> str:
    """Return why an attempt failed, without the address."""
    words: dict[type[Exception], str] = {
        urllib3.exceptions.ConnectTimeoutError: "no connection",
        urllib3.exceptions.NewConnectionError: "no connection",
        urllib3.exceptions.TimeoutError: "no answer in time",
        urllib3.exceptions.SSLError: "no TLS connection",
        urllib3.exceptions.ProxyError: "no connection through the proxy",
        urllib3.exceptions.ProtocolError: "the answer is not HTTP",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), "network error")
