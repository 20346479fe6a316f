"""Whether legacy ended its TLS connection itself.

RFC 9112 9.8: anybody on the network between legacy and the front door can forge a FIN, so a FIN proves little.
Over TLS a peer announces with close_notify that it closes its side. If the end of the connection marks the end
of a response, the response is complete only with close_notify.
"""

from __future__ import annotations

import asyncio
import ssl


def error_if_close_notify_missing(
    transport: asyncio.BaseTransport | None, leniencies: frozenset[str]
) -> Exception | None:
    """If the connection uses TLS and legacy closed it without close_notify, return an error; else return None.

    The leniency `missing-close-notify` allows such an end.

    Only OpenSSL reports whether close_notify came, asyncio and uvloop do not. After close_notify OpenSSL reads
    EOF; otherwise it asks for more bytes.
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
