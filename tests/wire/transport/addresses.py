"""Several addresses for one name, on loopback: some answer, some refuse, some are silent."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.wire.transport.upstream import OK

ANSWERING, REFUSING, SILENT, OTHER = (f"127.0.0.{n}" for n in (11, 12, 13, 14))


def listener(address: str, port: int = 0, backlog: int = 100) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return sock


@contextmanager
def silent_at(address: str, port: int) -> Iterator[None]:
    """An address whose queue of connections is full: the kernel drops whatever else comes."""
    with ExitStack() as stack:
        stack.enter_context(listener(address, port, backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, str]:
    """A self-signed certificate that names nothing else: (server's context, its CA file)."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, str(cert)


class Answering:
    """A server at one address that counts who comes."""

    def __init__(
        self, sock: socket.socket, reply: bytes = OK, tls: ssl.SSLContext | None = None
    ) -> None:
        self._sock = sock
        self._tls = tls
        self._reply = reply
        self.requests = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, sock=self._sock, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                writer.write(self._reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Names:
    """A resolver under the test's control; `asked` counts the questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[object]:
        self.asked += 1
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port))
            for each in self.addresses
        ]
