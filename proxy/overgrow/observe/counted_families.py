"""Reads the counters of all workers from their files, and adds them up by metric and labels.

The files are those of overgrow.observe.metrics. Rule: if a file cannot be read, only its own counts are
missing. If an earlier version counted a number under another name, the number is left out.
"""

from __future__ import annotations

import json
import logging
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client.samples import Sample

from overgrow.observe.mapped_counters import UNREADABLE, read_numbers
from overgrow.observe.metric_list import BUCKETS_S, METRICS

LE = (*(repr(bound) for bound in BUCKETS_S), "+Inf")  # as prometheus_client writes floats
_SUM = len(LE)  # in a row of a histogram: the sum stands behind the buckets
_log = logging.getLogger("overgrow.metrics")


class CountedFamily:
    """One metric of METRICS: {values of its labels, in their order: row of numbers}.

    The row of a histogram has the requests in each bucket and then the sum. Any other row has one number.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = METRICS[name]
        self.rows: dict[tuple[str, ...], list[float]] = {}

    def row(self, labels: tuple[str, ...]) -> list[float]:
        """Return the row of these label values. If there is none, create one with zeros."""
        row = self.rows.get(labels)
        if row is None:
            size = _SUM + 1 if self.info.kind == "histogram" else 1
            row = self.rows[labels] = [0.0] * size
        return row

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in Prometheus's form, in which buckets are cumulative."""
        for values, row in self.rows.items():
            labels = dict(zip(self.info.labels, values, strict=True))
            if self.info.kind != "histogram":
                yield Sample(self.name, labels, row[0])
                continue
            counts = cumulative_counts(row)
            for le, count in zip(LE, counts, strict=True):
                yield Sample(f"{self.name}_bucket", {**labels, "le": le}, count)
            yield Sample(f"{self.name}_count", labels, counts[-1])
            yield Sample(f"{self.name}_sum", labels, row[_SUM])


def cumulative_counts(row: list[float]) -> list[float]:
    """Return the requests up to each bound, from the row of a histogram."""
    return list(accumulate(row[:_SUM]))


def sum_of(row: list[float]) -> float:
    """Return the sum of the seconds, from the row of a histogram."""
    return row[_SUM]


def sum_samples(folder: Path) -> list[Sample]:
    """Return every counter and bucket, added up over all workers, dead ones included."""
    return [sample for family in count_families(folder) for sample in family.samples()]


def count_families(folder: Path, live_slots: frozenset[int] = frozenset()) -> list[CountedFamily]:
    """Return the metrics of all files, added up. Gauges are added up over the slots in `live_slots` only."""
    live = {f"gauge_livesum_{slot}.db" for slot in live_slots}
    sums = _Sums()
    for path in sorted(folder.glob("*.db")):
        if path.name in live or not path.name.startswith("gauge_"):
            sums.add_file(path)
    return list(sums.families.values())


class _Sums:
    """The sums of all files. Each key is parsed only once, because parsing costs most."""

    def __init__(self) -> None:
        self.families: dict[str, CountedFamily] = {}
        self._rows: dict[bytes, list[float]] = {}  # by key: the row of the number
        self._places: dict[bytes, int] = {}  # by key: the place in the row
        self._rows_of_labels: dict[tuple[bytes, bytes], list[float]] = {}

    def add_file(self, path: Path) -> None:
        """Add the numbers of a file. If it cannot be read, add none of them."""
        rows, places = self._rows, self._places
        try:
            keys, numbers = read_numbers(path)
            for key in keys:
                if key not in rows:
                    rows[key], places[key] = self._parse(key)
        except (*UNREADABLE, TypeError, KeyError):
            _log.warning("%s cannot be read; its counts are missing from /metrics.", path)
            return
        for key, number in zip(keys, numbers, strict=True):
            rows[key][places[key]] += number

    def _parse(self, key: bytes) -> tuple[list[float], int]:
        """Return the row of a key that prometheus_client's mmap_key made, and the place of its number in the row.

        Raises:
            ValueError, KeyError, TypeError: if it is not such a key.

        """
        found = _BUCKET_KEY.match(key)
        if found is None:
            _, sample, labels, _ = json.loads(key)
            return self._row(sample.removesuffix("_sum"), labels), _place_of(sample, labels)
        metric, le, others = found.groups()
        row = self._rows_of_labels.get((metric, others))
        if row is None:
            row = self._row(metric.decode(), json.loads(b"{%s}" % others))
            self._rows_of_labels[metric, others] = row
        place = _PLACES.get(le)
        return row, _place_of("", {"le": le}) if place is None else place

    def _row(self, name: str, labels: Mapping[str, str]) -> list[float]:
        """Return the row of a metric and labels. For a metric of an earlier version, return a row that nobody reads."""
        info = METRICS.get(name)
        if info is None or info.kind not in ("counter", "histogram", "gauge"):
            return [0.0] * (_SUM + 1)
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = CountedFamily(name)
        return family.row(tuple(labels.get(label, "") for label in info.labels))


# The key of a bucket, up to its labels. Buckets are 17 of 20 numbers, so that they have a quick way of their own.
_BUCKET_KEY = re.compile(
    rb'\["(\w+)", "\w+_bucket", \{"le": "([^"\\]+)", ((?:"\w+": "[^"\\]*"(?:, )?)+)\}, "'
)
_PLACES = {le.encode(): place for place, le in enumerate(LE)}


def _place_of(sample: str, labels: Mapping[str, Any]) -> int:
    """Return the place of a number in its row. A bound of an earlier version counts in the next higher bucket."""
    if "le" in labels:
        return bisect_left(BUCKETS_S, float(labels["le"]))
    return _SUM if sample.endswith("_sum") else 0
