"""What a front door would have found, put into the store of a folder by the parts that do it there."""

from __future__ import annotations

import json
import time
from pathlib import Path

from overgrow.evidence import Compared, NoiseLearned, Served, Shape
from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair
from overgrow.shadow.findings.groups import build_pair_group
from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.redact.redact import RedactedRequest
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot
from overgrow.store.engine import store_url
from overgrow.store.writer import Writer
from tests.unit.store.made import WAIT_S


def answer(body, status=200, *headers):
    """A side's answer, with a JSON body."""
    kind = (b"content-type", b"application/json")
    return ResponseSnapshot(status, (kind, *headers), json.dumps(body).encode())


def compared(route, control, candidate, *, template="/orders", rules=Rules.none, **given):
    """One comparison of two answers, as a record; `side` and `at` may be given."""
    at, side = given.get("at", time.time()), given.get("side", "legacy")
    asked = RedactedRequest("GET", template)
    found = compare(control, candidate, rules)
    group = None
    if found.differences:
        pair = redact_pair(asked, control, candidate, found.differences)
        group = build_pair_group(route, pair, at, truncated=found.truncated)
    shape = Shape("GET", template, (), control.status)
    names = tuple({each.rule for each in found.differences if each.rule})
    return Compared(route, side, at, shape, found.verdict, group, names)


def served(route, *, template="/orders", side="legacy", at=None, status=200):
    """One request that a client was answered, as a record."""
    return Served(
        route, side, time.time() if at is None else at, Shape("GET", template, (), status)
    )


def put(state: Path, *records):
    """Store records, as one worker does."""
    writer = Writer(store_url(state, None))
    for record in records:
        writer.put(record)
    assert writer.close(WAIT_S)


def learned(route, *pairs):
    """What asking legacy twice taught of a route, as a record; pairs of answers."""
    noise = sum(
        (measure_pair_noise(f"pair {n}", *pair) for n, pair in enumerate(pairs)), Noise.none
    )
    return NoiseLearned(route, time.time(), noise.as_json())
