from __future__ import annotations

import hashlib
import json
import re
from ipaddress import ip_network
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from overgrow.forwarding.client import transport
from overgrow.routing.model import Legacy, Predicate, Timeouts, TrustedProxies
from overgrow.routing.readings import FOLDS
from overgrow.table.reading.app_rules import describe_first_missing
from overgrow.table.reading.grammar import COHORT, FALLBACK, LEGACY, REQUIRE, ROUTE, SHADOW, TOP
from overgrow.table.reading.identity import IDENTITY, JWT
from overgrow.table.reading.parse import AppRule, find_app_name, parse
from overgrow.table.reading.table_file import MAX_BYTES
from overgrow.table.reading.values import LENIENCIES

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "proxy/overgrow/routes.schema.json").read_text())
HEAD = "version: 1\nlegacy: {url: 'http://h'}\n"


def loaded(text: str, *, env=None, rules=None, **more):
    return parse(text.encode(), file="routes.yaml", env=env or {}, rules=rules, **more)


def table_of(text: str, **more):
    found = loaded(text, **more)
    assert found.problems == ()
    return found.table


def route_of(fields: str, **more):
    return table_of(f"{HEAD}routes:\n  - {{{fields}}}\n", **more).routes[0]


def test_a_table_with_every_field_says_what_was_written():
    text = """
version: 1
app: shop:create_app
legacy:
  url: HTTPS://Legacy.example.com:8443
  host: upstream
  connect_timeout: 500ms
  response_timeout: 1m
  idle_timeout: 1h
  stream_idle_timeout: 2h
  max_connections: 12
  tls_ca: certs/ca.pem
  tls_name: Legacy.Internal
  max_age: 90s
  via: shop-front
  forwarded: true
  max_body: 50MB
  lenient: [obs-fold, bare-lf]
  folds: [case, double-decoding]
  rewrite_headers: true
  breaker: true
  probe: /health?deep=1
trusted_proxies: [10.0.0.0/8, 192.0.2.1, "fd00::/8", unix]
cohort: {by: [header:X-User, cookie:Id, ip], salt: s}
routes:
  - name: orders
    path: /orders
    methods: [GET, POST]
    host: "*.Example.com"
    headers: {X-Beta: "yes"}
    query: {preview: {present: true}}
    cookies: {group: {present: false}}
    target: legacy
    canary: 0.25%
    response_timeout: 5s
    stream_idle_timeout: 30s
    priority: -3
"""
    table = table_of(text)
    route = table.routes[0]

    assert table.app == "shop:create_app"
    assert table.legacy.url == "https://legacy.example.com:8443"
    assert table.legacy.host == "upstream"
    assert table.legacy.timeouts == Timeouts(0.5, 60.0, 3600.0, 7200.0)
    assert table.legacy.max_connections == 12
    assert table.legacy.tls_ca == "certs/ca.pem"
    assert (table.legacy.tls_name, table.legacy.max_age_s) == ("legacy.internal", 90.0)
    assert table.legacy.via == "shop-front"
    assert table.legacy.forwarded is True
    assert table.legacy.max_body == 50_000_000
    assert table.legacy.leniencies == {"bare-lf", "obs-fold"}
    assert table.legacy.folds == {"case", "double-decoding"}
    assert table.legacy.rewrite_headers is True
    assert table.legacy.breaker is True
    assert table.legacy.probe == "/health?deep=1"
    assert table.trusted_proxies == TrustedProxies(
        (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"), ip_network("fd00::/8")), unix=True
    )
    assert table.cohort.by == ("header:x-user", "cookie:Id", "ip")
    assert table.cohort.salt == "s"
    assert route.methods == ("GET", "POST")
    assert route.host == "*.example.com"
    assert route.predicates == (
        Predicate("header", "x-beta", "yes"),
        Predicate("query", "preview", None, present=True),
        Predicate("cookie", "group", None, present=False),
    )
    assert (route.canary, route.priority, route.line) == (25, -3, 26)
    assert route.timeouts == Timeouts(0.5, 5.0, 3600.0, 30.0)


def test_the_shortest_table_has_every_default():
    table = table_of(HEAD)

    assert table.routes == ()
    assert table.legacy == Legacy("http://h", via=table.legacy.via)
    assert table.cohort.by == ("cookie:overgrow_id",)
    assert table.revision == hashlib.sha256(HEAD.encode()).hexdigest()[:12]


def test_the_via_name_comes_from_salt_and_url():
    text = HEAD + "cohort: {salt: abc}\n"

    expected = hashlib.sha256(b"abchttp://h").hexdigest()[:8]
    assert f"overgrow-{expected}" == table_of(text).legacy.via


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "http://127.0.0.1:9000",
        "https://a-b.c_d.example",
        "http://[::1]:80",
        "unix:/run/x.sock",
    ],
)
def test_an_address_of_legacy_is_taken(url):
    assert url == table_of(f"version: 1\nlegacy: {{url: '{url}'}}\n").legacy.url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h", "http://", "http://h//", "http://h?q", "http://h#f", "http://u@h", "http://h:0",
        "http://h:65536", "http://[::g]", "http://-h", "http://a b", "unix:x", "unix://h/x", "h:80",
    ],
)  # fmt: skip
def test_an_address_with_more_than_scheme_host_and_port_is_refused(url):
    problems = loaded(f"version: 1\nlegacy: {{url: '{url}'}}\n").problems

    assert ["legacy-url"] == [problem.code for problem in problems]


def test_a_password_in_the_url_is_not_repeated_in_the_message():
    problem = loaded("version: 1\nlegacy: {url: 'http://u:secret@h/x'}\n").problems[0]

    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("1kB", 1_000),
        ("50MB", 50_000_000),
        ("1000GB", 10**12),
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        ("2GiB", 2_147_483_648),
    ],
)
def test_a_size_is_read_in_bytes(written, size_bytes):
    table = table_of(f"version: 1\nlegacy: {{url: 'http://h', max_body: {written}}}\n")

    assert size_bytes == table.legacy.max_body


@pytest.mark.parametrize(
    ("line", "size_bytes"), [("", 500_000_000), ("history_max: 20MB\n", 20_000_000)]
)
def test_the_history_may_take_500_mb_unless_the_table_says_otherwise(line, size_bytes):
    table = table_of(f"version: 1\nlegacy: {{url: 'http://h'}}\n{line}")

    assert size_bytes == table.history_max


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("50mb", "Write 50MB."),
        ("50 M", "Write 50MB."),
        ("50KB", "Write 50kB."),
        ("4gib", "Write 4GiB."),
        ("1.5MB", "such as 50MB"),
        ("4096", "such as 50MB"),
        ("0MB", "between 1kB and 1000GB"),
        ("1001GB", "between 1kB and 1000GB"),
    ],
)
def test_what_is_no_size_gets_the_nearest_one_as_its_fix(written, said):
    problem = loaded(f"version: 1\nlegacy: {{url: 'http://h', max_body: {written}}}\n").problems[0]

    assert said in problem.fix


def test_the_folds_of_the_schema_are_those_of_the_readings():
    assert (
        list(FOLDS)
        == (SCHEMA["properties"]["legacy"]["properties"]["folds"]["items"]["anyOf"][0]["enum"])
    )


def test_the_leniencies_of_the_table_are_those_of_the_transport():
    assert set(LENIENCIES) == set(transport.LENIENCIES)
    assert set(LENIENCIES) == set(
        SCHEMA["properties"]["legacy"]["properties"]["lenient"]["items"]["anyOf"][0]["enum"]
    )


@pytest.mark.parametrize(
    ("written", "env", "meant"),
    [
        pytest.param("'${P}'", {"P": "/a"}, "/a", id="set"),
        pytest.param("'${P:-/b}'", {}, "/b", id="default"),
        pytest.param("'${P:-/b}'", {"P": ""}, "/b", id="empty takes the default, as in a shell"),
        pytest.param("'/x${P:-}'", {}, "/x", id="empty default"),
        pytest.param("'/$${P}'", {"P": "no"}, "/${P}", id="literal"),
        pytest.param("'/${P}/${P}'", {"P": "a"}, "/a/a", id="twice, within text"),
    ],
)
def test_variables_are_filled_in(written, env, meant):
    assert meant == route_of(f"path: {written}, target: legacy", env=env).path


@pytest.mark.parametrize(
    ("field", "said"),
    [
        pytest.param("via: '${P}'", "legacy.via is ${P}; it must be an HTTP token", id="quoted"),
        pytest.param("host: '${P}'", "legacy.host is ${P}; it can be preserve", id="a word"),
        pytest.param("lenient: ['${P}']", "lenient is ${P}; it can be", id="in a list"),
    ],
)
def test_a_problem_does_not_tell_what_a_variable_holds(field, said):
    problem = loaded(
        f"version: 1\nlegacy: {{url: 'http://h', {field}}}\n", env={"P": "Hush Hunter2"}
    ).problems[0]

    assert said in problem.message
    assert "hunter" not in str(problem).lower()


def test_a_fix_made_of_what_a_variable_holds_is_not_told():
    problem = route_problem("methods: ['${P}']", {"P": "hunter"})

    assert ("hunter" in problem.message, problem.fix) == (False, "Fix the value of P.")


def test_the_default_of_a_variable_stands_in_the_file_and_is_told():
    problem = route_problem("canary: '${P:-123}'", {})

    assert "canary is 123;" in problem.message


@pytest.mark.parametrize(
    "url", ["http://u:p@hunter/2@h", "http://u:hunter@h", "http://h/?hunter", "pg://u:hunter@h"]
)
def test_the_problem_of_a_url_tells_no_credentials(url):
    problem = loaded("version: 1\nlegacy: {url: '${P}'}\n", env={"P": url}).problems[0]

    assert (problem.code, "hunter" in str(problem)) == ("legacy-url", False)


def route_problem(fields, env):
    text = f"{HEAD}routes:\n- {{path: /x, target: legacy, {fields}}}\n"
    return loaded(text, env=env).problems[0]


def test_a_value_from_the_environment_follows_the_grammar_of_its_field():
    text = f"{HEAD}routes:\n- path: /x\n  target: legacy\n  priority: ${{P}}\n  reversible: ${{R}}\n  canary: ${{C}}\n"
    route = table_of(text, env={"P": "5", "R": "true", "C": "10%"}).routes[0]

    assert (route.priority, route.reversible, route.canary) == (5, True, 1000)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shadow: 0.5%", (50, False, 1_000, None)),
        ("shadow: {percent: 100%}", (10_000, False, 1_000, None)),
        (
            "shadow: {percent: 5%, unsafe: true, noise: 0%, compare: orders}",
            (500, True, 0, "orders"),
        ),
        ("canary: 5%", (0, False, 1_000, None)),
    ],
)
def test_a_shadow_is_a_percentage_or_a_mapping(written, meant):
    route = route_of(f"path: /x, target: legacy, {written}")

    assert meant == (
        route.shadow,
        route.shadow_unsafe,
        route.shadow_noise,
        route.shadow_compare,
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("fallback: true", (True, False)),
        ("fallback: false", (False, False)),
        ("fallback: {unsafe: true}", (True, True)),
        ("fallback: {unsafe: false}", (True, False)),
        ("priority: 1", (False, False)),
    ],
)
def test_a_fallback_is_a_truth_value_or_a_mapping(written, meant):
    route = route_of(f"path: /x, target: migrated, {written}")

    assert meant == (route.fallback, route.fallback_unsafe)


def test_a_route_in_a_group_that_requires_something_says_so():
    route = route_of("path: /x, target: legacy, group: checkout, require: {clean: 299}")

    assert (route.group, route.require_clean) == ("checkout", 299)


def test_a_group_of_equal_members_is_no_problem():
    text = f"{HEAD}routes:\n  - {{path: /a, target: legacy, group: g}}\n"
    text += "  - {path: /b, target: legacy, canary: 0%, group: g}\n"

    assert ["g", "g"] == [route.group for route in table_of(text).routes]


@pytest.mark.parametrize("rule", ["/<path:rest>/end", "/a/<path:rest>", "/a<path:rest>", "/<rest>"])
def test_a_shadow_may_stand_on_a_route_that_leaves_some_paths_out(rule):
    assert route_of(f"path: '{rule}', target: legacy, shadow: 1%").shadow == 100


def test_an_irreversible_route_may_say_that_it_has_no_fallback():
    assert not route_of("path: /x, target: migrated, fallback: false, reversible: false").reversible


def test_an_alias_stands_for_the_value_it_names():
    text = (
        HEAD
        + """routes:
  - {path: /a, methods: &verbs [GET, POST], target: legacy}
  - {path: /b, methods: *verbs, target: legacy}
"""
    )
    assert [("GET", "POST")] * 2 == [route.methods for route in table_of(text).routes]


def test_a_file_beyond_16_mib_is_refused_before_it_is_read():
    found = parse(b"#" * (MAX_BYTES + 1), file="x", env={}, rules=None)

    assert ["file-too-large"] == [problem.code for problem in found.problems]


@pytest.mark.parametrize(
    ("fields", "rules", "servable"),
    [
        ("path: '/o/<int:id>', target: legacy", [AppRule("/o/<int:n>", None)], True),
        ("path: '/o/<int:id>', target: legacy", [AppRule("/o/<n>", None)], False),
        ("path: /o, target: gone, shadow: 5%", [], False),
        ("path: /o, target: legacy, shadow: 0%", [], False),
        ("path: /o, methods: [GET], target: legacy", [AppRule("/o", frozenset({"POST"}))], False),
        ("path: /o, methods: [GET], target: gone", [AppRule("/o", None)], True),
        ("prefix: /o, target: legacy", [AppRule("/o/a", None)], True),
        ("prefix: /o, target: legacy", [AppRule("/oa", None)], False),
        ("path: /o, target: legacy", None, True),
    ],
)
def test_a_route_knows_whether_migrated_could_serve_it(fields, rules, servable):
    assert servable is route_of(fields, rules=rules).servable


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param("path: /live", (True, True), id="the prefix itself"),
        pytest.param("path: '/live/<int:room>', methods: [GET]", (True, True), id="below it"),
        pytest.param("prefix: /live/rooms", (True, True), id="a prefix below it"),
        pytest.param("prefix: /", (True, False), id="a prefix above it takes more than the app"),
        pytest.param("path: /lively", (False, False), id="whole segments only"),
    ],
)
def test_a_mounted_app_serves_what_lies_at_or_below_its_prefix(fields, expected):
    route = route_of(f"{fields}, target: legacy", rules=[AppRule("/live", None, asgi=True)])

    assert expected == (route.servable, route.asgi)


def test_a_rule_with_a_converter_of_the_app_counts_below_a_prefix_only():
    rules = [AppRule("/o/<money:x>", None)]

    assert route_of("prefix: /o, target: migrated", rules=rules).servable
    assert not route_of("path: '/o/<x>', target: legacy", rules=rules).servable


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("path: /x, target: migrated, canary: 5%", "canary-dormant"),
        ("path: /x, target: gone, canary: 0%", "canary-dormant"),
        ("path: /x, target: migrated, methods: [GET, POST]", "options-not-listed"),
        ("path: /x, target: gone, shadow: 5%", "shadow-dormant"),
        ("path: /x, target: legacy, methods: [POST], shadow: 5%", "shadow-dormant"),
        ("path: '/x;v=1', target: migrated", "path-parameters"),
        ("prefix: '/x;v=1/y', target: gone", "path-parameters"),
    ],
)
def test_what_is_odd_but_right_is_a_note(fields, code):
    found = loaded(f"{HEAD}routes:\n  - {{{fields}}}\n")

    assert [code] == [note.code for note in found.notes]


@pytest.mark.parametrize(
    "fields",
    [
        "path: /x, target: migrated, methods: [GET]",
        "path: /x, target: migrated, methods: [POST, OPTIONS]",
        "path: /x, target: migrated",
        "path: /x, target: legacy, methods: [POST]",
        "path: /x, target: legacy, methods: [POST], shadow: {percent: 5%, unsafe: true}",
        "path: /x, target: legacy, methods: [GET, POST], shadow: 5%",
        "path: /x, target: legacy, shadow: 5%",
        "path: /x, target: gone, shadow: 0%",
        "path: '/x;v=1', target: legacy",
        "path: '/<any(\"a;b\", c):x>', target: gone",
    ],
)
def test_nothing_odd_gives_no_note(fields):
    assert loaded(f"{HEAD}routes:\n  - {{{fields}}}\n").notes == ()


@pytest.mark.parametrize(
    ("other", "codes"),
    [
        pytest.param("path: /x, methods: [PUT, OPTIONS]", [], id="the path's other route"),
        pytest.param("path: /x, priority: -1", ["options-not-listed"], id="a route for the rest"),
        pytest.param("path: /y, methods: [PUT, OPTIONS]", ["options-not-listed"], id="elsewhere"),
        pytest.param("path: /x, methods: [GET]", ["options-not-listed"], id="no route at all"),
    ],
)
def test_options_of_a_path_are_noted_unless_a_route_lists_them(other, codes):
    one = "{name: a, path: /x, target: migrated, methods: [DELETE]}"
    found = loaded(f"{HEAD}routes:\n  - {one}\n  - {{name: b, {other}, target: legacy}}\n")

    assert codes == [note.code for note in found.notes]


@pytest.mark.parametrize(
    ("proxies", "codes"),
    [
        ("[10.0.0.0/8, unix]", []),
        ("[10.0.0.0/8, 0.0.0.0/0]", ["trusts-everybody"]),
        ('["::/0"]', ["trusts-everybody"]),
    ],
)
def test_believing_what_any_client_says_of_its_address_is_a_note(proxies, codes):
    found = loaded(f"{HEAD}trusted_proxies: {proxies}\n")

    assert codes == [note.code for note in found.notes]


def test_another_app_than_the_running_one_is_a_note():
    found = loaded(HEAD + "app: a:b\n", app_in_use="c:d")

    assert ["app-needs-restart"] == [note.code for note in found.notes]
    assert loaded(HEAD + "app: a:b\n", app_in_use="a:b").notes == ()


@pytest.mark.parametrize(
    ("text", "app"),
    [
        ("app: a.b:c\n", "a.b:c"),
        ("app: ${A:-a:b}\nnonsense: [\n", None),
        ("app: ${A:-a:b}\nnonsense: 1\n", "a:b"),
        ("app: a\n", None),
        ("app: [a]\n", None),
        ("- app\n", None),
        ("version: 1\n", None),
    ],
)
def test_the_app_is_found_whatever_else_is_wrong(text, app):
    assert app == find_app_name(text.encode(), {})


# --- the published schema -------------------------------------------------------------------------

ROUTE_SCHEMA = SCHEMA["$defs"]["route"]["properties"]
FIELDS = [
    pytest.param(SCHEMA["properties"], TOP, id="top"),
    pytest.param(SCHEMA["properties"]["legacy"]["properties"], LEGACY, id="legacy"),
    pytest.param(SCHEMA["properties"]["cohort"]["properties"], COHORT, id="cohort"),
    pytest.param(SCHEMA["$defs"]["identity"]["properties"], IDENTITY, id="identity"),
    pytest.param(SCHEMA["$defs"]["identity"]["properties"]["jwt"]["properties"], JWT, id="jwt"),
    pytest.param(ROUTE_SCHEMA, ROUTE, id="route"),
    pytest.param(ROUTE_SCHEMA["shadow"]["anyOf"][1]["properties"], SHADOW, id="shadow"),
    pytest.param(ROUTE_SCHEMA["fallback"]["anyOf"][2]["properties"], FALLBACK, id="fallback"),
    pytest.param(ROUTE_SCHEMA["require"]["properties"], REQUIRE, id="require"),
]


@pytest.mark.parametrize(("published", "accepted"), FIELDS)
def test_the_schema_has_exactly_the_fields_that_parse_accepts(published, accepted):
    assert set(published) == set(accepted)


@pytest.mark.parametrize(("published", "_accepted"), FIELDS)
def test_every_field_in_the_schema_is_described(published, _accepted):
    assert [] == [name for name, field in published.items() if not field.get("description")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("legacy", "legacy"),
        ("A.Example.com", "a.example.com"),
        ("10.0.0.7", "10.0.0.7"),
        ("'fd00::7'", "fd00::7"),
    ],
)
def test_the_name_in_legacys_certificate_is_taken(written, read):
    table = table_of(f"version: 1\nlegacy: {{url: 'https://h', tls_name: {written}}}\n")

    assert table.legacy.tls_name == read


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("https://a.example", "Write a.example."),
        ("a.example:443", "Write a.example."),
        ("'*.example.com'", "Write example.com."),
        ("a.example.", "Write a.example."),
        ("a b", "Write a name that the certificate has."),
    ],
)
def test_what_is_no_name_of_a_certificate_is_a_problem(written, fix):
    problem = loaded(f"version: 1\nlegacy: {{url: 'https://h', tls_name: {written}}}\n").problems[0]

    assert (problem.code, problem.fix) == ("tls-name", fix)


def is_valid(document) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def test_the_schema_is_one_and_takes_the_demo_table():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert is_valid(yaml.safe_load((ROOT / "routes.yaml").read_text()))


WORDS = st.sampled_from([*TOP, *LEGACY, *COHORT, *ROUTE, "breaker", "x"])


@given(
    st.sampled_from(["top", "legacy", "cohort", "route"]),
    st.lists(WORDS, unique=True, max_size=3),
)
def test_the_schema_and_parse_agree_on_every_field_name(where, names):
    values = {
        **{name: {} for name in ("headers", "query", "cookies")},
        "routes": [], "trusted_proxies": [], "cohort": {}, "legacy": {"url": "http://h"},
        "version": 1, "app": "a:b", "url": "http://h", "host": "preserve", "tls_ca": "f", "via": "v",
        "max_age": "5m", "tls_name": "n.example",
        "max_connections": 1, "by": ["ip"], "salt": "s", "name": "n", "path": "/p", "prefix": "/p",
        "methods": ["GET"], "target": "migrated", "canary": "1%",
        "shadow": "1%", "fallback": True, "group": "g", "require": {"clean": 1}, "priority": 1, "reversible": True,
        "stream": True, "connect_timeout": "1s", "response_timeout": "1s", "idle_timeout": "1s",
        "stream_idle_timeout": "1s", "forwarded": True, "max_body": "1MB", "lenient": ["bare-lf"],
        "folds": ["case"], "rewrite_headers": True, "breaker": True, "probe": "/health",
    }  # fmt: skip
    document = {
        "version": 1,
        "legacy": {"url": "http://h"},
        "routes": [{"path": "/p", "target": "legacy"}],
    }
    inner = {
        "top": document,
        "legacy": document["legacy"],
        "cohort": document.setdefault("cohort", {}),
        "route": document["routes"][0],
    }[where]
    inner.update({name: values.get(name, "x") for name in names if name not in inner})
    published = {"top": TOP, "legacy": LEGACY, "cohort": COHORT, "route": ROUTE}[where]

    unknown = {name for name in names if name not in published}
    found = parse(json.dumps(document).encode(), file="x", env={}, rules=None).problems
    unknown_keys = [p.message for p in found if p.code == "unknown-key"]
    reported = {message.removeprefix("unknown field ").split(".")[-1] for message in unknown_keys}
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))
    refused = {
        name
        for e in errors
        if e.validator == "additionalProperties"
        for name in re.findall(r"'(\w+)'", e.message)
    }

    assert unknown == reported == refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("canary", share) for share in ("0%", "00100.00%", "99.99%", "100.01%", "120%", "1000%")],
        *[("shadow", share) for share in ("100%", "101%")],
        *[("idle_timeout", span) for span in ("1ms", "024h", "86400s", "0s", "00ms")],
        *[("name", name) for name in ("default", "default-all", "defaults")],
    ],
)
def test_the_schema_and_parse_agree_on_what_editors_can_check(field, value):
    route = {"path": "/p", "target": "legacy", field: value}
    document = {"version": 1, "legacy": {"url": "http://h"}, "routes": [route]}
    found = parse(json.dumps(document).encode(), file="x", env={}, rules=None)

    assert (found.table is not None) is is_valid(document)


@pytest.mark.parametrize("method", ["GET", "M-SEARCH", "ALLOW", "*", "ANY", "ALL", "get", "P OST"])
def test_the_schema_and_parse_take_the_same_methods(method):
    route = {"path": "/p", "target": "legacy", "methods": [method]}
    document = {"version": 1, "legacy": {"url": "http://h"}, "routes": [route]}
    found = parse(json.dumps(document).encode(), file="x", env={}, rules=None)

    assert (found.table is not None) is is_valid(document)


SIZES = st.from_regex(r"\A[0-9]{1,3}(kB|MB|GB|KiB|MiB|GiB|KB|)\Z")
DURATIONS = st.from_regex(r"\A[0-9]{1,3}(ms|s|m|h|)\Z")
PERCENTS = st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3})?%?\Z")


@given(
    share=st.one_of(PERCENTS, st.booleans(), st.fixed_dictionaries({}, optional={
        "percent": PERCENTS, "unsafe": st.booleans(), "noise": PERCENTS, "compare": st.text("a-A", max_size=3),
    })),
    fallback=st.one_of(st.booleans(), st.fixed_dictionaries({}, optional={"unsafe": st.booleans()})),
    group=st.text("a-._A1", max_size=3),
    clean=st.integers(-1, 2_000_000),
)  # fmt: skip
def test_the_schema_takes_the_protections_that_parse_takes(share, fallback, group, clean):
    route = {"path": "/p", "target": "legacy", "shadow": share, "fallback": fallback}
    route |= {"group": group, "require": {"clean": clean}}
    document = {"version": 1, "legacy": {"url": "http://h"}, "routes": [route]}

    if parse(json.dumps(document).encode(), file="x", env={}, rules=None).table is not None:
        assert is_valid(document)


@given(canary=PERCENTS, timeout=DURATIONS, size=SIZES)
def test_whatever_parse_takes_the_schema_takes_too(canary, timeout, size):
    route = {"path": "/p", "target": "legacy", "canary": canary, "idle_timeout": timeout}
    legacy = {"url": "http://h", "max_body": size}
    document = {"version": 1, "legacy": legacy, "routes": [route]}

    if parse(json.dumps(document).encode(), file="x", env={}, rules=None).table is not None:
        assert is_valid(document)


@given(st.binary(max_size=200))
def test_no_bytes_make_parse_raise(data):
    found = parse(data, file="x", env={}, rules=None)

    assert (found.table is None) == bool(found.problems)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,?\n \t\\$01~<", max_size=60))
def test_no_text_after_a_good_start_makes_parse_raise(text):
    found = loaded(HEAD + text)

    assert (found.table is None) == bool(found.problems)


def test_a_problem_is_one_line_whatever_the_file_says():
    problem = loaded(HEAD + 'routes:\n- {path: /x, target: "a\\nb\\e[31m"}\n').problems[0]

    assert "target is a\\nb\\x1b[31m;" in str(problem)


def test_a_rule_that_is_loose_about_its_slash_serves_both():
    rules = [AppRule("/o", None, loose=True)]

    assert route_of("path: /o/, target: migrated", rules=rules).servable
    assert not route_of("path: /o/, target: legacy", rules=[AppRule("/o", None)]).servable


@pytest.mark.parametrize("fields", ["target: legacy, canary: 0%", "target: legacy, shadow: 0%"])
def test_a_share_of_nobody_needs_no_rule_and_may_stand_on_every_path(fields):
    assert not route_of(f"prefix: /, {fields}", rules=[]).servable


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("target: migrated", True),
        ("target: legacy, canary: 5%", True),
        ("target: legacy, shadow: 5%", True),
        ("target: legacy, canary: 0%", False),
        ("target: gone, shadow: 5%", False),
    ],
)
def test_a_route_that_an_app_no_longer_serves_is_told_where_it_may_need_it(fields, told):
    table = table_of(f"{HEAD}routes:\n  - {{path: /o, {fields}}}\n")

    assert bool(describe_first_missing(table, [AppRule("/other", None)])) is told
    assert describe_first_missing(table, [AppRule("/o", None)]) == ""


@pytest.mark.parametrize(("size", "codes"), [("4MiB", []), ("4097KiB", ["number-out-of-range"])])
def test_an_answer_of_4_mib_is_the_largest_to_be_compared(size, codes):
    shadow = f"shadow: {{percent: 5%, max_answer: {size}}}"
    found = loaded(f"{HEAD}routes:\n  - {{path: /o, target: legacy, {shadow}}}\n")

    assert [problem.code for problem in found.problems] == codes


def test_a_route_that_says_little_has_the_defaults_that_are_promised():
    route = route_of("path: /o, target: migrated")

    assert (True, 0, None, None) == (route.reversible, route.priority, route.methods, route.group)
    assert (0, 0, False, False) == (route.canary, route.shadow, route.fallback, route.stream)


@pytest.mark.parametrize(
    ("connections", "codes"),
    [
        (0, ["number-out-of-range"]),
        (1, []),
        (100_000, []),
        (100_001, ["number-out-of-range"]),
    ],
)
def test_a_number_may_be_the_least_and_the_greatest(connections, codes):
    legacy = f"{{url: 'http://h', max_connections: {connections}}}"
    found = loaded(f"version: 1\nlegacy: {legacy}\nroutes: []\n")

    assert [problem.code for problem in found.problems] == codes


def test_a_probe_of_false_is_none():
    assert table_of("version: 1\nlegacy: {url: 'http://h', probe: false}\n").legacy.probe is None


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("health", id="no slash"),
        pytest.param("http://h/health", id="a whole address"),
        pytest.param('"/a b"', id="a space would end the target"),
        pytest.param('"/a#b"', id="a fragment is never sent"),
        pytest.param('"/a\\r\\nX-Y: 1"', id="a line end would begin a header"),
        pytest.param("/ä", id="not percent-encoded"),
        pytest.param("/%zz", id="a percent sign that encodes nothing"),
        pytest.param("/a%2", id="half an escape at the end"),
        pytest.param("/" + 2000 * "a", id="longer than servers read"),
        pytest.param("true", id="true names no path"),
    ],
)
def test_a_probe_is_a_path_or_false(written):
    problem = loaded(f"version: 1\nlegacy: {{url: 'http://h', probe: {written}}}\n").problems[0]

    assert problem.code == "probe-path"
