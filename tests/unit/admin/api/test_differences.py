"""The API of differences: the list, one group, the preview, and accepting what was previewed."""

from __future__ import annotations

import json
import socket

import pytest
import yaml

from overgrow.admin.app import create_admin
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.table.editing.history import lock_history
from tests.unit.admin.admin_view import View
from tests.unit.cli.found import answer, compared, put

NOON = 1_796_000_000.0  # 2026-11-30
TOKEN = {"Authorization": "Bearer s3cret"}
ORDER = {"id": 7, "total": 1900, "placed_at": "2026-11-20T09:14:00Z"}
LATE = {**ORDER, "placed_at": "2026-11-20T09:14:02Z"}
LESS = {**ORDER, "total": None}
BOTH = {**LATE, "total": None}


@pytest.fixture
def view(tmp_path):
    state = tmp_path / ".overgrow"
    for name in ("board", "metrics"):
        (state / name).mkdir(parents=True)
    routes = (Route("orders", path="/orders", shadow=500), Route("cart", path="/cart"))
    table = RouteTable(legacy=Legacy(url="http://127.0.0.1:9000"), routes=routes, revision="1")
    return View(state, table, config=tmp_path / "routes.yaml", token="s3cret")


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOON).test_client()


@pytest.fixture
def find(view):
    """Put what was found into the store."""

    def find(*candidates, route="orders", side="legacy"):
        put(
            view.state,
            *(
                compared(route, answer(ORDER), answer(each), side=side, at=NOON - 60)
                for each in candidates
            ),
        )

    return find


def get(client, path="", **query):
    return client.get(f"/api/differences{path}", headers=TOKEN, query_string=query)


def post(client, path, **body):
    return client.post(f"/api/differences/{path}", headers=TOKEN, json=body)


def key_of(client, at=0, **query):
    return get(client, **query).json["groups"][at]["group"]


def rules_in(view, name="orders"):
    return yaml.safe_load((view.config.parent / f"compare/{name}.yaml").read_text())["rules"]


def accept(client, key, digest=None, **body):
    rule = {name: body[name] for name in ("rule", "everywhere") if name in body}
    digest = digest or post(client, f"{key}/preview", **rule).json["digest"]
    return post(client, f"{key}/accept", **{"digest": digest, "reason": "two clocks", **body})


# --- list -----------------------------------------------------------------------------------------


def test_without_a_store_the_list_is_empty_and_says_why(client):
    told = get(client).json

    assert ([], False) == (told["groups"], told["more"])
    assert "There is no evidence yet" in told["missing"]


def test_a_store_that_cannot_be_read_is_no_server_error(client, view):
    view.store_url = "postgresql://ops:secret@127.0.0.1:1/db"

    response = get(client)

    assert (200, []) == (response.status_code, response.json["groups"])
    assert ("cannot be read" in response.json["missing"], "secret" in response.json["missing"]) == (
        True,
        False,
    )


def test_a_store_that_does_not_answer_is_told_after_a_while(client, view, monkeypatch):
    monkeypatch.setattr("overgrow.admin.differences.ASK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        view.store_url = f"postgresql://ops:secret@127.0.0.1:{silent.getsockname()[1]}/db"
        first, second = (get(client) for _ in range(2))

    for response in (first, second):
        assert (200, []) == (response.status_code, response.json["groups"])
        assert "has not answered for 0.2 s" in response.json["missing"]


def test_open_groups_are_listed_most_severe_first(client, find):
    find(LATE, LATE, LESS)

    told = get(client).json

    assert [("high", 1), ("medium", 2)] == [
        (each["severity"], each["count"]) for each in told["groups"]
    ]
    assert (2, 2, None) == (told["matching"], told["known"], told["missing"])


def test_the_list_may_be_of_one_route(client, find):
    find(LATE)
    find(LATE, route="cart")

    assert ["cart"] == [each["route"] for each in get(client, route="cart").json["groups"]]


def test_an_unknown_route_is_not_found_with_the_nearest(client, find):
    find(LATE)

    response = get(client, route="order")

    assert (404, "unknown-route") == (response.status_code, response.json["error"]["code"])
    assert "orders" in response.json["error"]["fix"]


def test_a_route_that_left_the_table_keeps_its_groups(client, find):
    find(LATE, route="gone-by")

    assert ["gone-by"] == [each["route"] for each in get(client, route="gone-by").json["groups"]]


def test_a_list_that_is_cut_says_so(client, find):
    find(LATE, LESS)

    told = get(client, limit=1).json

    assert (1, True, 2) == (len(told["groups"]), told["more"], told["matching"])


def test_a_rules_file_with_problems_is_noted(client, find, view):
    find(LATE)
    (view.config.parent / "compare").mkdir()
    (view.config.parent / "compare/orders.yaml").write_text("version: 2\n")

    assert "no rule in" in get(client).json["notes"][-1]


# --- one group ------------------------------------------------------------------------------------


def test_a_group_has_samples_side_by_side_with_the_path_marked(client, find):
    find(LATE)

    told = get(client, f"/{key_of(client)}").json

    (sample,) = told["samples"]
    for side in ("legacy", "migrated"):
        assert ['  "placed_at": "<str 20>"'] == [
            each["text"] for each in sample[side]["body"] if each["differs"]
        ]
    assert [{"path": "$.placed_at", "how": "timestamp_within 2s"}] == told["rules_that_would_cover"]


def test_a_group_of_both_directions_is_one_id(client, find):
    find(LATE, LATE)
    find(LATE, side="migrated")

    told = get(client, f"/{key_of(client)}").json

    assert (("legacy", 2), [("migrated", 1)]) == (
        (told["group"]["answered_by"], told["group"]["count"]),
        [(each["answered_by"], each["count"]) for each in told["also"]],
    )


@pytest.mark.parametrize("text", ["abcd", "zzzz", "%25", "0" * 17])
def test_an_unknown_id_is_not_found_with_what_to_do_next(client, find, text):
    find(LATE)

    response = get(client, f"/{text}")

    assert (404, "unknown-mismatch") == (response.status_code, response.json["error"]["code"])
    assert ["overgrow diff top --all"] == response.json["error"]["next"]


def test_without_a_store_there_is_no_group(client):
    response = get(client, "/abcd")

    assert (404, "no-evidence") == (response.status_code, response.json["error"]["code"])


# --- preview --------------------------------------------------------------------------------------


def test_a_preview_says_what_else_the_rule_hides_and_writes_nothing(client, find, view):
    find(LATE, BOTH)
    key = next(each["group"] for each in get(client).json["groups"] if each["severity"] == "medium")

    told = post(client, f"{key}/preview").json

    assert ({"groups": 2, "differences": 2, "pairs": 2, "unsure": 0, "opens": 0}, "medium") == (
        told["counts"],
        told["highest_severity"],
    )
    assert [True, False] == [
        each["closes"] for each in sorted(told["covers"], key=lambda one: not one["own"])
    ]
    assert not (view.config.parent / "compare").exists()


def test_a_preview_takes_the_rule_that_a_person_writes(client, find):
    find(LATE)

    told = post(
        client, f"{key_of(client)}/preview", rule={"how": "ignore", "kinds": []}, everywhere="yes"
    ).json

    assert ([{"path": "$.placed_at", "how": "ignore"}], None) == (told["rules"], told["routes"])


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"how": "magic"}, "rule.how"),
        ({"how": 5}, "rule.how"),
        ({"path": ["$.a"]}, "rule.path"),
        ({"kinds": ["value", "value"]}, "rule.kinds"),
        ({"kinds": ["nonsense"]}, "rule.kinds"),
        ({"kinds": [["value"]]}, "rule.kinds"),
        ({"kinds": 7}, "rule.kinds"),
        ({"author": "me"}, "rule.author"),
    ],
)
def test_a_field_of_a_rule_that_cannot_be_used_is_named(client, find, rule, name):
    find(LATE)

    response = post(client, f"{key_of(client)}/preview", rule=rule)

    assert (400, name) == (response.status_code, response.json["error"]["parameter"])


def test_a_path_that_does_not_differ_is_refused_with_those_that_do(client, find):
    find(LATE)

    response = post(client, f"{key_of(client)}/preview", rule={"path": "$.id"})

    assert (409, "no-rule", "Open paths: $.placed_at.") == (
        response.status_code,
        response.json["error"]["code"],
        response.json["error"]["fix"],
    )


def test_a_comparator_that_cannot_apply_at_the_path_is_refused(client, view):
    put(view.state, compared("orders", answer(ORDER), answer(ORDER, 500), at=NOON))

    response = post(client, f"{key_of(client)}/preview", rule={"how": "same_shape"})

    assert (409, "rules-unusable") == (response.status_code, response.json["error"]["code"])


# --- accept ---------------------------------------------------------------------------------------


def test_what_was_previewed_is_written_with_author_reason_and_expiry(client, find, view):
    find(LATE)

    done = accept(client, key_of(client), author="ada", expires="2027-01-31")

    assert (200, 0, None) == (done.status_code, done.json["open_groups"], done.json["unrecorded"])
    (rule,) = rules_in(view)
    assert ("ada", "two clocks", "2027-01-31", {"timestamp_within": "2s"}) == (
        rule["author"],
        rule["reason"],
        str(rule["expires"]),
        rule["how"],
    )
    assert [] == get(client).json["groups"]


def test_an_accept_is_in_the_history_as_done_by_the_one_who_asked(client, find, view):
    find(LATE)
    key = key_of(client)

    accept(client, key, author="ada")

    (entry,) = map(json.loads, (view.state / "flips.jsonl").read_text().splitlines())
    assert ("accept", "ada (admin API, from 127.0.0.1)", "orders", key) == tuple(
        entry[name] for name in ("action", "who", "route", "from")
    )


def test_without_an_author_the_rule_names_where_the_request_came_from(client, find, view):
    find(LATE)

    accept(client, key_of(client))

    assert "admin API, from 127.0.0.1" == rules_in(view)[0]["author"]


def test_a_preview_is_for_those_who_may_only_read_but_an_accept_is_not(client, find, view):
    view.read_token = "look"
    find(LATE)
    key, header = key_of(client), {"Authorization": "Bearer look"}

    seen = client.post(f"/api/differences/{key}/preview", headers=header, json={})
    body = {"digest": seen.json["digest"], "reason": "x"}
    refused = client.post(f"/api/differences/{key}/accept", headers=header, json=body)

    assert (200, 403) == (seen.status_code, refused.status_code)
    assert "token-reads-only" == refused.json["error"]["code"]


def test_groups_beyond_the_bound_are_counted_and_said_to_be_unseen(client, find, monkeypatch):
    monkeypatch.setattr("overgrow.shadow.review.review.MAX_GROUPS", 1)
    find(LATE, LESS)

    told = get(client).json

    assert (1, 2, True) == (told["looked_at"], told["known"], told["more"])


def test_a_rule_expires_after_thirty_days_if_nobody_says_when(client, find, view):
    find(LATE)

    accept(client, key_of(client))

    assert "2026-12-30" == str(rules_in(view)[0]["expires"])


@pytest.mark.parametrize("changed", ["file", "rule", "hidden"])
def test_what_is_not_what_was_previewed_is_refused_with_the_new_preview(
    client, find, view, changed
):
    find(LATE)
    key = key_of(client)
    digest = post(client, f"{key}/preview").json["digest"]
    more = {}
    if changed == "file":
        (view.config.parent / "compare").mkdir()
        (view.config.parent / "compare/orders.yaml").write_text("version: 1\nrules: []\n")
    elif changed == "rule":
        more = {"rule": {"how": "ignore"}}
    else:
        find(BOTH)

    response = accept(client, key, digest, **more)

    error = response.json["error"]
    assert (409, "changed-meanwhile") == (response.status_code, error["code"])
    assert digest != error["preview"]["digest"]
    assert 200 == accept(client, key, error["preview"]["digest"], **more).status_code


def test_of_two_people_who_accept_the_same_the_second_is_refused(client, find, view):
    find(LATE)
    key = key_of(client)
    digest = post(client, f"{key}/preview").json["digest"]

    first, second = (accept(client, key, digest) for _ in range(2))

    assert (200, 409) == (first.status_code, second.status_code)
    assert 1 == len(rules_in(view))


def test_a_rule_that_expired_is_named_with_its_line(client, find, view):
    find(LATE)
    (view.config.parent / "compare").mkdir()
    (view.config.parent / "compare/orders.yaml").write_text(
        "version: 1\nrules:\n  - {path: $.placed_at, how: ignore, author: a, reason: x, expires: 2026-01-01}\n"
    )

    response = post(client, f"{key_of(client)}/preview")

    assert (409, "rule-exists") == (response.status_code, response.json["error"]["code"])
    assert "orders.yaml:3 already has a rule" in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"expires": "2026-02-31"}, "expires"),
        ({"expires": "2026-11-29"}, "expires"),
        ({"expires": "2029-01-01"}, "expires"),
        ({"reason": "  "}, "reason"),
        ({"reason": ""}, "reason"),
        ({"author": " "}, "author"),
        ({"restart": "perhaps"}, "restart"),
    ],
)
def test_a_term_that_cannot_be_used_is_named(client, find, more, name):
    find(LATE)

    response = accept(client, key_of(client), **more)

    assert (400, name) == (response.status_code, response.json["error"]["parameter"])


@pytest.mark.parametrize("body", [{}, {"digest": "x"}, {"digest": ["a" * 32]}])
def test_an_accept_without_a_preview_is_refused(client, find, body):
    find(LATE)

    response = post(client, f"{key_of(client)}/accept", reason="x", **body)

    assert (400, "digest") == (response.status_code, response.json["error"]["parameter"])


def test_a_locked_history_refuses_an_accept_and_writes_nothing(client, find, view, monkeypatch):
    find(LATE)
    monkeypatch.setattr("overgrow.admin.differences.LOCK_S", 0.05)

    with lock_history(view.state):
        response = accept(client, key_of(client))

    assert (409, "locked") == (response.status_code, response.json["error"]["code"])
    assert not (view.config.parent / "compare").exists()


def test_an_accept_may_reset_the_evidence_of_the_route(client, find):
    find(LATE, LESS)

    done = accept(client, key_of(client, 1), restart="yes")

    assert (True, 0) == (done.json["restarted"], done.json["open_groups"])
    assert [] == get(client, show="all").json["groups"]


def test_an_accept_without_the_token_is_refused(client, find, view):
    find(LATE)
    key = key_of(client)

    response = client.post(f"/api/differences/{key}/accept", json={})

    assert 401 == response.status_code
    assert not (view.config.parent / "compare").exists()
