"""How much slower than a quiet machine this one is now: bounds on times grow with that."""

from __future__ import annotations

import time

SAMPLE_S = 0.05  # of processor time


def at_this_pace(seconds: float) -> float:
    """How long may take here, now, what takes so long on a quiet machine."""
    began, until = time.monotonic(), time.thread_time() + SAMPLE_S
    while time.thread_time() < until:
        pass
    return seconds * max(1.0, (time.monotonic() - began) / SAMPLE_S)
