"""What `make screenshots` runs: pictures of every admin page for docs/images/, at two sizes and in both themes."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import DESKTOP, PHONE, running_browser, visit
from tests.browser.conftest import log_in
from tests.browser.pages import PAGES, address_of
from tests.browser.past import write_past
from tests.browser.scene import running_scene, send_traffic
from tests.browser.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZES = {"desktop": DESKTOP, "phone": PHONE}
THEMES = ("light", "dark")
MOST_HEIGHT = {"desktop": 1350, "phone": 1600}
QUALITY = 62


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="overgrow-") as folder,
        running_scene_with_past(Path(folder)) as shop,
        running_browser() as browser,
    ):
        send_traffic(shop, rounds=40, errors=4)
        with visit(browser, shop.home) as page:
            log_in(page)
            for name, path in PAGES.items():
                send_traffic(shop, rounds=4)  # so that the last minute is never empty
                take_pictures(page, name, address_of(shop, path))


@contextmanager
def running_scene_with_past(folder: Path) -> Iterator[Shop]:
    """The scene, two hours after it began."""
    write_past(folder / ".overgrow")
    with running_scene(folder) as shop:
        yield shop


def take_pictures(page: Page, name: str, path: str) -> None:
    """Take the four pictures of one page."""
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.goto(path)
            image = capture(page, width, MOST_HEIGHT[size])
            (IMAGES / f"{name}-{size}-{theme}.webp").write_bytes(image)


def capture(page: Page, width: int, most_height: int) -> bytes:
    """The page from its top as WebP, of which Playwright itself has no notion."""
    end = page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
    height = min(round(end), most_height)
    session = page.context.new_cdp_session(page)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    asked = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    image = session.send("Page.captureScreenshot", asked)["data"]
    session.detach()
    return base64.b64decode(image)


if __name__ == "__main__":
    main()
