"""Proposals from figures alone: which places, which pieces and which kinds a rule names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from overgrow.shadow.findings.path_variation import PathVariation
from overgrow.shadow.findings.proposing import (
    RuleProposal,
    default_rule_kind,
    paths_to_cover,
    propose_rules,
)
from overgrow.shadow.rules.comparators import Ignore, SameShape, Unordered

PAIRS = 60


def varied(different: int = PAIRS, **more: object) -> PathVariation:
    """A path that differed in so many of 60 pairs, each time by a value of the same shape."""
    figures = {"explained": {"shape": different}, "kinds": {"value": different}, **more}
    return PathVariation(PAIRS, different, **figures)  # type: ignore[arg-type]


def proposed(**shapes: PathVariation) -> dict[str, RuleProposal]:
    return {each.path: each for each in propose_rules(SimpleNamespace(shapes=shapes))}


@pytest.mark.parametrize(
    ("different", "is_proposed"),
    [
        pytest.param(60, True, id="in every pair"),
        pytest.param(54, True, id="in nine of ten"),
        pytest.param(53, False, id="less often: the item moves"),
    ],
)
def test_a_steady_index_of_a_shuffled_list_gets_a_rule(different, is_proposed):
    order = varied(explained={"order": PAIRS}, kinds={"order": PAIRS})
    item = varied(different, places={"$.rows[0].at": varied(different)})

    found = proposed(**{"$.rows": order, "$.rows[*].at": item})

    assert ("$.rows[*].at" in found) is is_proposed
    assert isinstance(found["$.rows"].how, Unordered)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("cookie:session", "cookie-value"),
        ("cookie:session;path", "cookie-attribute-value"),
        ("html:/a/@href", "value"),
        ("html:/a/text()", "text"),
        ("xml:/a/@id", "value"),
        ("text:line[1]", "text"),
        ("header:etag", "header-value"),
        ("bytes", "length"),
        ("status", "status"),
        ("$.id", "value"),
    ],
)
def test_a_rule_covers_the_plainest_kind_of_its_place_by_default(path, kind):
    assert default_rule_kind(path, Ignore()) == kind


@pytest.mark.parametrize(
    ("pieces", "named"), [(20, tuple(range(1, 21))), (21, ())], ids=["twenty", "one too many"]
)
def test_a_rule_names_at_most_twenty_pieces(pieces, named):
    times = {f"piece {at}": PAIRS for at in range(1, pieces + 1)}

    found = proposed(**{"$.text": varied(explained={"shape": PAIRS, "of 40": PAIRS, **times})})

    assert found["$.text"].how == SameShape(named)


def test_several_places_differ_as_often_as_the_one_that_differs_most():
    noisy = {"$.a[0].b[0]": varied(60), "$.a[1].b[0]": varied(30), "$.a[0].b[2]": varied(50)}
    quiet = {"$.a[0].b[1]": PathVariation(PAIRS), "$.a[1].b[2]": PathVariation(PAIRS)}

    found = dict(paths_to_cover("$.a[*].b[*]", varied(places={**noisy, **quiet})))

    both = found["$.a[*].b[0]"]
    assert {"$.a[*].b[0]", "$.a[0].b[2]"} == {*found}
    assert (both.seen, both.different, dict(both.explained)) == (60, 60, {"shape": 60})


@pytest.mark.parametrize(
    ("explained", "kinds"),
    [
        pytest.param(50, ("value",), id="not by the rule: they stay mismatches"),
        pytest.param(60, ("type", "value"), id="by the rule"),
    ],
)
def test_changes_of_type_are_covered_only_where_the_rule_explains_them(explained, kinds):
    mixed = varied(explained={"shape": explained}, kinds={"value": 50, "type": 10})

    assert proposed(**{"$.token": mixed})["$.token"].kinds == kinds
