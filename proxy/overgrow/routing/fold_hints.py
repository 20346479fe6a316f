"""Guesses from a legacy app's responses which spellings of a path the app treats as one path.

Pure. Rule: a name in a header is a hint, never a fact. A hint becomes a note; only the table determines what
legacy folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from overgrow.routing.readings import CASE, FOLDS, IIS, TRAILING

# Headers by which servers and frameworks name themselves.
SERVER_HEADERS = frozenset(
    {b"server", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version"}
)

_SIGNS = (
    (rb"microsoft-iis|microsoft-httpapi|asp\.net|x-aspnet", (CASE, TRAILING, IIS)),
    (rb"kestrel|win32|win64|windows|express", (CASE, TRAILING)),
    (rb"lotus-domino|coldfusion|jrun|darwin|mac ?os", (CASE,)),
    # Spring and Rails treat a path with a slash at its end as the one without.
    (
        rb"coyote|tomcat|jetty|undertow|wildfly|jboss|glassfish|payara|weblogic|websphere",
        (TRAILING,),
    ),
    (rb"servlet|\bjsp|resin/|phusion", (TRAILING,)),
)
_PATTERNS = [(re.compile(pattern).search, folds) for pattern, folds in _SIGNS]
_MAX_DESCRIPTION_BYTES = 80  # bytes of what legacy calls itself


def server_description(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return one text with everything that a response's headers say about its server; empty if they say nothing."""
    found = [(name.lower(), value) for name, value in headers if name.lower() in SERVER_HEADERS]
    texts = [value if name in (b"server", b"x-powered-by") else name for name, value in found]
    return b", ".join(texts)[:_MAX_DESCRIPTION_BYTES]


def suggested_folds(description: bytes) -> tuple[str, ...]:
    """Return the folds that a server of this description usually has, in the order of FOLDS."""
    low = description.lower()
    found = {fold for search, folds in _PATTERNS if search(low) for fold in folds}
    return tuple(fold for fold in FOLDS if fold in found)
