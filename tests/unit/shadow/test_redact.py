"""Redaction: nothing secret survives, and what is left is still of use."""

from __future__ import annotations

import json
from base64 import b32encode, urlsafe_b64encode
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair, redact_response
from overgrow.shadow.redact.html_skeleton import html_skeleton
from overgrow.shadow.redact.paths import (
    looks_like_a_name,
    reason_not_to_show,
    redact_difference_path,
    redacted_path_shape,
)
from overgrow.shadow.redact.redact import (
    MAX_BODY_BYTES,
    RedactedRequest,
    redact_difference,
    redact_query_keys,
    redact_rendered_json,
)
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.values.difference import MAX_RENDERED, Difference, member_path
from overgrow.shadow.values.snapshot import ResponseSnapshot

ASKED = RedactedRequest("GET", "/orders/<int:id>")
JSON = (b"content-type", b"application/json")


def answer(body=b"", *headers, status=200):
    return ResponseSnapshot(status, headers or (JSON,), body)


def json_answer(value, *headers):
    return answer(json.dumps(value).encode(), *(headers or (JSON,)))


def difference(kind="value", path="$.name", control='"a"', candidate='"b"'):
    return Difference(kind, path, "medium", control, candidate)


def text_of(pair):
    return json.dumps(pair.as_json())


def pair_of(one, other, show=frozenset()):
    found = compare(one, other, Rules.none)
    return redact_pair(ASKED, one, other, found.differences, show)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param('"jane@example.com"', "<str 16>", id="a string"),
        pytest.param("1234", "<int 4 digits>", id="an integer"),
        pytest.param("-7", "<int 1 digit>", id="a negative integer"),
        pytest.param("12.50", "<float 3 digits>", id="a float"),
        pytest.param("true", "true", id="true"),
        pytest.param("null", "null", id="null"),
        pytest.param("", "", id="nothing at all"),
        pytest.param('["a", "b"]', "<array 2>", id="an array"),
        pytest.param('{"a": 1}', "<object 1>", id="an object"),
        pytest.param("plain words", "<text 11>", id="text that is no JSON"),
        pytest.param("[" * 5_000, f"<text {MAX_RENDERED * 25}>", id="brackets without end"),
        pytest.param(f'"{"x" * 200}… (4321 characters)', "<str 4321>", id="a string that was cut"),
        pytest.param(f"{'x' * 200}… (4321 characters)", "<text 4321>", id="text that was cut"),
    ],
)
def test_a_value_becomes_its_type_and_length(value, kept):
    assert redact_rendered_json(value) == kept


def test_a_value_that_imitates_a_cut_one_keeps_its_real_length():
    assert redact_rendered_json("short… (987654 characters)") == "<text 26>"


@pytest.mark.parametrize("value", [object(), b"bytes"])
def test_a_value_of_no_known_type_is_hidden(value):
    from overgrow.shadow.redact.redact import _type_placeholder  # noqa: PLC0415 - its last branch has no other way in

    assert _type_placeholder(value) == "<unknown>"


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "items",
        "created_at",
        "createdAt",
        "X-Request-Id",
        "line1",
        "oauth2",
        "isHTML",
        "_links",
        "$ref",
        "price_cents",
        "idempotency_key",
        "Strict-Transport-Security",
        "Proxy-Authenticate",
        "JSESSIONID",
        "XSRF-TOKEN",
        "timezone",
        "webhooks",
        "callbackUrl",
        "mfaEnabled",
    ],
)
def test_names_that_a_programmer_wrote_stay(name):
    assert looks_like_a_name(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("jane@example.com", id="an address"),
        pytest.param("4711", id="a number"),
        pytest.param("user4711", id="a name with a number"),
        pytest.param("deadbeefcafe", id="hexadecimal"),
        pytest.param("6f1c8e9a-4b1d-4e4f-8f4b-0d6c1d1c0a55", id="a uuid"),
        pytest.param("Jane Doe", id="two words"),
        pytest.param("xkqzptvwbn", id="letters at random"),
        pytest.param("aB3dE5gH7jK9", id="a token"),
        pytest.param("a" * 41, id="too long"),
        pytest.param("", id="empty"),
        pytest.param("größe", id="not ASCII: fails closed"),
    ],
)
def test_keys_that_look_like_data_are_hidden(name):
    assert not looks_like_a_name(name)


def base64url(chance, size):
    return urlsafe_b64encode(chance.randbytes(size)).decode().rstrip("=")


def letters(alphabet, size):
    return lambda chance: "".join(chance.choices(alphabet, k=size))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda chance: base64url(chance, 12), id="96 bits in base64"),
        pytest.param(lambda chance: base64url(chance, 16), id="128 bits in base64"),
        pytest.param(lambda chance: base64url(chance, 24), id="192 bits in base64"),
        pytest.param(lambda chance: b32encode(chance.randbytes(10)).decode(), id="base32"),
        pytest.param(letters(ascii_letters + digits, 20), id="letters and digits"),
        pytest.param(letters(ascii_letters, 20), id="letters of both cases"),
        pytest.param(letters(ascii_lowercase, 20), id="small letters"),
        pytest.param(letters(ascii_uppercase, 20), id="capitals"),
        pytest.param(
            lambda chance: "sk_live_" + letters(ascii_letters + digits, 24)(chance),
            id="a key with a prefix of words",
        ),
    ],
)
def test_at_most_one_random_token_in_a_hundred_passes_for_a_name(token):
    chance = Random(7)
    shown = [each for each in (token(chance) for _ in range(1000)) if looks_like_a_name(each)]

    assert len(shown) <= 10, shown[:5]


@pytest.mark.parametrize(
    ("path", "kept", "shape"),
    [
        pytest.param("$.items[3].id", "$.items[3].id", "$.items[*].id", id="an index"),
        pytest.param(
            '$.users["jane@example.com"].age',
            "$.users[<key 16>].age",
            "$.users[<key>].age",
            id="a key that is an address",
        ),
        pytest.param('$["a\\"b.c"]', "$[<key 6>]", "$[<key>]", id="a quoted key with a quote"),
        pytest.param(
            "$.byId.user4711.x", "$.byId.<key 8>.x", "$.byId.<key>.x", id="a plain key of data"
        ),
        pytest.param("header:set-cookie", "header:set-cookie", "header:set-cookie", id="a header"),
        pytest.param(
            "cookie:session#2;path", "cookie:session#2;path", "cookie:session#2;path", id="a cookie"
        ),
        pytest.param(
            "html:/body/ul/li[2]/@href",
            "html:/body/ul/li[2]/@href",
            "html:/body/ul/li[*]/@href",
            id="an attribute",
        ),
        pytest.param(
            "html:/body/p/text()", "html:/body/p/text()", "html:/body/p/text()", id="a text"
        ),
        pytest.param("text:line[12]", "text:line[12]", "text:line[*]", id="a line"),
        pytest.param(
            '$.x["open',
            "$.x[?<key 4>".replace("<key 4>", "open"),
            "$.x[?open",
            id="an unclosed quote",
        ),
        pytest.param("$[4111111111111111]", "$[*]", "$[*]", id="an index that is a card number"),
    ],
)
def test_a_path_keeps_its_structure_and_hides_data(path, kept, shape):
    assert (redact_difference_path(path), redacted_path_shape(path)) == (kept, shape)


def test_a_path_without_end_is_cut():
    assert len(redact_difference_path("$" + ".items" * 200)) == 403


@pytest.mark.parametrize(
    ("kind", "path", "value", "kept"),
    [
        pytest.param("status", "status", "500", "500", id="a status"),
        pytest.param("status", "status", "secret", "<text 6>", id="no status"),
        pytest.param("content-type", "header:content-type", "text/html", "text/html", id="a type"),
        pytest.param(
            "content-type", "header:content-type;charset", "utf-8", "utf-8", id="a charset"
        ),
        pytest.param(
            "content-type", "header:content-type", "x-secret/abcd", "<str 13>", id="an odd type"
        ),
        pytest.param(
            "header-value",
            "header:cache-control",
            "private, max-age=3600",
            "private, max-age=<int 4 digits>",
            id="directives",
        ),
        pytest.param("header-value", "header:location", "/users/jane", "<str 11>", id="a location"),
        pytest.param("header-value", "header:x-token", "", "", id="nothing"),
        pytest.param(
            "order", "header:vary", "Cookie, Accept", "Cookie, Accept", id="an order of words"
        ),
        pytest.param("cookie-value", "cookie:session", "abcdef", "<str 6>", id="a cookie"),
        pytest.param(
            "cookie-attribute-value", "cookie:session;samesite", "Lax", "Lax", id="SameSite"
        ),
        pytest.param("cookie-attribute-value", "cookie:session;path", "/", "/", id="the root path"),
        pytest.param("length", "$.items", "array (3 items)", "<array 3>", id="a container"),
        pytest.param(
            "text", "html:/p/text()", "array (4711 items)", "<text 18>", id="text like one"
        ),
        pytest.param("encoding", "body", "unpacked", "<text 8>", id="an encoding"),
    ],
)
def test_what_stays_readable_depends_on_the_place(kind, path, value, kept):
    assert redact_difference(difference(kind, path, value, "")).control == kept


def test_only_the_exact_path_that_a_person_listed_is_shown():
    show = frozenset(["$.items[*].status"])
    listed = difference(path="$.items[3].status", control='"paid"')
    near = difference(path="$.items[3].status_note", control='"paid"')

    assert redact_difference(listed, show).control == '"paid"'
    assert redact_difference(near, show).control == "<str 4>"


def test_a_body_shows_a_listed_path_and_no_key_that_imitates_it():
    body = {"order": {"status": "paid"}, "order.status": "4711"}

    kept = redact_response(json_answer(body), frozenset(["$.order.status"])).body

    assert json.loads(kept) == {"order": {"status": "paid"}, "<key 12>": "<str 4>"}


def test_a_container_at_a_listed_path_is_told_by_its_size():
    grown = difference("length", "$.items", "array (3 items)", "array (2 items)")

    kept = redact_difference(grown, frozenset(["$.items"]))

    assert (kept.control, kept.candidate) == ("<array 3>", "<array 2>")


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd", "user_pwd", "PassPhrase", "token", "accessToken", "csrf_token"),
        *("secret", "client-secret", "api_key", "apiKey", "APIKey", "privatekey", "auth", "sid"),
        *("Authorization", "session_id", "cookie", "signature", "sig", "jwt", "otp", "pin"),
        *("PIN", "cardPin", "userOtp", "SSN", "IBANCode", "loginPwd"),
        *("cvv", "card_number", "iban", "ssn", "salt", "password_hash", "credentials", "xsrf"),
    ],
)
def test_a_path_with_a_secrets_name_in_it_can_not_be_shown(name):
    quoted = member_path("$", name)

    assert reason_not_to_show(f"{quoted}.status")
    assert reason_not_to_show(member_path("$.items[*]", name))


@pytest.mark.parametrize(
    "path",
    [
        "$",
        "$.status",
        "$.items[*].author",
        "$.passenger",
        "$.keyed",
        "$.shipping.state",
        "$.hashtag",
    ],
)
def test_a_plain_path_can_be_shown(path):
    assert reason_not_to_show(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("status", id="of the answer"),
        pytest.param("cookie:theme", id="a cookie"),
        pytest.param("html:/p/text()", id="a text"),
        pytest.param("$.items[3].status", id="an index"),
        pytest.param('$["jane@example.com"].age', id="a key that is data"),
        pytest.param("$.user4711.age", id="a name that is data"),
    ],
)
def test_what_is_no_json_path_of_names_can_not_be_shown(path):
    assert reason_not_to_show(path)


def test_a_long_value_is_hidden_even_at_a_listed_path():
    long = difference(path="$.status", control=json.dumps("x" * 90))

    assert redact_difference(long, frozenset(["$.status"])).control == "<str 90>"


@pytest.mark.parametrize("path", ["cookie:session", "header:authorization", "header:cookie"])
def test_credentials_are_hidden_even_if_somebody_lists_them(path):
    listed = difference(path=path, control="hunter2hunter2")

    assert redact_difference(listed, frozenset([path])).control == "<str 14>"


def test_how_alike_two_hidden_values_are_is_kept():
    found = compare(json_answer({"n": 1}), json_answer({"n": 12}))

    [kept] = (redact_difference(each) for each in found.differences)

    assert (kept.gap, kept.gap_s, kept.alike) == (11.0, None, True)


def test_a_json_body_keeps_its_structure():
    body = {
        "id": 4711,
        "open": True,
        "note": None,
        "customer": {"email": "jane@example.com"},
        "lines": [1.5, 2],
    }

    kept = redact_response(json_answer(body)).body

    assert json.loads(kept) == {
        "id": "<int 4 digits>",
        "open": True,
        "note": None,
        "customer": {"email": "<str 16>"},
        "lines": ["<float 2 digits>", "<int 1 digit>"],
    }


def test_long_arrays_and_large_objects_are_cut_and_say_so():
    body = {
        "list": list(range(100)),
        **{f"key_{'abcdefghij'[n % 10]}{n // 10}": 1 for n in range(60)},
    }

    kept = json.loads(redact_response(json_answer(body)).body)

    assert kept["list"] == ["<int 1 digit>", "<int 1 digit>", "<int 1 digit>", "<97 more>"]
    assert kept["..."] == "<11 more>"


def test_deep_structures_end_in_their_type():
    deep: object = "secret"
    for _ in range(40):
        deep = [deep]

    assert "<array 1>" in redact_response(json_answer(deep)).body


def test_listed_paths_are_readable_in_the_body_too():
    body = {"items": [{"status": "paid", "who": "jane"}], "status": "x" * 90}

    kept = redact_response(json_answer(body), frozenset(["$.items[*].status", "$.status"])).body

    assert json.loads(kept) == {
        "items": [{"status": "paid", "who": "<str 4>"}],
        "status": "<str 90>",
    }


@pytest.mark.parametrize(
    ("content_type", "body", "kept"),
    [
        pytest.param(b"text/plain", b"secret words", "<text 12 bytes>", id="text"),
        pytest.param(b"image/png", b"\x89PNG", "<bytes 4 bytes>", id="bytes"),
        pytest.param(b"application/json", b"{not json", "<json 9 bytes>", id="JSON that is none"),
        pytest.param(b"application/json", b"[" * 9_999, "<json 9999 bytes>", id="JSON without end"),
        pytest.param(
            b"application/vnd.api+json", b"[1]", '["<int 1 digit>"]', id="JSON by another name"
        ),
        pytest.param(b"text/html", b"<!--" * 999, "<html 3996 bytes>", id="HTML that never ends"),
        pytest.param(
            b"application/json",
            b" " * (MAX_BODY_BYTES + 1),
            f"<json {MAX_BODY_BYTES + 1} bytes>",
            id="too large",
        ),
        pytest.param(b"application/json", b"", "", id="nothing"),
        pytest.param(b"application/atom+xml", b"<a/>", "<text 4 bytes>", id="text that says XML"),
        pytest.param(
            b"text/html; charset=utf-8",
            b'<p class="x" data-user="jane" secret-Thing=1>Hi Jane<br/></p><!-- s3cret --><my-jane>',
            "<p class data-user ?>[7]<br></p><?>",
            id="HTML",
        ),
    ],
)
def test_a_body_of_each_kind_leaves_its_structure_or_size(content_type, body, kept):
    assert redact_response(answer(body, (b"content-type", content_type))).body == kept


def test_a_structure_too_long_leaves_its_size():
    body = {f"{a}{b}_name": [1, 2, 3] for a in "abcdefgh" for b in "aeiou"}

    assert redact_response(json_answer({"a": body, "b": body, "c": body})).body.startswith("<json ")


def test_headers_keep_names_and_only_words_of_a_vocabulary():
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"set-cookie", b"session=abc123; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; odd=jane"),
        (b"authorization", b"Bearer abcdef"),
        (b"etag", b'"abcdef"'),
        (b"x-4711-jane", b"1"),
    ]

    kept = redact_response(answer(b"", *headers)).headers

    assert kept == (
        ("content-type", "text/html; charset=utf-8"),
        (
            "set-cookie",
            "session=<str 6>; Path=/; HttpOnly; SameSite=Lax; Max-Age=<str 2>; <str 3>=<str 4>",
        ),
        ("authorization", "<str 13>"),
        ("etag", "<str 8>"),
        ("<key 11>", "<str 1>"),
    )


@pytest.mark.parametrize("mark", ["<!--", "<!x", "<?x", "</x ", "<x "])
def test_unclosed_markup_gets_no_skeleton(
    mark,
):
    with pytest.raises(ValueError, match="never ends"):
        html_skeleton(f"<p>{mark * 1000}", looks_like_a_name)


def test_query_keys_are_sorted_unique_and_hidden_if_they_look_like_data():
    assert redact_query_keys("q=1&page=2&q=3&jane%40example.com=1&&") == ("<key 16>", "page", "q")


def test_query_keys_are_bounded():
    assert len(redact_query_keys("&".join(f"key_{a}{b}=1" for a in "abcde" for b in "aeiou"))) == 16


def test_a_skeleton_hides_what_html_does_not_know():
    assert (
        html_skeleton("<jane-doe aria-label=x data-x4711=1>", looks_like_a_name)
        == "<? aria-label ?>"
    )


# Letters that no word of ours consists of, so that a substring found is the secret's own. Of two
# numbers the gap is kept, on purpose: 1000 is the gap between "1000" and "0000".
SECRETS = st.text("QWXZ0123456789@#%|~^", min_size=4, max_size=40).filter(
    lambda text: not text.isdigit()
)


def leaks(secret, text):
    return [part for at in range(len(secret) - 3) if (part := secret[at : at + 4]) in text]


def place_in_json(secret):
    return json_answer({"name": secret, "list": [secret], "deep": {"x": {"y": secret}}, "n": 1})


def place_in_keys(secret):
    address = f"{secret}@example.com"
    return json_answer({address: 1, "by": {address: {address: [secret]}}})


def place_in_headers(secret):
    value = secret.encode()
    return answer(
        b"{}",
        JSON,
        (b"authorization", b"Bearer " + value),
        (b"location", b"/x/" + value),
        (b"cache-control", value),
        (b"content-disposition", b'attachment; filename="' + value + b'"'),
        (b"vary", value),
    )


def place_in_cookies(secret):
    value = secret.encode()
    cookie = b"session=" + value + b"; Path=/" + value + b"; Domain=" + value + b"; x=" + value
    return answer(b"{}", JSON, (b"set-cookie", cookie))


def place_in_content_type(secret):
    return answer(
        b"{}",
        (b"content-type", b"application/x-" + secret.encode() + b"; boundary=" + secret.encode()),
    )


def place_in_html(secret):
    body = f'<p title="{secret}" data-x="{secret}">{secret}<!--{secret}--></p>'
    return answer(body.encode(), (b"content-type", b"text/html"))


def place_in_text(secret):
    return answer(f"line\n{secret}\n".encode(), (b"content-type", b"text/plain"))


def place_in_bytes(secret):
    return answer(secret.encode(), (b"content-type", b"application/octet-stream"))


PLACES = [
    place_in_json,
    place_in_keys,
    place_in_headers,
    place_in_cookies,
    place_in_content_type,
    place_in_html,
    place_in_text,
    place_in_bytes,
]


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=40, deadline=None)
@given(SECRETS, SECRETS)
def test_no_four_characters_of_a_secret_survive_anywhere(place, secret, other):
    text = text_of(pair_of(place(secret), place(other)))

    assert leaks(secret, text) + leaks(other, text) == []


@pytest.mark.parametrize("place", [place for place in PLACES if place is not place_in_keys])
@settings(max_examples=25, deadline=None)
@given(st.integers(4, 30), st.data())
def test_secrets_of_one_length_leave_the_same_trace(place, length, data):
    letters = st.text("abcdefghijklmnopqrstuvwxyzABCDEFG", min_size=length, max_size=length)
    one, other = data.draw(letters), data.draw(letters)

    assert redact_response(place(one)).body == redact_response(place(other)).body


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"application/json", b"text/html", b"text/plain"]))
def test_no_body_breaks_redaction(body, content_type):
    kept = redact_response(answer(body, (b"content-type", content_type)))

    assert len(kept.body) <= 4096


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_path_breaks_redaction(path):
    assert len(redact_difference_path(path)) <= 60 * 9
