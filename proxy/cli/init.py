"""`overgrow init`: a first routes.yaml, with everything on legacy."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from proxy.cli.context import Call, fail, shared_options
from proxy.loading.parse import AppRule, parse
from proxy.loading.values import Bad, app_name, legacy_url
from proxy.routing.match import derived_name

HEAD = """\
# yaml-language-server: $schema=proxy/routes.schema.json
# The route table: who serves what. What no route names goes to the legacy app.
# Move an endpoint: overgrow flip NAME migrated    Put it back: overgrow rollback
version: 1
app: {app}

legacy:
  url: {url}

"""


@click.command(short_help="Write a first routes.yaml, everything on legacy.")
@click.option("--legacy", required=True, help="The legacy app: http://HOST:PORT or unix:/path.")
@click.option("--app", required=True, help="Your Flask app: MODULE:FACTORY.")
@shared_options
def init(call: Call, legacy: str, app: str) -> None:
    """Write routes.yaml with one route, target legacy, per rule of your Flask app.

    An existing file is never overwritten.
    """
    if call.config.exists():
        fail(f"{call.config} exists already and was left alone. Name another with --config.")
    url, name = _valid(legacy, app)
    text = HEAD.format(app=name, url=url) + _routes_text(_rules(call, name))
    loaded = parse(text.encode(), file=str(call.config), env=os.environ, rules=None)
    if loaded.table is None:
        fail("\n".join(["The app's rules do not make a valid table:", *map(str, loaded.problems)]))
    _write(call.config, text)
    count = len(loaded.table.routes)
    told = {"file": str(call.config), "routes": [route.name for route in loaded.table.routes]}
    call.answer(
        told,
        f"Wrote {call.config}: {count} route{'' if count == 1 else 's'}, all on legacy {url}.\n"
        "Next: overgrow serve, then overgrow flip ROUTE migrated",
    )


def _valid(legacy: str, app: str) -> tuple[str, str]:
    try:
        return legacy_url(legacy, "--legacy"), app_name(app, "--app")
    except Bad as bad:
        raise click.UsageError(str(bad)) from bad


def _rules(call: Call, name: str) -> list[AppRule]:
    from proxy.app import app_rules, team_of  # noqa: PLC0415  imports Flask and the team's app

    team = team_of(replace(call.settings, app=name))
    rules = app_rules(team)
    if rules is None:
        fail(f"{team.why}. Mend the import, or name the app with --app MODULE:FACTORY.")
    return rules


def _routes_text(rules: list[AppRule]) -> str:
    """The routes as YAML, in the app's order; Flask's own static rule is not a feature to move."""
    seen: set[str] = set()
    lines: list[str] = []
    for rule in rules:
        name = derived_name(_methods(rule), rule.rule)
        if rule.rule == "/static/<path:filename>" or name in seen:
            continue
        seen.add(name)
        lines += [f"  - name: {name}", f"    path: {_quoted(rule.rule)}"]
        if rule.methods:
            lines.append(f"    methods: [{', '.join(_methods(rule))}]")
        lines.append("    target: legacy")
    return "\n".join(["routes:", *lines, ""]) if lines else "routes: []\n"


def _methods(rule: AppRule) -> tuple[str, ...]:
    """The rule's methods without those Flask adds by itself."""
    return tuple(sorted((rule.methods or frozenset()) - {"HEAD", "OPTIONS"}))


def _quoted(text: str) -> str:
    """A plain scalar where YAML reads it back as it stands."""
    plain = all(char.isalnum() or char in "/<>:_-.,()=" for char in text) and ": " not in text
    return text if plain and not text.endswith(":") else "'" + text.replace("'", "''") + "'"


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.")
