"""A table that names no app: the front door stands in front of legacy, and Flask comes later."""

from __future__ import annotations

import pytest

from overgrow import create_app
from overgrow.settings import Settings

TABLE = """\
version: 1
legacy:
  url: http://127.0.0.1:9
routes:
  - path: /a
    target: {target}
"""
NAME_ONE = "Add app: MODULE:FACTORY at the top, as in app: shop:create_app"


@pytest.mark.parametrize("target", ["legacy", "gone"])
def test_routes_that_no_app_serves_need_none(bare, target):
    bare.table.write_text(TABLE.format(target=target))

    assert 0 == bare("check").exit_code


@pytest.mark.parametrize(
    "target",
    ["migrated", "legacy\n    canary: 1%", "legacy\n    shadow: 1%"],
)
def test_a_route_that_needs_an_app_names_the_line_to_add(bare, target):
    bare.table.write_text(TABLE.format(target=target))

    told = bare.fails("check")

    assert NAME_ONE in told
    assert told.rstrip().endswith("[app-missing]")


def test_a_flip_to_migrated_without_an_app_writes_nothing(bare):
    bare.table.write_text(TABLE.format(target="legacy"))
    told = bare.fails("flip", "a", "migrated")

    assert NAME_ONE in told
    assert TABLE.format(target="legacy") == bare.table.read_text()


def test_the_smallest_table_of_the_documentation_is_valid(bare):
    bare.table.write_text("version: 1\nlegacy:\n  url: http://127.0.0.1:9000\n")

    assert 0 == bare("check").exit_code


def test_the_wsgi_app_of_a_table_without_an_app_is_an_empty_flask_app(bare):
    bare.table.write_text(TABLE.format(target="legacy"))

    app = create_app(Settings(config=bare.table))

    assert [] == list(app.url_map.iter_rules())
    assert 502 == app.test_client().get("/anything").status_code


def test_an_app_that_workers_have_not_loaded_is_not_said_to_lack_a_rule(bare):
    from overgrow.table.reading.app_rules import NO_APP  # noqa: PLC0415
    from overgrow.table.reading.parse import parse  # noqa: PLC0415

    text = f"app: shop:create_app\n{TABLE.format(target='migrated')}"
    loaded = parse(text.encode(), file="routes.yaml", env={}, rules=[NO_APP], app_in_use="")

    assert ["app-missing"] == [problem.code for problem in loaded.problems]
    assert "started before the table named shop:create_app" in loaded.problems[0].message
