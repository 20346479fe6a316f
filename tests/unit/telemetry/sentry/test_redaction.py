"""What of an event may be sent."""

import pytest

from overgrow.telemetry.sentry.redaction import HIDDEN, EventRedactor, hide
from overgrow.telemetry.sentry.request_values import RequestValues

SECRET = "hunter2 & Söhne"


def redacted(event, *values, are_all=True, secrets=()):
    return EventRedactor(RequestValues(frozenset(values), are_all), secrets).redact(event)


def error(text, **more):
    frame = {"function": "view", "lineno": 3, "vars": {"password": SECRET}, "data": SECRET}
    value = {"type": "ValueError", "value": text, "stacktrace": {"frames": [frame]}}
    return {"exception": {"values": [value | more]}}


def message_of(event):
    return event["exception"]["values"][0]["value"]


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET.upper(),
        repr(SECRET),
        "hunter2 & S\\u00f6hne",
        "hunter2%20%26%20S%C3%B6hne",
        "hunter2+%26+S%C3%B6hne",
    ],
)
def test_a_value_is_hidden_however_it_is_written(written):
    event = redacted(error(f"no {written}!"), SECRET)

    assert message_of(event).strip("'!") in (f"no {HIDDEN}", f"no '{HIDDEN}")


@pytest.mark.parametrize(
    ("text", "forms", "expected"),
    [
        ("abcdef", ["bcd", "cde"], f"a{HIDDEN}f"),
        ("abcdef", ["abc", "def"], HIDDEN),
        ("aaaaa", ["aa"], f"{HIDDEN}a"),
        ("abc", ["abc", "b"], HIDDEN),
        ("İ said abc", ["abc"], f"i̇ said {HIDDEN}"),
        ("nothing", ["abc"], "nothing"),
    ],
)
def test_places_that_overlap_or_touch_are_hidden_together(text, forms, expected):
    assert hide(text, forms) == expected


def test_local_variables_never_stay():
    (frame,) = redacted(error("x"))["exception"]["values"][0]["stacktrace"]["frames"]

    assert frame == {"function": "view", "lineno": 3}


def test_an_unknown_part_of_an_event_is_removed():
    event = redacted({"event_id": "1", "user": {"id": 1}, "request": {"data": "x"}, "new": SECRET})

    assert event == {"event_id": "1"}


def test_no_message_stays_if_not_all_values_are_known():
    event = redacted({**error("anything"), "extra": {"a": "b"}}, are_all=False)

    assert message_of(event) == HIDDEN
    assert event["extra"] == {HIDDEN: HIDDEN}


def test_a_number_that_a_client_sent_is_hidden():
    assert redacted({"extra": {"card": 4111111111111111, "n": 7}}, "4111111111111111") == {
        "extra": {"card": HIDDEN, "n": 7}
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://app:pw@db/shop", f"postgresql://{HIDDEN}@db/shop"),
        ("password=abc&x=1", f"password={HIDDEN}&x=1"),
        ('{"api_key": "abc"}', f'{{"api_key": "{HIDDEN}"}}'),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {HIDDEN}"),
        ("sent bearer abcdefgh1234", f"sent bearer {HIDDEN}"),
    ],
)
def test_what_looks_like_a_login_is_hidden(text, expected):
    assert message_of(redacted(error(text))) == expected


def test_a_statement_loses_its_values():
    span = {
        "op": "db",
        "description": "SELECT * FROM t WHERE a = 'it''s' AND b = 12",
        "data": {"db.system": "sqlite", "db.params": [SECRET]},
    }

    (sent,) = redacted({"spans": [span]})["spans"]

    assert sent["description"] == "SELECT * FROM t WHERE a = ? AND b = ?"
    assert sent["data"] == {"db.system": "sqlite"}


def test_the_address_of_a_call_loses_its_query():
    span = {"op": "http.client", "description": "GET http://api/x?key=1", "data": {"http.query": 1}}

    (sent,) = redacted({"spans": [span]})["spans"]

    assert (sent["description"], sent["data"]) == ("GET http://api/x", {})


def test_a_breadcrumb_loses_its_data():
    crumb = {"category": "httplib", "message": f"said {SECRET}", "data": {"url": SECRET}}

    event = redacted({"breadcrumbs": {"values": [crumb]}}, SECRET)

    assert event["breadcrumbs"]["values"] == [{"category": "httplib", "message": f"said {HIDDEN}"}]


def test_a_log_line_loses_its_parameters():
    entry = {"message": "no %s", "formatted": f"no {SECRET}", "params": [SECRET]}

    assert redacted({"logentry": entry}, SECRET)["logentry"] == {
        "message": "no %s",
        "formatted": f"no {HIDDEN}",
    }


def test_a_trace_keeps_its_ids_alone():
    trace = {"trace_id": "1", "span_id": "2", "data": {"http.query": SECRET}, "description": "x"}

    assert redacted({"contexts": {"trace": trace}})["contexts"]["trace"] == {
        "trace_id": "1",
        "span_id": "2",
    }


def test_the_front_doors_own_secrets_are_hidden_without_a_request():
    assert message_of(redacted(error("bad abc-token"), secrets=["abc-token"])) == f"bad {HIDDEN}"


NAMED = [
    pytest.param({"logger": "shop.s3cret"}, id="a logger"),
    pytest.param({"breadcrumbs": {"values": [{"category": "shop.s3cret"}]}}, id="a breadcrumb"),
    pytest.param({"threads": {"values": [{"id": 1, "name": "of s3cret"}]}}, id="a thread"),
    pytest.param({"spans": [{"data": {"thread.name": "of s3cret"}}]}, id="the thread of a span"),
]


@pytest.mark.parametrize("event", NAMED)
def test_a_value_in_the_name_of_a_logger_or_thread_is_hidden(event):
    assert "s3cret" not in str(redacted(event, "s3cret"))


def test_names_of_loggers_and_threads_stay():
    event = {"logger": "shop.cart", "threads": {"values": [{"id": 1, "name": "mail"}]}}

    assert event == redacted(event, "s3cret")
