"""What the programs of users read: codes, places, JSON keys, flags, fields, settings and metrics.

`tests/stable_names.json` is the list of a moment; `python -m tests.stable_names` adds what came since.
A name that is to go on purpose is taken out of the list by hand, with a line in CHANGELOG.md.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proxy" / "overgrow"
LIST = Path(__file__).with_suffix(".json")
CASES = ROOT / "tests" / "unit" / "table" / "cases"
TABLES = {  # family -> the closed table of its codes
    "problems of a table": ("overgrow.table.reading.problems", "CODES"),
    "notes on a table": ("overgrow.table.reading.problems", "NOTES"),
    "refused flips": ("overgrow.table.reading.problems", "REFUSALS"),
    "errors of the admin API": ("overgrow.admin.api.errors", "ERRORS"),
    "failures of a command": ("overgrow.cli.failures", "FAILURES"),
    "failures of a request": ("overgrow.exchange", "FAILURES"),
    "problems of data.yaml": ("overgrow.data.problems", "CODES"),
    "problems of a rules file": ("overgrow.shadow.rules.file", "CODES"),
    "metrics": ("overgrow.observe.metric_list", "METRICS"),
}
JSON_KEY = re.compile(r"[a-z][a-z_]*")
JSON_FROM = ("cli", "admin", "observe")  # folders that make JSON for users


def names_now() -> dict[str, list[str]]:
    """Return every family of names as it is now, sorted."""
    families = {family: [*_table(*place)] for family, place in TABLES.items()}
    families |= {
        "errors of the admin listener": [*_admin_codes()],
        "places of problems": [*_places()],
        "commands and flags": [*_flags("overgrow", import_module("overgrow.cli.main").main)],
        "settings": [*_settings()],
        "JSON keys of a problem": [*_fields_of("overgrow.table.reading.problems", "Problem")],
        "fields of routes.yaml": [*_fields(PACKAGE / "routes.schema.json")],
        "fields of a rules file": [*_fields(PACKAGE / "compare.schema.json")],
    }
    families |= {f"JSON keys of {folder}": [*_json_keys(PACKAGE / folder)] for folder in JSON_FROM}
    # The command line prints what the review of differences makes, as the admin API does.
    families["JSON keys of cli"] += _json_keys(PACKAGE / "shadow" / "review")
    # And the entries of the history.
    families["JSON keys of cli"] += _json_keys(PACKAGE / "table" / "editing")
    return {family: sorted(set(names)) for family, names in families.items()}


def _table(module: str, name: str) -> Iterator[str]:
    yield from getattr(import_module(module), name)


def _admin_codes() -> Iterator[str]:
    yield from import_module("overgrow.admin.api.errors").ERRORS
    for node in _nodes(PACKAGE / "admin"):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            codes = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if node.func.id in {"error_response", "EditRefused"}:
                yield from (code for code in codes if isinstance(code, str) and " " not in code)


def _places() -> Iterator[str]:
    """Give file, line, column and code of each problem in the golden files."""
    for path in CASES.glob("*.expected"):
        for line in path.read_text("utf-8").splitlines():
            found = re.match(r"(\S+:\d+:\d+): .*\[([a-z-]+)\]$", line)
            if found:
                yield f"{found[1]} {found[2]}"


def _flags(name: str, command: click.Command) -> Iterator[str]:
    yield name
    for option in command.params:
        if isinstance(option, click.Option):
            yield from (f"{name} {flag}" for flag in (*option.opts, *option.secondary_opts))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            if child is not None:
                yield from _flags(f"{name} {each}", child)


def _settings() -> Iterator[str]:
    rows = import_module("overgrow.settings").SETTINGS
    return (each.variable for each in rows if each.variable)


def _fields_of(module: str, name: str) -> Iterator[str]:
    """Give the names of a dataclass's fields."""
    return (each.name for each in fields(getattr(import_module(module), name)))


def _fields(schema: Path) -> Iterator[str]:
    """Give each name below any `properties` of a JSON schema."""
    waiting = [json.loads(schema.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        children = node.values() if isinstance(node, dict) else node
        waiting += [each for each in children if isinstance(each, dict | list)]
        if isinstance(node, dict) and isinstance(node.get("properties"), dict):
            yield from node["properties"]


def _json_keys(folder: Path) -> Iterator[str]:
    """Give each literal key of a dict in a function of a folder; a superset of what its JSON holds."""
    functions = (each for each in _nodes(folder) if isinstance(each, ast.FunctionDef))
    for node in (inner for each in functions for inner in ast.walk(each)):
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            yield from (key for key in keys if isinstance(key, str) and JSON_KEY.fullmatch(key))


def _nodes(folder: Path) -> Iterator[ast.AST]:
    for path in sorted(folder.rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def main() -> None:
    """Add to the list what came since it was written; nothing is taken out."""
    known = json.loads(LIST.read_text("utf-8")) if LIST.exists() else {}
    now = names_now()
    merged = {each: sorted({*known.get(each, ()), *now.get(each, ())}) for each in {**known, **now}}
    LIST.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
