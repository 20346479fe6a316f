"""A reader that can read no session at all: its secret may be wrong."""

from __future__ import annotations

import pytest

from overgrow.identity import readability
from overgrow.identity.readability import Readability


class Stopwatch:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


def problem_after(*outcomes, pause_s=0.0):
    watch = Stopwatch()
    found = Readability(watch)
    for outcome in outcomes:
        found.note(outcome)
    watch.now_s += pause_s
    return found.problem


def test_sessions_that_all_have_bad_signatures_are_a_problem():
    assert problem_after(*["bad-signature"] * 3, "malformed") == (
        "no session of the last minute could be read (3 bad-signature, 1 malformed);"
        " compare identity.secret with legacy's"
    )


@pytest.mark.parametrize("reason", ["malformed", "objects", "unknown-format"])
def test_a_session_that_no_reader_can_read_names_ask_as_the_way(reason):
    assert problem_after(*[reason] * 3).endswith("write from: ask")


def test_every_reason_that_means_unread_has_an_advice():
    assert set(readability._UNREAD) == set(readability._ADVICE)


@pytest.mark.parametrize("read", ["known", "expired", "unknown-session", "anonymous", "revoked"])
def test_one_session_that_was_read_shows_that_the_secret_is_right(read):
    assert problem_after(*["bad-signature"] * 9, read) is None


@pytest.mark.parametrize("outcome", ["unavailable", "too-large", "not-trusted"])
def test_what_says_nothing_about_the_secret_does_not_count(outcome):
    assert problem_after(*[outcome] * 9) is None


def test_one_odd_cookie_is_no_problem():
    assert problem_after("bad-signature", "malformed") is None


def test_a_problem_ends_after_a_minute_without_values():
    assert problem_after(*["bad-signature"] * 3, pause_s=62.0) is None
