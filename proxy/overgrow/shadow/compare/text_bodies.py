"""Compares two texts by line, and two bodies of bytes by length and first difference.

Pure and linear. Only LF separates lines, so that an extra CR and a missing last line end count as differences.
"""

from __future__ import annotations

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.pairing import pair_by_position
from overgrow.shadow.values.difference import ABSENT

MAX_LINES = 100_000  # of a text; a longer one is compared as bytes
_SHOWN_BYTES = 8


def compare_lines(control: str, candidate: str, findings: Findings) -> None:
    """Report the lines that differ.

    A path has the line's number, from 1, in the control. For an extra line, the number is that in the
    candidate.
    """
    if max(each.count("\n") for each in (control, candidate)) > MAX_LINES:
        first_bytes, second_bytes = (
            each.encode("utf-8", "surrogatepass") for each in (control, candidate)
        )
        compare_bytes(first_bytes, second_bytes, findings)
        return
    first, second = control.split("\n"), candidate.split("\n")
    numbers = {line: at for at, line in enumerate({*first, *second})}
    found = pair_by_position([numbers[line] for line in first], [numbers[line] for line in second])
    for one, other in found.pairs:
        if first[one] != second[other]:
            findings.add_difference("text", _line_path(one), first[one], second[other])
    for at in found.missing:
        findings.add_difference("missing", _line_path(at), first[at], ABSENT)
    for at in found.extra:
        findings.add_difference("extra", _line_path(at), ABSENT, second[at])


def _line_path(at: int) -> str:
    return f"text:line[{at + 1}]"


def compare_bytes(control: bytes, candidate: bytes, findings: Findings) -> None:
    """Report whether two bodies differ in length, and the first byte that differs."""
    if len(control) != len(candidate):
        findings.add_difference(
            "length", "bytes", describe_length(control), describe_length(candidate)
        )
    at = first_difference_at(control, candidate)
    if at < min(len(control), len(candidate)):
        shown = slice(at, at + _SHOWN_BYTES)
        findings.add_difference(
            "bytes", f"bytes[{at}]", control[shown].hex(" "), candidate[shown].hex(" ")
        )


def first_difference_at(control: bytes, candidate: bytes) -> int:
    """Return the first position that differs. If there is none, return the length of the shorter body."""
    low, high = 0, min(len(control), len(candidate))
    while low < high:  # everything before `low` is equal
        middle = (low + high + 1) // 2
        if control[low:middle] == candidate[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def describe_length(body: bytes) -> str:
    """Return the length of a body as text."""
    return f"{len(body)} bytes"
