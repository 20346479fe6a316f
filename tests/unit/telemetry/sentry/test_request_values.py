"""What counts as a value of a request that no report may repeat."""

import base64
import json

import pytest

from overgrow.routing.facts import Head
from overgrow.telemetry.sentry.request_values import MAX_VALUES, values_of_request


def values(target="/", headers=(), body=b"", template="/", **more):
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    more = {"body_is_whole": True} | more
    head = Head("POST", target.encode(), pairs, "10.0.0.1", "10.0.0.1", "http", "shop.example")
    return values_of_request(head, template, body, **more)


LOGIN = base64.b64encode(b"ann:pass:word").decode()


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("authorization", "Bearer abc.def", "abc.def"),
        ("authorization", f"Basic {LOGIN}", "pass:word"),
        ("authorization", f"basic {LOGIN}", "ann:pass:word"),
        ("cookie", "a=1; session=s3cret%20value", "s3cret value"),
        ("x-api-key", "key-1234", "key-1234"),
        ("anything", "some text of a client", "some text of a client"),
    ],
)
def test_the_value_of_a_header_is_one(name, value, hidden):
    assert hidden in values(headers=[(name, value)]).values


@pytest.mark.parametrize(
    ("name", "value"),
    [("accept", "text/html"), ("host", "shop.example"), ("sec-fetch-mode", "navigate")],
)
def test_what_every_client_sends_is_none(name, value):
    assert not values(headers=[(name, value)]).values


@pytest.mark.parametrize(
    ("target", "hidden"),
    [
        ("/reset/t0ken-of-ann", "t0ken-of-ann"),
        ("/reset/t0ken%2Fof-ann", "t0ken/of-ann"),
        ("/reset/x?email=ann%40shop", "ann@shop"),
        ("/reset/x?email=ann%40shop", "ann%40shop"),
        ("/reset/x?a+bare+token", "a bare token"),
    ],
)
def test_what_varies_in_an_address_is_one(target, hidden):
    assert hidden in values(target, template="/reset/<token>").values


def test_the_words_of_a_template_are_none():
    found = values("/orders/12345", template="/orders/<int:id>").values

    assert "12345" in found
    assert "orders" not in found


@pytest.mark.parametrize(
    ("content_type", "body", "hidden"),
    [
        ("application/json", b'{"a": [{"b": "in a list"}]}', "in a list"),
        ("application/json", b'{"card": 4111111111111111}', "4111111111111111"),
        ("application/json", b'{"cut off": "here', "here"),
        ("application/x-www-form-urlencoded", b"name=Ann+Lee", "Ann Lee"),
        ("text/plain", b"one line", "one line"),
        ("", b"\xff\xfe binary", "binary"),
    ],
)
def test_a_body_is_read_by_its_type(content_type, body, hidden):
    assert hidden in values(headers=[("content-type", content_type)], body=body).values


def test_a_part_of_a_form_and_the_name_of_a_file_are_values():
    body = (
        b'--x\r\nContent-Disposition: form-data; name="iban"\r\n\r\nDE00 1234\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="cv of ann.txt"\r\n\r\nhi\r\n--x--'
    )
    found = values(headers=[("content-type", "multipart/form-data; boundary=x")], body=body).values

    assert {"DE00 1234", "cv of ann.txt"} <= found


def test_json_deeper_than_python_reads_is_hidden_by_pieces():
    body = b"[" * 100_000 + b'"deep-down"'

    found = values(headers=[("content-type", "application/json")], body=body).values

    assert "deep-down" in found


def test_a_short_text_is_none():
    assert not values("/?page=2&q=abc").values


def test_an_identity_is_read_to_its_leaves():
    who = {"id": 123456, "name": "Grace", "claims": {"mail": "grace@shop"}, "roles": ["admins"]}

    assert {"123456", "Grace", "grace@shop", "admins"} <= values(identity=[who]).values


def test_more_values_than_can_be_hidden_are_told():
    body = json.dumps([f"value {number}" for number in range(MAX_VALUES + 5)]).encode()

    found = values(headers=[("content-type", "application/json")], body=body)

    assert not found.are_all
    assert len(found.values) == MAX_VALUES


def test_a_body_that_was_not_kept_whole_is_told():
    assert not values(body=b"the start", body_is_whole=False).are_all
