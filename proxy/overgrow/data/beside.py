"""data.yaml beside a route table: which of the table's routes the stages of the data do not allow.

It asks no database and needs no variable to be set, so that a flip can ask it. A file that is missing or invalid
allows everything here; `overgrow check` and `overgrow data check` report an invalid one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.data.declaration import FILE, MAX_BYTES, ParsedData, parse_declaration
from overgrow.data.route_rules import stage_problems
from overgrow.files import read_regular
from overgrow.routing.model import RouteTable
from overgrow.yaml_file.problem import Problem


class StageReport(NamedTuple):
    """Routes that a stage does not allow; `unread` says why data.yaml could not be read, None if it was."""

    problems: list[Problem]
    unread: str | None = None


class _AnyVariable(dict[str, str]):
    """An environment in which every variable is set; what they hold does not matter here."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002  dict's signature
        """Return a text."""
        return "set"


def parse_beside(config: Path) -> ParsedData | None:
    """Return what data.yaml beside the table says, whatever its variables are; None without the file."""
    path = config.parent / FILE
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    variables: Mapping[str, str] = _AnyVariable()
    return parse_declaration(data, file=str(path), env=variables)


def report_stages(config: Path, table: RouteTable) -> StageReport:
    """Return the routes of a table that the stages beside it do not allow."""
    try:
        parsed = parse_beside(config)
    except OSError as error:
        return StageReport([], f"{config.parent / FILE} cannot be read: {error.strerror}")
    if parsed is None:
        return StageReport([])
    if parsed.declaration is None:
        return StageReport([], f"{parsed.problems[0]}")
    return StageReport(stage_problems(parsed.declaration, table, str(config)))


def refused_routes(config: Path, table: RouteTable) -> list[Problem]:
    """Return only the problems of `report_stages`, for a flip."""
    return [one for one in report_stages(config, table).problems if one.route is not None]
