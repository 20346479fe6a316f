import errno
import json
from pathlib import Path

import pytest
import yaml

from overgrow.cli import init

WORDS = ["init", "--legacy", "http://127.0.0.1:9000", "--app", "shop:create_app"]
HEAD = """\
from flask import Blueprint, Flask
from werkzeug.routing import BaseConverter

class Even(BaseConverter):
    regex = "[02468]+"

def view(**_values):
    return ""

def create_app():
"""


@pytest.fixture
def app(bare):
    """Write an app from the lines of its factory; they need not make the Flask object."""

    def write(*lines, made="app = Flask(__name__)"):
        body = [made, *lines, "return app"]
        bare.app.write_text(HEAD + "".join(f"    {line}\n" for line in body))
        return bare

    return write


def routes_of(bare):
    return yaml.safe_load(bare.table.read_text())["routes"]


def test_init_writes_one_route_per_rule_all_on_legacy(app):
    bare = app(
        'app.add_url_rule("/orders", "a", view, methods=["GET", "POST"])',
        'app.add_url_rule("/orders/<int:id>", "b", view)',
    )

    done = bare(*WORDS)

    assert (0, "Wrote routes.yaml: 2 routes, all on legacy http://127.0.0.1:9000.") == (
        done.exit_code,
        done.stdout.splitlines()[0],
    )
    assert [
        {
            "name": "get-post-orders",
            "path": "/orders",
            "methods": ["GET", "POST", "OPTIONS"],
            "target": "legacy",
        },
        {
            "name": "get-orders-id",
            "path": "/orders/<int:id>",
            "methods": ["GET"],
            "target": "legacy",
        },
    ] == routes_of(bare)


def test_what_init_writes_passes_check_and_can_be_flipped(app):
    bare = app('app.add_url_rule("/a", "a", view)')
    bare(*WORDS)

    assert (0, 0) == (bare("check").exit_code, bare("flip", "get-a", "migrated").exit_code)


def test_as_json_it_names_file_routes_and_what_it_left_out(app):
    bare = app('app.add_url_rule("/a", "a", view)')

    assert (
        0,
        {
            "file": "routes.yaml",
            "schema": "routes.schema.json",
            "routes": ["get-a"],
            "skipped": [],
            "legacy": {
                "url": "http://127.0.0.1:9000",
                "status": None,
                "server": None,
                "error": "connection refused",
            },
        },
    ) == bare.json(*WORDS)


def test_an_existing_table_is_left_alone(app):
    bare = app()
    bare.table.write_text("mine")

    assert "[file-exists]" in bare.fails(*WORDS)
    assert "mine" == bare.table.read_text()


def test_a_link_that_leads_nowhere_is_left_alone(app):
    bare = app()
    bare.table.symlink_to("elsewhere")

    assert "[file-exists]" in bare.fails(*WORDS)


def test_flasks_static_files_are_left_out_wherever_they_are(app):
    bare = app(made='app = Flask(__name__, static_url_path="/assets")')
    bare(*WORDS)

    assert [] == routes_of(bare)


def test_static_files_of_a_blueprint_are_a_feature_to_move(app):
    bare = app(
        'shop = Blueprint("shop", __name__, url_prefix="/shop", static_folder="files")',
        'shop.add_url_rule("/", "index", view)',
        "app.register_blueprint(shop)",
    )
    bare(*WORDS)

    assert {"/shop/", "/shop/files/<path:filename>"} == {one["path"] for one in routes_of(bare)}


def test_rules_with_one_derived_name_get_a_number(app):
    bare = app('app.add_url_rule("/a-b", "1", view)', 'app.add_url_rule("/a/b", "2", view)')
    bare(*WORDS)

    assert ["get-a-b", "get-a-b-2"] == [one["name"] for one in routes_of(bare)]


def test_two_rules_of_one_shape_share_its_methods(app):
    bare = app(
        'app.add_url_rule("/x/<int:a>", "1", view)',
        'app.add_url_rule("/x/<int:b>", "2", view, methods=["GET", "PUT"])',
    )
    bare(*WORDS)

    assert [["GET"], ["PUT", "OPTIONS"]] == [one["methods"] for one in routes_of(bare)]


def test_a_rule_whose_requests_are_all_taken_is_left_out_with_a_note(app):
    bare = app(
        'app.add_url_rule("/x/<int:a>", "1", view)', 'app.add_url_rule("/x/<int:b>", "2", view)'
    )

    done = bare(*WORDS)

    assert ["get-x-a"] == [one["name"] for one in routes_of(bare)]
    assert "note: left out /x/<int:b>: earlier rules match all its requests" in done.stderr


def test_a_rule_with_a_converter_of_the_apps_own_is_left_out_with_a_note(app):
    bare = app('app.url_map.converters["even"] = Even', 'app.add_url_rule("/<even:n>", "1", view)')

    told = bare.json(*WORDS)[1]

    assert ([], "/<even:n>") == (told["routes"], told["skipped"][0]["rule"])
    assert 'converter "even" is not known' in told["skipped"][0]["why"]


def test_rules_that_match_equally_well_are_ordered_by_the_first(app):
    bare = app(
        'app.add_url_rule("/<string:a>", "1", view)',
        'app.add_url_rule("/<string(length=2):a>", "2", view)',
    )

    told = bare.json(*WORDS)[1]

    assert (1, ["get-a"]) == (len(told["skipped"]), told["routes"])
    assert "nothing says which comes first" in told["skipped"][0]["why"]


def test_hosts_of_host_matching_become_host_predicates(app):
    bare = app(
        'app.add_url_rule("/a", "1", view, host="api.example")',
        'app.add_url_rule("/a", "2", view, host="<sub>.example")',
        made='app = Flask(__name__, host_matching=True, static_host="api.example")',
    )

    done = bare(*WORDS)

    assert ["api.example"] == [one["host"] for one in routes_of(bare)]
    assert "its host <sub>.example is a pattern" in done.stderr


def test_subdomains_become_host_predicates(app):
    bare = app(
        'app.config["SERVER_NAME"] = "shop.example:8000"',
        'app.add_url_rule("/a", "1", view, subdomain="api")',
        made="app = Flask(__name__, subdomain_matching=True)",
    )
    bare(*WORDS)

    assert ["api.shop.example"] == [one["host"] for one in routes_of(bare)]


def test_a_rule_for_options_alone_keeps_it(app):
    bare = app('app.add_url_rule("/a", "1", view, methods=["OPTIONS"])')
    bare(*WORDS)

    assert [["OPTIONS"]] == [one["methods"] for one in routes_of(bare)]


@pytest.mark.parametrize("rule", ["/<any(a,'b c'):x>", "/a: b", "/${x}", "/caf\u00e9", "/it's"])
def test_any_path_is_read_back_as_it_stands(app, rule):
    bare = app(f"app.add_url_rule({rule!r}, '1', view)")

    assert (0, 0) == (bare(*WORDS).exit_code, bare("check").exit_code)
    assert [rule] == [one["path"] for one in json.loads(bare("routes", "--json").stdout)]


def test_the_table_names_a_schema_that_lies_beside_it(app):
    bare = app()
    bare(*WORDS)

    first = bare.table.read_text().splitlines()[0]
    schema = bare.folder / first.partition("$schema=")[2]

    assert "# yaml-language-server: $schema=routes.schema.json" == first
    assert "Overgrow route table, version 1" == json.loads(schema.read_text())["title"]


def test_a_checkout_of_overgrow_has_its_schema_already(app):
    bare = app()
    published = bare.folder / "proxy/overgrow/routes.schema.json"
    published.parent.mkdir(parents=True)
    published.touch()
    bare(*WORDS)

    assert "$schema=proxy/overgrow/routes.schema.json" in bare.table.read_text()
    assert not Path("routes.schema.json").exists()


def test_every_file_that_is_written_is_said(app):
    bare = app()
    before = set(bare.folder.iterdir())
    told = bare(*WORDS).stdout

    written = {path.name for path in bare.folder.iterdir()} - {path.name for path in before}
    assert {"routes.yaml", "routes.schema.json"} == written - {"__pycache__"}
    assert "Wrote routes.yaml: " in told
    assert "Wrote routes.schema.json: " in told


def test_a_schema_that_was_there_is_said_to_be_so(app):
    bare = app()
    Path("routes.schema.json").write_text("mine")
    told = bare(*WORDS).stdout

    assert "Its schema is routes.schema.json: " in told


def test_a_table_that_somebody_made_meanwhile_is_left_alone(app, monkeypatch):
    bare = app()
    real = init.first_table

    def meanwhile(*given):
        bare.table.write_text("theirs")
        return real(*given)

    monkeypatch.setattr(init, "first_table", meanwhile)

    assert bare(*WORDS).exit_code == 1
    assert bare.table.read_text() == "theirs"


def test_of_two_files_both_are_written_or_none(app, monkeypatch):
    bare = app()
    opened = Path.open

    def full(path, *args, **given):
        file = opened(path, *args, **given)
        if path.name == "routes.yaml":
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    monkeypatch.setattr(Path, "open", full)
    code, told = bare.json(*WORDS)

    assert (1, "file-unwritable") == (code, told["error"]["code"])
    assert "No space left on device." in told["error"]["message"]
    assert not Path("routes.schema.json").exists()


def test_a_schema_that_is_there_is_left_alone(app):
    bare = app()
    Path("routes.schema.json").write_text("mine")
    bare(*WORDS)

    assert "mine" == Path("routes.schema.json").read_text()


def test_a_variable_as_legacy_stays_one(app):
    bare = app()

    bare("init", "--app", "shop:create_app", "--legacy", "${LEGACY_URL:-http://127.0.0.1:9000}")

    assert "url: ${LEGACY_URL:-http://127.0.0.1:9000}\n" in bare.table.read_text()


@pytest.mark.parametrize(
    ("legacy", "name"),
    [
        ("127.0.0.1:9000", "shop:create_app"),
        ("http://h/path", "shop:create_app"),
        ("http://h", "shop"),
        ("http://h", "shop:create_app()"),
        ("${NOT_SET}", "shop:create_app"),
    ],
)
def test_a_value_that_is_none_is_bad_usage_with_the_fix(app, legacy, name):
    told = app().misused("init", "--legacy", legacy, "--app", name)

    assert "Write" in told or "write" in told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1/0", "ZeroDivisionError"),
        ("create_app = lambda: 5", "returns int, not a flask.Flask"),
        ("import sys; sys.exit(3)", "sys.exit(3)"),
        ("import nothing_like_that", "No module named 'nothing_like_that'"),
    ],
)
def test_an_app_that_cannot_be_had_is_told_with_its_reason(bare, text, reason):
    bare.app.write_text(text)

    told = bare.fails(*WORDS)

    assert (True, True) == (reason in told, "[app-import]" in told)
    assert not bare.table.exists()


def test_a_folder_that_is_not_there_is_told(app, monkeypatch):
    bare = app()
    monkeypatch.syspath_prepend(bare.folder)

    told = bare.fails(*WORDS, "--config", "new/routes.yaml")

    assert "new/routes.yaml cannot be written: No such file or directory." in told
    assert "Nothing was written. Create the folder, or name another with --config." in told


def test_what_init_writes_has_no_note_when_it_is_migrated(app):
    bare = app(
        'app.add_url_rule("/a", "1", view, methods=["POST"])',
        'app.add_url_rule("/b/<int:x>", "2", view, methods=["PUT"])',
        'app.add_url_rule("/b/<int:y>", "3", view, methods=["DELETE"])',
    )
    bare(*WORDS)
    bare.table.write_text(bare.table.read_text().replace("target: legacy", "target: migrated"))

    done = bare("check")
    assert (0, False) == (done.exit_code, "options-not-listed" in done.output), done.output
    assert [["POST", "OPTIONS"], ["PUT", "OPTIONS"], ["DELETE"]] == [
        one["methods"] for one in routes_of(bare)
    ]


def test_init_leaves_out_options_where_flask_does_not_serve_them(app):
    bare = app(
        'app.add_url_rule("/a", "1", view, methods=["POST"], provide_automatic_options=False)'
    )
    bare(*WORDS)

    assert [["POST"]] == [one["methods"] for one in routes_of(bare)]
