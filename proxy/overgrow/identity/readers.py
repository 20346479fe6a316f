"""The readers of this release, by their names in `from:` of the table.

`ask` is missing here, because it needs access to legacy, which the composition root passes in.
"""

from __future__ import annotations

from types import MappingProxyType

from overgrow.identity.reader import (
    Builders,
    Lookup,
    Materials,
    Outcome,
    ValueReader,
    values_of,
)
from overgrow.identity.sessions.builders import SESSION_BUILDERS
from overgrow.routing.facts import Head
from overgrow.routing.identity import Identity, Refusal

MAX_NAME_BYTES = 1024


def read_trusted_name(value: bytes, _now_s: float) -> Identity | Refusal:
    """Return the user whom a trusted proxy names in a header."""
    if len(value) > MAX_NAME_BYTES:
        return Refusal("too-large")
    try:
        name = value.decode().strip()
    except UnicodeDecodeError:
        return Refusal("malformed")
    return Identity(name, name) if name and name.isprintable() else Refusal("malformed")


def build_header_reader(materials: Materials) -> ValueReader:
    """Return the reader of a header that a trusted proxy sets."""
    return TrustedHeaderReader(materials.source, read_trusted_name)


class TrustedHeaderReader(ValueReader):
    """A reader of a header in which only a trusted proxy may name the user."""

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:
        """If the peer is trusted, read the header. Lines that name different users name nobody."""
        if not head.peer_trusted:
            return Refusal("not-trusted")
        is_ambiguous = len(set(values_of(head, self.source))) > 1
        return Refusal("malformed") if is_ambiguous else super().read(head, now_s)


BUILDERS: Builders = MappingProxyType({"header": build_header_reader, **SESSION_BUILDERS})
