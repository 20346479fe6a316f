"""What the log tells of an app that fails: everything once, then a line each time."""

from __future__ import annotations

import logging

import pytest

from overgrow.wsgi.error_log import EVERY_S, MAX_LOCATIONS, AppErrorLog


class Clock:
    def __init__(self):
        self.now_s = 7.25

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told(caplog, clock):
    """Tell of one failure; the line it made and whether a traceback came with it."""
    error_log = AppErrorLog(clock)
    caplog.set_level(logging.ERROR, "overgrow.local")

    def tell(error, label="GET /a"):
        caplog.clear()
        error_log.log_error(label, error)
        (record,) = caplog.records
        return record.getMessage(), record.exc_info is not None

    return tell


def raised(error):
    try:
        raise error  # noqa: TRY301 - it needs a traceback
    except BaseException as caught:  # noqa: BLE001
        return caught


def raised_elsewhere(error):
    try:
        raise error
    except ValueError as caught:
        return caught


def test_a_first_failure_is_told_with_its_traceback(told):
    assert ("GET /a: the migrated app failed", True) == told(raised(ValueError("no")))


def test_the_same_place_is_told_again_in_one_line(told):
    told(raised(ValueError("first")))

    line, has_traceback = told(raised(ValueError("sec\r\nond" + "x" * 999)), "GET /b")

    assert line.startswith("GET /b: the migrated app failed again, at ")
    assert f"{__file__}:" in line
    assert "ValueError: sec ondxxx" in line
    assert ("\n" in line, len(line) < 700, has_traceback) == (False, True, False)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: raised(KeyError("no")), id="another exception"),
        pytest.param(lambda: raised_elsewhere(ValueError("no")), id="another line"),
        pytest.param(lambda: ValueError("never raised"), id="no line"),
    ],
)
def test_another_place_has_a_traceback_of_its_own(told, other):
    told(raised(ValueError("no")))

    assert told(other())[1]


def test_the_traceback_comes_back_after_a_while(told, clock):
    told(raised(ValueError("no")))
    clock.now_s += EVERY_S / 2
    soon = told(raised(ValueError("no")))[1]
    clock.now_s += EVERY_S / 2

    assert (False, True) == (soon, told(raised(ValueError("no")))[1])


def test_the_places_remembered_are_bounded(told):
    told(raised(ValueError("no")))
    for number in range(MAX_LOCATIONS):
        told(type(f"Error{number}", (Exception,), {})())

    assert told(raised(ValueError("no")))[1]


def test_an_exception_that_cannot_be_told_is_named(told):
    class Untold(Exception):
        def __str__(self):
            raise RuntimeError("not even this")

    told(raised(Untold()))

    assert told(raised(Untold()))[0].endswith(": Untold")
