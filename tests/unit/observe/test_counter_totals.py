"""Totals of all workers, read from the files into which they count."""

import pytest

from overgrow.observe.counter_totals import CounterTotals
from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.routing.model import Route
from tests.unit.observe.exchanges import decision, exchange

DEFAULT = ("default", "legacy")


@pytest.fixture
def totals(tmp_path):
    reading = CounterTotals(tmp_path, BUCKETS_S)
    yield reading
    reading.close()


@pytest.fixture
def worker(tmp_path):
    made = []

    def make(slot=0, folder=tmp_path):
        made.append(Metrics(folder, slot))
        return made[-1]

    yield make
    for each in made:
        each.close()


def count(metrics, number, **kinds):
    for _ in range(number):
        metrics.record(exchange(decision=decision("legacy", route=None), **kinds))


def in_short(found):
    return {place: (counts[0], sum(counts[1:])) for place, counts in found.items()}


def test_totals_are_of_all_workers_together(totals, worker):
    count(worker(0), 2)
    count(worker(1), 3, status=500)

    assert {DEFAULT: (3, 5)} == in_short(totals.read_changes())


def test_a_latency_stands_in_its_bucket(totals, worker):
    count(worker(), 1, duration_s=0.004)
    [counts] = totals.read_changes().values()

    assert (0, 0, 0, 1) == counts[:4]
    assert totals.size == len(counts) == len(BUCKETS_S) + 2


def test_what_has_not_changed_is_not_read(totals, worker):
    metrics = worker()
    count(metrics, 1)
    metrics.record(exchange())
    for _ in range(3):
        totals.read_changes()
    idle = totals.read_changes()
    count(metrics, 1)

    assert {} == idle
    assert {DEFAULT: (0, 2)} == in_short(totals.read_changes())


def test_an_error_that_is_counted_late_is_found(totals, worker):
    metrics = worker()
    count(metrics, 1)
    totals.read_changes()
    totals.read_changes()
    count(metrics, 1)
    totals.read_changes()
    metrics._cell("overgrow_errors_total", *DEFAULT).add(1)  # as if it was between the two

    assert {DEFAULT: (1, 2)} == in_short(totals.read_changes())


def test_a_new_route_and_a_new_slot_are_found(totals, worker):
    first = worker(0)
    count(first, 1)
    totals.read_changes()
    totals.read_changes()
    first.record(exchange())
    count(worker(1), 1)

    assert {("orders", "migrated"): (0, 1), DEFAULT: (0, 2)} == in_short(totals.read_changes())


def test_a_file_that_grows_is_read_to_its_end(totals, worker):
    metrics = worker()
    for number in range(100):  # far more than fit into the first size of a file
        metrics.record(exchange(decision=decision(route=Route(f"route-{number}", path="/x"))))
        totals.read_changes()

    assert 100 == sum(requests for _, requests in in_short(totals.read_all()).values())


def test_a_removed_file_counts_until_another_takes_its_place(totals, worker, tmp_path):
    metrics = worker()
    count(metrics, 3)
    totals.read_changes()
    for path in tmp_path.glob("*.db"):
        path.unlink()
    removed = in_short(totals.read_all())
    metrics.repair_files(tmp_path, 0)
    count(metrics, 1)

    assert ({DEFAULT: (0, 3)}, {DEFAULT: (0, 4)}) == (removed, in_short(totals.read_changes()))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="just being made"),
        pytest.param(b"short", id="of no length"),
        pytest.param(b"\xff" * 4096, id="garbled"),
        pytest.param(
            b"\x00\x10\x00\x00\x00\x00\x00\x00" + b"\x7f" * 4088, id="keys beyond the end"
        ),
    ],
)
def test_a_damaged_file_hides_no_other(totals, worker, tmp_path, content):
    (tmp_path / "histogram_7.db").write_bytes(content)
    count(worker(), 2)

    assert {DEFAULT: (0, 2)} == in_short(totals.read_changes())
