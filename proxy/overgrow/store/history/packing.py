"""Packs the counts of one row of the history of requests into a few bytes.

Pure. Counts are a tuple: first the number of errors, then the requests in each bucket of the latency histogram.
Most counts are zero. Only the other counts are stored, each with its position, as one number in as few bytes as
possible: each byte has seven bits of the number, and its high bit says that another byte follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add

Counts = tuple[int, ...]

_POSITION_BITS = 5
MAX_COUNTS = 1 << _POSITION_BITS
_POSITION = (1 << _POSITION_BITS) - 1


def pack(counts: Sequence[int]) -> bytes:
    """Return counts as bytes. Counts must not be negative."""
    packed = bytearray()
    for position, count in enumerate(counts):
        if count:
            number = count << _POSITION_BITS | position
            while number > 0x7F:
                packed.append(number & 0x7F | 0x80)
                number >>= 7
            packed.append(number)
    return bytes(packed)


def add_packed(sums: list[int], packed: bytes) -> None:
    """Add packed counts to sums. Ignore positions beyond the sums: a later version has written them."""
    number = shift = 0
    for byte in packed:
        if byte > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
            continue
        number |= byte << shift
        position = number & _POSITION
        if position < len(sums):
            sums[position] += number >> _POSITION_BITS
        number = shift = 0


def unpack(packed: bytes, size: int) -> Counts:
    """Return `size` counts from bytes."""
    sums = [0] * size
    add_packed(sums, packed)
    return tuple(sums)


def add_counts(one: Sequence[int], other: Sequence[int]) -> Counts:
    """Return the sums of two counts of the same size."""
    return tuple(map(add, one, other))


def sum_packed(rows: Sequence[bytes]) -> bytes:
    """Return the sum of packed counts in packed form."""
    if len(rows) == 1:
        return rows[0]
    sums = [0] * MAX_COUNTS
    for packed in rows:
        add_packed(sums, packed)
    return pack(sums)
