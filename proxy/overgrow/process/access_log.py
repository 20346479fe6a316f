"""Builds the access log of one process from the settings: its format, its target, and its share of the requests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from overgrow.admin.sessions import signing_key
from overgrow.exchange import Sink
from overgrow.observe.access_log.combined_lines import CombinedLines
from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.access_log.sampling import SampledJsonLines, SampledSink
from overgrow.observe.access_log.short_lines import ShortLines
from overgrow.observe.access_log.target import FileTarget, LogTarget, StreamTarget
from overgrow.observe.access_log.writer import AccessLog, LineFormat
from overgrow.settings import Settings

WHOLE = 10_000  # hundredths of a percent


def build_access_log(
    settings: Settings,
    stream: Any,
    on_drop: Callable[[int], None] | None = None,
    *,
    user_key: Callable[[], bytes] = bytes,
) -> AccessLog:
    """Return the access log. If the settings name no file, it goes to `stream`, which is standard output.

    `user_key` returns the key of the hashes of users.
    """
    is_terminal = settings.access_log_file is None and _is_terminal(stream)
    file = settings.access_log_file
    target: LogTarget = StreamTarget(stream) if file is None else FileTarget(file)
    return AccessLog(
        target,
        line_format(settings, os.environ, is_terminal=is_terminal, user_key=user_key),
        on_drop,
    )


def user_key_of(settings: Settings, state: Path) -> Callable[[], bytes]:
    """Return a function that returns the key of the hashes of users: OVERGROW_SECRET, else the secret of the state folder.

    The key is read when the first user is logged. If it cannot be read, the hashes of this worker are its own.
    """

    @cache
    def read_key() -> bytes:
        if settings.secret:
            return b"user.hash " + settings.secret.encode()
        try:
            return b"user.hash " + signing_key(state)
        except OSError:
            return secrets.token_bytes(32)

    return read_key


def line_format(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    is_terminal: bool,
    user_key: Callable[[], bytes] = bytes,
) -> LineFormat:
    """Return the format that the settings name.

    If they name none, return the short one in a terminal, and JSON elsewhere.
    """
    name = settings.access_log or ("short" if is_terminal else "json")
    if name == "combined":
        return CombinedLines()
    if name == "short":
        return ShortLines(is_colored=is_terminal and may_color(environ))
    sample = settings.access_log_sample
    return JsonLines(user_key) if sample == WHOLE else SampledJsonLines(sample / WHOLE, user_key)


def access_log_sinks(settings: Settings, log: AccessLog) -> tuple[Sink, ...]:
    """Return the sinks that write the access log; an empty list if the log is off."""
    if settings.access_log == "off":
        return ()
    sample = settings.access_log_sample
    return (log if sample == WHOLE else SampledSink(log, sample / WHOLE),)


def may_color(environ: Mapping[str, str]) -> bool:
    """Whether to send colours to a terminal. NO_COLOR (no-color.org) and TERM=dumb forbid them."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # replaced by an object of somebody else's, or closed
        return False
