"""The signature of a webhook, as Standard Webhooks 1.0 defines it: HMAC-SHA256 over `id.timestamp.body`. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"  # before a key in base64


def signature_headers(event_id: str, at_s: int, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the headers that identify and sign one request. If there is no secret, leave the signature out."""
    headers = {"webhook-id": event_id, "webhook-timestamp": str(at_s)}
    if secret is not None:
        signed = f"{event_id}.{at_s}.".encode() + body
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: the base64 after `whsec_`, else the bytes of the text itself.

    Raises:
        ValueError: if the text after `whsec_` is not base64.

    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the text after {PREFIX} is not base64") from error
