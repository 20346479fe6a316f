"""What every view of the shop can use: its data, its clock, its secret, its folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from legacy_stub.clock import Clock
from legacy_stub.data import Data


@dataclass(frozen=True, slots=True)
class Shop:
    """A running shop; `secret` signs sessions, `uploads` is where uploads are stored."""

    data: Data
    clock: Clock
    secret: bytes
    uploads: Path


def open_shop(path: Path, *, frozen: bool) -> Shop:
    """Open the shop over a data file, which is made if it is missing."""
    clock = Clock(frozen=frozen)
    data = Data(path)
    secret = b"frozen" if frozen else secret_in(path.with_name("secret"), clock)
    return Shop(data, clock, secret, path.with_name("uploads"))


def secret_in(path: Path, clock: Clock) -> bytes:
    """Return the secret kept in a file, so that sessions outlive a restart."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(clock.token(32))
    return hashlib.sha256(path.read_bytes()).digest()
