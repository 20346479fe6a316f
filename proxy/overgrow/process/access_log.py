"""Builds the access log of one process from the settings: its format, its target, and its share of the requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

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
    settings: Settings, stream: Any, on_drop: Callable[[int], None] | None = None
) -> AccessLog:
    """Return the access log. If the settings name no file, it goes to `stream`, which is standard output."""
    is_terminal = settings.access_log_file is None and _is_terminal(stream)
    file = settings.access_log_file
    target: LogTarget = StreamTarget(stream) if file is None else FileTarget(file)
    return AccessLog(target, line_format(settings, os.environ, is_terminal=is_terminal), on_drop)


def line_format(settings: Settings, environ: Mapping[str, str], *, is_terminal: bool) -> LineFormat:
    """Return the format that the settings name.

    If they name none, return the short one in a terminal, and JSON elsewhere.
    """
    name = settings.access_log or ("short" if is_terminal else "json")
    if name == "combined":
        return CombinedLines()
    if name == "short":
        return ShortLines(is_colored=is_terminal and may_color(environ))
    sample = settings.access_log_sample
    return JsonLines() if sample == WHOLE else SampledJsonLines(sample / WHOLE)


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
