"""Exemplars: which traces are kept, how several workers share them, and what bounds them."""

import json

import pytest

from overgrow.exchange import TraceIds
from overgrow.observe.exemplars import MAX_AGE_S, MOST, Exemplars, read_exemplars, sampled_trace_id
from overgrow.observe.recent_exchanges import RecentExchanges
from overgrow.routing.model import Route
from tests.unit.observe.exchanges import NOW_S, decision, exchange, head

TRACE, PARENT = "ab" * 16, "cd" * 8
SAMPLED = f"00-{TRACE}-{PARENT}-01".encode()


def traceparent(trace):
    return f"00-{trace}-{PARENT}-01".encode()


def read_traces(folder, now_s=NOW_S):
    """{(route, side, bucket): trace id} of all workers."""
    return {
        (*series, bucket): each.trace_id
        for series, buckets in read_exemplars(folder, now_s).items()
        for bucket, each in buckets.items()
    }


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(SAMPLED, TRACE, id="sampled"),
        pytest.param(SAMPLED[:-2] + b"03", TRACE, id="sampled, and random"),
        pytest.param(SAMPLED[:-2] + b"00", None, id="not sampled"),
        pytest.param(SAMPLED[:-2] + b"02", None, id="random, not sampled"),
        pytest.param(b"ff" + SAMPLED[2:], None, id="the version that is forbidden"),
        pytest.param(b"01" + SAMPLED[2:] + b"-more", TRACE, id="a later version with more fields"),
        pytest.param(b"01" + SAMPLED[2:] + b"more", None, id="a later version, run together"),
        pytest.param(SAMPLED + b"-more", None, id="version 00 with more fields"),
        pytest.param(traceparent("0" * 32), None, id="the trace id of zeros"),
        pytest.param(SAMPLED.replace(b"cd" * 8, b"0" * 16), None, id="the parent id of zeros"),
        pytest.param(SAMPLED.upper(), None, id="capitals"),
        pytest.param(SAMPLED.replace(b"ab", b'a"', 1), None, id="a quote"),
        pytest.param(SAMPLED + b"\n", None, id="a newline"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"x" * 9000, None, id="a long value"),
    ],
)
def test_a_trace_id_comes_from_a_valid_sampled_traceparent(sent, expected):
    assert expected == sampled_trace_id(sent)


def test_the_newest_trace_of_a_bucket_is_kept(tmp_path):
    exemplars = Exemplars()
    for trace, duration_s in (("01" * 16, 0.003), ("02" * 16, 0.004), ("03" * 16, 3.0)):
        exemplars.note_request(exchange(duration_s=duration_s), traceparent(trace))

    exemplars.write(tmp_path, 0)

    assert read_traces(tmp_path) == {
        ("orders", "migrated", 2): "02" * 16,
        ("orders", "migrated", 13): "03" * 16,
    }


@pytest.mark.parametrize("later", [0, 1])
def test_the_newest_of_all_workers_wins(tmp_path, later):
    for slot in (0, 1):
        exemplars = Exemplars()
        started_at = NOW_S - 10 + (slot == later)
        exemplars.note_request(exchange(started_at=started_at), traceparent(f"0{slot + 1}" * 16))
        exemplars.write(tmp_path, slot)

    assert [f"0{later + 1}" * 16] == list(read_traces(tmp_path).values())


def test_a_successor_in_a_slot_continues_the_file(tmp_path):
    for trace, duration_s in (("01" * 16, 0.003), ("02" * 16, 3.0)):
        exemplars = Exemplars()
        exemplars.note_request(exchange(duration_s=duration_s), traceparent(trace))
        exemplars.write(tmp_path, 0)

    assert {"01" * 16, "02" * 16} == set(read_traces(tmp_path).values())


def test_a_successor_replaces_what_is_in_the_file(tmp_path):
    for trace in ("01" * 16, "02" * 16):
        exemplars = Exemplars()
        exemplars.note_request(exchange(), traceparent(trace))
        exemplars.write(tmp_path, 0)

    assert ["02" * 16] == list(read_traces(tmp_path).values())


def test_many_routes_do_not_fill_memory_or_file(tmp_path):
    exemplars = Exemplars()
    for number in range(MOST + 5):
        route = Route(f"r{number}", path=f"/{number}", target="migrated")
        exemplars.note_request(exchange(decision=decision(route=route)), SAMPLED)
    in_memory = len(exemplars._kept)

    exemplars.write(tmp_path, 0)

    routes = {route for route, _, _ in read_traces(tmp_path)}
    assert MOST == in_memory == len(routes)
    assert ("r4" in routes, f"r{MOST + 4}" in routes) == (False, True)


@pytest.mark.parametrize(
    "age_s",
    [
        pytest.param(MAX_AGE_S + 1, id="too old"),
        pytest.param(-3600, id="of a clock that was set back"),
        pytest.param(float("nan"), id="of no time"),
    ],
)
def test_a_trace_of_another_time_is_not_told(tmp_path, age_s):
    exemplars = Exemplars()
    exemplars.note_request(exchange(started_at=NOW_S - age_s), SAMPLED)
    exemplars.write(tmp_path, 0)

    assert {} == read_traces(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param('[["orders", "migrated", 0.1, "', id="cut off"),
        pytest.param("{}", id="of another form"),
        pytest.param('[["orders", "migrated", 0.1]]', id="of another version"),
        pytest.param(json.dumps([["orders", "migrated", 0.1, '"} 1', NOW_S]]), id="no trace id"),
        pytest.param(json.dumps([["orders", "migrated", 0.1, None, NOW_S]]), id="null"),
    ],
)
def test_a_damaged_file_has_no_exemplars(tmp_path, text):
    (tmp_path / "exemplars_0.json").write_text(text)

    assert {} == read_traces(tmp_path)


def test_what_could_not_be_written_is_written_later(tmp_path):
    exemplars = Exemplars()
    exemplars.note_request(exchange(), SAMPLED)
    with pytest.raises(OSError, match="gone"):
        exemplars.write(tmp_path / "gone", 0)

    exemplars.write(tmp_path, 0)

    assert [TRACE] == list(read_traces(tmp_path).values())


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        pytest.param(TraceIds(TRACE, PARENT, is_sampled=True), [TRACE], id="sampled"),
        pytest.param(TraceIds(TRACE, PARENT, is_sampled=False), [], id="not sampled"),
        pytest.param(None, [], id="no span"),
    ],
)
def test_our_own_span_is_an_exemplar_if_it_is_sampled(tmp_path, trace, expected):
    exemplars = Exemplars()
    exemplars.record(exchange(trace=trace))

    exemplars.write(tmp_path, 0)

    assert expected == list(read_traces(tmp_path).values())


def test_nothing_is_written_without_a_trace(tmp_path):
    exemplars = Exemplars()
    exemplars.note_request(exchange(), SAMPLED[:-2] + b"00")

    exemplars.write(tmp_path, 0)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param([(b"traceparent", SAMPLED)], [SAMPLED], id="one"),
        pytest.param([], [], id="none"),
        pytest.param([(b"traceparent", SAMPLED)] * 2, [], id="two, of which none counts"),
    ],
)
def test_a_request_is_offered_if_it_has_one_traceparent(sent, expected):
    noted = []
    sink = RecentExchanges(lambda _, found: noted.append(found))

    sink.record(exchange(head=head(headers=[(b"host", b"shop.test"), *sent])))

    assert expected == noted
