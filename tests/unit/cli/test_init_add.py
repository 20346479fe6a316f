"""`overgrow init --add`: routes for views written since; nothing that stands in the table changes."""

from __future__ import annotations

import pytest
import yaml

APP = """\
from flask import Flask

def view(**_values):
    return ""

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/orders", "orders", view, methods=["GET", "POST"])
    app.add_url_rule("/orders/<int:id>", "order", view)
    return app
"""
HEAD = "version: 1\napp: shop:create_app\nlegacy: {url: 'http://127.0.0.1:9'}\n"
ADDED = """\
  - name: get-post-orders
    path: /orders
    methods: [GET, POST, OPTIONS]
    target: legacy
  - name: get-orders-id
    path: /orders/<int:id>
    methods: [GET]
    target: legacy
"""


@pytest.fixture
def shop(bare):
    """An app with two rules, and no table yet."""
    bare.app.write_text(APP)
    return bare


def names_of(bench):
    return [one["name"] for one in yaml.safe_load(bench.table.read_text())["routes"]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(f"{HEAD}routes: []\n", f"{HEAD}routes:\n{ADDED}", id="an empty list"),
        pytest.param(HEAD, f"{HEAD}\nroutes:\n{ADDED}", id="no list"),
        pytest.param(HEAD.rstrip(), f"{HEAD}\nroutes:\n{ADDED}", id="no list, no last line end"),
        pytest.param(
            f"{HEAD}routes: []  # none yet\n# the end\n",
            f"{HEAD}routes: # none yet\n{ADDED}# the end\n",
            id="comments",
        ),
        pytest.param(
            f"{HEAD}routes:\n- path: /a # first\n  target: legacy\n\n# the end\n",
            f"{HEAD}routes:\n- path: /a # first\n  target: legacy\n"
            + ADDED.replace("\n  ", "\n").removeprefix("  ")
            + "\n# the end\n",
            id="entries without indent",
        ),
        pytest.param(
            f"{HEAD}routes:\n    - {{path: /a, target: legacy}}  # flow",
            f"{HEAD}routes:\n    - {{path: /a, target: legacy}}  # flow\n"
            + "".join(f"  {line}\n" for line in ADDED.splitlines()),
            id="a flow entry in the last line",
        ),
        pytest.param(
            f"routes:\n  - path: /a\n    target: legacy\n{HEAD}",
            f"routes:\n  - path: /a\n    target: legacy\n{ADDED}{HEAD}",
            id="routes first",
        ),
    ],
)
def test_new_routes_follow_the_others_and_every_other_byte_stays(shop, before, after):
    shop.table.write_text(before)

    assert 0 == shop("init", "--add").exit_code
    assert after == shop.table.read_text()
    assert 0 == shop("check").exit_code


def test_the_line_ends_and_the_mark_of_a_windows_file_stay(shop):
    shop.table.write_bytes(b"\xef\xbb\xbf" + f"{HEAD}routes: []\n".replace("\n", "\r\n").encode())
    shop("init", "--add")

    expected = f"{HEAD}routes:\n{ADDED}".replace("\n", "\r\n").encode()
    assert b"\xef\xbb\xbf" + expected == shop.table.read_bytes()


def test_a_second_time_there_is_nothing_to_add(shop):
    shop.table.write_text(f"{HEAD}routes: []\n")
    shop("init", "--add")
    before = shop.table.read_bytes()

    assert "Nothing to add" in shop("init", "--add").stdout
    assert before == shop.table.read_bytes()


def test_a_rule_that_the_table_has_is_not_noted_as_left_out(shop):
    shop.table.write_text(f"{HEAD}routes:\n{ADDED}")

    assert "" == shop("init", "--add").stderr


@pytest.mark.parametrize(
    "route",
    [
        "{name: mine, path: /orders, target: legacy}",
        "{name: mine, path: /orders, host: a.example, target: migrated}",
        "{name: mine, path: /orders, headers: {X-A: b}, target: legacy}",
    ],
)
def test_a_rule_that_has_a_route_gets_no_other(shop, route):
    shop.table.write_text(f"{HEAD}routes:\n  - {route}\n")
    shop("init", "--add")

    assert ["mine", "get-orders-id"] == names_of(shop)


def test_methods_that_no_route_has_get_one(shop):
    shop.table.write_text(
        f"{HEAD}routes:\n  - {{name: mine, path: /orders, methods: [GET], target: gone}}\n"
    )
    told = shop.json("init", "--add")

    assert (0, ["post-orders", "get-orders-id"]) == (told[0], told[1]["routes"])


@pytest.mark.parametrize(
    "state", ["target: migrated", "target: legacy, canary: 10%", "target: gone"]
)
def test_what_is_served_elsewhere_already_is_not_taken_back_to_legacy(shop, state):
    shop.table.write_text(f"{HEAD}routes:\n  - {{name: all, prefix: /orders, {state}}}\n")

    done = shop("init", "--add")

    assert ["all"] == names_of(shop)
    assert "note: left out /orders: route all, which is" in done.stderr


def test_a_prefix_on_legacy_is_no_reason_to_leave_a_rule_out(shop):
    shop.table.write_text(f"{HEAD}routes:\n  - {{name: all, prefix: /orders, target: legacy}}\n")
    shop("init", "--add")

    assert ["all", "get-post-orders", "get-orders-id"] == names_of(shop)


def test_a_name_that_is_taken_gets_a_number(shop):
    shop.table.write_text(f"{HEAD}routes:\n  - {{name: get-orders-id, path: /x, target: legacy}}\n")
    shop("init", "--add")

    assert ["get-orders-id", "get-post-orders", "get-orders-id-2"] == names_of(shop)


def test_the_app_is_named_in_a_table_that_names_none(shop):
    shop("init", "--legacy", "http://127.0.0.1:9")
    done = shop("init", "--add", "--app", "shop:create_app")

    assert (0, "shop:create_app") == (done.exit_code, yaml.safe_load(shop.table.read_text())["app"])
    assert "version: 1\napp: shop:create_app\n" in shop.table.read_text()
    assert 0 == shop("flip", "get-orders-id", "migrated").exit_code


def test_without_an_app_there_are_no_rules_to_add(shop):
    shop("init", "--legacy", "http://127.0.0.1:9")

    assert "Name it: overgrow init --add --app MODULE:FACTORY. [app-missing]" in shop.fails(
        "init", "--add"
    )


def test_without_a_table_it_writes_the_first_one(shop):
    done = shop("init", "--add", "--legacy", "http://127.0.0.1:9", "--app", "shop:create_app")

    assert (0, ["get-post-orders", "get-orders-id"]) == (done.exit_code, names_of(shop))


@pytest.mark.parametrize(
    ("option", "value"), [("--legacy", "http://127.0.0.1:8"), ("--app", "other:create_app")]
)
def test_an_option_that_contradicts_the_table_is_refused(shop, option, value):
    shop.table.write_text(f"{HEAD}routes: []\n")

    assert "Leave the option out, or change the table." in shop.misused(
        "init", "--add", option, value
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{HEAD}routes: [{{path: /a, target: legacy}}]\n", id="a flow list"),
        pytest.param(
            "{version: 1, app: 'shop:create_app', legacy: {url: 'http://127.0.0.1:9'}}\n",
            id="a flow mapping",
        ),
    ],
)
def test_a_list_that_cannot_be_edited_safely_is_left_alone(shop, text):
    shop.table.write_text(text)

    assert "Add below routes:" in shop.fails("init", "--add")
    assert text == shop.table.read_text()


def test_a_table_with_problems_is_left_alone(shop):
    shop.table.write_text(f"{HEAD}routes:\n  - path: /a\n")

    assert "[required]" in shop.fails("init", "--add")


def test_many_new_routes_are_told_by_their_first_names(shop):
    shop.table.with_name("many.py").write_text(
        "import flask\napp = flask.Flask('many')\n"
        "for n in range(30): app.add_url_rule(f'/r{n}', f'r{n}', str)\n"
    )
    shop("init", "--legacy", "http://127.0.0.1:9")

    told = shop("init", "--add", "--app", "many:app").stdout

    assert "Added 30 routes to routes.yaml, on legacy: get-r0, " in told
    assert ", get-r19 and 10 more.\n" in told
