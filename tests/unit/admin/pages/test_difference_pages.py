"""The pages of differences: list, one group, preview of a rule, accept. Everything from traffic stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest
import yaml

from overgrow.admin.app import create_admin
from overgrow.evidence import Example
from overgrow.routing.model import Legacy, Route, RouteTable
from tests.unit.admin.admin_view import View
from tests.unit.admin.test_markup import Page
from tests.unit.cli.found import answer, compared, put

NOON = 1_796_000_000.0  # 2026-11-30
MARKUP = '<img src=x onerror="alert(1)">'
HTML = {"Accept": "text/html"}
ORDER = {"id": 7, "total": 1900, "placed_at": "2026-11-20T09:14:00Z"}
LATE = {**ORDER, "placed_at": "2026-11-20T09:14:02Z"}
LESS = {**ORDER, "total": None}
BOTH = {**LATE, "total": None}


@pytest.fixture
def view(tmp_path):
    state = tmp_path / ".overgrow"
    for name in ("board", "metrics"):
        (state / name).mkdir(parents=True)
    (tmp_path / "routes.yaml").write_text("version: 1\n")
    routes = (Route("orders", path="/orders", shadow=500), Route("cart", path="/cart"))
    table = RouteTable(legacy=Legacy(url="http://127.0.0.1:9000"), routes=routes, revision="1")
    return View(state, table, config=tmp_path / "routes.yaml")


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOON).test_client()


@pytest.fixture
def find(view):
    """Put what was found into the store."""

    def find(*candidates, route="orders", side="legacy"):
        pairs = [
            compared(route, answer(ORDER), answer(each), side=side, at=NOON - 60)
            for each in candidates
        ]
        put(view.state, *pairs)
        return pairs

    return find


def key_of(found):
    return found[0].group.key


def text_of(response):
    """The text that a person reads, in one line."""
    plain = re.sub(r"<(?!/?(?:str|int|float|array|object|key)\b)[^>]*>", " ", response.text)
    return " ".join(unescape(plain).split())


def form_of(response):
    """The fields of the form that accepts, as the browser would send them."""
    page = Page(response.text)
    fields = {each["name"]: each.get("value", "") for each in page.of("input") if "name" in each}
    return {name: value for name, value in fields.items() if name != "restart"}


def preview(client, key, **query):
    return client.get(f"/differences/{key}/preview", query_string=query)


def accept(client, key, **written):
    rule = {name: written[name] for name in ("how",) if name in written}
    form = form_of(preview(client, key, **rule))
    fields = {**form, "author": "ada", "reason": "two clocks", **written}
    return client.post(f"/differences/{key}/accept", data=fields)


def rules_in(view, name="orders"):
    return yaml.safe_load((view.config.parent / f"compare/{name}.yaml").read_text())["rules"]


# --- list -----------------------------------------------------------------------------------------


def test_open_groups_are_listed_with_route_severity_and_count(client, find):
    find(LATE, LATE, LESS)

    text = text_of(client.get("/differences"))

    assert "2 groups of 2 stored, which no rule covers." in text
    assert text.index("type $.total") < text.index("value $.placed_at")
    assert f"/differences/{key_of(find(LATE))}" in client.get("/differences").text


def test_the_list_may_be_of_one_route(client, find):
    find(LATE)
    find(LESS, route="cart")

    text = text_of(client.get("/differences?route=cart"))

    assert ("type $.total" in text, "value $.placed_at" in text) == (True, False)


def test_an_unknown_route_is_not_found_with_the_nearest(client):
    response = client.get("/differences?route=order", headers=HTML)

    assert (404, True) == (response.status_code, "Did you mean orders?" in text_of(response))


def test_groups_that_rules_cover_are_shown_when_asked(client, find):
    key = key_of(find(LATE))
    accept(client, key)

    open_, all_ = text_of(client.get("/differences")), text_of(client.get("/differences?show=all"))

    assert ("No group of differences is open." in open_, "accepted" in all_) == (True, True)


def test_without_a_store_the_page_says_so(client):
    response = client.get("/differences")

    assert (200, True) == (response.status_code, "There is no evidence yet" in text_of(response))


def test_a_store_that_is_away_is_told_without_its_password(client, view):
    view.store_url = "postgresql://ops:secret@127.0.0.1:1/db"

    text = text_of(client.get("/differences"))

    assert ("cannot be read" in text, "secret" in text) == (True, False)


def test_a_long_list_is_cut_and_says_so(client, find, monkeypatch):
    monkeypatch.setattr("overgrow.admin.pages.differences.MOST_LISTED", 1)
    find(LATE, LESS)

    text = text_of(client.get("/differences"))

    assert "The first 1 of 2 groups are listed." in text
    assert "value $.placed_at" not in text


def test_the_page_and_its_data_say_the_same(client, find):
    find(LATE)

    data = client.get("/page-data/differences").json["page"]

    assert data["groups"][0]["what"] in text_of(client.get("/differences"))


# --- one group ------------------------------------------------------------------------------------


def test_a_group_shows_both_responses_with_the_path_marked(client, find):
    page = Page(client.get(f"/differences/{key_of(find(LATE))}").text)

    assert ['differs:   "placed_at": "<str 20>"'] * 2 == [each["text"] for each in page.of("mark")]


def test_a_group_leads_to_its_route_while_the_table_has_it(client, find):
    here, gone = (
        client.get(f"/differences/{key_of(find(LATE, route=name))}") for name in ("cart", "old")
    )

    assert ('href="/routes/cart"' in here.text, 'href="/routes/old"' in gone.text) == (True, False)
    assert "old, which is no longer in the table" in text_of(gone)


def test_two_statuses_are_not_said_to_be_apart(client, view):
    found = compared("orders", answer(ORDER), answer({}, 500), at=NOON - 60)
    put(view.state, found)

    text = text_of(client.get(f"/differences/{found.group.key}"))

    assert ("status status : 200 \u2192 500" in text, "apart" in text) == (True, False)


def test_a_rule_that_expired_opens_the_group_and_is_noted(client, find, view):
    (view.config.parent / "compare").mkdir()
    (view.config.parent / "compare/orders.yaml").write_text(
        "version: 1\nrules:\n  - {path: $.placed_at, how: ignore, author: a, reason: x, expires: 2026-01-01}\n"
    )

    key = key_of(find(LATE))
    text = text_of(client.get(f"/differences/{key}"))
    refused = preview(client, key)

    assert ("expired on 2026-01-01" in text, "Preview what it would hide" in text) == (True, True)
    assert (409, True) == (refused.status_code, "already has a rule for" in text_of(refused))


@pytest.mark.parametrize("below", ["", "/preview"])
def test_an_unknown_group_is_not_found(client, find, below):
    find(LATE)

    assert 404 == client.get(f"/differences/0123456789abcdef{below}").status_code


def test_the_data_of_an_open_page_has_its_count(client, find):
    key = key_of(find(LATE, LATE))

    for below in ("", "/preview", "/accept"):
        page = client.get(f"/page-data/differences/{key}{below}").json["page"]
        assert ["2"] == [each["count"] for each in page["groups"]]


def test_a_pair_too_large_to_store_is_counted(client, find, view):
    (found,) = find(LATE)
    group = replace(found.group, example=Example("0", NOON, {"a": "x" * 100_000}))
    put(view.state, replace(found, group=group))

    text = text_of(client.get(f"/differences/{found.group.key}"))

    assert "1 more were too large to store." in text


def test_a_rule_that_cannot_be_applied_to_stored_pairs_is_noted(client, view):
    sides = (answer({"code": f"4711-{amount}"}) for amount in ("98.10", "97.20"))
    found = compared("orders", *sides, at=NOON - 60)
    put(view.state, found)
    key = found.group.key

    seen = text_of(preview(client, key, how="same_shape 2"))
    accept(client, key, how="same_shape 2")
    text = text_of(client.get(f"/differences/{key}"))

    assert "1 difference too little is stored to be sure" in seen
    assert "The rule $.code same_shape 2 may cover it" in text


# --- preview --------------------------------------------------------------------------------------


def test_accept_is_offered_only_after_a_preview(client, find):
    key = key_of(find(LATE))

    buttons = [
        [each["text"] for each in Page(page.text).of("button")]
        for page in (client.get(f"/differences/{key}"), preview(client, key))
    ]

    assert [False, True] == ["Accept" in each for each in buttons]
    assert "Preview what it would hide" in buttons[0]


def test_a_preview_says_what_else_the_rule_hides(client, find):
    key, _ = (each.group.key for each in find(LATE, BOTH))

    text = text_of(preview(client, key))

    assert "2 pairs in 2 groups. 2 stored groups were looked at, the oldest first seen" in text
    assert "this one" in text


def test_a_rule_that_hides_what_is_severe_is_warned_of(client, find):
    key = key_of(find(LESS))

    response = preview(client, key)

    assert "It hides differences of high severity." in text_of(response)
    assert "Accept all the same" in text_of(response)


def test_a_field_that_cannot_be_used_is_told_beside_what_was_written(client, find):
    response = preview(client, key_of(find(LATE)), how="magic")

    assert 400 == response.status_code
    assert "How must be ignore" in text_of(response)
    assert 'value="magic"' in response.text


def test_a_preview_of_every_route_names_them(client, find):
    find(LATE, route="cart")

    text = text_of(preview(client, key_of(find(LATE)), everywhere="1"))

    assert ("applies to every route" in text, "_all.yaml" in text) == (True, True)


def test_a_preview_that_did_not_look_at_everything_says_so(client, find, monkeypatch):
    monkeypatch.setattr("overgrow.shadow.review.review.MAX_GROUPS", 1)
    key = find(LATE, LESS)[1].group.key

    text = text_of(preview(client, key))

    assert "Not everything was looked at: 1 of 2 stored groups" in text


# --- accept ---------------------------------------------------------------------------------------


def test_what_was_previewed_is_accepted_and_the_group_closes(client, find, view):
    key = key_of(find(LATE))

    response = accept(client, key)

    assert (303, f"/differences/{key}?accepted=1") == (response.status_code, response.location)
    assert "It is accepted: rules cover all its differences." in text_of(
        client.get(response.location)
    )
    (rule,) = rules_in(view)
    assert ("ada", "two clocks", "2026-12-30") == (
        rule["author"],
        rule["reason"],
        str(rule["expires"]),
    )


def test_the_history_has_the_author_and_the_page(client, find, view):
    accept(client, key_of(find(LATE)))

    (line,) = (view.state / "flips.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert ("accept", "ada (admin page, from 127.0.0.1)") == (entry["action"], entry["who"])


def test_what_changed_since_the_preview_is_shown_anew(client, find):
    key = key_of(find(LATE))
    form = form_of(preview(client, key))
    find(BOTH)

    response = client.post(
        f"/differences/{key}/accept", data={**form, "author": "ada", "reason": "mine"}
    )

    assert (409, True) == (
        response.status_code,
        "has changed since the preview" in text_of(response),
    )
    assert "mine" in text_of(response)
    again = {**form_of(response), "reason": "mine"}
    assert form["digest"] != again["digest"]
    assert 303 == client.post(f"/differences/{key}/accept", data=again).status_code


def test_of_two_who_accept_at_once_the_second_sees_that_it_is_done(client, find, view):
    key = key_of(find(LATE))
    form = {**form_of(preview(client, key)), "author": "ada", "reason": "x"}

    first, second = (client.post(f"/differences/{key}/accept", data=form) for _ in range(2))

    assert (303, 409) == (first.status_code, second.status_code)
    assert "already accepted" in text_of(second)
    assert 1 == len(rules_in(view))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"reason": " "}, "Reason must be"),
        ({"author": " "}, "Author must be"),
        ({"expires": "2026-01-01"}, "Expires must be a day from 2026-11-30"),
        ({"expires": "soon"}, "Expires must be"),
    ],
)
def test_terms_that_cannot_be_used_are_told(client, find, view, written, words):
    response = accept(client, key_of(find(LATE)), **written)

    assert (400, True) == (response.status_code, words in text_of(response))
    assert not (view.config.parent / "compare").exists()


def test_an_accept_that_resets_the_evidence_leads_to_the_list(client, find):
    response = accept(client, key_of(find(LATE)), restart="1")

    assert "/differences?route=orders&accepted=1" == response.location
    assert "evidence of orders was reset" in text_of(client.get(response.location))


def test_an_accept_without_the_form_token_is_refused(client, find, view):
    response = accept(client, key_of(find(LATE)), csrf="")

    assert 403 == response.status_code
    assert not (view.config.parent / "compare").exists()


def test_who_may_only_read_sees_the_preview_and_the_command(client, find, view):
    view.token, view.read_token = "change", "look"
    response = client.get(
        f"/differences/{key_of(find(LATE))}/preview", headers={"Authorization": "Bearer look"}
    )

    assert ("Accept" in [each["text"] for each in Page(response.text).of("button")]) is False
    assert "You may only read." in text_of(response)


def test_a_folder_that_cannot_be_written_is_told_before_the_accept(client, find, monkeypatch):
    monkeypatch.setattr("overgrow.admin.pages.difference.is_writable", lambda _path: False)

    text = text_of(preview(client, key_of(find(LATE))))

    assert ("cannot be written here" in text, "- path: $.placed_at" in text) == (True, True)


# --- hostile --------------------------------------------------------------------------------------


def hostile(found):
    """The same comparison, as if redaction had let everything through."""
    pair = json.loads(json.dumps(found.group.example.pair))
    pair["asked"] |= {"method": MARKUP, "template": f"/{MARKUP}", "query_keys": [MARKUP]}
    for side in ("control", "candidate"):
        pair[side]["headers"] = [[MARKUP, MARKUP]]
        pair[side]["body"] = json.dumps({MARKUP: MARKUP}) if side == "control" else f"<p>{MARKUP}"
    pair["differences"] = [
        {**each, "path": f"$.{MARKUP}", "control": MARKUP, "candidate": MARKUP, "kind": MARKUP}
        for each in pair["differences"]
    ]
    parts = tuple(
        replace(part, path=f"$.{MARKUP}", place=f"$.{MARKUP}", control=MARKUP)
        for part in found.group.parts
    )
    group = replace(found.group, parts=parts, title=MARKUP, example=Example("0", NOON, pair))
    return replace(found, group=group)


@pytest.mark.parametrize("below", ["", "/preview"])
def test_markup_from_traffic_stays_text(client, view, below):
    found = hostile(compared(MARKUP, answer(ORDER), answer(LATE), at=NOON - 60))
    put(view.state, found)

    pages = [
        client.get("/differences?show=all"),
        client.get(f"/differences/{found.group.key}{below}"),
    ]

    for page in pages:
        assert "<img" not in page.text
        assert MARKUP in unescape(page.text)
        assert [] == Page(page.text).strays


def test_markup_in_a_reason_and_a_query_stays_text(client, find):
    key = key_of(find(LATE))

    pages = [
        accept(client, key, reason=MARKUP, expires=MARKUP),
        preview(client, key, how=MARKUP),
        preview(client, key, path=MARKUP),
        client.get("/differences", query_string={"route": MARKUP}, headers=HTML),
    ]

    assert [False] * 4 == ["<img" in page.text for page in pages]


def test_a_body_of_many_lines_is_cut_with_a_note(client, find, view):
    (found,) = find(LATE)
    pair = json.loads(json.dumps(found.group.example.pair))
    pair["control"]["body"] = json.dumps({f"name_{n}": None for n in range(900)})
    group = replace(found.group, example=Example("0", NOON, pair))
    put(view.state, replace(found, group=group))

    response = client.get(f"/differences/{found.group.key}")

    assert "Cut: the response is longer than is shown here." in text_of(response)
    assert "name_800" not in response.text


def test_the_pages_are_well_formed_and_every_field_has_a_label(client, find):
    key = key_of(find(LATE))
    for path in ("/differences", f"/differences/{key}", f"/differences/{key}/preview"):
        page = Page(client.get(path).text)

        assert ([], []) == (page.strays, page.open)
        fields = page.of("input", "select", "textarea")
        shown = {each["id"] for each in fields if each.get("type") != "hidden"}
        assert shown <= {each["for"] for each in page.of("label")}
