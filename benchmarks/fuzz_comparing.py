"""What must hold for any two answers that are compared: it ends soon, and never raises.

Rule: the bytes name a media type, a size, and two short pieces; each answer is its piece again and again,
up to what is kept of an answer. So a few bytes make the large and strange bodies that cost most.
"""

from __future__ import annotations

import gzip
import time
from datetime import date
from decimal import Decimal

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair
from overgrow.shadow.findings.groups import build_pair_group
from overgrow.shadow.redact.redact import RedactedRequest
from overgrow.shadow.rules.comparators import Ignore, KeyedBy, NumberTolerance, SameShape, Unordered
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot

MOST_CPU_S = 0.25
KINDS = (
    (b"text/html", b"", b""),
    (b"application/json", b"[", b"0]"),
    (b"text/plain", b"", b""),
    (b"text/html; charset=iso-8859-1", b"<b>" * 90, b""),
)
SIZES = (4, 16, 64, 256)  # KiB
SEPARATOR = b"\x00"
_DAY = date(2030, 1, 1)


def _rules() -> Rules:
    pairs = (
        ("$[*]", SameShape()),
        ("$", Unordered()),
        ("$[*].a", NumberTolerance(Decimal("0.01"))),
        ("$[*].b", KeyedBy("id")),
        ("text:line[*]", SameShape()),
        ("html:/p[*]/text()", SameShape()),
        ("html:/text()", Ignore()),
    )
    return Rules(tuple(Rule(path, how, "fuzz", "fuzz", _DAY) for path, how in pairs))


RULES = (Rules.none, _rules())


def spent_s(data: bytes) -> float:
    """The processor time of one comparison: from two answers to what is kept of them."""
    choice = data[:1]
    control, candidate = answers_of(choice, data[1:2], data[2:])
    rules = RULES[(choice or b"\0")[0] // len(KINDS) % 2]
    began_s = time.process_time()
    found = compare(control, candidate, rules)
    if found.differences:
        pair = redact_pair(RedactedRequest("GET", "/"), control, candidate, found.differences)
        build_pair_group("fuzz", pair, 0.0, truncated=found.truncated)
    return time.process_time() - began_s


def answers_of(
    kind: bytes, size: bytes, pieces: bytes
) -> tuple[ResponseSnapshot, ResponseSnapshot]:
    """Two answers made of two pieces."""
    media, before, after = KINDS[(kind or b"\0")[0] % len(KINDS)]
    number = (size or b"\0")[0]
    most = SIZES[number % len(SIZES)] * 1024
    one, _, other = pieces.partition(SEPARATOR)
    bodies = [
        before + (each or b"x") * (most // len(each or b"x")) + after
        for each in (one, other or one)
    ]
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", media),)
    if number // len(SIZES) % 2:
        headers = (*headers, (b"content-encoding", b"gzip"))
        bodies = [gzip.compress(each * 4, 1) for each in bodies]
    return ResponseSnapshot(200, headers, bodies[0]), ResponseSnapshot(200, headers, bodies[1])
