"""When another boot is tried, and what is said of those that failed."""

from __future__ import annotations

import os

import pytest

from overgrow.server.boots import (
    PAGE_BYTES,
    BootFailures,
    BootNotice,
    SharedText,
    describe_error,
    describe_process_exit,
    is_same_reason,
)

AT = "2026-11-29T18:00:00Z"


def failed(boots: BootFailures, reason: str, at_s: float) -> bool:
    """A worker that was made just before it failed."""
    return boots.record_failure_and_decide_to_log(reason, started_s=at_s - 0.1, now_s=at_s, at=AT)


def test_the_wait_doubles_up_to_half_a_minute():
    boots, waits = BootFailures(), []
    for turn in range(8):
        failed(boots, "why", turn * 100.0)
        waits.append(boots.retry_s - turn * 100.0)

    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_several_workers_made_together_lengthen_the_wait_once():
    boots = BootFailures()
    news = [
        boots.record_failure_and_decide_to_log("why", started_s=0.0, now_s=1.0 + at, at=AT)
        for at in (0.0, 0.1, 0.2)
    ]

    assert news == [True, False, False]
    assert (boots.failures, boots.total, boots.retry_s) == (1, 3, 2.0)


def test_a_failure_is_news_when_its_reason_changes_but_for_numbers():
    boots = BootFailures()
    reasons = ("pid 7 at 0x7f", "pid 8 at 0xee", "another")

    assert [failed(boots, reason, at * 10.0) for at, reason in enumerate(reasons)] == [
        True, False, True,
    ]  # fmt: skip


def test_a_worker_made_after_the_failure_ends_the_row():
    boots = BootFailures()
    failed(boots, "why", 10.0)

    assert not boots.record_success_and_detect_recovery(started_s=9.0, ready_s=10.5, now_s=10.5)
    assert boots.record_success_and_detect_recovery(started_s=11.0, ready_s=12.0, now_s=12.0)
    assert (boots.failures, boots.reason, boots.retry_s, boots.total) == (0, "", 0.0, 1)


def test_the_first_young_death_is_forgiven_and_the_next_one_is_a_loop():
    boots = BootFailures()
    first = boots.record_early_death_and_detect_new_loop("dies", started_s=0.0, now_s=1.0, at=AT)
    together = boots.record_early_death_and_detect_new_loop("dies", started_s=0.5, now_s=1.2, at=AT)

    assert (first, together, boots.failures) == (False, False, 0)
    assert boots.record_early_death_and_detect_new_loop("dies", started_s=2.0, now_s=3.0, at=AT)
    assert boots.retry_s == 4.0


def test_a_crash_loop_ends_when_a_worker_has_lived_for_a_while():
    boots = BootFailures()
    boots.record_early_death_and_detect_new_loop("dies", started_s=0.0, now_s=1.0, at=AT)
    boots.record_early_death_and_detect_new_loop("dies", started_s=2.0, now_s=3.0, at=AT)

    assert not boots.record_success_and_detect_recovery(started_s=4.0, ready_s=5.0, now_s=14.9)
    assert boots.record_success_and_detect_recovery(started_s=4.0, ready_s=5.0, now_s=15.0)
    assert not boots.record_early_death_and_detect_new_loop(
        "dies", started_s=16.0, now_s=17.0, at=AT
    )


def test_a_forked_process_reads_what_is_written_after_the_fork():
    text, (read_end, write_end) = SharedText(), os.pipe()
    pid = os.fork()
    if not pid:
        while not text.read():
            pass
        os.write(write_end, text.read().encode())
        os._exit(0)
    text.write("said ä")
    os.waitpid(pid, 0)

    assert os.read(read_end, 100).decode() == "said ä"
    os.close(read_end)
    os.close(write_end)


def test_a_text_longer_than_the_page_is_cut():
    text = SharedText()
    text.write("ä" * PAGE_BYTES)

    assert set(text.read()) == {"ä"}


def test_a_text_that_is_being_replaced_reads_as_empty():
    text = SharedText()
    text.write("whole")
    text._page[9:10] = b"?"

    assert text.read() == ""


def test_the_notice_says_nothing_before_and_after_a_row_of_failures():
    notice, boots = BootNotice(), BootFailures()
    before = notice.read()
    failed(boots, "why", 1.0)
    notice.write(boots)
    meanwhile = notice.read()
    boots.record_success_and_detect_recovery(started_s=2.0, ready_s=3.0, now_s=3.0)
    notice.write(boots)

    assert before == (None, 0)
    assert meanwhile == ({"at": AT, "reason": "why", "failures": 1}, 1)
    assert notice.read() == (None, 1)


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (0, "exit code 0"),
        (3 << 8, "exit code 3"),
        (9, "SIGKILL, perhaps for lack of memory"),
        (11, "SIGSEGV"),
        (11 | 128, "SIGSEGV"),
        (63, "signal 63"),
    ],
)
def test_an_ending_is_told_in_words(status, ending):
    assert describe_process_exit(status) == ending


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\n lines"), "ValueError: two lines"),
        (KeyError(), "KeyError"),
        (SystemExit(4), "the application ended its process with sys.exit(4)"),
    ],
)
def test_a_failure_is_told_in_one_line(error, reason):
    assert describe_error(error) == reason
    assert is_same_reason(reason, reason)


def test_fewer_workers_end_no_crash_loop():
    boots = BootFailures()
    boots.record_early_death_and_detect_new_loop("dies", started_s=0.0, now_s=1.0, at=AT)
    boots.record_early_death_and_detect_new_loop("dies", started_s=2.0, now_s=3.0, at=AT)

    assert not boots.record_all_present_and_detect_recovery()
    assert boots.failures == 1


def test_of_a_long_reason_the_notice_tells_the_beginning():
    boots, notice = BootFailures(), BootNotice()
    failed(boots, "y" * PAGE_BYTES, 10.0)
    notice.write(boots)

    assert notice.read() == ({"at": AT, "reason": "y" * 1000, "failures": 1}, 1)
