import os
import re
import signal
import subprocess
import threading

import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from overgrow.exchange import FAILURES, Failure, FellBack
from overgrow.observe.board import claim_slot, workers
from overgrow.observe.counted_families import sum_samples
from overgrow.observe.exposed_facts import FrontDoorFacts
from overgrow.observe.exposition import exposition
from overgrow.observe.metrics import BUCKETS_S, METRICS, Metrics, is_error
from overgrow.observe.recent_counts import recent_requests
from tests.locking import waits_for, who_does_not_wait
from tests.programs import needed
from tests.unit.observe.exchanges import NOW_S, decision, exchange, head

# Python 3.12 warns of a fork beside threads; here the child only counts, logs or waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def value_of(folder, name, live=(), **labels):
    """One number of the merged exposition; 0 where it is absent."""
    text = exposition(folder, live).decode()
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


def test_a_request_is_counted_by_route_side_and_status(tmp_path):
    metrics = Metrics(tmp_path, 0)

    metrics.record(exchange(status=201))

    told = exposition(tmp_path, ()).decode()
    assert 'overgrow_requests_total{route="orders",side="migrated",status="201"} 1.0\n' in told


def test_a_request_no_route_took_is_counted_as_default(tmp_path):
    metrics = Metrics(tmp_path, 0)

    metrics.record(exchange(decision=decision("legacy", route=None)))

    assert value_of(tmp_path, "overgrow_requests_total", route="default", side="legacy") == 1


def test_paths_never_become_series(tmp_path):
    metrics = Metrics(tmp_path, 0)

    for number in range(50):
        metrics.record(exchange(head=head(b"/orders/%d" % number)))

    assert b"/orders" not in exposition(tmp_path, ())


def test_bodies_are_counted_in_bytes(tmp_path):
    metrics = Metrics(tmp_path, 0)

    metrics.record(exchange(request_bytes=10, response_bytes=300))
    metrics.record(exchange(request_bytes=5, response_bytes=0))

    assert value_of(tmp_path, "overgrow_request_bytes_total") == 15
    assert value_of(tmp_path, "overgrow_response_bytes_total") == 300


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        pytest.param(0.001, "0.001", id="a bound belongs to its own bucket"),
        pytest.param(0.0011, "0.0025", id="between two bounds"),
        pytest.param(31.0, "+Inf", id="beyond the last"),
    ],
)
def test_a_duration_falls_into_the_first_bucket_that_holds_it(tmp_path, seconds, bound):
    Metrics(tmp_path, 0).record(exchange(duration_s=seconds))

    buckets = [
        s for s in sum_samples(tmp_path) if s.name == "overgrow_request_duration_seconds_bucket"
    ]
    assert bound == min((s.labels["le"] for s in buckets if s.value), key=float)
    assert len(BUCKETS_S) + 1 == len(buckets)


def test_the_buckets_hold_those_of_the_semantic_conventions():
    conventions = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

    assert {0.001, 0.0025, 30} == set(BUCKETS_S) - conventions
    assert conventions <= set(BUCKETS_S)
    assert sorted(BUCKETS_S) == list(BUCKETS_S)


def test_what_an_earlier_version_counted_under_another_name_is_not_told(tmp_path, monkeypatch):
    Metrics(tmp_path, 0).record(exchange(duration_s=0.5))
    renamed = {name: each for name, each in METRICS.items() if "duration" not in name}
    monkeypatch.setattr("overgrow.observe.counted_families.METRICS", renamed)

    assert b"duration" not in exposition(tmp_path, [])
    assert b"overgrow_requests_total" in exposition(tmp_path, [])


def test_durations_are_summed(tmp_path):
    metrics = Metrics(tmp_path, 0)

    metrics.record(exchange(duration_s=0.25))
    metrics.record(exchange(duration_s=0.5))

    assert value_of(tmp_path, "overgrow_request_duration_seconds_sum") == 0.75
    assert value_of(tmp_path, "overgrow_request_duration_seconds_count") == 2


def test_a_failure_is_counted_by_code_and_party(tmp_path):
    failure = Failure("legacy-timeout", "head", "legacy")

    Metrics(tmp_path, 0).record(exchange("legacy", status=504, failure=failure))

    labels = {"code": "legacy-timeout", "party": "legacy"}
    assert value_of(tmp_path, "overgrow_failures_total", **labels) == 1
    assert value_of(tmp_path, "overgrow_errors_total", route="orders", side="legacy") == 1


@pytest.mark.parametrize(
    ("status", "failure", "expected"),
    [
        pytest.param(200, None, False, id="an answer"),
        pytest.param(404, None, False, id="a client's mistake"),
        pytest.param(500, None, True, id="a side's own 500"),
        pytest.param(200, ("legacy-closed", "body", "legacy"), True, id="an answer that broke off"),
        pytest.param(0, ("client-gone", "body", "client"), False, id="a client that left"),
        pytest.param(410, ("gone", "decide", "front"), False, id="gone is meant"),
    ],
)
def test_an_error_is_what_lets_the_user_down(status, failure, expected):
    assert is_error(status, Failure(*failure) if failure else None) is expected


def test_what_the_server_turned_away_is_a_failure_but_no_request(tmp_path):
    Metrics(tmp_path, 0).count_failure(Failure("head-too-large", "read", "client"))

    assert value_of(tmp_path, "overgrow_failures_total", code="head-too-large") == 1
    assert value_of(tmp_path, "overgrow_requests_total") == 0


def test_counters_without_labels_can_be_counted(tmp_path):
    metrics = Metrics(tmp_path, 0)

    metrics.count("overgrow_reload_failures_total")
    metrics.count("overgrow_log_lines_dropped_total", 7)

    assert value_of(tmp_path, "overgrow_reload_failures_total") == 1
    assert value_of(tmp_path, "overgrow_log_lines_dropped_total") == 7


def test_gauges_of_the_living_are_summed(tmp_path):
    for slot, connections in ((0, 3), (1, 4)):
        Metrics(tmp_path, slot).set("overgrow_connections", connections)

    assert value_of(tmp_path, "overgrow_connections", [{"slot": 0}, {"slot": 1}]) == 7


def test_a_gauge_does_not_outlive_its_worker(tmp_path):
    for slot, connections in ((0, 3), (1, 4)):
        Metrics(tmp_path, slot).set("overgrow_connections", connections)

    assert value_of(tmp_path, "overgrow_connections", [{"slot": 1}]) == 4


def test_a_successor_starts_with_gauges_of_its_own(tmp_path):
    Metrics(tmp_path, 0).set("overgrow_connections", 3)

    Metrics(tmp_path, 0).set("overgrow_local_threads_stuck", 1)

    live = [{"slot": 0}]
    assert value_of(tmp_path, "overgrow_connections", live) == 0
    assert value_of(tmp_path, "overgrow_local_threads_stuck", live) == 1


def test_the_board_tells_revisions_workers_kill_file_and_refused_table(tmp_path):
    live = [
        {"slot": 0, "revision": "aaa", "killed": False, "reload_error": {"at": "", "problems": []}},
        {"slot": 1, "revision": "bbb", "killed": True, "reload_error": None},
    ]

    told = exposition(tmp_path, live).decode()

    for line in (
        'overgrow_table_revision_info{revision="aaa"} 1.0',
        'overgrow_table_revision_info{revision="bbb"} 1.0',
        "overgrow_workers 2.0",
        "overgrow_killed 1.0",
        "overgrow_reload_error 1.0",
    ):
        assert f"{line}\n" in told


def test_an_open_breaker_is_counted_in_each_worker_that_has_it(tmp_path):
    def breaker(state, side="migrated"):
        return {"route": "orders", "side": side, "state": state}

    live = [
        {"slot": 0, "breakers": [breaker("open"), breaker("half-open", "legacy")]},
        {"slot": 1, "breakers": [breaker("open")]},
        {"slot": 2, "breakers": [breaker("recovering")]},
        {"slot": 3},
    ]

    told = exposition(tmp_path, live).decode()

    assert re.findall(r"^overgrow_breaker_open.+", told, re.MULTILINE) == [
        'overgrow_breaker_open{route="orders",side="legacy"} 0.0',
        'overgrow_breaker_open{route="orders",side="migrated"} 2.0',
    ]


def test_breakers_that_are_closed_have_no_line(tmp_path):
    told = exposition(tmp_path, [{"slot": 0, "breakers": []}]).decode()

    assert "overgrow_breaker_open{" not in told


def test_two_instances_in_one_process_do_not_mix(tmp_path):
    first, second = Metrics(tmp_path / "a", 0), Metrics(tmp_path / "b", 0)

    first.record(exchange())
    second.record(exchange())
    second.record(exchange())

    assert value_of(tmp_path / "a", "overgrow_requests_total") == 1
    assert value_of(tmp_path / "b", "overgrow_requests_total") == 2


def test_the_apps_own_prometheus_settings_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    Metrics(tmp_path, 0).record(exchange())

    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_threads_lose_no_count(tmp_path):
    metrics = Metrics(tmp_path, 0)
    threads = [
        threading.Thread(target=lambda: [metrics.record(exchange()) for _ in range(2000)])
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert value_of(tmp_path, "overgrow_requests_total") == 8000


def worker_that_counts(state, requests):
    """Fork a worker that claims a slot, counts, and waits to be killed; its pid."""
    done, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            slot = claim_slot(state / "board")
            slot.publish({"revision": "abc"})
            metrics = Metrics(state / "metrics", slot.number)
            metrics.set("overgrow_connections", 1)
            for number in range(requests):
                metrics.record(exchange("legacy" if number % 2 else "migrated"))
            os.write(tell, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(done, 1) == b"1"
    os.close(done)
    return pid


def kill_9(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_eleven_boots_with_kill_9_leave_exact_totals_and_no_pile_of_files(tmp_path):
    running = [worker_that_counts(tmp_path, 100) for _ in range(3)]
    for _ in range(8):
        kill_9(running.pop(0))
        running.append(worker_that_counts(tmp_path, 100))

    live = workers(tmp_path / "board")
    totals = [
        value_of(tmp_path / "metrics", name, live)
        for name in ("overgrow_requests_total", "overgrow_request_duration_seconds_count")
    ]
    connections = value_of(tmp_path / "metrics", "overgrow_connections", live)
    files = sorted(path.name for path in (tmp_path / "metrics").iterdir())
    live_requests = sum(sample.value for sample in recent_requests(tmp_path / "metrics", NOW_S))
    for pid in running:
        kill_9(pid)

    assert totals == [1100, 1100]
    assert live_requests == 1100
    assert connections == 3
    kinds = ("counter_{}.db", "gauge_livesum_{}.db", "histogram_{}.db", "recent_{}.rings")
    assert files == [kind.format(slot) for kind in kinds for slot in (0, 1, 2)]
    assert value_of(tmp_path / "metrics", "overgrow_connections", workers(tmp_path / "board")) == 0


def test_prometheus_clients_own_merge_reads_the_same_numbers(tmp_path):
    for slot in (0, 1, 2):
        metrics = Metrics(tmp_path, slot)
        for number in range(40):
            side, failure = (
                ("legacy", Failure("legacy-closed", "body", "legacy"))
                if number % 3
                else ("migrated", None)
            )
            metrics.record(exchange(side, 200 + number % 2, failure=failure, duration_s=number / 7))

    theirs = MultiProcessCollector(None, str(tmp_path)).collect()

    assert {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for sample in sum_samples(tmp_path)
    } == {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in theirs
        for sample in family.samples
    }


def test_a_damaged_file_costs_its_own_counts_only(tmp_path, caplog):
    for slot in (0, 1):
        Metrics(tmp_path, slot).record(exchange())
    (tmp_path / "counter_0.db").write_bytes(b"\x40\0\0\0\0\0\0\0" + b"\xff" * 80)

    assert value_of(tmp_path, "overgrow_requests_total") == 1
    assert "counter_0.db cannot be read" in caplog.text


def test_a_file_that_is_just_being_made_does_not_stop_the_others(tmp_path):
    Metrics(tmp_path, 0).record(exchange())
    (tmp_path / "counter_1.db").touch()

    assert value_of(tmp_path, "overgrow_requests_total") == 1


def test_counts_stay_when_the_files_are_closed(tmp_path):
    metrics = Metrics(tmp_path, 0)
    metrics.record(exchange())

    metrics.close()

    assert value_of(tmp_path, "overgrow_requests_total") == 1


def test_no_folder_has_no_samples(tmp_path):
    assert sum_samples(tmp_path / "nowhere") == []


def test_a_fallback_is_counted_by_route_and_by_what_migrated_answered(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for code in ("500", "migrated-crash", "500"):
        metrics.record(exchange(side="legacy", fallback=FellBack(code, 500)))

    counted = {
        sample.labels["code"]: sample.value
        for sample in sum_samples(tmp_path)
        if sample.name == "overgrow_fallbacks_total"
    }
    assert counted == {"500": 2, "migrated-crash": 1}


def test_a_counter_with_labels_is_counted_by_their_values(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for verdict in ("matched", "mismatched", "matched"):
        metrics.add("overgrow_shadow_total", "orders", verdict)

    counted = {sample.labels["verdict"]: sample.value for sample in sum_samples(tmp_path)}
    assert counted == {"matched": 2, "mismatched": 1}


def everything(folder):
    """An exposition with every metric in it."""
    metrics = Metrics(folder, 0)
    failure = Failure("legacy-connect", "connect", "legacy")
    metrics.record(exchange(status=502, failure=failure, fallback=FellBack("500", 500)))
    for name, metric in METRICS.items():
        if metric.kind in ("gauge", "slot"):
            metrics.set(name, 1)
        elif metric.kind == "counter":
            metrics.add(name, *metric.labels)
    breaker = {"route": "orders", "side": "migrated", "state": "open"}
    gates = {
        "orders": {"value": 0.97, "threshold": 0.99, "is_open": False, "at_s": 1.0, "newest_s": 9.0}
    }
    worker = {
        "slot": 0,
        "pid": os.getpid(),
        "since": "2026-11-30T12:00:00.000Z",
        "revision": "abc",
        "breakers": [breaker],
        "gates": gates,
    }
    facts = FrontDoorFacts("0.1.0", {("orders", "migrated"): 2}, {"orders": 5.0}, {"orders": 10})
    return exposition(folder, [worker], facts)


def test_every_metric_described_is_told_with_its_help_and_labels(tmp_path):
    families = {f.name: f for f in text_string_to_metric_families(everything(tmp_path).decode())}

    for name, metric in METRICS.items():
        family = families[name.removesuffix("_total")]
        assert metric.help == family.documentation
        assert set(metric.labels) == set(family.samples[0].labels) - {"le"}
    assert len(METRICS) == len(families)


def test_promtool_finds_nothing_to_criticise(tmp_path):
    promtool = needed("promtool", "prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=everything(tmp_path), capture_output=True, check=False
    )

    assert (0, b"") == (checked.returncode, checked.stdout + checked.stderr)


def test_failure_codes_of_the_closed_table_are_legal_label_values(tmp_path):
    metrics = Metrics(tmp_path, 0)

    for code, (status, _) in FAILURES.items():
        metrics.record(exchange(status=status, failure=Failure(code, "head", "front")))

    assert value_of(tmp_path, "overgrow_failures_total") == len(FAILURES)


def test_whatever_counts_waits_for_the_lock_of_the_metrics(tmp_path):
    # Adding to a mapped number is a read and a write: two threads would lose counts.
    metrics = Metrics(tmp_path, 0)
    works = {
        "an exchange": lambda: metrics.record(exchange()),
        "a refusal": lambda: metrics.count_failure(Failure("front-busy", "read", "client")),
        "a counter": lambda: metrics.count("overgrow_reload_failures_total"),
        "a counter with labels": lambda: metrics.add("overgrow_shadow_dropped_total", "stale"),
        "a gauge": lambda: metrics.set("overgrow_shadow_waiting", 1),
        "going on elsewhere": lambda: metrics.repair_files(tmp_path, 0),
    }

    assert who_does_not_wait(metrics._lock, works) == []


def test_files_are_not_let_go_of_while_somebody_counts(tmp_path):
    metrics = Metrics(tmp_path, 0)

    assert waits_for(metrics._lock, metrics.close)
