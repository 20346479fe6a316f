"""Whether legacy ended its TLS connection itself.

RFC 9112 9.8: anybody on the network between legacy and the front door can forge a FIN, so a FIN proves little. Over
TLS a peer announces with close_notify that it closes its side. A response whose end is the end of its connection is
incomplete without close_notify.
"""

from __future__ import annotations

import asyncio
import ssl


def error_if_close_notify_missing(
    transport: asyncio.BaseTransport | None, leniencies: frozenset[str]
) -> Exception | None:
    """Return an error if the connection uses TLS and legacy did not announce its end; else None.

    `leniencies` with `missing-close-notify` allow such an end.

    Neither asyncio nor uvloop reports whether close_notify came. OpenSSL does: after close_notify it reads EOF;
    without it, it asks for more bytes.
    """
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    if tls is None or "missing-close-notify" in leniencies:
        return None
    try:
        tls.read(1)
    except ssl.SSLZeroReturnError:
        return None
    except ssl.SSLError:
        return ConnectionAbortedError("TLS ended without close_notify")
    return None
