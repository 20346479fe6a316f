"""What is told to the disk, in order: the calls that tell after a power cut what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def disk_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Each fsync, rename and link that is made from now on, with the names of the files."""
    made: list[tuple[str, ...]] = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        made.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))

    def replaced(source: os.PathLike[str], target: os.PathLike[str], **given: int) -> None:
        replace(source, target, **given)
        made.append(("rename", Path(source).name, Path(target).name))

    def linked(source: os.PathLike[str], target: os.PathLike[str], **given: bool) -> None:
        link(source, target, **given)
        made.append(("link", Path(source).name, Path(target).name))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "link", linked)
    return made


def came_whole(made: list[tuple[str, ...]], target: str) -> bool:
    """Whether what was renamed or linked to a name had been written to the disk before."""
    at = next(at for at, call in enumerate(made) if call[0] != "sync" and call[-1] == target)
    return ("sync", made[at][1]) in made[:at]
