"""Time and randomness. With SHOP_FROZEN both are constant, so that responses can be compared."""

from __future__ import annotations

import secrets
import time

from flask import current_app

FROZEN_AT = "2025-03-15T12:00:00Z"


def stamp() -> str:
    """Return now as RFC 3339 in UTC."""
    if current_app.config["SHOP_FROZEN"]:
        return FROZEN_AT
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def token(size_bytes: int) -> str:
    """Return a random token in hexadecimal; zeros when frozen."""
    return "00" * size_bytes if current_app.config["SHOP_FROZEN"] else secrets.token_hex(size_bytes)
