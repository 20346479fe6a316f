"""The lines of `overgrow data check` about the guard of migrations and the role that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from overgrow.data.declaration import DataDeclaration
from overgrow.data.guard.state import MigrationsRole, guard_state, migrations_role


class GuardReport(NamedTuple):
    """The state of the guard, as JSON and as lines for people."""

    data: dict[str, Any]
    lines: list[str]


def guard_report(folder: Path, declaration: DataDeclaration, *, asks_role: bool) -> GuardReport:
    """Check the guard below the folder of data.yaml. If wanted, also ask the database about the role."""
    state, told = guard_state(folder, declaration)
    role = migrations_role(declaration) if asks_role else None
    data = {"guard": state, "migrations_role": None if role is None else _role_json(role)}
    return GuardReport(data, [told, *([] if role is None else [_role_text(role)])])


def _role_json(role: MigrationsRole) -> dict[str, Any]:
    return {"role": role.role, "may_change": list(role.may_change), "error": role.error}


def _role_text(role: MigrationsRole) -> str:
    if role.error is not None:
        return f"The role of the migrations is not known: {role.error}"
    if role.may_change:
        return (
            f"The role {role.role} of the migrations may change tables that are not ours: {', '.join(role.may_change)}."
            " Take its rights: docs/moving-data.md#the-text-of-opexecute"
        )
    return (
        f"The role {role.role} of the migrations has no rights to change tables that are not ours."
    )
