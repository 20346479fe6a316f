"""Findings become the store's records and counts of the metrics; without either nothing breaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from overgrow.evidence import Served, Shape
from overgrow.exchange import Failure, FellBack, Reply
from overgrow.observe.counted_families import sum_samples
from overgrow.observe.metrics import Metrics
from overgrow.routing.model import Legacy, Timeouts
from overgrow.settings import Settings
from overgrow.shadow.findings.gate import Requirement, evaluate_gate
from overgrow.shadow.findings.noise import Noise
from overgrow.shadow.rules.comparators import SameShape
from overgrow.shadow.rules.rejudge import build_coverage_check
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow_service.recorder import EvidenceRecorder
from overgrow.shadow_service.service import ProcessEnvironment, Shadowing
from overgrow.store.engine import store_url
from overgrow.store.reader import open_reader
from overgrow.store.writer import Writer
from tests.unit.observe.exchanges import exchange
from tests.unit.shadow.mirrored import HEAD, ROUTE, Environment, Side, Stage, decided, inbound_of

JSON = [(b"content-type", b"application/json")]


@dataclass
class RecordList:
    """A writer that keeps what is put."""

    put_down: list = field(default_factory=list)

    def put(self, record):
        self.put_down.append(record)


@pytest.fixture
def recorder(tmp_path):
    recorder = EvidenceRecorder()
    recorder.metrics = Metrics(tmp_path, 0)
    recorder.writer = RecordList()
    yield recorder
    recorder.metrics.close()


def played(recorder, control, candidate, **route):
    """Let a user ask, and the mirror tell the recorder what it found."""
    stage = Stage(
        legacy=Side([Reply(200, JSON, control)]), migrated=Side([Reply(200, JSON, candidate)])
    )
    stage.mirror._evidence = recorder
    stage.play(target=b"/a?page=1", decision=decided(**route))
    return recorder.writer.put_down if recorder.writer else []


def counted(folder):
    return {(sample.name, *sample.labels.values()): sample.value for sample in sum_samples(folder)}


def test_a_comparison_is_put_with_its_group_and_counted(recorder, tmp_path):
    (record,) = played(recorder, b'{"n": 1}', b'{"n": "1"}')

    assert record.shape == Shape("GET", "/a", ("page",), 200, False)
    assert (record.route, record.control, record.verdict) == ("orders", "legacy", "mismatched")
    assert [(part.kind, part.path) for part in record.group.parts] == [("type", "$.n")]
    assert record.group.example.pair["asked"]["template"] == "/a"
    assert counted(tmp_path) == {("overgrow_shadow_total", "orders", "mismatched"): 1}


def test_a_match_has_no_group(recorder):
    (record,) = played(recorder, b"{}", b"{}")

    assert (record.verdict, record.group, record.rules) == ("matched", None, ())


def test_noise_is_told_in_pieces_of_an_hour(recorder):
    played(recorder, b'{"n": 1}', b'{"n": 1}', shadow_noise=10_000)

    recorder.store_noise()
    recorder.store_noise()

    (learned,) = [each for each in recorder.writer.put_down if hasattr(each, "learned")]
    assert Noise.from_json(learned.learned).pairs == 1


def test_drops_and_silences_are_counted(recorder, tmp_path):
    asked = Served("orders", "legacy", 1.0, Shape("GET", "/a", status=200))
    for reason in ("stale", "killed"):
        recorder.record_dropped_request(reason, asked)
    recorder.record_unanswered_copy(asked)

    assert [(each.route, each.why) for each in recorder.writer.put_down] == [
        ("orders", "stale"),
        ("orders", "unanswered"),
    ]
    assert counted(tmp_path) == {
        ("overgrow_shadow_dropped_total", "stale"): 1,
        ("overgrow_shadow_dropped_total", "killed"): 1,
        ("overgrow_shadow_total", "orders", "unanswered"): 1,
    }


def test_an_answer_to_a_user_counts_for_coverage(recorder):
    recorder.record(exchange(status=200)._replace(decision=decided(), head=HEAD))

    (record,) = recorder.writer.put_down
    assert record.shape == Shape("GET", "/a", ("b",), 200, False)
    assert (type(record), record.control) == (Served, "legacy")


@pytest.mark.parametrize(
    ("failure", "legacy"),
    [(None, "200"), (Failure("legacy-connect", "connect", "legacy"), "legacy-connect")],
    ids=["answered", "failed too"],
)
def test_a_fallback_is_put_with_both_outcomes(recorder, failure, legacy):
    turned = decided(reason="fallback")
    fell = exchange(status=200)._replace(
        decision=turned, head=HEAD, fallback=FellBack("migrated-crash", 500), failure=failure
    )

    recorder.record(fell)

    (record,) = recorder.writer.put_down
    assert (record.route, record.method) == ("orders", "GET")
    assert (record.migrated, record.legacy) == ("migrated-crash", legacy)


def test_before_a_worker_opened_it_nothing_is_kept_and_nothing_breaks():
    recorder = EvidenceRecorder()

    played(recorder, b'{"n": 1}', b'{"n": 2}', shadow_noise=10_000)
    recorder.record(exchange(status=200)._replace(decision=decided(), head=HEAD))
    recorder.record_dropped_request("stale")
    recorder.store_noise()

    assert (recorder.metrics, recorder.writer) == (None, None)


# The whole, with sides of its own.


@dataclass
class Table:
    routes: tuple = (replace(ROUTE, timeouts=Timeouts(response_s=5)),)


class Running:
    """overgrow.table.live.LiveTable, as far as shadowing reads it."""

    def __init__(self, *routes):
        self.matcher = type("Matcher", (), {"table": Table(routes or Table().routes)})
        self.killed = False


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_X_OVERGROW_SHADOW"].encode()]


def unreported(server, *, is_copy=False):
    return server


def shadowing_of(folder, live=None, **settings):
    given = Settings(config=folder / "routes.yaml", **settings)
    return Shadowing(live or Running(), given, folder, wsgi_app, None, unreported)


def test_a_comparison_reaches_the_store(tmp_path):
    async def scene():
        shadowing = shadowing_of(tmp_path)
        await shadowing.open(Metrics(tmp_path / "metrics", 0))
        server = shadowing.wrap(Side([Reply(200, [(b"content-type", b"text/plain")], b"1")]))
        reply = await server.serve(inbound_of(), decided())
        await reply.close()
        while shadowing.mirror._tasks:
            await asyncio.wait(shadowing.mirror._tasks)
        await shadowing.do_housekeeping()
        await shadowing.aclose()

    asyncio.run(scene())

    with open_reader(store_url(tmp_path, None)) as reader:
        (status,) = reader.shadow_status()
    assert (status.route, status.matched, status.comparisons) == ("orders", 1, 1)


def test_a_table_that_needs_no_evidence_opens_no_store(tmp_path):
    async def scene():
        shadowing = shadowing_of(tmp_path, Running(replace(ROUTE, shadow=0)))
        await shadowing.open(Metrics(tmp_path / "metrics", 0))
        writer = shadowing.recorder.writer
        await shadowing.aclose()
        return writer

    assert asyncio.run(scene()) is None
    assert not (tmp_path / "store.sqlite3").exists()


def test_a_store_that_cannot_be_used_is_said_once_and_costs_evidence_only(tmp_path, caplog):
    async def scene():
        shadowing = shadowing_of(tmp_path, store_url="mysql://u:secret@h/db")
        await shadowing.open(Metrics(tmp_path / "metrics", 0))
        await shadowing.do_housekeeping()
        await shadowing.aclose()

    asyncio.run(scene())

    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.message.startswith("no evidence is kept: ")
    assert "secret" not in caplog.text


def test_clocks_chance_and_rules_are_those_of_this_process(tmp_path):
    live = Running()
    here = ProcessEnvironment(live, tmp_path)
    live.killed = True

    assert here.is_killed()
    assert asyncio.run(here.rules_of(ROUTE)) == Rules.none
    assert 0 <= here.chance() < 1
    assert here.clock() > here.stopwatch() > here.cpu_s() >= 0


def test_copies_to_legacy_have_few_connections_of_their_own(tmp_path):
    made = []
    given = Settings(config=tmp_path / "routes.yaml")
    shadowing = Shadowing(Running(), given, tmp_path, wsgi_app, made.append, unreported)

    shadowing._legacy._transport_for(Legacy("http://127.0.0.1:9", max_connections=256))

    assert [legacy.max_connections for legacy in made] == [8]


LARGE = b"x" * (300 * 1024)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        pytest.param(Rules.none, "is open and of high severity", id="told as mismatches"),
        pytest.param(
            Rules((Rule("text:line[*]", SameShape(), "ada", "why", date(2030, 1, 1)),)),
            "answer-too-large (60): write `shadow: {percent: ..., max_answer: 1MB}`",
            id="noise allowed in the body",
        ),
    ],
)
def test_a_gate_is_not_ready_while_large_answers_are_wrong(tmp_path, rules, reason):
    recorder = EvidenceRecorder()
    recorder.writer = Writer(store_url(tmp_path, None), tmp_path / "store")
    for _ in range(60):
        for control, candidate in ((b"ok", b"ok"), (LARGE, LARGE + b"y")):
            stage = Stage(legacy=Side([Reply(200, [], control)]), outside=Environment(rules=rules))
            stage.migrated.answers = [Reply(200, [], candidate)]
            stage.mirror._evidence = recorder
            stage.play()
    recorder.writer.close()

    with open_reader(store_url(tmp_path, None)) as reader:
        found = reader.evidence("orders", "legacy", explains=build_coverage_check(rules))
    result = evaluate_gate(found, Requirement(clean=59), 1_700_000_060.0)

    assert not result.ready
    assert any(reason in each for each in result.reasons)
