"""Finds the front door that runs on a state folder by the lock of its master, without a port or a token.

The kernel knows who holds a lock, so that the answer is never stale. Rule: this module never takes the lock
itself, because a front door that starts at this moment would find the lock held.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
from pathlib import Path

from overgrow.table.state_dir import SERVER_LOCK

# struct flock of Linux with 64-bit offsets: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


def find_master(state: Path) -> int | None:
    """Return the process id of the master that locks the state folder; None if it is not locked.

    The result is 0 if the process is invisible from here, for instance in another container. If the folder does
    not respond, the result is None.
    """
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        descriptor = os.open(state / SERVER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(pid, 0)


def describe_front_door(table: Path, public: str, admin: str) -> str:
    """Return the text about itself that a master writes into its lock file, where commands find it."""
    return f"pid {os.getpid()}, table {json.dumps(str(table))}, public {public}, admin {admin}"


def find_described_pid(state: Path) -> int | None:
    """Return the process id that the running front door's master wrote into its lock file; None if unknown."""
    found = re.match(r"pid (\d+), ", _read_description(state))
    return None if found is None else int(found[1])


def find_admin(state: Path) -> str | None:
    """Return the address of the admin listener that the running front door's master wrote into its lock file.

    Return None if unknown.
    """
    found = re.search(r", admin (\S+)$", _read_description(state))
    # Port 0 is any: which one it became stands in the line that serve printed.
    return None if found is None or found[1].endswith(":0") else found[1]


def find_table(state: Path) -> Path | None:
    """Return the path of the table that the running front door's master wrote into its lock file; None if unknown."""
    found = re.match(r'pid \d+, table ("(?:[^"\\]|\\.)*"), ', _read_description(state))
    return None if found is None else Path(json.loads(found[1]))


def _read_description(state: Path) -> str:
    if find_master(state) is None:
        return ""
    try:
        return (state / SERVER_LOCK).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
