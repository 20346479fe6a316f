"""What `overgrow serve` says on standard error of starts, reloads, drains and its end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.wire.serving.servers import PATIENCE_S, ROOT
from tests.wire.serving.test_serve_for_real import Served, Site

EVENT = re.compile(r"\S+ \S+ overgrow\[(\d+)\] ([a-z-]+)((?: [a-z]+=\S+)*)\n")


def read_to(served: Served, event: str) -> list[tuple[int, str, str]]:
    """The lines up to an event: pid, event, fields."""
    found = []
    for line in served.process.stderr:
        told = EVENT.fullmatch(line)
        assert told, line
        found.append((int(told[1]), told[2], told[3].strip()))
        if told[2] == event:
            return found
    raise AssertionError(found)


def shown(events: list[tuple[int, str, str]]) -> list[str]:
    """The events without what differs each time."""
    return [re.sub(r"(pid|after|revision)=\S+", r"\1=", f"{e} {f}").strip() for _, e, f in events]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_start_and_a_drain_are_told_from_start_to_end(site):
    with site.serve("--grace", "9s") as served:
        began = read_to(served, "ready")
        served.process.terminate()
        ended = read_to(served, "stopped")
        served.process.wait(PATIENCE_S)

    assert shown(began) == [
        "worker-started pid=",
        "worker-ready slot=0 revision=",
        "ready workers=1 after=",
    ]
    assert shown(ended) == [
        "draining delay=0s grace=9s",
        "worker-leaves why=server-stops connections=0",
        "worker-left after= broken=0",
        "stopped exit=0",
    ]
    assert {
        pid for pid, event, _ in began + ended if event in {"ready", "draining", "stopped"}
    } == {served.process.pid}


def test_a_worker_that_leaves_alone_and_its_successor_are_told(site):
    with site.serve() as served:
        started = read_to(served, "ready")
        worker = next(pid for pid, event, _ in started if event == "worker-ready")
        os.kill(worker, signal.SIGTERM)
        told = read_to(served, "worker-ready")

    assert (worker, "worker-leaves", "why=told connections=0") in told
    assert "worker-started pid=" in shown(told)


def test_a_reload_and_an_interrupt_are_told(site):
    with site.serve() as served:
        read_to(served, "ready")
        served.process.send_signal(signal.SIGHUP)
        reloaded = read_to(served, "worker-left")
        served.process.send_signal(signal.SIGINT)
        ended = read_to(served, "stopped")

    assert shown(reloaded)[0] == "reloading workers=1"
    assert "interrupted within=2s" in shown(ended)


def test_usr2_is_ignored_and_says_what_to_do(site):
    with site.serve() as served:
        read_to(served, "ready")
        served.process.send_signal(signal.SIGUSR2)
        line = served.process.stderr.readline()

        assert line.endswith(" ignored signal=USR2 fix='send HUP to reload the code'\n")
        assert served.asked("/hello").endswith(b"one")


def test_a_log_line_commands_no_terminal(site):
    with site.serve() as served:
        read_to(served, "ready")
        (site.folder / "routes.yaml").write_text('version: "1\\n\\e]0;owned\\a"\n')
        lines = [served.process.stderr.readline() for _ in range(3)]

    assert "has problems and is not used" in lines[0]
    assert "1\\n\\x1b]0;owned\\x07" in lines[2]


def test_every_event_is_in_the_table_of_the_operations_page():
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    table = page[page.index("## The log of events") : page.index("## The access log")]
    sources = [
        *Path(ROOT, "proxy/overgrow/server").glob("*.py"),
        *Path(ROOT, "proxy/overgrow/process").glob("[ru]*.py"),  # runtime, upstream_judge
        *Path(ROOT, "proxy/overgrow/observe/access_log").glob("*.py"),
    ]
    logged = {
        (event, fields)
        for source in sources
        for event, fields in re.findall(
            r'logger\.\w+\(\s*"([a-z-]+)((?: [a-z]+=[^"]+)+)"', source.read_text("utf-8")
        )
    }

    assert len(logged) > 8
    for event, fields in logged:
        row = re.search(rf"^\| `{event}` \|([^|]*)\|", table, re.MULTILINE)
        assert row, event
        assert re.findall(r"`(\w+)`", row[1]) == re.findall(r" ([a-z]+)=", fields), event
