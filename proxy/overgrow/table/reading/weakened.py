"""Rejects a table that would send requests to legacy which the running table keeps from legacy for good.

routing/weakening.py finds such requests, and this module turns them into problems with a place and a fix. Rule:
every new table is compared with the running table. At boot and in `overgrow check`, last-good.yaml takes the
place of the running table, so that the result is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overgrow.routing.model import Allowance, Route, RouteTable
from overgrow.routing.weakening import Weakening, find_weakenings, lost_folds
from overgrow.table.reading.parse import ParsedTable
from overgrow.yaml_file.problem import Problem

CODE = "irreversible-weakened"
FOLDS = "legacy.folds"  # what allow names where no route is meant
MAX_NAMED = 20  # routes in the line to paste


def reject_weakened(loaded: ParsedTable, file: str, running: RouteTable | None) -> ParsedTable:
    """Return the table.

    If irreversible routes of the running table lose requests in it, return a problem for each such route.
    """
    table = loaded.table
    if table is None or running is None or running.revision == table.revision:
        return loaded
    rev = running.revision
    found = find_weakenings(running, table, lambda route: Allowance(route.name, rev) in table.allow)
    folds = [] if Allowance(FOLDS, rev) in table.allow else lost_folds(running, table)
    if found or folds:
        names = [*([FOLDS] if folds else ()), *(one.route.name for one in found)]
        problems = [
            *_lost_fold_problems(folds, names, file, table, rev),
            *_weakening_problems(found, names, file, table, rev),
        ]
        return ParsedTable(None, tuple(sorted(problems, key=lambda one: one.line)), loaded.notes)
    return loaded._replace(notes=(*loaded.notes, *_spent_allowances(table, file, rev)))


def _lost_fold_problems(
    folds: Sequence[str], names: Sequence[str], file: str, table: RouteTable, rev: str
) -> Iterator[Problem]:
    if folds:
        what = (
            f"the running table (revision {rev}) keeps other spellings of irreversible routes from legacy, "
            f"and here legacy.folds has no {' and no '.join(folds)}"
        )
        yield Problem(CODE, file, 1, 1, None, what, _fix(FOLDS, names, table, rev))


def _weakening_problems(
    found: Sequence[Weakening], names: Sequence[str], file: str, table: RouteTable, rev: str
) -> Iterator[Problem]:
    lines = {route.name: route.line for route in table.routes}
    for one in found:
        line = one.by.line if one.by is not None else lines.get(one.route.name, 1)
        fix = _fix(one.route.name, names, table, rev)
        what = _weakening_text(one, lines, rev)
        yield Problem(CODE, file, line or 1, 1, one.route.name, what, fix)


def _fix(name: str, names: Sequence[str], table: RouteTable, rev: str) -> str:
    """Return the fix.

    It contains a line to paste that allows every loss found, and that repeats the present allowances.
    """
    wanted = [Allowance(each, rev) for each in (names if len(names) <= MAX_NAMED else [name])]
    kept = sorted(each for each in table.allow if each.revision == rev)
    line = ", ".join(map(str, dict.fromkeys([*kept, *wanted])))
    return f"Fix the table; or, if this is intended, write allow: [{line}] at the top."


def _weakening_text(one: Weakening, lines: dict[str, int], revision: str) -> str:
    keeps = f"the running table (revision {revision}) keeps its requests from legacy for good"
    if not one.example:
        return (
            f"{keeps}, and it cannot be determined whether this table does: {_unsure_text(one.by)}"
        )
    if one.by is not None:
        return f'{keeps}, but here {one.example} would go to route "{one.by.name}", which is reversible'
    gone = "" if one.route.name in lines else "; no route has this name now"
    return f"{keeps}, but here no route takes {one.example}{gone}"


def _unsure_text(by: Route | None) -> str:
    return (
        f'route "{by.name}" may take some' if by is not None else "too many routes share its paths"
    )


def _spent_allowances(table: RouteTable, file: str, revision: str) -> Iterator[Problem]:
    """Yield a note if `allow` names other revisions than that of the running table: such entries have no effect."""
    spent = sorted(str(one) for one in table.allow if one.revision != revision)
    if spent:
        what = (
            f"allow names {', '.join(spent)}, and revision {revision} runs: so it permits nothing"
        )
        yield Problem("allow-spent", file, 1, 1, None, what, "Remove it.")
