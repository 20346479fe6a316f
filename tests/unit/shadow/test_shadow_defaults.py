"""What copies may take where nobody says otherwise, and what a gate asks: the promises of the docs."""

from overgrow.shadow.budget import CpuBudget
from overgrow.shadow.compare.content import MAX_BODY
from overgrow.shadow.findings.gate import Requirement
from overgrow.shadow.mirror import CopyLimits
from overgrow.shadow.queueing import ENOUGH_COMPARISONS
from overgrow.shadow.redact.redact import (
    MAX_BODY_BYTES,
    MAX_ITEMS,
    MAX_KEYS,
    MAX_QUERY_KEYS,
    MAX_SHOWN_CHARS,
)
from overgrow.shadow.rules.cache import REFRESH_EVERY_S, STABLE_AFTER_S
from overgrow.shadow_service.service import THREADS
from overgrow.store.saving import MAX_EXAMPLES

KIB, MIB = 1024, 1024 * 1024


def test_copies_have_the_room_that_is_promised():
    limits = CopyLimits()

    assert (64 * KIB, 256 * KIB, 64 * MIB) == (
        limits.request_bytes, limits.response_bytes, limits.hashed_bytes,
    )  # fmt: skip
    assert (256, 32 * MIB) == (limits.waiting, limits.held_bytes)
    assert MAX_BODY == 4 * MIB


def test_copies_are_as_many_and_as_old_as_is_promised():
    limits = CopyLimits()

    assert (8, 4) == (limits.at_once, THREADS)
    assert (10.0, 10.0) == (limits.stale_s, limits.body_s)


def test_comparisons_take_a_tenth_of_a_core():
    budget = CpuBudget(lambda: 0.0)

    assert (budget._share, budget._max_s, budget._loan_s) == (0.1, 0.5, 0.02)


def test_a_gate_asks_for_299_comparisons_of_the_last_day_and_95_percent():
    asked = Requirement()

    assert (299, 0.95, 0.95, 86_400.0) == (
        asked.clean, asked.confidence, asked.coverage, asked.max_age_s,
    )  # fmt: skip
    assert ENOUGH_COMPARISONS == asked.clean


def test_rules_are_read_within_a_second_and_half_of_a_file_waits_for_three():
    assert (1.0, 3.0) == (REFRESH_EVERY_S, STABLE_AFTER_S)


def test_as_much_of_an_answer_is_kept_as_is_promised():
    assert (256 * KIB, 50, 3, 80, 16, 5) == (
        MAX_BODY_BYTES, MAX_KEYS, MAX_ITEMS, MAX_SHOWN_CHARS, MAX_QUERY_KEYS, MAX_EXAMPLES,
    )  # fmt: skip
