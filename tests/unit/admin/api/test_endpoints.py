from io import BytesIO

import jsonschema
import pytest

from overgrow.admin.api.endpoints import ENDPOINTS
from overgrow.admin.api.errors import ERRORS, EVERYWHERE, OF_POSTS, error_json
from overgrow.admin.app import create_admin
from overgrow.table.live import is_killed
from tests.unit.admin.admin_view import View

ERROR_KEYS = ["code", "message", "fix", "next"]


@pytest.fixture
def view(tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "metrics").mkdir()
    return View(tmp_path, None, config=tmp_path / "routes.yaml")


@pytest.fixture
def client(view):
    return create_admin(view).test_client()


def test_the_api_describes_itself(client):
    document = client.get("/api/openapi.json").json

    assert "3.1.0" == document["openapi"]
    assert {each.path for each in ENDPOINTS} == set(document["paths"])


@pytest.mark.parametrize("each", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_an_endpoint_declares_known_codes_and_words_for_people(each):
    assert {*each.errors, *EVERYWHERE, *OF_POSTS} <= set(ERRORS)
    jsonschema.Draft202012Validator.check_schema(each.response)
    assert each.summary
    assert all(parameter.doc for parameter in each.parameters)


def test_an_endpoint_is_declared_once():
    places = [(each.method, each.path) for each in ENDPOINTS]

    assert sorted(set(places)) == sorted(places)


@pytest.mark.parametrize("each", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_every_endpoint_refuses_a_parameter_it_does_not_know(client, view, each):
    view.token = "s3cret"
    path = each.path.replace("{", "").replace("}", "")
    ask = client.get if each.method == "GET" else client.post

    headers = {"Authorization": "Bearer s3cret"}
    response = ask(f"{path}?unheard-of=1", headers=headers)
    if each.method == "POST":
        response = ask(path, json={"unheard-of": 1}, headers=headers)

    assert (400, "unheard-of") == (response.status_code, response.json["error"]["parameter"])


def test_the_description_says_whether_a_token_is_needed(client, view):
    without = client.get("/api/openapi.json").json["security"]
    view.token = "s3cret"
    headers = {"Authorization": "Bearer s3cret"}

    assert {} in without
    assert [{"token": []}] == client.get("/api/openapi.json", headers=headers).json["security"]


@pytest.mark.parametrize(("code", "kind"), ERRORS.items(), ids=list(ERRORS))
def test_every_error_names_what_helps(code, kind):
    assert kind.next_commands
    assert error_json(code, "What.")["error"]["next"]


def test_a_wrong_method_is_told_the_right_ones(client):
    error = client.put("/api/status").json["error"]

    assert "Use GET, HEAD or OPTIONS." == error["fix"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/api/kill", "/kill", "/login"])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_that_is_too_long_is_413_with_and_without_a_length(view, path, kind, is_chunked):
    view.token = "s3cret"
    body = {"data": b"who=" + b"x" * 16_384}
    if is_chunked:
        stream = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        body = {"input_stream": BytesIO(body["data"]), "environ_overrides": stream}
    response = (
        create_admin(view)
        .test_client()
        .post(path, content_type=kind, headers={"Authorization": "Bearer s3cret"}, **body)
    )

    assert 413 == response.status_code
    assert not is_killed(view.config, view.state)


@pytest.mark.parametrize("path", ["/api//status", "/api/routes//default"])
def test_a_path_with_an_empty_part_leads_nowhere(client, path):
    response = client.get(path)

    assert (404, "Location" in response.headers) == (response.status_code, False)


CHANGES = [each for each in ENDPOINTS if each.changes]
OTHER_SITES = [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]


@pytest.mark.parametrize("each", CHANGES, ids=lambda each: each.path)
def test_no_change_is_made_with_the_token_that_reads(client, view, each):
    view.token, view.read_token = "s3cret", "look"
    response = client.post(each.path, json={}, headers={"Authorization": "Bearer look"})

    assert (403, "token-reads-only") == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize("each", CHANGES, ids=lambda each: each.path)
@pytest.mark.parametrize("headers", OTHER_SITES)
def test_no_change_is_made_for_a_page_of_another_site(client, view, each, headers):
    view.token = "s3cret"
    headers = {"Authorization": "Bearer s3cret", **headers}
    response = client.post(each.path, json={}, headers=headers)

    assert (403, "foreign-origin") == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize("each", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_nothing_is_answered_without_the_token(client, view, each):
    view.token = "s3cret"
    response = client.open(each.path, method=each.method, json={})

    assert (401, "token-needed") == (response.status_code, response.json["error"]["code"])


READS = [each for each in ENDPOINTS if each.method == "GET"]


@pytest.mark.parametrize("each", READS, ids=lambda each: each.path)
def test_an_answer_is_as_described(client, view, each):
    path = each.path.replace("{name}", "default")
    response = client.get(path)

    schema = dict(each.response)
    if response.status_code == 200:
        jsonschema.validate(response.json, schema, jsonschema.Draft202012Validator)
    else:
        assert response.json["error"]["code"] in {*each.errors, *EVERYWHERE}


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        ("GET /api", 404, "not-found"),
        ("GET /api/statuss", 404, "not-found"),
        ("PUT /api/status", 405, "method-not-allowed"),
        ("POST /api/status", 405, "method-not-allowed"),
    ],
)
def test_errors_of_the_framework_have_the_shape_of_the_api(client, view, ask, status, code):
    view.token = "s3cret"
    method, path = ask.split()
    response = client.open(path, method=method, headers={"Authorization": "Bearer s3cret"})

    assert (status, ERROR_KEYS) == (response.status_code, list(response.json["error"]))
    assert code == response.json["error"]["code"]


def test_an_unknown_path_is_answered_with_the_nearest(client):
    assert "Did you mean /api/status?" == client.get("/api/statuss").json["error"]["fix"]


def test_a_program_that_wants_html_gets_json_of_the_api_all_the_same(client, view):
    view.token = "s3cret"
    response = client.post("/api/status", headers={"Accept": "text/html"})

    assert (401, "token-needed") == (response.status_code, response.json["error"]["code"])
