"""`overgrow init` on day one of a migration: there is a legacy app, and no Flask app yet."""

from __future__ import annotations

import json

import pytest
import yaml

from overgrow.table.last_good import keep_last_good

WORDS = ["init", "--legacy", "http://127.0.0.1:9000"]


def test_without_an_app_everything_is_on_legacy(bare):
    done = bare(*WORDS)

    assert (0, "Wrote routes.yaml: everything on legacy http://127.0.0.1:9000.") == (
        done.exit_code,
        done.stdout.splitlines()[0],
    )
    assert {
        "version": 1,
        "legacy": {"url": "http://127.0.0.1:9000"},
        "routes": [],
    } == yaml.safe_load(bare.table.read_text())
    assert 0 == bare("check").exit_code


def test_without_an_app_it_says_how_to_add_one_later(bare):
    told = bare(*WORDS).stdout

    assert "overgrow init --add --app MODULE:FACTORY" in told


@pytest.mark.parametrize(
    ("copied", "written"),
    [
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("HTTP://Localhost/", "http://localhost"),
        ("${SHOP:-http://127.0.0.1:9000/}", "${SHOP:-http://127.0.0.1:9000/}"),
    ],
)
def test_the_slash_of_an_address_copied_from_a_browser_is_taken(bare, copied, written):
    done = bare("init", "--legacy", copied)

    assert (0, written) == (done.exit_code, yaml.safe_load(bare.table.read_text())["legacy"]["url"])
    assert 0 == bare("check").exit_code


def test_that_slash_is_taken_in_a_table_too(bare):
    bare.table.write_text("version: 1\nlegacy:\n  url: http://127.0.0.1:9000/\n")

    assert "legacy is http://127.0.0.1:9000\n" in bare("routes").stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("localhost:9000", "Write http://localhost:9000, or https:// where it speaks TLS."),
        ("192.0.2.7:80/", "Write http://192.0.2.7:80, or https:// where it speaks TLS."),
        ("ash:secret@legacy:9000", "Write http://HOST:PORT, https://HOST:PORT or unix:/PATH."),
        (
            "http://l\u00e4den.example:9000",
            "Write http://xn--lden-loa.example:9000, the host in ASCII.",
        ),
        ("http://my host:9000", "contains a blank. Write http://HOST:PORT without blanks."),
    ],
)
def test_an_address_that_is_none_is_told_with_its_right_spelling(bare, given, told):
    assert told in " ".join(bare.misused("init", "--legacy", given).split())


def test_it_says_how_responses_show_who_answered(bare):
    assert "OVERGROW_EXPOSE=1" in bare(*WORDS).stdout


def test_the_line_that_waits_for_an_app_is_replaced_by_it(bare):
    bare(*WORDS)
    bare.table.with_name("shop2.py").write_text("import flask\napp = flask.Flask('shop2')\n")

    assert 0 == bare("init", "--add", "--app", "shop2:app").exit_code
    assert ["app: shop2:app"] == [
        line for line in bare.table.read_text().splitlines() if "app:" in line
    ]


def test_the_next_commands_quote_the_name_of_the_table_for_a_shell(bare):
    told = bare(*WORDS, "--config", "my table.yaml").stdout

    assert "Next: overgrow serve --config 'my table.yaml', then" in told


def test_beside_a_running_front_door_no_second_one_is_proposed(bare, monkeypatch):
    monkeypatch.setattr(
        "overgrow.cli.init.is_door_running", {bare.folder / ".overgrow"}.__contains__
    )

    told = bare(*WORDS).stdout

    assert "Next: overgrow status shows that the running front door has it, then" in told


def test_init_with_an_app_beside_a_front_door_proposes_a_reload(bare, monkeypatch):
    monkeypatch.setattr(
        "overgrow.cli.init.is_door_running", {bare.folder / ".overgrow"}.__contains__
    )
    bare.table.with_name("shop2.py").write_text("import flask\napp = flask.Flask('shop2')\n")

    told = bare(*WORDS, "--app", "shop2:app").stdout

    assert "Next: overgrow reload, then overgrow flip ROUTE migrated\n" in told


def test_more_than_that_slash_is_no_address(bare):
    assert "has a path or query" in bare.misused("init", "--legacy", "http://127.0.0.1:9000//")


def test_it_says_what_legacy_answers(bare, admin):
    with admin(lambda _: (200, {})) as (_, address):
        done = bare("init", "--legacy", f"http://{address}")

    assert f"Legacy responds to GET /: 200 OK, from {_server()}." in done.stdout


def test_as_json_it_says_what_legacy_answers(bare, admin):
    with admin(lambda _: (404, {})) as (_, address):
        told = bare.json("init", "--legacy", f"http://{address}")[1]

    assert {"url": f"http://{address}", "status": 404, "server": _server(), "error": None} == told[
        "legacy"
    ]


def test_legacy_that_does_not_answer_is_a_note_and_no_failure(bare):
    done = bare("init", "--legacy", "http://127.0.0.1:1")

    assert (0, True) == (done.exit_code, bare.table.exists())
    assert (
        "note: legacy does not respond at http://127.0.0.1:1 now: connection refused."
        in done.stderr
    )


def test_without_legacy_it_takes_that_of_the_front_door_that_ran_here(bare):
    keep_last_good(
        _made(bare.folder / ".overgrow"), b"version: 1\nlegacy: {url: 'http://127.0.0.1:7'}\n"
    )

    assert 0 == bare("init").exit_code
    assert "http://127.0.0.1:7" == yaml.safe_load(bare.table.read_text())["legacy"]["url"]


def test_without_legacy_and_a_front_door_it_asks_for_the_address(bare):
    assert "Missing option '--legacy URL'" in bare.misused("init")
    assert "Missing option" in json.loads(bare("init", "--json").stdout)["error"]["message"]


def _made(folder):
    folder.mkdir()
    return folder


def _server():
    from http.server import BaseHTTPRequestHandler  # noqa: PLC0415

    handler = BaseHTTPRequestHandler
    return f"{handler.server_version} {handler.sys_version}"
