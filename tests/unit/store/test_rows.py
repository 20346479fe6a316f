"""Records as rows: what clients and bugs choose stays bounded, and nothing is lost by it."""

from __future__ import annotations

import pytest

from overgrow.evidence import NoiseLearned, Shape
from overgrow.store import tables
from overgrow.store.cells import MAX_KEY_BYTES, hour_of, storable_text
from overgrow.store.row_builder import MAX_GROUPS, MAX_SHAPES, OTHER, RowBuilder
from tests.unit.store.made import HOUR, NOW, compared, mismatched


def test_shapes_beyond_the_bound_are_counted_as_one():
    records = [compared(shape=Shape("GET", "/", (f"q{n}",))) for n in range(MAX_SHAPES + 5)]

    rows = RowBuilder("b").build_rows(records)[tables.shape_count]

    assert len(rows) == MAX_SHAPES + 1
    assert (rows[-1]["template"], rows[-1]["times"]) == (OTHER, 5)


def test_groups_beyond_the_bound_become_one_of_high_severity():
    rows = RowBuilder("b").build_rows(mismatched(f"{n:016x}") for n in range(MAX_GROUPS + 3))

    groups, parts = rows[tables.mismatch_group], rows[tables.group_part]

    assert len({row["key"] for row in groups}) == MAX_GROUPS + 1
    assert (groups[-1]["key"], groups[-1]["severity"]) == ("f" * 16, 2)
    assert parts[-1]["kind"] == "untold"


def test_every_hour_and_route_has_the_bound_to_itself():
    builder = RowBuilder("b")
    builder.build_rows(mismatched(f"{n:016x}") for n in range(MAX_GROUPS))

    same, route, hour = (
        builder.build_rows([record])[tables.mismatch_group][0]["key"][0]
        for record in (
            mismatched("a" * 16),
            mismatched("a" * 16, route="carts"),
            mismatched("a" * 16, at=NOW + HOUR),
        )
    )

    assert (same, route, hour) == ("f", "a", "a")


def test_long_texts_with_one_beginning_stay_apart_within_an_index_bound():
    one, other = (storable_text("ä" * 400 + end) for end in "xy")

    assert one != other
    assert len(one.encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("orders", "orders", id="plain"),
        pytest.param("a\0b", "a\N{REPLACEMENT CHARACTER}b", id="NUL, which PostgreSQL refuses"),
        pytest.param("a\udc80b", "a?b", id="half a character, which none takes"),
    ],
)
def test_text_is_made_fit_for_both_databases(text, kept):
    assert storable_text(text) == kept


@pytest.mark.parametrize(
    "learned",
    [
        pytest.param({"x": "y" * (1024 * 1024)}, id="too long"),
        pytest.param({"x": object()}, id="no JSON"),
    ],
)
def test_noise_that_cannot_be_kept_leaves_no_row(learned):
    assert RowBuilder("b").build_rows([NoiseLearned("orders", NOW, learned)])[tables.noise] == []


def test_an_hour_is_counted_from_the_epoch():
    assert [hour_of(at) for at in (0.0, 3599.9, 3600.0)] == [0, 0, 1]
