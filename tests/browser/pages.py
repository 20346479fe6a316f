"""The admin pages by name, for everything that goes through all of them.

GROUP stands for the key of a group of differences, which traffic makes.
"""

from __future__ import annotations

import json

from tests.browser.shop import Shop

PAGES = {
    "overview": "/",
    "route": "/routes/product-detail",
    "differences": "/differences",
    "difference": "/differences/GROUP",
    "preview": "/differences/GROUP/preview",
    "unrouted": "/unrouted",
    "live": "/live",
    "flips": "/flips",
    "health": "/health",
}


def address_of(shop: Shop, path: str) -> str:
    """The path of a page with the key of the most severe group in it."""
    if "GROUP" not in path:
        return path
    found = json.loads(shop.front.overgrow("diff", "top", "--json").stdout)
    return path.replace("GROUP", found[0]["group"])
