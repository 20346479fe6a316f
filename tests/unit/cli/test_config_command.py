import json
import os

import pytest

from overgrow.cli.settings_in_force import REPORT, publish_settings, report_settings
from overgrow.settings import Settings
from overgrow.table.running import describe_front_door
from tests.unit.table.test_running import holding

SECRETS = ("OVERGROW_SECRET", "OVERGROW_ADMIN_TOKEN", "OVERGROW_STORE_URL")


def rows_of(payload):
    return {row["variable"] or row["flag"]: row for row in payload["settings"]}


def shown(overgrow, *words, **environment):
    """The settings that `overgrow config --json` shows, by variable or flag."""
    code, payload = overgrow.json("config", *words, **environment)
    assert 0 == code
    return rows_of(payload)


def report(*rows):
    base = {"flag": None, "file": None, "secret": False, "change": "restart"}
    return {"version": "9.8.7", "settings": [{**base, **row} for row in rows]}


def row(name, value, source="environment"):
    return {"name": name, "variable": f"OVERGROW_{name.upper()}", "value": value, "source": source}


@pytest.fixture
def door(overgrow):
    """A front door that runs on the state folder and has published some settings, or none."""
    state = overgrow.folder / ".overgrow"
    state.mkdir()

    def run(published):
        if published is not None:
            published = {"pid": os.getpid(), **published}
            (state / REPORT).write_text(json.dumps(published))
        return holding(state, describe_front_door(overgrow.table, "a", "b"))

    return run


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("OVERGROW_THREADS", "4", "environment"),
        ("OVERGROW_GRACE", "25s", "default"),
        ("OVERGROW_APP", "shop:create_app", "table"),
        ("OVERGROW_CONFIG", "routes.yaml", "flag"),
        ("OVERGROW_STATE", ".overgrow", "default"),
        ("--legacy", None, "default"),
    ],
)
def test_each_value_says_where_it_came_from(overgrow, name, value, source):
    rows = shown(overgrow, "--config", "routes.yaml", OVERGROW_THREADS="4")

    assert (value, source) == (rows[name]["value"], rows[name]["source"])


def test_a_value_of_an_env_file_names_the_file(overgrow, monkeypatch):
    monkeypatch.setenv("OVERGROW_THREADS", "")
    monkeypatch.delenv("OVERGROW_THREADS")
    monkeypatch.setenv("OVERGROW_WORKERS", "3")
    file = overgrow.folder / "prod.env"
    file.write_text("OVERGROW_THREADS=4\nOVERGROW_WORKERS=9\n")

    rows = shown(overgrow, "--env-file", "prod.env")

    assert ("4", "env-file", str(file)) == tuple(
        rows["OVERGROW_THREADS"][key] for key in ("value", "source", "file")
    )
    assert ("3", "environment") == (
        rows["OVERGROW_WORKERS"]["value"],
        rows["OVERGROW_WORKERS"]["source"],
    )


def test_a_change_of_the_app_in_the_table_needs_a_reload(overgrow):
    in_table, by_variable = shown(overgrow), shown(overgrow, OVERGROW_APP="shop:create_app")

    assert "reload" == in_table["OVERGROW_APP"]["change"]
    assert "restart" == by_variable["OVERGROW_APP"]["change"]


def test_a_listener_that_the_service_manager_passed_says_so():
    rows = report_settings(Settings(bind="0.0.0.0:80"), {"bind": "a:1", "admin": "a:2"}, ["bind"])

    assert [("bind", "0.0.0.0:80", "socket")] == [
        (row["name"], row["value"], row["source"]) for row in rows if row["source"] == "socket"
    ]


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("name", SECRETS)
def test_no_output_shows_a_secret(overgrow, name, words):
    done = overgrow("config", *words, **{name: "hunter2"})

    assert "hunter2" not in done.output
    assert "set" == shown(overgrow, **{name: "hunter2"})[name]["value"]


def test_config_works_without_a_table(bare):
    assert bare("config").stdout.startswith("The settings of this shell; no front door runs on ")


def test_a_setting_that_cannot_be_used_is_named(overgrow):
    assert "OVERGROW_WORKERS is 'many'" in overgrow.misused("config", OVERGROW_WORKERS="many")


def test_an_unknown_variable_is_told_with_the_nearest_name(overgrow):
    done = overgrow("config", OVERGROW_WORKER="3")

    told = "note: OVERGROW_WORKER is set, and no setting has this name. Did you mean OVERGROW_WORKERS?\n"
    assert told == done.stderr


def test_a_variable_that_the_table_fills_in_is_not_told(overgrow):
    text = overgrow.table.read_text()
    overgrow.table.write_text(text.replace("http://127.0.0.1:9000", "${OVERGROW_UPSTREAM}"))

    assert "" == overgrow("config", OVERGROW_UPSTREAM="http://a:1").stderr


def test_the_settings_of_a_running_front_door_are_shown(overgrow, door):
    with door(report(row("threads", "16"))):
        code, payload = overgrow.json("config", OVERGROW_THREADS="32")

    assert (0, "front_door", "9.8.7") == (code, payload["of"], payload["front_door"]["version"])
    assert "16" == rows_of(payload)["OVERGROW_THREADS"]["value"]
    assert [
        {"name": "threads", "variable": "OVERGROW_THREADS", "here": "32", "running": "16"}
    ] == payload["differs"]


def test_a_value_that_only_the_shell_has_is_told(overgrow, door):
    with door(report(row("threads", "16"))):
        told = overgrow("config", OVERGROW_THREADS="32").stderr

    assert told.startswith(
        "note: OVERGROW_THREADS is 32 in this shell; the front door runs with 16."
    )


def test_a_front_door_that_publishes_nothing_is_said_so(overgrow, door):
    with door(None):
        text = overgrow("config").stdout

    assert "does not say its settings. These are the settings of this shell.\n" in text


def test_the_report_of_a_front_door_that_has_ended_is_not_shown(overgrow, door):
    with door({**report(row("threads", "77")), "pid": 1}):
        _, payload = overgrow.json("config")

    assert "shell" == payload["of"]


def test_a_default_of_this_shell_is_no_difference(overgrow, door):
    with door(report(row("threads", "77"))):
        _, payload = overgrow.json("config")

    assert [] == payload["differs"]


def test_only_its_user_can_read_the_report_of_a_front_door(tmp_path):
    publish_settings(Settings(state=tmp_path), {})

    assert 0o600 == (tmp_path / REPORT).stat().st_mode & 0o777


@pytest.mark.parametrize(
    "published",
    [
        pytest.param({}, id="no settings"),
        pytest.param({**report(), "settings": 7}, id="settings that are no list"),
        pytest.param({**report(), "version": None}, id="no version"),
        pytest.param(report() | {"settings": [None]}, id="a row that is none"),
        pytest.param(report() | {"settings": [{"name": "bind"}]}, id="a row without its fields"),
        pytest.param(report(row("bind", {"a": 1})), id="a value that is no text"),
        pytest.param(report(row("bind", "a:1", source=[])), id="a source that is no text"),
    ],
)
def test_a_garbled_report_of_a_front_door_is_not_shown(overgrow, door, published):
    with door(published):
        code, payload = overgrow.json("config")

    assert (0, "shell") == (code, payload["of"])


def test_a_deeply_nested_report_of_a_front_door_is_not_shown(overgrow, door):
    with door(None):
        (overgrow.folder / ".overgrow" / REPORT).write_text("[" * 200_000)
        code, payload = overgrow.json("config")

    assert (0, "shell") == (code, payload["of"])
