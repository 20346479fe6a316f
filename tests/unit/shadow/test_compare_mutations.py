"""Properties: one change to a JSON document is found as one difference, at exactly its path."""

from __future__ import annotations

import copy
import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.values.difference import member_path
from overgrow.shadow.values.snapshot import ResponseSnapshot

KEYS = st.sampled_from(["id", "name", "items", "a b", "", "[3]", 'q"'])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def answer(document: object) -> ResponseSnapshot:
    return ResponseSnapshot(
        200, ((b"content-type", b"application/json"),), json.dumps(document).encode()
    )


def places(value: object, path: str = "$", steps: tuple = ()) -> list[tuple[str, tuple, object]]:
    """Every value of a document with its path and the steps to it."""
    here = [(path, steps, value)]
    if isinstance(value, dict):
        for key, each in value.items():
            here += places(each, member_path(path, key), (*steps, key))
    if isinstance(value, list):
        for at, each in enumerate(value):
            here += places(each, f"{path}[{at}]", (*steps, at))
    return here


def put(document: object, steps: tuple, value: object) -> object:
    """The document with another value at a place."""
    if not steps:
        return value
    changed = copy.copy(document)
    changed[steps[0]] = put(document[steps[0]], steps[1:], value)
    return changed


def told(control: object, candidate: object) -> list[tuple[str, str]]:
    differences = compare(answer(control), answer(candidate)).differences
    return [(each.kind, each.path) for each in differences]


def chosen(data: st.DataObject, document: object, *types: type) -> tuple[str, tuple, object]:
    found = [each for each in places(document) if isinstance(each[2], types) and each[2] != []]
    assume(found)
    return data.draw(st.sampled_from(found))


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.data())
def test_another_scalar_is_found_at_its_path(document, data):
    path, steps, old = chosen(data, document, str, int, type(None))

    found = told(document, put(document, steps, 7.5))

    assert [("value" if type(old) is int else "type", path)] == found


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.data())
def test_a_member_that_went_is_found_at_its_path(document, data):
    path, steps, old = chosen(data, document, dict)
    assume(old)
    key = data.draw(st.sampled_from(sorted(old)))
    without = {name: value for name, value in old.items() if name != key}

    assert [("missing", member_path(path, key))] == told(document, put(document, steps, without))


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.data())
def test_a_member_that_came_is_found_at_its_path(document, data):
    path, steps, old = chosen(data, document, dict)

    found = told(document, put(document, steps, {"new": 1, **old}))

    assert [("extra", f"{path}.new")] == found


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.data())
def test_an_item_that_went_is_found_as_another_length(document, data):
    path, steps, old = chosen(data, document, list)
    at = data.draw(st.integers(0, len(old) - 1))

    found = told(document, put(document, steps, old[:at] + old[at + 1 :]))

    assert [("length", path)] == found


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.data())
def test_items_that_changed_places_are_found_as_another_order(document, data):
    path, steps, old = chosen(data, document, list)
    other = data.draw(st.permutations(old))
    assume(json.dumps(other, sort_keys=True) != json.dumps(old, sort_keys=True))

    assert [("order", path)] == told(document, put(document, steps, other))


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS)
def test_a_document_matches_itself_however_it_is_written(document):
    pretty = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode()
    candidate = ResponseSnapshot(200, ((b"content-type", b"application/json"),), pretty)

    assert compare(answer(document), candidate).verdict == "matched"
