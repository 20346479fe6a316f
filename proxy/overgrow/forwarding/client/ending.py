"""Whether legacy ended its connection itself, where TLS can tell.

RFC 9112 9.8: a FIN says little, as anybody on the way can send one; over TLS the peer announces its
end by close_notify. An answer that only its connection's end completes is incomplete without it.
"""

from __future__ import annotations

import asyncio
import ssl


def missing_close_notify(
    transport: asyncio.BaseTransport | None, leniencies: frozenset[str]
) -> Exception | None:
    """The error of an end that TLS did not announce; None for one in order, or without TLS.

    Neither asyncio nor uvloop tells the two apart. OpenSSL does: it reads an end after close_notify,
    and wants more to read after anything else.
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
