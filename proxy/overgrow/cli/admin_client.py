"""A small client of the admin listener: JSON over HTTP, by TCP or unix socket. Standard library only."""

from __future__ import annotations

import http.client
import json
import re
import socket
from typing import Any

import click

TIMEOUT_S = 5.0
READINESS_KEYS = frozenset({"status", "workers", "killed"})
_SERVER_ERROR = 500

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]*):([0-9]{1,5})")
_HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # wildcards that a server binds


class Unreachable(Exception):
    """The admin listener gave no usable response. The message says why, and the fix.

    `code` is the code of the API's error, if the listener sent one.
    """

    def __init__(self, message: str, fix: str = "", code: str = "unreachable") -> None:
        super().__init__(f"{message} {fix}".rstrip())
        self.message, self.fix, self.code = message, fix, code


class Refused(Unreachable):
    """The admin listener answered with an error that stays the same if the command asks again."""


class AdminClient:
    """A client of one admin listener; `address` is HOST:PORT or unix:/path.sock.

    Raises:
        click.UsageError: if `address` is neither.

    """

    def __init__(self, address: str, token: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._token = token
        self._timeout_s = timeout_s
        self._host, self._port = _place_of(address)

    def get(self, path: str, keys: frozenset[str] = READINESS_KEYS) -> dict[str, Any]:
        """Return the JSON object at `path`; it must have all `keys`. A 503 of /readyz counts as a response too.

        Raises:
            Unreachable: if nobody answers, or the response is not such an object; Refused for an error of the API.

        """
        connection = self._connection()
        try:
            connection.request("GET", path, headers=self._headers())
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"No front door answers at {self.address}: {_reason(error)}.",
                "Is overgrow serve running? Name its admin listener with --admin.",
            ) from error
        finally:
            connection.close()
        return self._object(status, body, keys)

    def _headers(self) -> dict[str, str | bytes]:
        if not self._token:
            return {}
        if not self._token.isprintable():
            raise Unreachable(
                "OVERGROW_ADMIN_TOKEN contains a line break or another control character.",
                "Remove that character.",
            )
        return {"Authorization": f"Bearer {self._token}".encode()}

    def _object(
        self, status: int, body: bytes, keys: frozenset[str] = READINESS_KEYS
    ) -> dict[str, Any]:
        try:
            payload = json.loads(body)
        except ValueError:
            payload = None
        if status in {401, 403}:
            raise Refused(
                f"The admin listener at {self.address} refused the request ({status}).",
                "Set OVERGROW_ADMIN_TOKEN to the token that overgrow serve runs with.",
            )
        if isinstance(payload, dict) and keys <= payload.keys():
            return payload
        error = payload.get("error") if isinstance(payload, dict) else None
        if isinstance(error, dict) and "message" in error:
            kind = Unreachable if status >= _SERVER_ERROR else Refused
            where = f"The admin listener at {self.address}"
            raise kind(f"{where}: {error['message']}", error.get("fix", ""), str(error.get("code")))
        raise Unreachable(
            f"What listens at {self.address} is not an admin listener of Overgrow (it answered "
            f"{status}).",
            "Name the right one with --admin.",
        )

    def _connection(self) -> http.client.HTTPConnection:
        if self._port is None:
            return UnixConnection(self._host, self._timeout_s)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def _place_of(address: str) -> tuple[str, int | None]:
    """Return (host, port), or for a unix socket (path, None)."""
    if address.startswith("unix:/"):
        return address.removeprefix("unix:"), None
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[2]) <= 65_535:
        raise click.UsageError(
            f"{address!r} is not the address of an admin listener. Write HOST:PORT, [IPV6]:PORT or unix:/path.sock "
            "(--admin, OVERGROW_ADMIN)."
        )
    return _HERE.get(found[1], found[1]).strip("[]"), int(found[2])


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no response in time"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error) or type(error).__name__).rstrip(".")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
