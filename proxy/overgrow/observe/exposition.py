"""All workers' metrics as text, in the two formats that Prometheus reads: its own text format, and OpenMetrics.

OpenMetrics 1.0 also carries exemplars: the trace of one request in a bucket. `choose_format` picks the format
from the Accept header. If a client asks for neither format, or the header is invalid, it gets the text format.
This module writes the text itself, because prometheus_client takes several times as long. A table may have
10,000 routes, and the worker also serves requests meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric

from overgrow.observe.counted_families import (
    LE,
    CountedFamily,
    count_families,
    cumulative_counts,
    sum_of,
)
from overgrow.observe.exemplars import Exemplar, number_text, read_exemplars
from overgrow.observe.exposed_facts import NO_FACTS, FrontDoorFacts, fact_metrics

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

_Exemplars = Mapping[tuple[str, ...], Mapping[int, Exemplar]]


class TextFormat(NamedTuple):
    """A format of the metrics, with its media type."""

    content_type: str
    is_openmetrics: bool


PROMETHEUS_TEXT = TextFormat("text/plain; version=0.0.4; charset=utf-8", is_openmetrics=False)
OPENMETRICS = TextFormat(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", is_openmetrics=True
)
_OPENMETRICS_VERSIONS = {None: "1.0.0", "1.0.0": "1.0.0", "0.0.1": "0.0.1"}


def choose_format(accepted: Iterable[tuple[str, float]]) -> TextFormat:
    """Return the format that a client prefers, from the (media range, quality) pairs of its Accept header.

    OpenMetrics is only sent to a client that names it, in a version that we write.
    """
    text_quality, found = 0.0, (0.0, PROMETHEUS_TEXT)
    for media_range, quality in accepted:
        media_type, _, parameters = media_range.lower().partition(";")
        if media_type.strip() == "application/openmetrics-text":
            version = _OPENMETRICS_VERSIONS.get(_version_in(parameters))
            if version is not None and quality > found[0]:
                written = OPENMETRICS.content_type.replace("1.0.0", version)
                found = (quality, TextFormat(written, is_openmetrics=True))
        elif media_type.strip() in ("text/plain", "text/*"):
            text_quality = max(text_quality, quality)
    return found[1] if found[0] >= text_quality else PROMETHEUS_TEXT


def _version_in(parameters: str) -> str | None:
    pairs = (each.partition("=") for each in parameters.split(";"))
    versions = (value.strip().strip('"') for name, _, value in pairs if name.strip() == "version")
    return next(versions, None)


def exposition(
    folder: Path,
    workers: Sequence[Mapping[str, Any]],
    facts: FrontDoorFacts = NO_FACTS,
    text_format: TextFormat = PROMETHEUS_TEXT,
    now: Callable[[], float] = time.time,
) -> bytes:
    """Return all workers' metrics as text; `workers` is what the board says about the living workers."""
    live_slots = frozenset(worker["slot"] for worker in workers)
    if text_format.is_openmetrics:
        writer = _LineWriter(read_exemplars(folder, now()), is_openmetrics=True)
    else:
        writer = _LineWriter({}, is_openmetrics=False)
    counted, known = count_families(folder, live_slots), fact_metrics(folder, workers, facts)
    families = {family.name: writer.lines_of(family) for family in counted}
    families |= {metric.name: writer.lines_of_fact(metric) for metric in known}
    lines = [line for _, family in sorted(families.items()) for line in family]
    lines.append(writer.end)
    # A lone surrogate cannot be encoded; no name of ours has one.
    return "".join(lines).encode("utf-8", "replace")


class _LineWriter:
    """Writes the lines of families in one of the formats."""

    def __init__(self, exemplars: _Exemplars, *, is_openmetrics: bool) -> None:
        self._exemplars = exemplars
        self._is_openmetrics = is_openmetrics
        self.end = "# EOF\n" if is_openmetrics else ""

    def lines_of(self, family: CountedFamily) -> Iterator[str]:
        """Yield the lines of a counted metric."""
        name, info = family.name, family.info
        yield self._head(name.removesuffix("_total"), info.kind, info.help)
        for values, row in family.rows.items():
            labels = _label_text(zip(info.labels, values, strict=True))
            if info.kind != "histogram":
                yield f"{name}{_braces(labels)} {number_text(row[0])}\n"
                continue
            yield from self._histogram_lines(name, labels, row, self._exemplars.get(values, {}))

    @staticmethod
    def _histogram_lines(
        name: str, labels: str, row: list[float], exemplars: Mapping[int, Exemplar]
    ) -> Iterator[str]:
        counts = cumulative_counts(row)
        for at, le in enumerate(LE):
            exemplar = f" # {exemplars[at].as_text()}" if at in exemplars else ""
            yield f'{name}_bucket{{le="{le}",{labels}}} {number_text(counts[at])}{exemplar}\n'
        yield f"{name}_count{{{labels}}} {number_text(counts[-1])}\n"
        yield f"{name}_sum{{{labels}}} {number_text(sum_of(row))}\n"

    def lines_of_fact(self, metric: Metric) -> Iterator[str]:
        """Yield the lines of a metric that the workers do not count."""
        yield self._head(metric.name, metric.type, metric.documentation)
        for sample in metric.samples:
            labels = _braces(_label_text(sample.labels.items()))
            yield f"{sample.name}{labels} {number_text(sample.value)}\n"

    def _head(self, name: str, kind: str, text: str) -> str:
        """Return the lines that describe a metric. In OpenMetrics, a counter's name there lacks `_total`."""
        if self._is_openmetrics:
            return f"# HELP {name} {text.translate(_ESCAPES)}\n# TYPE {name} {kind}\n"
        name = f"{name}_total" if kind == "counter" else name
        return f"# HELP {name} {text.translate(_HELP_ESCAPES)}\n# TYPE {name} {kind}\n"


def _label_text(labels: Iterable[tuple[str, str]]) -> str:
    """Return labels and their escaped values, in the order of the names. Labels without a value are left out."""
    pairs = sorted((name, value) for name, value in labels if value)
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
