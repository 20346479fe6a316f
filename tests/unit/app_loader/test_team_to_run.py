"""Which app runs beside which table, where the file is refused or its app cannot be had."""

from __future__ import annotations

import os
import sys

import pytest

from overgrow.app import Overgrow, check_start, import_team_to_run
from overgrow.settings import Settings

APP = """\
from flask import Flask


def create_app():
    app = Flask(__name__)
    {statement}
    return app
"""
TABLE = """\
version: 1
app: {app}:create_app
legacy: {{url: 'http://127.0.0.1:1'}}
routes:
  - {{name: x, path: /x, target: migrated}}
"""
SERVES_X = 'app.add_url_rule("/x", "x", lambda: __name__)'
NAMES = ("first_team", "second_team", "broken_team")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A table that took effect with its app; another app beside it, and one that cannot be imported."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delenv("TEAM", raising=False)
    for name, statement in zip(NAMES, (SERVES_X, "pass", "raise ValueError('no')"), strict=True):
        (tmp_path / f"{name}.py").write_text(APP.format(statement=statement))
    (tmp_path / "routes.yaml").write_text(TABLE.format(app="first_team"))
    found = Settings(config=tmp_path / "routes.yaml")
    assert check_start(found).problems == []
    yield found
    for name in NAMES:
        sys.modules.pop(name, None)


def lay(settings, text):
    """Put a whole table in the place of the one that ran."""
    new = settings.config.with_name("new.yaml")
    new.write_text(text)
    new.replace(settings.config)


def running(settings):
    """The app and the name of the route that a worker of this moment would serve."""
    team = import_team_to_run(settings)
    overgrow = Overgrow(settings, team)
    return team.name, [route.name for route in overgrow.live.matcher.table.routes]


OURS = ("first_team:create_app", ["x"])
REFUSED = [
    pytest.param("", id="an empty table"),
    pytest.param(TABLE.format(app="second_team").replace("version: 1", ""), id="an invalid one"),
    pytest.param(TABLE.format(app="second_team"), id="one whose app lacks a rule"),
    pytest.param(TABLE.format(app="${TEAM}"), id="one whose variable is not set"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_refused_table_leaves_the_last_good_one_with_its_app(settings, text):
    lay(settings, text)

    assert running(settings) == OURS


def test_a_table_that_is_gone_leaves_the_last_good_one_with_its_app(settings):
    settings.config.unlink()

    assert running(settings) == OURS


def test_an_app_that_is_wrong_is_not_imported_for_a_table_that_is(settings):
    lay(settings, TABLE.format(app="second_team").replace("path", "pth"))
    running(settings)

    assert "second_team" not in sys.modules


def test_a_valid_table_brings_its_own_app(settings):
    lay(settings, TABLE.format(app="second_team").replace("migrated", "legacy"))

    assert running(settings) == ("second_team:create_app", ["x"])


def test_the_app_that_ran_stands_in_for_one_that_cannot_be_imported(settings):
    lay(settings, TABLE.format(app="broken_team"))
    team = import_team_to_run(settings)

    assert (team.name, team.why) == ("first_team:create_app", "")
    assert "broken_team:create_app cannot be imported: ValueError: no" in team.note
    assert "first_team:create_app runs on" in team.note
    assert Overgrow(settings, team).app_note == team.note


def test_a_named_app_beats_that_of_the_last_good_table(settings):
    lay(settings, "")
    named = Settings(config=settings.config, app="second_team:create_app")

    assert import_team_to_run(named).name == "second_team:create_app"


def test_the_last_good_table_keeps_the_app_that_a_variable_named(settings, monkeypatch):
    monkeypatch.setenv("TEAM", "first_team")
    lay(settings, TABLE.format(app="${TEAM}"))
    assert check_start(settings).problems == []
    lay(settings, "")
    monkeypatch.setitem(os.environ, "TEAM", "second_team")

    assert running(settings) == OURS


def test_a_start_from_the_last_good_table_imports_its_app(settings):
    lay(settings, "")
    checked = check_start(settings, from_last_good=True)

    assert checked.problems == ()
    assert [note.code for note in checked.notes] == ["file-empty"]


def test_a_killed_start_beside_a_refused_table_imports_the_last_good_app(settings):
    lay(settings, "")
    settings.config.with_name("routes.yaml.kill").touch()

    assert check_start(settings).problems == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        pytest.param("raise GeneratorExit", "GeneratorExit", id="no Exception"),
        pytest.param(
            "import asyncio; raise asyncio.CancelledError('late')",
            "CancelledError: late",
            id="a task that was cancelled",
        ),
        pytest.param(
            "raise type('Own', (BaseException,), {})('boo')", "Own: boo", id="a class of its own"
        ),
        pytest.param(
            "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
            "Mute: no text, as its __str__ raises ZeroDivisionError",
            id="an error that cannot say what it is",
        ),
        pytest.param(
            "raise type('Mute', (Exception,), {'__str__': lambda self: 7})",
            "Mute: no text, as its __str__ raises TypeError",
            id="an error whose text is none",
        ),
    ],
)
def test_whatever_an_app_raises_is_a_problem_and_no_crash(settings, statement, told):
    config = settings.config.with_name("broken_team.py")
    config.write_text(APP.format(statement=statement))
    lay(settings, TABLE.format(app="broken_team"))

    (problem,) = check_start(settings).problems

    assert problem.code == "app-import"
    assert f"broken_team:create_app cannot be imported: {told} at " in str(problem)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        pytest.param(
            "def create_app(): ...\ndef make_app(name): ...\ndef _hidden(): ...",
            "It has nameless_team:create_app",
            id="a factory",
        ),
        pytest.param(
            "from flask import Flask, jsonify\nshop = Flask(__name__)",
            "It has nameless_team:shop",
            id="an app",
        ),
        pytest.param(
            "from flask import Flask\nversion = 3",
            "It has neither a Flask app nor a function that could make one",
            id="neither",
        ),
    ],
)
def test_a_wrong_factory_names_what_the_module_has(settings, monkeypatch, code, told):
    monkeypatch.delitem(sys.modules, "nameless_team", raising=False)
    settings.config.with_name("nameless_team.py").write_text(code)
    lay(
        settings,
        TABLE.format(app="nameless_team:creat_app").replace(":creat_app:create_app", ":creat_app"),
    )

    (problem,) = check_start(settings).problems

    assert "nameless_team has no creat_app" in str(problem)
    assert told in str(problem)
