"""Whether legacy ended its TLS connection itself.

RFC 9112 9.8: a FIN proves little, since anybody on the way can send one. Over TLS the peer announces its
end by close_notify. A response that ends with its connection is incomplete without close_notify.
"""

from __future__ import annotations

import asyncio
import ssl


def error_if_close_notify_missing(
    transport: asyncio.BaseTransport | None, leniencies: frozenset[str]
) -> Exception | None:
    """Return an error if TLS did not announce the end; None if it did, or without TLS.

    Neither asyncio nor uvloop tells the two apart. OpenSSL does: after close_notify it reads an end,
    and after anything else it asks for more to read.
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
