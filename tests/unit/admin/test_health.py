"""The health of the front door: one JSON for the API, the page and the command line."""

import jsonschema
import pytest

from overgrow.admin.api.endpoints import ENDPOINTS
from overgrow.admin.app import create_admin
from overgrow.admin.health import LiveCounters, health_json, sides_json
from overgrow.admin.traffic import CounterReader
from overgrow.observe.board import claim_slot
from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.observe.recent_rates import Gain, RatesFile
from overgrow.routing.model import Legacy, RouteTable
from overgrow.table.reading.parse import revision_of
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import NOW_S

TEXT = b"version: 1\n"
LIMITS = {"connections": 100, "threads": 4, "waiting": 16}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_bytes(TEXT)
    table = RouteTable(revision_of(TEXT), Legacy("http://127.0.0.1:9000"), ())
    view = View(tmp_path, table, config=config)
    view.server = {
        "version": "0.1.0",
        "pid": 41,
        "started_at": "2023-11-14T21:13:20Z",
        "addresses": {"public": "127.0.0.1:8000", "admin": "unix:/run/admin.sock"},
    }
    return view


@pytest.fixture
def worker(view):
    """Claim a slot for a worker that publishes and measures what the test says."""
    slots = []

    def start(revision=None, connections=0, calls=0, waiting=0, stuck=0, **published):
        slots.append(claim_slot(view.board))
        state = {"revision": revision or view.table.revision, "since": SINCE, "killed": False}
        slots[-1].publish({**state, "limits": LIMITS, **published})
        metrics = Metrics(view.metrics, slots[-1].number)
        metrics.set("overgrow_connections", connections)
        metrics.set("overgrow_local_threads_busy", calls)
        metrics.set("overgrow_local_calls_waiting", waiting)
        metrics.set("overgrow_local_threads_stuck", stuck)
        metrics.close()

    yield start
    for slot in slots:
        slot.release()


def health_of(view):
    return health_json(view, LiveCounters(view), NOW_S)


def add_requests(view, route, side, requests, errors=0):
    buckets = (requests, *[0] * len(BUCKETS_S))
    RatesFile().append(view.metrics, 0, [Gain(route, side, errors, buckets)], NOW_S - 10)


def test_the_load_of_all_workers_is_added_up(view, worker):
    worker(connections=3, calls=5, waiting=1, stuck=1)
    worker(connections=4, calls=2)
    health = health_of(view)

    assert health["connections"] == {"open": 7, "most": 200}
    assert health["local_calls"] == {
        "running": 6,
        "threads": 8,
        "waiting": 1,
        "most_waiting": 32,
        "stuck_threads": 1,
    }
    assert [(each["slot"], each["connections"], each["running"]) for each in health["workers"]] == [
        (0, 3, 4),
        (1, 4, 2),
    ]


def test_a_worker_of_an_earlier_version_publishes_no_limits(view, worker):
    worker(connections=2, limits={})

    assert health_of(view)["connections"] == {"open": 2, "most": 0}


def test_the_rates_of_a_side_are_those_of_all_its_routes(view, worker):
    worker()
    add_requests(view, "orders", "legacy", 30, errors=3)
    add_requests(view, "default", "legacy", 90)
    sides = health_of(view)["sides"]

    last = sides["legacy"]["last_minute"]
    assert (last["requests"], last["errors"], last["error_percent"]) == (120, 3, 2.5)
    assert sides["migrated"] == {}


def test_the_page_counts_as_the_api_does(view, worker):
    worker()
    add_requests(view, "orders", "legacy", 30, errors=3)
    add_requests(view, "default", "legacy", 90)
    add_requests(view, "default", "gone", 7)
    counted = sides_json(CounterReader(view.metrics).read(NOW_S), view, NOW_S)

    assert counted == health_of(view)["sides"]


def test_the_server_says_its_addresses_and_how_long_it_runs(view, worker):
    worker()
    server = health_of(view)["server"]

    assert (server["pid"], server["uptime_s"]) == (41, 3600)
    assert server["addresses"] == {"public": "127.0.0.1:8000", "admin": "unix:/run/admin.sock"}


def test_another_server_is_unknown(view, worker):
    worker()
    view.server = None

    assert health_of(view)["server"] is None


def test_a_worker_that_lags_is_not_well(view, worker):
    worker()
    before = health_of(view)["well"]
    worker(revision="older")
    health = health_of(view)

    assert (before, health["well"], len(health["lagging"])) == (True, False, 1)


def test_a_rejected_table_is_an_alert_with_its_line(view, worker):
    problem = {
        "code": "canary-out-of-range",
        "file": "routes.yaml",
        "line": 17,
        "column": 13,
        "route": "orders",
        "message": "canary is 120%",
        "fix": "Write 100%.",
    }
    worker(reload_error={"at": SINCE, "problems": [problem]})
    [alert] = health_of(view)["alerts"]

    assert (alert["since"], alert["command"]) == (SINCE, "overgrow check")
    assert alert["details"][0].startswith("routes.yaml:17:13")


def test_the_api_answers_what_its_schema_says(view, worker):
    worker(connections=1)
    add_requests(view, "orders", "migrated", 5)
    client = create_admin(view, now=lambda: NOW_S).test_client()
    for path in ("/api/health", "/api/status"):
        [endpoint] = [each for each in ENDPOINTS if each.path == path]
        jsonschema.validate(client.get(path).json, endpoint.response)

    assert client.get("/api/health").json == health_of(view)


def test_the_page_shows_load_rates_and_addresses(view, worker):
    worker(connections=1234)
    add_requests(view, "orders", "legacy", 120, errors=3)
    text = create_admin(view, now=lambda: NOW_S).test_client().get("/health").text

    for shown in (
        "1,234 open of at most 100",
        "unix:/run/admin.sock",
        ">2.5% of 120<",
        "2023-11-14T21:13:20Z",
        "4 threads",
    ):
        assert shown in text, shown


def test_hostile_text_stays_text_on_the_page(view, worker):
    worker(
        boot_error={"at": SINCE, "reason": HOSTILE, "failures": 3},
        notes=[HOSTILE],
    )
    view.boot_error = {"at": SINCE, "reason": HOSTILE, "failures": 3}
    text = create_admin(view, now=lambda: NOW_S).test_client().get("/health").text

    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 2
