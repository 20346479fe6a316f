"""What the store answers, after real writers wrote: on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from overgrow.evidence import EvidenceReset, Flip, Losses, NoiseLearned, Shape
from overgrow.shadow.findings.gate import Requirement, evaluate_gate
from overgrow.store.admin_writes import index_flips, reset_evidence
from overgrow.store.engine import StoreError, engine_of, store_url
from overgrow.store.reader import Reader, open_reader
from overgrow.store.tables import VERSION_TABLE
from tests.unit.store.made import (
    HOUR,
    NOW,
    PART,
    SHAPE,
    WAIT_S,
    compared,
    fell_back,
    left_out,
    mismatched,
    served,
)


@pytest.fixture
def stored(url, new_writer, new_reader):
    """Store some records and give a reader."""

    def store(*records):
        writer = new_writer(url)
        for record in records:
            writer.put(record)
        assert writer.flush(WAIT_S)
        return new_reader()

    return store


def test_counts_are_told_by_route_and_verdict(stored):
    reader = stored(
        *[served()] * 5,
        *[compared("matched", at=NOW + n) for n in range(3)],
        compared("ignored"),
        mismatched(),
        compared("matched", route="carts"),
    )

    carts, orders = reader.shadow_status()

    assert (carts.route, carts.matched, carts.served) == ("carts", 1, 0)
    assert (orders.served, orders.matched, orders.ignored, orders.mismatched) == (5, 3, 1, 1)
    assert (orders.comparisons, orders.groups, orders.newest_at) == (5, 1, NOW + 2)


def test_stored_groups_are_bounded_and_say_how_many_there_are(stored):
    reader = stored(*[mismatched(key="a")] * 3, mismatched(key="b"), mismatched(route="carts"))

    first, mine = reader.stored_groups(None, 1), reader.stored_groups(["carts"], 9)

    assert ([("a", 3)], 3) == ([(each.key, each.count) for each in first.groups], first.total)
    assert (["carts"], 1) == ([each.route for each in mine.groups], mine.total)
    assert [((), True)] == [(each.examples, bool(each.parts)) for each in mine.groups]


def test_the_window_leaves_out_what_is_older(stored):
    reader = stored(compared(at=NOW - 50 * HOUR), compared(at=NOW), mismatched(at=NOW - 50 * HOUR))

    (orders,) = reader.shadow_status(since=NOW - HOUR)

    assert (orders.comparisons, orders.groups) == (1, 0)
    assert reader.evidence("orders", "legacy", since=NOW - HOUR).compared == 1


def test_groups_come_gravest_and_most_frequent_first(stored):
    reader = stored(
        *[mismatched("a" * 16)] * 2,
        *[mismatched("b" * 16)] * 3,
        mismatched("c" * 16, severity="high"),
        mismatched("d" * 16, severity="low"),
    )

    assert [(group.key[0], group.severity, group.count) for group in reader.groups("orders")] == [
        ("c", "high", 1),
        ("b", "medium", 3),
        ("a", "medium", 2),
        ("d", "low", 1),
    ]


def test_a_group_keeps_first_and_last_seen_the_widest_gap_and_its_total(stored):
    near, far, none = (replace(PART, gap=gap, gap_s=gap) for gap in (0.5, 7.0, None))
    reader = stored(
        mismatched(at=NOW, parts=(near,)),
        mismatched(at=NOW - 30 * HOUR, parts=(far,)),
        mismatched("b" * 16, at=NOW, parts=(none,)),
    )

    one, other = reader.groups("orders", "legacy", since=NOW - HOUR)

    assert (one.first_seen_at, one.last_seen_at) == (NOW - 30 * HOUR, NOW)
    assert (one.count, one.recent) == (2, 1)
    assert [(part.gap, part.gap_s) for part in one.parts] == [(7.0, 7.0)]
    assert other.parts == (none,)


def test_the_examples_of_lowest_rank_are_kept_whoever_wrote_them(stored):
    ranks = [f"{n:016x}" for n in range(12)]
    reader = stored(*[mismatched(rank=rank) for rank in reversed(ranks)])
    stored(*[mismatched(rank=rank) for rank in ranks[3:]])

    (group,) = reader.groups()

    assert [example.rank for example in group.examples] == ranks[:5]
    assert group.examples[0].pair == {"rank": ranks[0]}


def test_a_group_is_found_by_the_beginning_of_its_key(stored):
    reader = stored(mismatched("abc1" * 4), mismatched("abd2" * 4))

    assert [group.key for group in reader.group("abc")] == ["abc1" * 4]
    assert [len(reader.group(key)) for key in ("ab", "zz", "a%", "_b")] == [2, 0, 0, 0]


def test_evidence_counts_shapes_served_and_compared(stored):
    other = Shape("GET", "/orders/<int:id>", (), 404, signed_in=True)
    reader = stored(*[served()] * 3, *[compared()] * 2, served(shape=other))

    evidence = reader.evidence("orders", "legacy")

    assert (evidence.compared, evidence.mismatched) == (2, 0)
    assert [
        (each.query_keys, each.status, each.signed_in, each.served, each.compared)
        for each in evidence.shapes
    ] == [
        ((), 404, True, 1, 0),
        (("page",), 200, False, 3, 2),
    ]
    assert (evidence.oldest_at, evidence.newest_at) == (NOW, NOW)


def test_no_evidence_is_told_as_none(stored):
    evidence = stored(served()).evidence("unknown", "legacy")

    assert (evidence.compared, evidence.oldest_at, evidence.newest_at) == (0, None, None)


def test_the_gate_takes_the_evidence_as_it_comes(stored):
    reader = stored(*[served()] * 300, *[compared()] * 299)

    result = evaluate_gate(reader.evidence("orders", "legacy"), Requirement(clean=299), NOW + 60)

    assert result.ready, result.reasons


def test_a_changed_rule_judges_the_stored_pairs_anew(stored):
    ruled = replace(PART, rule="$.price ignore")
    reader = stored(
        *[compared()] * 10,
        *[mismatched("a" * 16)] * 3,
        *[mismatched("b" * 16, parts=(ruled,), verdict="ignored")] * 4,
    )

    def mismatches(explains=None):
        evidence = reader.evidence(
            "orders", "legacy", **({"explains": explains} if explains else {})
        )
        return evidence.mismatched, [group.key[0] for group in evidence.open_groups]

    assert mismatches() == (3, ["a"])
    assert mismatches(lambda part: True) == (0, [])
    assert mismatches(lambda part: False) == (7, ["b", "a"])


def test_a_mismatch_whose_group_is_gone_counts_all_the_same(stored, engine):
    reader = stored(*[compared()] * 10, *[mismatched()] * 3)
    with engine.begin() as connection:
        for table in ("mismatch_group", "group_part", "group_hour"):
            connection.execute(text(f"DELETE FROM overgrow_{table}"))

    assert reader.evidence("orders", "legacy", explains=lambda part: True).mismatched == 3


def test_rules_are_told_with_their_hits(stored):
    reader = stored(
        compared("ignored", rules=("$.at timestamp", "$.id same shape")),
        compared("ignored", rules=("$.at timestamp",), at=NOW + 2 * HOUR),
    )

    assert [(hit.rule, hit.count, hit.last_at) for hit in reader.rule_hits("orders")] == [
        ("$.at timestamp", 2, NOW + 2 * HOUR),
        ("$.id same shape", 1, NOW),
    ]


def test_what_a_writer_learned_of_noise_replaces_what_it_said_before(stored):
    reader = stored(
        NoiseLearned("orders", NOW, {"pairs": 1}),
        NoiseLearned("orders", NOW + 1, {"pairs": 2}),
        NoiseLearned("orders", NOW + 2 * HOUR, {"pairs": 5}),
        NoiseLearned("orders", NOW, {"not json": object()}),
    )
    stored(NoiseLearned("orders", NOW + 2 * HOUR, {"pairs": 7}))

    learned = reader.noise("orders")

    assert sorted(each["pairs"] for each in learned) == [2, 5, 7]


def test_fallbacks_are_told_with_both_outcomes(stored):
    reader = stored(
        fell_back(at=NOW),
        fell_back(at=NOW + 1, duration_s=2.0),
        fell_back(at=NOW + 2, migrated="migrated-timeout"),
    )

    latest, before = reader.fallbacks("orders")

    assert (latest.migrated, latest.legacy, latest.count) == ("migrated-timeout", "200", 1)
    assert (before.count, before.first_at, before.last_at, before.slowest_s) == (
        2,
        NOW,
        NOW + 1,
        2.0,
    )
    assert reader.fallbacks("carts") == ()


def flip(number, **changes):
    values = {"key": f"{number:064x}", "at": "2026-11-22T20:00:00Z", "who": "ana", "action": "flip"}
    return Flip(
        number, **(values | {"route": "orders", "from_": "legacy", "to": "migrated"} | changes)
    )


def test_the_index_of_flips_is_made_anew_from_the_journal(engine, new_reader):
    lines = [flip(1), flip(2, route="carts", evidence={"compared": 299}, why="299 clean"), flip(3)]

    counts = [index_flips(engine, each) for each in (lines[:2], lines)]

    assert counts == [2, 3]
    assert new_reader().flips() == tuple(reversed(lines))
    assert new_reader().flips("carts") == (lines[1],)
    assert index_flips(engine, []) == 0


def test_beginning_anew_forgets_a_route_and_remembers_who_and_why(stored, engine):
    reader = stored(compared(), mismatched(), mismatched(route="carts"))
    restart = EvidenceReset("orders", NOW + 1, "ana", "rounding is fixed")

    reset_evidence(engine, restart)

    assert reader.evidence("orders", "legacy").compared == 0
    assert [group.route for group in reader.groups()] == ["carts"]
    assert reader.resets("orders") == (restart,)


def test_without_losses_none_are_told(stored):
    assert stored(compared()).losses() == Losses(0, 0, None)


def test_asking_for_evidence_that_is_not_there_makes_no_file(tmp_path):
    with pytest.raises(StoreError, match=r"no evidence yet.*`shadow:`"):
        open_reader(store_url(tmp_path, None))

    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_version_is_not_read(engine, url):
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(StoreError, match="has version 9999; this overgrow knows"):
        open_reader(url)


def test_a_store_that_was_never_written_is_not_read(url, tmp_path):
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE of_somebody_else (x INTEGER)"))
    engine.dispose()

    with pytest.raises(StoreError, match="has version none"):
        open_reader(url)


def test_a_file_that_is_no_store_is_told_in_one_sentence(tmp_path):
    (tmp_path / "store.sqlite3").write_bytes(b"this is no database at all" * 100)

    with pytest.raises(StoreError, match="cannot be read: file is not a database"):
        open_reader(store_url(tmp_path, None))


def test_a_store_that_goes_away_is_told_in_one_sentence(tmp_path):
    with Reader(engine_of(store_url(tmp_path / "away", None))) as reader, pytest.raises(StoreError):
        reader.groups()


def test_the_shape_of_a_record_is_what_comes_out(stored):
    (seen,) = stored(compared()).evidence("orders", "legacy").shapes

    assert (seen.method, seen.template, seen.query_keys) == (
        SHAPE.method,
        SHAPE.template,
        SHAPE.query_keys,
    )


def test_of_what_pairs_of_a_group_share_only_that_is_kept(stored):
    one = replace(PART, alike=True, place="$.rows[1].n", paired="$.rows keyed_by id")
    other = replace(one, alike=False, place="$.rows[2].n")

    stored(mismatched(parts=(one,)))
    (group,) = stored(mismatched(parts=(other,))).groups("orders")

    assert [(part.alike, part.place, part.paired) for part in group.parts] == [
        (False, "*", "$.rows keyed_by id")
    ]


def test_what_was_not_compared_is_told_by_reason_and_is_no_shape(stored):
    reader = stored(
        *[left_out("budget")] * 3,
        left_out("unfinished", at=NOW - 3 * HOUR),
        left_out("unfinished", at=NOW - 40 * HOUR),
        compared(at=NOW),
        compared(at=NOW - 40 * HOUR),
        served(),
    )

    found = reader.evidence("orders", "legacy")

    assert found.not_compared == {"budget": 3, "unfinished": 1}
    assert (found.compared, found.lately_compared) == (2, 1)
    assert [(each.served, each.compared) for each in found.shapes] == [(1, 2)]


def test_what_was_left_out_counts_though_nothing_was_compared(stored):
    found = stored(left_out("budget", at=NOW - 40 * HOUR)).evidence("orders", "legacy")

    assert (found.not_compared, found.lately_compared) == ({"budget": 1}, 0)
