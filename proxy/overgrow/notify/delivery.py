"""Sends one event to the webhook, and reports whether it was delivered, was refused, or must be sent again.

Sending blocks, so that it needs a thread of its own. Redirects are not followed, because the receiver could
redirect the event and its signature to any address. The body of the response is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import httpx

from overgrow.notify.event import WebhookEvent
from overgrow.notify.signing import signature_headers

TIMEOUT_S = 10.0  # without a byte from the receiver
_CANNOT_BE_USED = "the address, or a variable such as HTTPS_PROXY or SSL_CERT_FILE, cannot be used"
_TOO_EARLY, _TOO_MANY, _REQUEST_TIMEOUT = 425, 429, 408


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of one attempt: `sent`, `retry` or `refused`, the reason, and the wait that the receiver wants."""

    outcome: Literal["sent", "retry", "refused"]
    why: str = ""
    wait_s: float = 0.0


class WebhookSender:
    """Sends events to one address."""

    def __init__(self, url: str, secret: str | None, host: str, user_agent: str) -> None:
        self._url, self._secret, self._host = url, secret, host
        self._headers = {"content-type": "application/json", "user-agent": user_agent}
        self._client: httpx.Client | None = None

    def send(self, event: WebhookEvent, now_s: float) -> Delivery:
        """Send an event once, and return the outcome. Whatever the receiver does, this method does not raise."""
        body = event.body_for(self._url, self._host)
        headers = self._headers | signature_headers(event.id, int(now_s), body, self._secret)
        try:
            self._client = client = self._client or httpx.Client(timeout=TIMEOUT_S)
            with client.stream("POST", self._url, content=body, headers=headers) as response:
                return judge_response(response.status_code, response.headers.get("retry-after"))
        except httpx.HTTPError as error:
            return Delivery("retry", describe_error(error))
        except RuntimeError:  # `close` was called meanwhile
            return Delivery("retry", "no answer in time")
        except Exception as error:  # noqa: BLE001  of a proxy, a certificate file or a host name that cannot be used
            return Delivery("retry", f"{_CANNOT_BE_USED} ({type(error).__name__})")

    def close(self) -> None:
        """Close the connection, even if `send` waits on it in another thread.

        The next `send` opens a new connection.
        """
        client, self._client = self._client, None
        if client is not None:
            client.close()


def describe_error(error: httpx.HTTPError) -> str:
    """Return why a request failed. The text omits the address, which may contain a secret."""
    words = {
        httpx.ConnectError: "no connection",
        httpx.TimeoutException: "no answer in time",
        httpx.RemoteProtocolError: "the answer is not HTTP",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), "network error")


def judge_response(status: int, retry_after: str | None) -> Delivery:
    """Return the outcome that a status means: 2xx is `sent`; 5xx, 408, 425 and 429 are `retry`.

    Any other is `refused`.
    """
    if 200 <= status < 300:
        return Delivery("sent")
    why = f"status {status}"
    if status >= 500 or status in (_TOO_EARLY, _TOO_MANY, _REQUEST_TIMEOUT):
        wait = retry_after or ""
        return Delivery("retry", why, float(wait) if wait.isascii() and wait.isdigit() else 0.0)
    return Delivery("refused", why)
