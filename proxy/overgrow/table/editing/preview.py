"""Shows what a flip would do, without doing it: the lines that would change, or why the flip would be refused.

The preview does not lock or write anything, so that its answer is true only now. The flip itself judges again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overgrow.table.editing.flip import (
    EditPlan,
    find_members,
    goes_forward,
    refuse_irreversible,
    rewrite_text,
)
from overgrow.table.editing.rewrite import changes_for, parse_goal, share_of, state_of_all
from overgrow.table.editing.transaction import EditTransaction
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.routes import parse_drafts
from overgrow.table.reading.table_file import decode_text, read_table_file
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.tree import YamlSyntaxError


@dataclass(frozen=True, slots=True)
class FlipPreview:
    """The preview of a flip of a route or group:NAME.

    `lines` say what would change in the file; empty if nothing would. `is_forward` says that the flip takes
    clients away from legacy. `share` is the share of clients that migrated would serve, in hundredths of a
    percent. `locked` says why the file cannot be changed here; None if it probably can.
    """

    name: str
    members: tuple[str, ...]
    from_: str
    to: str
    revision: str
    lines: str
    is_forward: bool
    share: int
    locked: str | None


def preview_flip(
    config: Path, state: Path, env: Mapping[str, str], name: str, to: str
) -> FlipPreview:
    """Return what a flip would do now.

    Raises:
        EditRefused: if the flip would be refused because of what the file says, or if the file cannot be read.

    """
    goal = parse_goal(to)
    transaction = _read_unlocked(config, state, env)
    members = find_members(transaction, name, f"flip {{}} {to}")
    refuse_irreversible(members, str(goal))
    changes = tuple(change for draft in members for change in changes_for(draft, goal))
    plan = EditPlan("flip", name, state_of_all(members), str(goal), changes)
    return FlipPreview(
        name=name,
        members=tuple(str(draft.name) for draft in members),
        from_=plan.from_,
        to=plan.to,
        revision=revision_of(transaction.data),
        lines=rewrite_text(transaction, members, plan)[1] if changes else "",
        is_forward=goes_forward(members, plan.to),
        share=share_of(plan.to),
        locked=why_locked(config),
    )


def _read_unlocked(config: Path, state: Path, env: Mapping[str, str]) -> EditTransaction:
    try:
        real = config.resolve(strict=True)
        data = read_table_file(real)
        text = decode_text(data)
        drafts = parse_drafts(text, env)
        return EditTransaction(config, real, state, -1, data, text, real.stat(), drafts)
    except OSError as error:
        what = f"{error.filename or config} cannot be read: {error.strerror}"
        raise EditRefused("file-unreadable", what, "Check the path and its permissions.") from None
    except YamlSyntaxError as broken:
        problem = Problem(broken.code, str(config), *broken.at, None, broken.message, broken.fix)
        fix = "Fix it first, or send everything to legacy."
        raise EditRefused("file-unreadable", f"{config} cannot be read", fix, [problem]) from None


def why_locked(config: Path) -> str | None:
    """Return why a flip cannot replace the file here; None if no obstacle is known."""
    try:
        real = config.resolve(strict=True)
        if not stat.S_IMODE(real.stat().st_mode) & 0o222:
            return "the file is read-only"
        if os.statvfs(real.parent).f_flag & os.ST_RDONLY:
            return "its file system is read-only"
        if real.is_mount():
            return "the file is mounted by itself, so it cannot be replaced"
        if not os.access(real.parent, os.W_OK):
            return "its folder cannot be written"
    except OSError as error:
        return error.strerror or str(error)
    return None
