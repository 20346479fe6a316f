"""What a receiver of notifications gets."""

import json

import pytest

from overgrow.notify.event import WebhookEvent

GENERIC, SLACK = "https://ops.example/hook", "https://hooks.slack.com/services/T/B/x"
TEAMS = "https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke"
AT = "2026-11-30T08:00:00Z"


def event(sentence="orders was flipped by ann.", **data):
    return WebhookEvent("evt_1", "route.flipped", AT, sentence, data)


def body(found, url=GENERIC):
    return json.loads(found.body_for(url, "web-1"))


def test_a_body_has_a_type_a_time_a_sentence_and_the_facts():
    assert body(event(route="orders", to="migrated")) == {
        "type": "route.flipped",
        "timestamp": AT,
        "text": "Overgrow on web-1: orders was flipped by ann.",
        "host": "web-1",
        "data": {"route": "orders", "to": "migrated"},
    }


def test_a_chat_calls_nobody_because_of_a_reason():
    said = body(event("by ann: <!channel> & <https://evil|here>"), SLACK)["text"]

    assert said.endswith("by ann: &lt;!channel&gt; &amp; &lt;https://evil|here&gt;")


def test_control_characters_are_escaped_in_the_sentence():
    said = body(event("one\ntwo \x1b[31m \u202e"))["text"]

    assert said.endswith(r"one\ntwo \x1b[31m \u202e")


def test_long_texts_are_cut():
    found = body(event("x" * 9_000, why="y" * 9_000))

    assert (len(found["text"]) < 600, len(found["data"]["why"])) == (True, 500)


def test_teams_gets_a_card_that_shows_the_sentence_without_links():
    found = body(event("by ann: [here](https://evil) <b>"), TEAMS)
    [card] = found["attachments"]

    assert (found["type"], card["contentType"]) == (
        "message",
        "application/vnd.microsoft.card.adaptive",
    )
    [block] = card["content"]["body"]
    assert block["text"].endswith(r"by ann: \[here\]\(https://evil\) <b>")


@pytest.mark.parametrize("url", ["https://logic.azure.com.evil.example/x", GENERIC])
def test_only_addresses_of_teams_get_a_card(url):
    assert "attachments" not in body(event(), url)


def test_an_event_survives_its_file():
    found = event(route="orders")

    assert WebhookEvent.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize("stored", [{}, {"id": 1, "type": "x", "at": "", "sentence": ""}])
def test_what_is_no_event_is_refused(stored):
    with pytest.raises((KeyError, TypeError)):
        WebhookEvent.from_json({"data": {}, **stored})
