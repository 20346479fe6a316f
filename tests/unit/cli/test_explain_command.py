import time

import pytest

from overgrow.routing.override import create_override

KEYS = [
    "method",
    "target",
    "route",
    "side",
    "reason",
    "bucket",
    "cohort",
    "revision",
    "killed",
    "candidates",
]


def test_explain_as_json_has_exactly_the_keys_that_are_promised(overgrow):
    code, told = overgrow.json("explain", "/orders/7")

    assert (0, KEYS) == (code, list(told))
    assert [{"route": "order-detail", "matched": True, "failed": None}] == told["candidates"]


def test_explain_says_side_route_reason_and_revision(overgrow):
    lines = overgrow("explain", "/orders/7").stdout.splitlines()

    assert "GET /orders/7 -> migrated" == lines[0]
    assert ["order-detail", "target: it is the route's target", "742dc5e00c9a"] == [
        line[12:] for line in lines[1:4]
    ]
    assert "  order-detail  matches" == lines[-1]


@pytest.mark.parametrize(
    ("words", "failed"),
    [
        pytest.param(["/cart"], "host", id="no host"),
        pytest.param(["http://shop.example/cart"], "header:x-beta", id="header"),
        pytest.param(["-X", "PUT", "/orders"], "method", id="method"),
    ],
)
def test_explain_names_the_first_condition_that_failed(overgrow, words, failed):
    told = overgrow.json("explain", *words)[1]

    assert (None, "default", failed) == (
        told["route"],
        told["reason"],
        told["candidates"][0]["failed"],
    )


def test_explain_says_how_to_give_the_host_that_failed_for_want_of_one(overgrow):
    assert "-H 'Host: NAME'" in overgrow("explain", "/cart").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["https://shop.example:8443/cart?x=1#part", "-H", "X-Beta: 1"],
        ["https://me:secret@SHOP.example/cart", "-H", "x-beta:1"],
        ["/cart", "-H", "Host: shop.example", "-H", "X-Beta: 1"],
        ["http://other.example/cart", "-H", "Host: shop.example", "-H", "X-Beta: 1"],
    ],
)
def test_host_and_headers_of_the_command_line_are_heeded(overgrow, words):
    assert "cart" == overgrow.json("explain", *words)[1]["route"]


@pytest.mark.parametrize(
    ("given", "target"),
    [
        pytest.param("/caf\u00e9", "/caf%C3%A9", id="beyond ASCII"),
        pytest.param("/a b", "/a%20b", id="a blank"),
        pytest.param("/\udcff", "/%FF", id="a byte that is no UTF-8"),
        pytest.param("http://h.example", "/", id="URL without path"),
        pytest.param("http://h.example?a=1", "/?a=1", id="URL with query alone"),
        pytest.param("/r?to=http://h.example/x", "/r?to=http://h.example/x", id="URL in the query"),
        pytest.param("http://h.example/a#part", "/a", id="a fragment stays with the browser"),
        pytest.param("/a%2Fb", "/a%2Fb", id="escapes stay"),
        pytest.param("*", "*", id="asterisk form"),
    ],
)
def test_the_target_is_what_a_browser_would_send(overgrow, given, target):
    assert target == overgrow.json("explain", given)[1]["target"]


def test_a_host_beyond_ascii_is_asked_as_idna(overgrow):
    text = overgrow.table.read_text().replace("shop.example", "xn--bcher-kva.example")
    overgrow.table.write_text(text)

    told = overgrow.json("explain", "http://b\u00fccher.example/cart", "-H", "X-Beta: 1")[1]

    assert "cart" == told["route"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["orders"], id="no slash"),
        pytest.param(["ftp://h.example/"], id="no web address"),
        pytest.param(["http://\udcff/"], id="no host"),
        pytest.param(["/", "-H", "X-Beta"], id="no header"),
        pytest.param(["/", "-H", "X Beta: 1"], id="no header name"),
        pytest.param(["/", "--ip", "here"], id="no address"),
        pytest.param(["/", "-X", "GE T"], id="no method"),
    ],
)
def test_what_cannot_be_asked_is_bad_usage_with_an_example(overgrow, words):
    assert "Write" in overgrow.misused("explain", *words)


def test_the_bucket_and_its_source_are_told(overgrow):
    overgrow("flip", "orders", "25%")

    told = overgrow.json("explain", "/orders", "-H", "Cookie: overgrow_id=abc")[1]

    assert ("migrated", "canary", 324500635, "cookie:overgrow_id") == (
        told["side"],
        told["reason"],
        told["bucket"],
        told["cohort"],
    )


def test_a_client_without_a_bucket_is_told_what_it_lacks(overgrow):
    overgrow("flip", "orders", "25%")

    assert "none: without cookie:overgrow_id" in overgrow("explain", "/orders").stdout


def test_the_address_can_be_the_cohort(overgrow):
    text = overgrow.table.read_text().replace("routes:", "cohort: {by: [ip]}\nroutes:")
    overgrow.table.write_text(text)
    overgrow("flip", "orders", "25%")

    told = [overgrow.json("explain", "/orders", "--ip", ip)[1] for ip in ("192.0.2.1", "192.0.2.9")]

    assert ["ip", "ip"] == [one["cohort"] for one in told]
    assert told[0]["bucket"] != told[1]["bucket"]


@pytest.mark.parametrize("place", ["routes.yaml.kill", ".overgrow/kill"])
def test_the_kill_file_is_read(overgrow, place):
    path = overgrow.folder / place
    path.parent.mkdir(exist_ok=True)
    path.touch()

    told = overgrow.json("explain", "/orders/7")[1]

    assert ("legacy", "killed", True) == (told["side"], told["reason"], told["killed"])


def test_a_kill_file_over_a_broken_table_explains_by_the_last_good_one(overgrow):
    state = overgrow.folder / ".overgrow"
    state.mkdir()
    overgrow.table.rename(state / "last-good.yaml")
    overgrow.table.write_text("version: [")
    (state / "kill").touch()

    assert "killed" == overgrow.json("explain", "/orders/7")[1]["reason"]


def test_a_broken_table_is_told_with_its_problems(overgrow):
    overgrow.table.write_text("version: [")

    assert "routes.yaml:2:1: " in overgrow.fails("explain", "/")


@pytest.mark.parametrize(
    ("route", "side"), [("orders", "migrated"), ("cart", "legacy")], ids=["a rule", "no rule"]
)
def test_an_override_is_heeded_only_where_the_app_has_a_rule(overgrow, route, side):
    token = create_override("migrated", "*", int(time.time()) + 60, b"key")
    words = [f"http://shop.example/{route}", "-H", "X-Beta: 1"]

    told = overgrow.json(
        "explain", *words, "-H", f"X-Overgrow-Override: {token}", OVERGROW_SECRET="key"
    )[1]

    assert (route, side) == (told["route"], told["side"])


def test_a_refused_request_says_why(overgrow):
    text = overgrow.table.read_text().replace("target: migrated", "target: gone")
    overgrow.table.write_text(text)

    lines = overgrow("explain", "/x/../orders/7").stdout.splitlines()

    assert "GET /x/../orders/7 -> refused" == lines[0]
    assert "a route that is closed" in lines[2]


def test_an_address_has_one_bucket_in_either_form(overgrow):
    text = overgrow.table.read_text().replace("routes:", "cohort: {by: [ip]}\nroutes:")
    overgrow.table.write_text(text)
    overgrow("flip", "orders", "25%")

    short, long = (
        overgrow.json("explain", "/orders", "--ip", ip)[1]["bucket"]
        for ip in ("192.0.2.7", "::ffff:192.0.2.7")
    )

    assert short == long


@pytest.mark.parametrize("path", ["/Users/1", "/users;jsessionid=1A2B/1"])
def test_a_spelling_that_legacy_folds_is_read_as_requests_are(overgrow, path):
    text = overgrow.table.read_text().replace("legacy:", "legacy:\n  folds: [case]", 1)
    moved = "  - {prefix: /users, target: migrated, reversible: false}\n"
    overgrow.table.write_text(text.replace("routes:\n", f"routes:\n{moved}", 1))

    told = overgrow.json("explain", path)[1]

    assert ("users-all", "refused", "ambiguous-path") == (
        told["route"],
        told["side"],
        told["reason"],
    )
