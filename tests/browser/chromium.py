"""The system's chromium, driven by Playwright: tests are skipped where one of them is missing, never in CI.

One browser per test file, and it ends with the file: while Playwright runs, its event loop is this thread's running loop,
and `asyncio.run` in a test of another file would be refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.programs import PLACES, is_missed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
PATIENCE_MS = 20_000.0
DESKTOP = (1280, 900)
PHONE = (390, 844)


def program() -> str:
    """Where the browser is; without it or Playwright the test is skipped."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        is_missed("Playwright is not installed: make .venv/.browser-installed")
    found = (shutil.which(name, path=PLACES) for name in PROGRAMS)
    return next(filter(None, found), None) or is_missed(
        "no browser is installed (Debian package chromium)"
    )


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run the browser without a window."""
    path = program()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


class Complaints:
    """What a page must never do: errors of its scripts, refusals by its policy, dialogs."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("console", self._keep_error)
        page.on("dialog", self._refuse_dialog)

    def _keep_error(self, message) -> None:
        # The browser reports each status from 400 on this way; pages answer some on purpose.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.found.append(f"console: {message.text}")

    def _refuse_dialog(self, dialog) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def visit(
    browser: Browser,
    home: str,
    *,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    scripts: bool = True,
) -> Iterator[Page]:
    """A page in a window of its own, with no cookies yet; it fails the test that made it complain.

    The window stays until the browser ends, on an empty page: closing it was seen to hang during a navigation.
    """
    context = browser.new_context(
        base_url=home,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        java_script_enabled=scripts,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints = Complaints(page)
    try:
        yield page
    finally:
        _leave(page)
    assert complaints.found == []


def _leave(page: Page) -> None:
    """Let the page ask nothing more. A navigation that is under way may interrupt this, and then has its end first."""
    from playwright.sync_api import Error  # noqa: PLC0415  not installed everywhere

    for _ in range(3):
        with suppress(Error):
            page.goto("about:blank")
            return
        page.wait_for_load_state()


def find_barriers(page: Page) -> list[str]:
    """What axe finds wrong with a page as it is now: the rule, and the elements that break it."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  not installed everywhere

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'][:200] for node in rule['nodes']]}"
        for rule in found
    ]
