"""The benchmarks run: tiny loads on loopback, behaviour only, never a time."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import socketserver
import statistics
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import (
    disturbances,
    figures,
    history,
    hotpath,
    inventory,
    load,
    migrated_reads,
    results,
    scenarios,
    servers,
    slow,
    soak,
)
from benchmarks.processes import ROOT, NotStarted, free_port, python, started

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
TINY = scenarios.Plan(
    rounds=1,
    seconds=1,
    connections=2,
    requests=20,
    body_rounds=1,
    streams=20,
    stream_requests=20,
    flips=1,
    routing_rounds=6,
    load_rounds=1,
    shadow_rounds=1,
    shadow_seconds=1,
    shadow_warm_s=1,
    slow_clients=20,
    slow_rounds=1,
    slow_seconds=1,
    slow_streams=3,
    slow_streams_s=1,
    watch_seconds=1,
    watch_rounds=1,
)


@pytest.fixture
def place(tmp_path):
    with servers.place_in(tmp_path) as found:
        yield found


@pytest.fixture
def only_the_front_door(monkeypatch):
    mine = [servers.Peer(servers.FRONT, servers.start_front)]
    monkeypatch.setattr(servers, "peers", lambda: mine)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name):
    assert importlib.import_module(f"benchmarks.{name}")


def test_the_table_that_is_measured_has_fifty_routes():
    assert 53 == servers.table_text(9000).count("    target: ")


@pytest.mark.usefixtures("only_the_front_door")
def test_small_gets_are_counted_through_the_front_door(place):
    (row,) = scenarios.small_gets(place, TINY).rows
    name, per_s, cpu_us, share = row

    assert (servers.FRONT, "-") == (name, share)
    assert float(per_s.split()[0].replace(",", "")) > 0
    assert float(cpu_us.replace(",", "")) > 0


def test_viewers_of_the_admin_page_are_answered_and_their_cost_is_told(place):
    section = scenarios.viewers(place, TINY)

    assert ["20 routes", "1,000 routes"] == [row[0] for row in section.rows]
    assert [1, 5] == [float(goal.wanted.split()[1]) for goal in section.goals]


def test_the_overview_of_a_large_table_is_measured(place):
    section = scenarios.overview(place, TINY)

    assert ["the page", "its JSON"] == [row[0] for row in section.rows[:2]]
    assert all(row[3].endswith(" KB") for row in section.rows[:2])


def test_what_traces_cost_is_measured(place):
    section = scenarios.otel(place, TINY)

    shares = ("off", "0%", "1%", "100%")
    wanted = [f"{what}, {share}" for what in ("forwarded", "migrated") for share in shares]
    assert wanted == [row[0] for row in section.rows]
    assert 2 == len(section.goals)


@pytest.mark.usefixtures("only_the_front_door")
def test_bodies_pass_whole_both_ways_and_growth_is_measured(place):
    section = scenarios.bodies(place, TINY)

    assert {"100 MB down: the worker grows", "100 MB up: the worker grows"} == {
        goal.what for goal in section.goals
    }


@pytest.mark.usefixtures("only_the_front_door")
@pytest.mark.parametrize("scenario", [scenarios.sse, scenarios.websockets])
def test_idle_streams_stay_open_beside_quick_gets(place, scenario):
    section = scenario(place, TINY)

    assert servers.FRONT == section.rows[0][0]


def test_idle_streams_that_end_by_themselves_are_told_of():
    def answer_and_end():
        for _ in range(2):
            stream, _ = listener.accept()
            with stream:
                stream.recv(4096)
                stream.sendall(load.SIGNS[load.SSE])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ending = threading.Thread(target=answer_and_end)
        ending.start()
        with (
            pytest.raises(ConnectionError, match="2 of 2 idle streams ended"),
            load.idle_streams(listener.getsockname()[1], load.SSE, 2),
        ):
            ending.join(60)


def test_no_request_fails_while_a_route_is_flipped(place):
    section = scenarios.flip(place, TINY)

    assert "0" == section.rows[0][3]


def test_users_beside_a_sleeping_shadow_are_compared_with_users_without(place):
    section = scenarios.shadow(place, TINY)

    assert ["without shadow", "without, again", "100% shadow"] == [row[0] for row in section.rows]
    assert ["100% shadow, users' median latency"] == [goal.what for goal in section.goals]


def test_others_are_measured_beside_slow_clients_of_every_kind(place):
    section = scenarios.slow_clients(place, TINY)

    assert list(slow.KINDS) == [row[0] for row in section.rows]
    assert [
        "others beside 20 slow clients, p99 more",
        "event streams, quiet for 1 s beside them, that still hear",
        "20 slow clients: the worker grows",
        "20 slow clients: the spool",
    ] == [goal.what for goal in section.goals]
    assert section.goals[1].met


class Refusing(socketserver.BaseRequestHandler):
    """Serves nobody."""

    def handle(self):
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        while self.request.recv(65_536):
            pass


@pytest.mark.parametrize("name", slow.KINDS)
def test_slow_clients_that_are_refused_fail_the_measurement(name):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with slow.dawdling(server.server_address[1], slow.KINDS[name], 3) as crowd:
                while not all(client.said for client in crowd.clients):
                    time.sleep(0.01)
                with pytest.raises(
                    ConnectionError, match=r"of 3 slow clients .* 3 got HTTP/1.1 503"
                ):
                    crowd.check()
        finally:
            server.shutdown()


class Late(BaseHTTPRequestHandler):
    """Answers a fifth of a second late."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.2)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_what_a_late_server_holds_up_is_late_as_well_and_nobody_elses_is(place):
    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever).start()
        ports = {"quick": place.upstream, "late": server.server_address[1]}
        taken_s = load.open_loops_s(ports, "/items/1", per_s=10, seconds=1)
        server.shutdown()

    assert {"quick": 10, "late": 10} == {name: len(each) for name, each in taken_s.items()}
    assert taken_s["late"] == sorted(taken_s["late"])
    assert taken_s["late"][-1] > 10 * 0.2 - 0.9 - 0.05
    assert statistics.median(taken_s["quick"]) < 0.2  # what the late one takes for each


def test_a_server_that_ends_at_once_is_told_of_with_its_last_words(tmp_path):
    command = python("-c", "raise SystemExit('no such luck')")

    with pytest.raises(NotStarted, match="no such luck"):
        started("unlucky", command, free_port(), tmp_path, where={0})


def test_a_peer_that_does_not_start_is_left_out(place, monkeypatch, capsys):
    def fail(_place):
        raise NotStarted("unlucky does not listen.")

    monkeypatch.setattr(servers, "peers", lambda: [servers.Peer("unlucky", fail)])

    assert [] == servers.started_peers(place)
    assert "unlucky is left out" in capsys.readouterr().out


def test_a_missing_peer_is_named_with_the_command_that_installs_it(monkeypatch):
    absent = [servers.Peer("nginx", servers.start_nginx, "apt-get install -y nginx")]
    monkeypatch.setattr(results, "peers", lambda: absent)

    assert "nginx is not installed and left out: apt-get install -y nginx" in results.missing()


def test_our_own_client_counts_answers_where_wrk_is_missing(place):
    rate = asyncio.run(load.by_asyncio(place.upstream, "/items/1", 2, 1, ()))

    assert rate.requests > 0
    assert 0 == rate.failed


def test_failures_that_wrk_tells_are_added_up():
    text = (
        "  100 requests in 1.00s\n  Socket errors: connect 1, read 2, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 5\nRequests/sec:    100.00\n"
    )

    assert load.Rate(100, 15, 100.0) == load.wrk_rate(text)


def test_ratios_are_taken_round_by_round():
    assert [2.0, 0.5] == figures.ratios([4.0, 1.0], [2.0, 2.0])


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        pytest.param(figures.at_least("x", 1.0, 1.0), "met", id="just enough"),
        pytest.param(figures.at_least("x", 0.99, 1.0), "MISSED", id="too little"),
        pytest.param(figures.at_most("x", 33, 32, "MB"), "MISSED", id="too much"),
        pytest.param(figures.Goal("x", "", "", None), "-", id="not measured"),
    ],
)
def test_a_goal_says_whether_it_is_met(goal, verdict):
    assert verdict == goal.verdict


def test_what_is_printed_fits_80_columns():
    goal = figures.at_least("a migrated endpoint, to plain gunicorn gthread", 123.456, 1.0)
    row = ["aiohttp by hand", "12,345 (11,000-13,000)", "1,234", "0.999 (0.998-1.01)"]
    section = figures.Section("t", "m " * 60, ["", "requests/s", "CPU us", "front / it"], [row])

    lines = [*figures.as_text(section).splitlines(), *figures.goals_text([goal]).splitlines()]

    assert [line for line in lines if len(line) > figures.WIDTH] == []


def test_results_tell_no_path_and_no_host_name():
    text = results.written([], results.machine())

    assert str(BENCHMARKS.parent) not in text
    assert socket.gethostname() not in text.split()


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- measured: results -->\nold\n<!-- end -->\nb\n")

    results.put(page, "results", "new\n")

    assert "a\n<!-- measured: results -->\nnew\n<!-- end -->\nb\n" == page.read_text()


def test_the_page_has_a_place_for_results_and_profile():
    text = results.PAGE.read_text("utf-8")

    assert 1 == text.count("<!-- measured: results -->")
    assert 1 == text.count("<!-- measured: profile -->")


def test_a_sample_counts_for_the_innermost_part_that_is_known():
    serving = [
        "FrontWorker.run (proxy/overgrow/server/worker.py:1)",
        "FrontDoor.__call__ (proxy/overgrow/path/frontdoor.py:7)",
    ]
    lines = [
        f"{';'.join(serving)};Headers.__init__ (httpx/_models.py:5);isinstance (abc.py:1) 3",
        f"{';'.join(serving)} 1",
        "AccessLog._write_on (proxy/overgrow/observe/access_log/writer.py:1) 9",
    ]

    assert {"httpx objects": 0.75, "front door: stations, passage": 0.25} == hotpath.shares_of(
        lines
    )


@pytest.mark.parametrize(
    ("leaf", "part"),
    [
        (
            "HttpConnection.data_received (proxy/overgrow/server/connection.py:9);(begun)",
            hotpath.LOOP,
        ),
        (
            "RequestCycle.send_response (proxy/overgrow/server/request_cycle.py:9);(begun)",
            hotpath.SERVING,
        ),
        ("HttpConnection.write (proxy/overgrow/server/connection.py:9)", hotpath.SOCKETS),
    ],
)
def test_what_a_callback_finds_at_its_beginning_was_the_loops_doing(leaf, part):
    stack = f"FrontWorker.run (proxy/overgrow/server/worker.py:1);{leaf}".split(";")

    assert part == hotpath.part_of(stack)


def test_a_forked_process_is_sampled_and_tells_at_its_end(tmp_path):
    program = tmp_path / "busy.py"
    program.write_text(
        "import os, sys, time\n"
        "def work():\n"
        "    until = time.process_time() + 0.3\n"
        "    while time.process_time() < until:\n"
        "        sum(range(1000))\n"
        "if os.fork() == 0:\n"
        "    work()\n"
        "    sys.exit()\n"
        "os.wait()\n"
    )
    command = python("-m", "benchmarks.sampler", str(tmp_path / "out"), "busy")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True, timeout=60)

    (file,) = tmp_path.glob("out.*")
    counts = [
        int(line.rpartition(" ")[2]) for line in file.read_text().splitlines() if "work" in line
    ]
    assert 20 < sum(counts) < 120  # of 60 and what a tick may be late; no sample counts twice


@pytest.fixture
def legacy(tmp_path):
    found = soak.Legacy(free_port(), tmp_path)
    found.start()
    yield found
    found.stop()


def test_every_kind_of_client_of_the_soak_gets_through(legacy, tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "LARGE_BYTES", 200_000)
    place = servers.Place(legacy.port, tmp_path)
    try:
        soaking = soak.Soak(servers.start_front(place).port, legacy)
        asyncio.run(soaking.run_for(1))
    finally:
        place.stop()

    assert [] == soaking.tally.wrong
    assert set(soak.CLIENTS) == set(soaking.tally.done)


@pytest.mark.timeout(300)
def test_a_short_soak_with_all_that_production_does_finds_nothing_wrong(
    legacy, tmp_path, monkeypatch
):
    """The twin of `make bench WHAT=soak`: half a minute of load, and too little of it to judge memory."""
    monkeypatch.setattr(soak, "LARGE_BYTES", 2_000_000)
    monkeypatch.setattr(soak, "RSS_SLACK_BYTES", 100_000_000)
    monkeypatch.setattr(soak, "CLIENTS", dict.fromkeys(soak.CLIENTS, 3))
    place = servers.Place(legacy.port, tmp_path)
    times = soak.Times(soak_s=24, restart_s=9, warm_s=2, settle_s=4)
    try:
        front = disturbances.started_front(place, legacy)
        soaking = soak.Soak(front.running.port, legacy)
        asyncio.run(soak.soaked(soaking, front, times))
    finally:
        place.stop()

    assert [] == soaking.tally.wrong
    assert front.counts.keys() >= {"flips", "boots that failed", "reloads", "drains"}
    assert min(legacy.moves, legacy.restarts) >= 1


EMPTY_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "last_words", "is_leaving", "repeated"),
    [
        pytest.param(1, b"", True, 1, id="it crossed the close of a leaving worker"),
        pytest.param(1, b"", False, 0, id="no worker leaves"),
        pytest.param(0, b"", True, 0, id="the connection is new"),
        pytest.param(1, b"HTTP/1.1", True, 0, id="an answer had begun"),
    ],
)
def test_the_soak_repeats_only_requests_that_crossed_a_close(
    tmp_path, before, last_words, is_leaving, repeated
):
    answers = iter([*[EMPTY_ANSWER] * before, last_words, EMPTY_ANSWER])

    serving = []

    async def serve(reader, writer):
        serving.append(asyncio.current_task())
        answer = EMPTY_ANSWER
        with suppress(asyncio.IncompleteReadError):
            while answer == EMPTY_ANSWER and await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer := next(answers))
        writer.close()
        await writer.wait_closed()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            legacy = soak.Legacy(0, tmp_path)
            soaking = soak.Soak(server.sockets[0].getsockname()[1], legacy)
            until = float("inf") if is_leaving else 0.0
            soaking.front = disturbances.Front(tmp_path, legacy, None, 0, replaced_until=until)
            streams = await soak.opened(soaking.port)
            try:
                for _ in range(before + 1):
                    streams, _ = await soaking.head_of(load.get("/"), streams)
            except asyncio.IncompleteReadError:
                assert not repeated
            streams[1].close()
            await asyncio.gather(streams[1].wait_closed(), *serving)
        return soaking.tally.repeated["small"]

    assert repeated == asyncio.run(main())


def test_the_soaks_name_server_never_reads_half_an_address(tmp_path):
    """A reader that had opened the file before goes on with the whole former text."""
    path = tmp_path / "address"
    disturbances.replace_text(path, "127.0.0.1")
    with path.open() as opened_before:
        disturbances.replace_text(path, "127.0.0.2")

        assert ("127.0.0.1", "127.0.0.2") == (opened_before.read(), path.read_text())


@pytest.mark.parametrize(
    ("back_at", "error", "wrong"),
    [
        pytest.param(
            5.0,
            soak.Refused(502, "legacy-closed"),
            ["small: Refused: 502 legacy-closed"],
            id="an error while legacy is up",
        ),
        pytest.param(20.0, soak.Refused(502, ""), [], id="an error while legacy is away"),
        pytest.param(20.0, OSError("reset"), [], id="a cut while legacy is away"),
        pytest.param(
            20.0,
            soak.Refused(500, ""),
            ["small: status 500 without a code while legacy was away"],
            id="another error while legacy is away",
        ),
    ],
)
def test_the_soak_forgives_only_what_legacy_is_to_blame_for(tmp_path, back_at, error, wrong):
    legacy = soak.Legacy(0, tmp_path, away_since=2.0, back_at=back_at)
    soaking = soak.Soak(0, legacy)

    soaking.judge("small", 10.0, error)

    assert wrong == soaking.tally.wrong


def test_the_soak_finds_memory_and_files_that_did_not_return():
    before, after = soak.Held(50_000_000, 30), soak.Held(80_000_000, 40)

    assert 2 == len(soak.leaks_of(before, after))
    assert [] == soak.leaks_of(before, before)


def test_a_history_is_written_and_its_charts_are_read(tmp_path):
    written = history.write_days(tmp_path, 0.1, routes=20, busy=20)
    charts = list(history.read_charts(tmp_path, 0.1))

    assert (144, True) == (written.minutes, written.megabytes > 0)
    assert [15] == [
        each.points for each in charts if each.what == "a week in 10 minutes, all routes"
    ]
    assert all(each.points for each in charts)


def test_the_inventory_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(inventory, "REQUESTS", 300)

    assert inventory.main(["--lines", "500", "--seeds", "1"]) == 0
    assert "500 lines:" in capsys.readouterr().out.replace("\n", " ")


def test_both_ways_to_read_the_demo_answer_alike(capsys):
    assert migrated_reads.main(["--rounds", "1", "--requests", "1"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(migrated_reads.PATHS)
