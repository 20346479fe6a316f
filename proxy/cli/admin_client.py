"""A small client of the admin listener: JSON over HTTP, TCP or unix socket, standard library only."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

TIMEOUT_S = 5.0


class Unreachable(Exception):
    """The admin listener gave no usable answer; the text says why and the fix."""


class AdminClient:
    """Asks one admin listener. `address` is HOST:PORT or unix:/path.sock."""

    def __init__(self, address: str, token: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._token = token
        self._timeout_s = timeout_s

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`; /readyz answers 503 with one too.

        Raises:
            Unreachable: if nobody answers, or not with such an object.

        """
        connection = self._connection()
        try:
            connection.request("GET", path, headers=self._headers())
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"No front door answers at {self.address}: {error}. "
                "Is overgrow serve running? Name its admin listener with --admin."
            ) from error
        finally:
            connection.close()
        return self._object(status, body)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _object(self, status: int, body: bytes) -> dict[str, Any]:
        if status in {401, 403}:
            raise Unreachable(
                f"The admin listener at {self.address} refused the request ({status}). "
                "Set OVERGROW_ADMIN_TOKEN to the token that overgrow serve runs with."
            )
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Unreachable(
                f"What listens at {self.address} is no admin listener of Overgrow "
                f"(it answered {status}). Name the right one with --admin."
            )
        return told

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix:"):
            return _UnixConnection(self.address.removeprefix("unix:"), self._timeout_s)
        host, _, port = self.address.rpartition(":")
        here = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        return http.client.HTTPConnection(here.strip("[]"), int(port or 0), timeout=self._timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
