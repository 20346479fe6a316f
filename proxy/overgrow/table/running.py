"""Which front door runs on a state folder: found by the lock that its master holds, without a port or a token.

The kernel knows who holds a lock, so the answer is never stale. Rule: this module takes no lock, because a front
door that starts at the same moment would find it held.
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
    """Return the process id of the master that locks the state folder; None if no front door locks it.

    0 means that the process is invisible from here, for instance because it is in another container. If the folder does
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
    """Return the text that a master writes about itself into its lock file, where commands find it."""
    return f"pid {os.getpid()}, table {json.dumps(str(table))}, public {public}, admin {admin}"


def find_described_pid(state: Path) -> int | None:
    """Return the process id of the running front door's master, as the master wrote it into its lock file; None if unknown."""
    found = re.match(r"pid (\d+), ", _read_description(state))
    return None if found is None else int(found[1])


def find_admin(state: Path) -> str | None:
    """Return the address of the running front door's admin listener, as the master wrote it into its lock file; None if unknown."""
    found = re.search(r", admin (\S+)$", _read_description(state))
    # Port 0 is any: which one it became stands in the line that serve printed.
    return None if found is None or found[1].endswith(":0") else found[1]


def find_table(state: Path) -> Path | None:
    """Return the path of the running front door's table, as the master wrote it into its lock file; None if unknown."""
    found = re.match(r'pid \d+, table ("(?:[^"\\]|\\.)*"), ', _read_description(state))
    return None if found is None else Path(json.loads(found[1]))


def _read_description(state: Path) -> str:
    if find_master(state) is None:
        return ""
    try:
        return (state / SERVER_LOCK).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
