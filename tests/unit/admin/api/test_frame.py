import json
from urllib.parse import quote

import pytest
from flask import Flask, g

from overgrow.admin.access import Access
from overgrow.admin.api.blueprint import create_api
from overgrow.admin.api.endpoint import Endpoint, Parameter
from overgrow.admin.api.errors import ApiError
from overgrow.admin.api.kinds import Integer, JsonObject, Pattern, Text, Time, Word
from overgrow.admin.api.openapi import openapi_document
from overgrow.admin.api.schemas import ANYTHING
from overgrow.table.reading.problems import EditRefused
from tests.unit.admin.admin_view import View

PARAMETERS = (
    Parameter("name", "whose", Text(8)),
    Parameter("last", "how many", Integer(1, 100), 10),
    Parameter("side", "which side", Word(("legacy", "migrated"))),
    Parameter("since", "since when", Time()),
    Parameter("status", "a class", Pattern("[1-5]xx", "a class such as 5xx")),
)
BODY = (
    Parameter("to", "the target", Text(20, 1), is_required=True),
    Parameter("rule", "a rule", JsonObject()),
    Parameter("count", "how many", Integer(0, 5)),
)


def refuse(call):
    if call["to"] == "stale":
        raise ApiError("changed-meanwhile", "It changed.", "Look again.", state={"revision": "x"})
    raise EditRefused("unknown-route", "routes.yaml has no route named x", "Did you mean y?")


ENDPOINTS = (
    Endpoint("GET", "/api/things/{name}", "things", lambda c: c.values, ANYTHING, PARAMETERS),
    Endpoint("POST", "/api/things", "make", lambda call: call.values, ANYTHING, BODY),
    Endpoint("POST", "/api/refused", "refuse", refuse, ANYTHING, BODY, ("unknown-route",)),
)


@pytest.fixture
def client(tmp_path):
    app = Flask("api")
    app.before_request(lambda: setattr(g, "access", Access(may_change=True, is_proven=False)))
    app.register_blueprint(create_api(View(tmp_path, None), lambda: 7.0, ENDPOINTS))
    return app.test_client()


def test_parameters_are_read_by_their_declaration(client):
    query = "last=3&side=legacy&since=1970-01-01T01:00:00%2b01:00&status=5xx"
    told = client.get(f"/api/things/a.b?{query}").json

    assert {"name": "a.b", "last": 3, "side": "legacy", "since": 0.0, "status": "5xx"} == told


@pytest.mark.parametrize(
    ("time", "unix_s"),
    [
        ("0001-01-01T00:00:00%2B14:00", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("1970-01-01t00:00:01z", 1),
        ("9999-12-31T23:59:59-14:00", 253_402_300_799),
    ],
)
def test_a_time_that_cannot_be_written_in_utc_counts_as_the_nearest(client, time, unix_s):
    assert unix_s == client.get(f"/api/things/a?since={time}").json["since"]


def test_an_absent_parameter_has_its_default(client):
    told = client.get("/api/things/a").json

    assert {"name": "a", "last": 10, "side": None, "since": None, "status": None} == told


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        pytest.param("lsat=3", "lsat", id="unknown"),
        pytest.param("last=3&last=3", "last", id="repeated"),
        pytest.param("last=", "last", id="empty number"),
        pytest.param("last=0", "last", id="below the least"),
        pytest.param("last=101", "last", id="above the most"),
        pytest.param("last=1e1", "last", id="not a whole number"),
        pytest.param("last=%D9%A3", "last", id="digits of another script"),
        pytest.param("last=" + "9" * 5000, "last", id="a number of 5,000 digits"),
        pytest.param("side=both", "side", id="not one of the words"),
        pytest.param("since=yesterday", "since", id="not a time"),
        pytest.param("since=2026-11-30T17:02:00", "since", id="a time without zone"),
        pytest.param("since=2026-02-30T17:02:00Z", "since", id="a day that is not"),
        pytest.param("status=500", "status", id="not of the pattern"),
        pytest.param("name=b", "name", id="a parameter of the path in the query"),
    ],
)
def test_a_bad_parameter_is_400_and_named(client, query, parameter):
    response = client.get(f"/api/things/a?{query}")

    error = response.json["error"]
    assert (400, "bad-parameter", parameter) == (
        response.status_code,
        error["code"],
        error["parameter"],
    )
    assert parameter in error["message"]


def test_an_unknown_parameter_is_answered_with_the_nearest(client):
    error = client.get("/api/things/a?lsat=3").json["error"]

    assert "Did you mean last?" == error["fix"]


def test_a_value_from_outside_cannot_forge_lines_of_a_message(client):
    error = client.get("/api/things/a?side=%1b%5b31m%0ared" + "x" * 500).json["error"]

    assert error["message"].isprintable()
    assert len(error["message"]) < 200


def test_a_body_is_json_or_a_form(client):
    sent = {"to": "20%", "rule": {"path": "/a"}, "count": 2}
    by_json = client.post("/api/things", json=sent).json
    form = {"to": "20%", "rule": '{"path": "/a"}', "count": "2", "csrf": "any"}

    assert sent == by_json == client.post("/api/things", data=form).json


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "bad-parameter", id="nothing"),
        pytest.param(b"{}", "bad-parameter", id="a required field is missing"),
        pytest.param(b'{"to": 3}', "bad-parameter", id="a number instead of text"),
        pytest.param(b'{"to": null}', "bad-parameter", id="null"),
        pytest.param(b'{"to": "x", "count": true}', "bad-parameter", id="true is no number"),
        pytest.param(b'{"to": "x", "count": 1.5}', "bad-parameter", id="not whole"),
        pytest.param(b'{"to": "x", "rule": []}', "bad-parameter", id="a list as an object"),
        pytest.param(b'{"to": "x", "extra": 1}', "bad-parameter", id="unknown field"),
        pytest.param(b'{"to": "\\ud800"}', "bad-parameter", id="half a surrogate pair"),
        pytest.param(b'{"to": "x", "to": "y"}', "bad-parameter", id="a name twice"),
        pytest.param(b'{"to": "x", "count": NaN}', "bad-body", id="NaN"),
        pytest.param(b'{"to": "x", "count": 1e999}', "bad-body", id="more than a float"),
        pytest.param(b'{"count": ' + b"9" * 6000 + b"}", "bad-body", id="6,000 digits"),
        pytest.param(b"[" * 9000, "bad-body", id="9,000 brackets"),
        pytest.param(b'{"to": ' + b"[" * 900 + b"]" * 900 + b"}", "bad-parameter", id="deep"),
        pytest.param(b"[]", "bad-body", id="a list"),
        pytest.param(b"\xff", "bad-body", id="not UTF-8"),
        pytest.param(b"{", "bad-body", id="not closed"),
    ],
)
def test_a_bad_body_is_400(client, body, code):
    response = client.post("/api/things", data=body, content_type="application/json")

    assert (400, code) == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize("rule", ["{", "[]", "7", '{"a": 1, "a": 2}', "\ud800", '{"a": NaN}'])
def test_an_object_in_a_form_is_json_of_an_object(client, rule):
    form = f"to=x&rule={quote(rule, errors='surrogatepass')}"
    kind = "application/x-www-form-urlencoded"
    response = client.post("/api/things", data=form, content_type=kind)

    assert (400, "rule") == (response.status_code, response.json["error"]["parameter"])


def test_a_field_that_is_given_twice_is_named(client):
    body = b'{"to": "x", "count": 1, "count": 1}'
    response = client.post("/api/things", data=body, content_type="application/json")

    assert "count" == response.json["error"]["parameter"]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "a/\x00"])
def test_a_body_of_another_type_is_415(client, kind):
    response = client.post("/api/things", data=b'{"to": "x"}', content_type=kind)

    assert 415 == response.status_code
    assert {"code", "message", "fix", "next"} == set(response.json["error"])


def test_a_refused_edit_is_an_error_of_the_api(client):
    response = client.post("/api/refused", json={"to": "x"})

    expected = {
        "code": "unknown-route",
        "message": "routes.yaml has no route named x.",
        "fix": "Did you mean y?",
        "next": ["overgrow routes"],
    }
    assert (404, {"error": expected}) == (response.status_code, response.json)


def test_an_error_may_carry_the_state_that_the_client_did_not_know(client):
    response = client.post("/api/refused", json={"to": "stale"})

    assert (409, {"revision": "x"}) == (response.status_code, response.json["error"]["state"])


def test_the_document_says_what_the_declarations_say():
    document = openapi_document(ENDPOINTS, needs_token=True)
    get, post = document["paths"]["/api/things/{name}"]["get"], document["paths"]["/api/things"]

    assert ["path", "query"] == [each["in"] for each in get["parameters"][:2]]
    assert {"type": "integer", "minimum": 1, "maximum": 100, "default": 10} == get["parameters"][1][
        "schema"
    ]
    body = post["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert (["to"], False) == (body["required"], body["additionalProperties"])
    assert json.dumps(document)


def test_the_document_lists_the_statuses_of_an_endpoint():
    document = openapi_document(ENDPOINTS, needs_token=True)

    assert {"200", "400", "401", "403", "404", "413", "415", "421", "500", "503"} == set(
        document["paths"]["/api/refused"]["post"]["responses"]
    )


def test_parameters_that_exclude_each_other_are_described_so():
    need = Endpoint("POST", "/a", "", refuse, ANYTHING, BODY, either=("to", "rule"))
    paths = openapi_document([need], needs_token=False)["paths"]
    schema = paths["/a"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    given = [{"required": ["to"]}, {"required": ["rule"]}]
    assert [*given, {"not": {"anyOf": given}}] == schema["oneOf"]
