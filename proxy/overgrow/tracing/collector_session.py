"""The HTTP session to a collector, by which the exporters of the SDK send.

Rule: an answer's body is not read, because it may have no end, and redirects are not followed, because the collector
could redirect spans and keys to any address. The reason of a failed attempt has no address and no text of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests


class CollectorSession(requests.Session):
    """A session that passes the reason of each failed attempt to `explain_failure`."""

    def __init__(self, explain_failure: Callable[[str], None]) -> None:
        super().__init__()
        self._explain_failure = explain_failure

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request, and return the head of the answer.

        Raises:
            requests.RequestException: no answer came, or it is a redirect.

        """
        options |= {"stream": True, "allow_redirects": False}
        try:
            response = super().request(*arguments, **options)
        except requests.RequestException as error:
            self._explain_failure(describe_error(error))
            raise
        _skip_body(response)
        if not 200 <= response.status_code < 300:
            self._explain_failure(f"status {response.status_code}")
        if 300 <= response.status_code < 400:  # the exporters would take it for a success
            raise requests.TooManyRedirects("the collector redirects", response=response)
        return response


def _skip_body(response: requests.Response) -> None:
    """Leave out the body of a response. The connection is used again only if there is no body."""
    if response.headers.get("content-length") != "0":
        response.close()
        response._content = b""  # noqa: SLF001 - requests has no other way to leave a body out
    response.content  # noqa: B018 - of an empty body: gives the connection back


def describe_error(error: requests.RequestException) -> str:
    """Return why an attempt failed, without the address."""
    words: dict[type[requests.RequestException], str] = {
        requests.Timeout: "no answer in time",
        requests.exceptions.SSLError: "no TLS connection",
        requests.exceptions.ProxyError: "no connection through the proxy",
        requests.ConnectionError: "no connection",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), "network error")
