"""How long the overview of a large table takes: at the server, and in a browser where one is installed.

The first answer of a worker reads all counters; later ones read what is new. In the browser a filter is measured from the
key to the next layout, without a request.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

from benchmarks import load

PAGE, DATA = "/", "/page-data/"
KEYS = ("p", "pa", "pag", "page", "page-", "page-9", "page-99", "page-9", "page-", "")
PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
# From the event to the end of the layout that follows, in milliseconds.
FILTER = """(text) => {
  const field = document.getElementById("find");
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.body.offsetHeight;
  return performance.now() - began;
}"""
FIRST_PAINT = (
    """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""
)


class Answers(NamedTuple):
    """Times of the answers to one path, in milliseconds, the first one apart, and the length of an answer."""

    first_ms: float
    later_ms: list[float]
    length: int


def warm(port: int, routes: int) -> None:
    """Send one request to each route, so that every row has figures."""
    connection = http.client.HTTPConnection(load.HOST, port, timeout=30)
    for at in range(routes):
        connection.request("GET", f"/pages/{at}/7")
        connection.getresponse().read()
    connection.close()


def answers_of(admin: int, path: str, times: int) -> Answers:
    """Ask so many times on one connection, and so one worker."""
    connection = http.client.HTTPConnection(load.HOST, admin, timeout=60)
    found, length = [], 0
    for _ in range(times):
        began_s = time.perf_counter()
        connection.request("GET", path)
        length = len(connection.getresponse().read())
        found.append(1e3 * (time.perf_counter() - began_s))
    connection.close()
    return Answers(found[0], found[1:], length)


def browser_times(admin: int) -> tuple[list[float], list[float]] | None:
    """First paints and filter times in a browser, in milliseconds; None without a browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None or find_spec("playwright") is None:
        return None
    with _opened(program) as browser:
        paints, filters = [], []
        for _ in range(3):
            page = browser.new_page()
            page.goto(f"http://{load.HOST}:{admin}{PAGE}")
            page.locator("#more").wait_for(state="visible")  # the rows of all routes are here
            paints.append(page.evaluate(FIRST_PAINT))
            filters += [page.evaluate(FILTER, text) for text in KEYS]
            page.close()
        return [each for each in paints if each is not None], filters


@contextlib.contextmanager
def _opened(program: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


def middle(times: list[float]) -> float:
    """The median."""
    return statistics.median(times)
