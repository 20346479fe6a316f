"""`overgrow check` and `overgrow routes`: what the table says, and whether it may take effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from proxy.cli.context import Call, Problems, columns, loaded_table, shared_options
from proxy.loading.parse import Loaded
from proxy.loading.problems import Problem
from proxy.loading.values import percent_text
from proxy.observe.describe import route_json
from proxy.routing.model import Route


@click.command(short_help="Say whether the table may take effect.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--no-app", is_flag=True, help="Do not import the app; skip what needs its rules.")
@shared_options
def check(call: Call, file: Path | None, no_app: bool) -> None:  # noqa: FBT001  click's
    """Report every problem of FILE (default: the table of --config), in file order.

    Also imports the app and checks that it has a rule for each route that may send to it.
    """
    if file is not None:
        call = call._replace(settings=replace(call.settings, config=file))
    lacking, loaded = _checked(call, app=not no_app)
    problems = [*lacking, *loaded.problems]
    revision = loaded.table.revision if loaded.table else None
    if call.json:
        told = {
            "ok": not problems,
            "revision": revision,
            "problems": [problem.as_json() for problem in problems],
            "notes": [note.as_json() for note in loaded.notes],
        }
        call.answer(told, "")
        raise SystemExit(1 if problems else 0)
    for note in loaded.notes:
        click.echo(f"note: {note}", err=True)
    if problems:
        raise Problems(problems)
    if no_app:
        click.echo(
            "note: the app was not imported (--no-app): its rules were not checked", err=True
        )
    count = len(loaded.table.routes) if loaded.table else 0
    click.echo(f"{call.config}: ok, {count} route{'' if count == 1 else 's'}, revision {revision}")


def _checked(call: Call, *, app: bool) -> tuple[list[Problem], Loaded]:
    if not app:
        return [], loaded_table(call, None)
    from proxy.app import app_problems, app_rules, team_of  # noqa: PLC0415  imports Flask and the app

    loaded_table(call, None)  # a table that cannot be read is said before the app is imported
    team = team_of(call.settings)
    return app_problems(call.settings, team), loaded_table(call, app_rules(team))


@click.command(short_help="List the routes in matching order.")
@shared_options
def routes(call: Call) -> None:
    """List the routes in the order in which they are tried; the first that takes a request wins."""
    loaded = loaded_table(call, None)
    if loaded.table is None:
        raise Problems(loaded.problems)
    table = loaded.table
    call.answer(
        [route_json(route) for route in table.routes], _listing(table.routes, table.legacy.url)
    )


def _listing(routes_in_order: tuple[Route, ...], legacy_url: str) -> str:
    head = ("ROUTE", "METHODS", "PATH", "ONLY IF", "TARGET", "LINE")
    rows = [head, *(_row(route) for route in routes_in_order)]
    rows.append(("(default)", "all", "everything else", "", f"legacy {legacy_url}", ""))
    return columns(rows)


def _row(route: Route) -> tuple[str, ...]:
    path = route.path if route.path is not None else f"{route.prefix} and below"
    methods = ",".join(route.methods) if route.methods else "all"
    conditions = [route.host] if route.host else []
    conditions += [predicate.label for predicate in route.predicates]
    target = route.target + (f" canary {percent_text(route.canary)}" if route.canary else "")
    target += "" if route.reversible else " (irreversible)"
    return (route.name, methods, path, " ".join(conditions), target, str(route.line))
