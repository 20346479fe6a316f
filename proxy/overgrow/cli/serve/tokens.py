"""Checks the tokens of the admin listener: the two tokens of `overgrow serve` must differ and be hard to guess."""

from __future__ import annotations

from collections.abc import Mapping

from overgrow.cli.output import echo_safe
from overgrow.cli.serve.addresses import ListenAddress
from overgrow.cli.serve.refusals import CannotStart

MIN_TOKEN_LENGTH = 16


def require_tokens_that_differ(token: str | None, read_token: str | None) -> None:
    """Refuse two equal tokens, and a read-only token without a token that allows changes."""
    if read_token is not None and read_token == token:
        raise CannotStart(
            "OVERGROW_ADMIN_READ_TOKEN is the same as OVERGROW_ADMIN_TOKEN, so it could change everything. "
            "Set it to another long random text."
        )
    if read_token is not None and token is None:
        raise CannotStart(
            "OVERGROW_ADMIN_READ_TOKEN is set, and OVERGROW_ADMIN_TOKEN is not: nobody could change anything "
            "through the admin listener. Set both."
        )


def note_short_tokens(admin: ListenAddress, tokens: Mapping[str, str | None]) -> None:
    """Warn about each short token, by the name of its variable.

    A short token can be guessed: attempts are not slowed down.
    """
    for name, token in tokens.items():
        if token is not None and len(token) < MIN_TOKEN_LENGTH and not admin.is_local:
            what = f"{name} has {len(token)} characters and can be guessed from other machines."
            fix = f"Set it to a random text of {MIN_TOKEN_LENGTH} or more."
            echo_safe(f"note: {what} {fix}", err=True)
