"""The addresses to which a form or a link may lead back: our own pages.

The overview's address replaces any other address. Pure. Rule: an address has one leading slash and no character
that could make a browser read it as another host.
"""

from __future__ import annotations

import re

OVERVIEW = "/"
_PATH = r"/(?!log(?:in|out)\b)(?:routes/[a-z0-9._-]+|differences/[0-9a-f]{1,64}|[a-z]{1,20})?"
_OWN_PATH = re.compile(_PATH, re.ASCII)
_OWN_ADDRESS = re.compile(_PATH + r"(?:\?[a-z0-9._~%&=+:,/-]{0,500})?", re.ASCII | re.IGNORECASE)


def own_path(asked: str) -> str:
    """Return a path if it is one of our pages; else return the path of the overview."""
    return asked if _OWN_PATH.fullmatch(asked) else OVERVIEW


def own_address(asked: str) -> str:
    """Return a path with its query if it is one of our pages; else return the address of the overview."""
    return asked if _OWN_ADDRESS.fullmatch(asked) else OVERVIEW
