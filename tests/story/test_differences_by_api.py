"""A program reads what differs, sees what a rule would hide, and accepts it at a running front door."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection

import pytest

from tests.browser.scene import running_scene, send_traffic
from tests.browser.shop import TOKEN
from tests.story.front import eventually

ROUTE = "api-product-detail"  # migrated adds a member
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with running_scene(tmp_path_factory.mktemp("scene")) as shop:
        send_traffic(shop, rounds=1)
        yield shop


def ask(shop, path, **body):
    """Ask the admin listener; with a body by POST: (status, text)."""
    connection = HTTPConnection("127.0.0.1", shop.front.admin, timeout=60)
    method, data = ("POST", json.dumps(body)) if body else ("GET", None)
    connection.request(method, path, data, HEADERS)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def ask_api(shop, path, **body):
    status, text = ask(shop, f"/api/differences{path}", **body)
    return status, json.loads(text)


def count_ignored(shop):
    """How many comparisons the workers judged to be covered by rules."""
    line = rf'overgrow_shadow_total{{route="{ROUTE}",verdict="ignored"}} (\S+)'
    found = re.search(line, ask(shop, "/metrics")[1])
    return float(found[1]) if found else 0.0


def test_a_rule_accepted_by_the_api_is_followed_by_the_workers(shop):
    status, told = ask_api(shop, f"?route={ROUTE}")
    key = told["groups"][0]["group"]
    _, preview = ask_api(shop, f"/{key}/preview", everywhere="no")
    terms = {"digest": preview["digest"], "author": "ada", "reason": "Clients ignore it."}
    before = count_ignored(shop)
    accepted, done = ask_api(shop, f"/{key}/accept", **terms)
    again, refused = ask_api(shop, f"/{key}/accept", **terms)

    assert (200, 200, 0, 0.0) == (status, accepted, done["open_groups"], before)
    assert [True] == [each["own"] for each in preview["covers"]]
    assert (409, "no-rule") == (again, refused["error"]["code"])
    assert "$.debug" in (shop.front.config.parent / f"compare/{ROUTE}.yaml").read_text()

    def is_rule_followed():
        send_traffic(shop, rounds=1)
        return count_ignored(shop) > 0

    eventually(is_rule_followed)
    assert [] == ask_api(shop, f"?route={ROUTE}")[1]["groups"]
