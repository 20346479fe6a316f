"""`overgrow status --watch`: the state of the front door, kept up to date on the terminal.

A thread asks the front door, so that keys work even if the front door does not answer. If the front door stops,
the last figures stay on the screen with their time. When it answers again, new figures replace them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from overgrow.cli.admin_client import Unreachable
from overgrow.cli.columns import GAP, columns
from overgrow.cli.status_text import (
    boot_error_text,
    breakers_text,
    error_share,
    error_text,
    health_text,
    is_well,
    sides_table,
)
from overgrow.cli.terminal_screen import TerminalScreen
from overgrow.text import count_text, duration_text, rfc3339

INTERVAL_S = 2.0
FOOTER = "LEGACY, MIGRATED: p95 of the last minute"
QUIT = frozenset(b"qQ\x03\x04")
Payload = Mapping[str, Any]


class Seen(NamedTuple):
    """The last answer of the front door, its time, and the reason why the front door does not answer now."""

    payload: Payload
    at_s: float
    silent_since_s: float | None = None
    why: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the front door answers, and nothing is wrong."""
        return self.silent_since_s is None and is_well(self.payload)


class Poller:
    """Asks the front door every INTERVAL_S in a thread, and calls `on_news` after each answer."""

    def __init__(
        self, first: Payload, read: Callable[[], Payload], on_news: Callable[[], None]
    ) -> None:
        self.seen = Seen(first, time.time())
        self._read, self._on_news = read, on_news
        self._ended = threading.Event()

    def start(self) -> None:
        """Start to ask; the thread ends with the process."""
        threading.Thread(target=self._run, name="overgrow-watch", daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.seen = self._ask()
            self._on_news()

    def _ask(self) -> Seen:
        now_s = time.time()
        try:
            return Seen(self._read(), now_s)
        except Unreachable as error:
            since_s = self.seen.silent_since_s or now_s
            return self.seen._replace(silent_since_s=since_s, why=error.message)


def watch_status(first: Payload, read: Callable[[], Payload]) -> int:
    """Show the state until q or Ctrl-C.

    Return the exit code that `overgrow status` would have for the last state shown.
    """
    screen = TerminalScreen()
    poller = Poller(first, read, screen.wake)
    try:
        with screen.take():
            poller.start()
            is_over = False
            while not is_over:
                screen.show(screen_lines(poller.seen, *screen.size))
                is_over = bool(QUIT.intersection(screen.wait_for_keys(INTERVAL_S)))
    except KeyboardInterrupt:
        pass
    finally:
        poller.end()
    return 0 if poller.seen.is_well else 1


def screen_lines(seen: Seen, width: int, height: int) -> list[str]:
    """Return the lines for a terminal of this size: what is wrong first, then both sides, then the busiest routes."""
    payload = seen.payload
    room = max(1, height - 1)
    lines = [*_silence(seen), *health_text(payload).splitlines()]
    for part in (
        error_text(payload),
        boot_error_text(payload),
        breakers_text(payload.get("breakers", ())),
    ):
        lines += part.splitlines()
    sides = sides_table(payload.get("sides", {}), width).splitlines()
    if sides and len(lines) + len(sides) + 1 <= room:
        lines += ["", *sides]
    lines += _route_lines(payload["routes"], width, room - len(lines))
    footer = f"q quits, {rfc3339(seen.at_s)[11:19]} UTC; {FOOTER}"
    if height == 1:
        return lines[:1]
    shown = lines[:room]
    return [*shown, *[""] * (room - len(shown)), footer]


def _silence(seen: Seen) -> list[str]:
    if seen.silent_since_s is None:
        return []
    since, at = rfc3339(seen.silent_since_s)[11:19], rfc3339(seen.at_s)[11:19]
    return [f"NO ANSWER since {since} UTC; below are the figures of {at}", f"  {seen.why}", ""]


def _route_lines(routes: Sequence[Payload], width: int, room: int) -> list[str]:
    """Return the table of routes in at most `room` lines.

    The busiest of the last minute come first, then the order of the table.
    """
    if room < 3:
        return []
    busiest = sorted(routes, key=_last_minute_requests, reverse=True)
    most = room - 2
    if len(busiest) > most:
        most -= 1
    head = ("ROUTE", "TARGET", "REQ/MIN", "LIVE", "ERRORS", "LEGACY", "MIGRATED")
    rows = [head, *map(_route_cells, busiest[:most])]
    others = sum(max(map(len, cells)) + len(GAP) for cells in list(zip(*rows, strict=True))[1:])
    short = [(_shorten(name, max(6, width - others)), *rest) for name, *rest in rows]
    lines = ["", *columns(short, right=frozenset(range(2, len(head)))).splitlines()]
    hidden = len(busiest) - most
    if hidden > 0:
        lines.append(f"and {count_text(hidden, 'more route')}")
    return lines


def _shorten(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 2]}.."


def _windows(route: Payload) -> tuple[Payload, Payload]:
    legacy, migrated = (route[side].get("last_minute", {}) for side in ("legacy", "migrated"))
    return legacy, migrated


def _last_minute_requests(route: Payload) -> int:
    return sum(window.get("requests", 0) for window in _windows(route))


def _route_cells(route: Payload) -> tuple[str, ...]:
    legacy, migrated = _windows(route)
    requests = _last_minute_requests(route)
    errors = legacy.get("errors", 0) + migrated.get("errors", 0)
    canary = f" {route['canary']:g}%" if route["canary"] else ""
    share = 100 * migrated.get("requests", 0) / requests if requests else None
    return (
        route["name"],
        f"{route['target'] or '-'}{canary}",
        f"{requests}",
        "-" if share is None else f"{share:.3g}%",
        f"{errors} ({error_share(errors, requests)})" if errors else "0",
        duration_text(legacy.get("p95_s")),
        duration_text(migrated.get("p95_s")),
    )
