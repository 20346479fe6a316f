"""What a team's app names in `extensions["asgi"]`, read as plain data."""

from __future__ import annotations

import sys

import pytest

from overgrow.app import app_rules, check_start, create_app
from overgrow.app_loader.loader import import_team_app
from overgrow.settings import Settings
from overgrow.table.live import NoUsableTable

APP = """\
from flask import Flask


def create_app():
    app = Flask("team", static_folder=None)
    {statement}
    return app
"""


@pytest.fixture
def import_team(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "mounting_team", raising=False)

    def made(statement):
        (tmp_path / "mounting_team.py").write_text(APP.format(statement=statement))
        return import_team_app("mounting_team:create_app", tmp_path)

    yield made
    sys.modules.pop("mounting_team", None)


def test_mounted_prefixes_are_rules_of_the_app(import_team):
    team = import_team('app.extensions["asgi"] = {"/live": print, "/a/b": print}')

    assert team.mounts == (("/live", print), ("/a/b", print))
    assert [(one.rule, one.asgi) for one in app_rules(team)] == [("/live", True), ("/a/b", True)]


def test_an_app_without_mounts_has_none(import_team):
    team = import_team("pass")

    assert (team.mounts, app_rules(team)) == ((), [])


@pytest.mark.parametrize(
    "mounts",
    [
        "[print]",
        "{'live': print}",
        "{'/live/': print}",
        "{'/<x>': print}",
        "{'/a//b': print}",
        "{'/live': 'print'}",
        "{7: print}",
        "{'': print}",
    ],
)
def test_mounts_that_cannot_be_used_are_told_like_a_broken_import(import_team, mounts):
    team = import_team(f'app.extensions["asgi"] = {mounts}')

    assert team.flask is None
    assert 'extensions["asgi"]' in team.why


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Settings of a folder in which there is nothing yet."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return Settings(config=tmp_path / "routes.yaml", app=None)


def test_a_start_without_a_table_asks_for_the_table_not_for_an_app(nowhere):
    codes = [problem.code for problem in check_start(nowhere).problems]

    assert ["file-missing"] == codes
    with pytest.raises(NoUsableTable, match="overgrow init"):
        create_app(nowhere)


def test_an_unimportable_app_is_reported_to_a_wsgi_server_with_its_fix(nowhere):
    nowhere.config.write_text(
        "version: 1\napp: nothing_like_that:create_app\nlegacy: {url: http://h}\n"
    )

    with pytest.raises(RuntimeError, match=r"No module named .*OVERGROW_APP. \[app-import\]"):
        create_app(nowhere)
