"""`overgrow status --watch`: what fits on the screen, and the terminal that is given back."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from overgrow.cli.terminal_screen import cut_to_width
from overgrow.cli.watch import FOOTER, Seen, screen_lines
from tests.programs import IMPORT_PATH
from tests.unit.cli.test_status_command import route

NOW_S = 1_800_000_000.0
PATIENCE_S = 60.0
LEFT = b"\x1b[?25h\x1b[?1049l"


def window(requests, errors=0, p95_s=0.01):
    return {
        "window_s": 60,
        "requests": requests,
        "per_second": requests / 60,
        "errors": errors,
        "error_percent": 0.0,
        "p50_s": 0.001,
        "p95_s": p95_s,
        "p99_s": 0.02,
    }


def busy(name, legacy=0, migrated=0, errors=0, **given):
    told = route(name, **given)
    for side, requests in (("legacy", legacy), ("migrated", migrated)):
        if requests:
            told[side] = {**told[side], "last_minute": window(requests, errors)}
    return told


@pytest.fixture
def payload(ready):
    def build(*routes, **given):
        sides = {"legacy": {"last_minute": window(120, 3)}, "migrated": {}}
        load = {
            "connections": {"open": 7, "most": 200},
            "local_calls": {
                "running": 1,
                "threads": 8,
                "waiting": 0,
                "most_waiting": 32,
                "stuck_threads": 0,
            },
        }
        return {**ready("3f1c0a9e7b42"), "routes": list(routes), "sides": sides, **load, **given}

    return build


@pytest.mark.parametrize("width", [1, 20, 80, 300])
@pytest.mark.parametrize("height", [1, 2, 5, 24, 200])
def test_the_screen_never_has_more_lines_than_the_terminal(payload, width, height):
    routes = [busy(f"route-{number}", legacy=number) for number in range(1000)]

    assert len(screen_lines(Seen(payload(*routes), NOW_S), width, height)) <= height


def test_a_thousand_routes_fit_with_the_busiest_first(payload):
    routes = [busy(f"route-{number}", legacy=number) for number in range(1000)]
    lines = screen_lines(Seen(payload(*routes), NOW_S), 80, 24)

    names = [line.split()[0] for line in lines if line.startswith("route-")]
    assert names[:2] == ["route-999", "route-998"]
    assert f"and {1000 - len(names)} more routes" in lines
    assert (len(lines), lines[-1].endswith(FOOTER)) == (24, True)


def test_a_long_name_is_cut_and_keeps_its_row_on_one_line(payload):
    routes = [busy("x" * 90, legacy=50, migrated=50, errors=3, canary=12.5)]
    [row] = [line for line in screen_lines(Seen(payload(*routes), NOW_S), 80, 24) if "xxx" in line]

    assert len(row) <= 80
    assert row.split()[1:] == ["legacy", "12.5%", "100", "50%", "6", "(6%)", "10", "ms", "10", "ms"]


def test_what_is_wrong_comes_first_on_a_small_screen(payload):
    down = {"up": False, "since": "2027-01-15T07:59:59Z", "error": "legacy-connect"}
    lines = screen_lines(Seen(payload(busy("orders"), upstream=down), NOW_S), 20, 5)

    assert any("legacy does not answer" in line for line in lines)


def test_a_front_door_that_stopped_keeps_its_last_figures(payload):
    seen = Seen(payload(busy("orders", legacy=5)), NOW_S, NOW_S + 8, "refused")
    lines = screen_lines(seen, 80, 24)

    assert lines[0] == "NO ANSWER since 08:00:08 UTC; below are the figures of 08:00:00"
    assert (any(line.startswith("orders") for line in lines), seen.is_well) == (True, False)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdef", 4, "abcd"),
        ("日本語", 4, "日本"),
        ("日本語", 5, "日本"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("", 3, ""),
    ],
)
def test_a_line_is_cut_by_columns(text, width, expected):
    assert cut_to_width(text, width) == expected


class Terminal:
    """A command that runs in a terminal of its own."""

    def __init__(self, address, width=80, height=24):
        self.ours, theirs = pty.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(theirs)
        command = [sys.executable, "-m", "overgrow.cli.main", "status", "--watch"]
        self.process = subprocess.Popen(
            [*command, "--admin", address],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "PYTHONPATH": IMPORT_PATH, "TERM": "xterm"},
            start_new_session=True,
        )
        self._theirs = theirs
        self.shown = b""

    def resize(self, width, height):
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, size)

    def read_until(self, pattern):
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.shown):
            left = deadline - time.monotonic()
            assert left > 0, self.shown
            if select.select([self.ours], [], [], left)[0]:
                self.shown += os.read(self.ours, 65536)

    def press(self, keys):
        os.write(self.ours, keys)

    def wait(self):
        """Wait for the end: (exit code, whether the terminal is as it was)."""
        self.read_until(re.escape(LEFT))
        code = self.process.wait(PATIENCE_S)
        return code, termios.tcgetattr(self._theirs) == self.modes

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def told(payload):
    """What the front door of the test says: (status, JSON), to be changed by the test."""
    return [200, payload(busy("orders", legacy=5))]


@pytest.fixture
def watching(bare, admin, told):
    with admin(lambda _path: tuple(told)) as (_, address):
        terminal = Terminal(address)
        try:
            terminal.read_until(rb"orders")
            yield terminal
        finally:
            terminal.close()


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x04"])
def test_a_key_ends_the_watch_and_gives_the_terminal_back(watching, key):
    watching.press(key)

    assert watching.wait() == (0, True)


def test_ctrl_c_ends_the_watch_like_q(watching):
    watching.process.send_signal(signal.SIGINT)

    assert watching.wait() == (0, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(watching, number):
    watching.process.send_signal(number)

    assert watching.wait() == (128 + number, True)


def test_the_exit_code_is_that_of_what_was_seen_last(watching, told, payload):
    told[1] = payload(busy("orders", legacy=5), status="draining")
    watching.read_until(rb"draining: revision")
    watching.press(b"q")

    assert watching.wait() == (1, True)


def test_a_front_door_that_stops_is_said_and_watched_until_it_is_back(watching, told):
    right = list(told)
    told[:] = [503, {"error": {"message": "gone\x1b]0;owned\x07"}}]
    watching.read_until(rb"NO ANSWER since")
    watching.shown = b""
    told[:] = right
    watching.read_until(rb"\x1b\[Hready: revision")
    watching.press(b"q")

    assert watching.wait() == (0, True)
    assert b"\x1b]0;" not in watching.shown


def test_a_resize_is_shown_at_once(watching):
    watching.resize(20, 5)
    watching.process.send_signal(signal.SIGWINCH)
    watching.shown = b""
    watching.read_until(rb"q quits, [0-9:]+ U?T?C?\x1b")
    watching.press(b"q")

    assert watching.wait() == (0, True)


def test_a_crash_gives_the_terminal_back(watching, told):
    told[1] = {**told[1], "routes": None}
    code, is_restored = watching.wait()

    assert (code != 0, is_restored) == (True, True)


def test_a_stop_by_ctrl_z_gives_the_terminal_back_until_it_goes_on(watching):
    watching.process.send_signal(signal.SIGTSTP)
    watching.read_until(re.escape(LEFT))
    watching.process.send_signal(signal.SIGCONT)
    watching.read_until(rb"(?s)" + re.escape(LEFT) + rb"\x1b\[\?1049h.*orders")
    watching.shown = b""
    watching.press(b"q")

    assert watching.wait() == (0, True)


def test_without_a_terminal_there_is_nothing_to_watch(bare):
    told = bare.misused("status", "--watch")

    assert "--watch needs a terminal" in told


def test_json_is_not_for_watching(bare):
    assert "Leave one of them out" in bare("status", "--watch", "--json").output
