"""proxy/overgrow/compare.schema.json, held to the reader of rules in both directions."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.shadow.rules.comparators import COMPARATORS
from overgrow.shadow.rules.file import FIELDS, SHOWN_FIELDS, TOP, parse_rules_file
from overgrow.shadow.values.difference import MAX_PATH
from overgrow.shadow.values.path_syntax import TREE_FAMILIES

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "proxy/overgrow/compare.schema.json").read_text("utf-8"))
RULE, SHOWN = (SCHEMA["$defs"][name]["properties"] for name in ("rule", "shown"))
# What takes more than a look at one value: the reader alone tells of it.
READERS_OWN = {"date-syntax", "duplicate-rule", "how-misplaced", "path-syntax", "show-misplaced"}


class Plain(yaml.SafeLoader):
    """YAML as editors read it: a date is text."""


Plain.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def is_valid(document: object) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def codes(document: object) -> set[str]:
    found = parse_rules_file(json.dumps(document).encode(), file="c.yaml", today=date(2026, 11, 22))
    return {each.code for each in found.problems}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


FIELD_NAMES = [
    pytest.param(SCHEMA["properties"], TOP, id="top"),
    pytest.param(RULE, FIELDS, id="rule"),
    pytest.param(SHOWN, SHOWN_FIELDS, id="shown"),
]


@pytest.mark.parametrize(("published", "accepted"), FIELD_NAMES)
def test_the_schema_has_exactly_the_fields_that_are_read_each_described(published, accepted):
    assert tuple(published) == accepted
    assert all(field["description"] for field in published.values())


def test_the_schema_has_every_comparator_and_no_other():
    words, *mappings = RULE["how"]["anyOf"]

    published = {*words["enum"], *(name for each in mappings for name in each["required"])}

    assert {each.word for each in COMPARATORS} == published


@pytest.mark.parametrize("family", TREE_FAMILIES)
def test_the_schema_takes_the_paths_of_every_family_of_trees(family):
    assert re.search(RULE["path"]["pattern"], f"{family}:/a[2]/@b")


def test_the_examples_of_the_page_satisfy_the_schema():
    page = (ROOT / "docs/comparing.md").read_text("utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    valid = [is_valid(yaml.load(text, Plain)) for text in examples]

    assert valid == [True] * 2


ABSENT = object()
TEXTS = ["ada", "  ", "", None, [], ABSENT]
DATES = ["2027-01-31", "2027-02-31", "soon", "", None, ABSENT]
PATHS = [
    *(
        "$",
        "$.a",
        "$.items[*].id",
        "$.items[3]",
        "$.items[key=took_ms]",
        '$["odd key"]',
        "status",
        "header:etag",
        "bytes[*]",
    ),
    *("cookie:n;path", "html:/p/text()", "text:line[7]", "$.a..b", "items", "", "$.a b", "header:"),
    *(f"$.{'a' * MAX_PATH}", "$.token", None, ABSENT),
]
HOWS = [
    *("ignore", "unordered", "same_shape", {"keyed_by": "sku"}, {"tolerance": 0.01}),
    *({"same_shape": 3}, {"same_shape": "3 4"}),
    *({"tolerance": "0.5"}, {"timestamp_within": "5s"}, {"timestamp_within": "99m"}),
    *({"same_shape": 0}, {"same_shape": "0"}, {"same_shape": "x"}, {"same_shape": 100}),
    *("sometimes", {"tolerance": -1}, {"tolerance": "wide"}, {"keyed_by": ""}, {"keyed_by": []}),
    *({"timestamp_within": "5d"}, {"timestamp_within": 5}, {"ignore": True}, {}, [], None, ABSENT),
]


KINDS = [
    ABSENT,
    ["value"],
    ["value", "missing"],
    ["null", "null-number", "empty"],
    [None],
    [],
    ["valeu"],
    ["value", "value"],
    "value",
    [3],
    None,
]


def entries(**fields: list[object]) -> st.SearchStrategy[dict[str, object]]:
    """Entries of which most fields are in order."""
    drawn = {
        name: st.one_of(st.just(values[0]), st.just(values[1]), st.sampled_from(values))
        for name, values in fields.items()
    }
    extra = st.sampled_from([{}, {}, {}, {"hwo": "ignore"}])
    return st.builds(
        lambda known, more: {k: v for k, v in (known | more).items() if v is not ABSENT},
        st.fixed_dictionaries(drawn),
        extra,
    )


# The first two of each are in order.
ORDERLY = {"author": ["ada", "bob", *TEXTS], "reason": ["why", "so", *TEXTS]}
ORDERLY |= {"expires": ["2027-01-31", "2030-12-31", *DATES]}
RULES = st.lists(entries(path=PATHS, how=HOWS, kinds=KINDS, **ORDERLY), max_size=2)
SHOWS = st.lists(entries(path=["$.state", "$.items[*].state", *PATHS], **ORDERLY), max_size=2)
DOCUMENTS = st.fixed_dictionaries(
    {"version": st.sampled_from([1, 1, 1, 2]), "rules": RULES}
).flatmap(
    lambda document: st.one_of(
        st.just(document), SHOWS.map(lambda shown: {**document, "show": shown})
    )
)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_what_the_reader_takes_the_schema_takes(document):
    if not codes(document):
        assert is_valid(document)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_the_reader_takes_what_the_schema_takes_but_for_named_exceptions(document):
    if is_valid(document):
        assert codes(document) <= READERS_OWN


@pytest.mark.parametrize(
    ("path", "how", "taken"),
    [
        *((path, "ignore", path in PATHS[:12] or path == "$.token") for path in PATHS[:-2]),
        *(("$.a", how, how in HOWS[:10]) for how in HOWS[:-2]),
    ],
)
def test_each_value_is_taken_by_both_or_by_neither(path, how, taken):
    rule = {"path": path, "how": how, "author": "a", "reason": "b", "expires": "2027-01-01"}
    document = {"version": 1, "rules": [rule]}

    assert (taken, taken) == (is_valid(document), not codes(document) - {"how-misplaced"})


@pytest.mark.parametrize("where", ["version", "rules"])
def test_what_is_required_is_required_by_both(where):
    document = {name: value for name, value in {"version": 1, "rules": []}.items() if name != where}

    assert not is_valid(document)
    assert codes(document)
