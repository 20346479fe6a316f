"""`overgrow inventory`: scan, list, confirm and ignore, as people and programs see them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SECRET = "Zx81kQpL0vNw72TbRs94"
SCAN_IN_SMALL_STEPS = """
from overgrow.cli.inventory.scan import scan as command
from overgrow.inventory import scan
from overgrow.store.inventory import InventoryStore

def save_and_tell(*given):
    turn = save(*given)
    print("saved", flush=True)
    return turn

scan.LINES_PER_STEP = 500
save, InventoryStore.save_step = InventoryStore.save_step, save_and_tell
command(["access.log"])
"""


def log_line(path, status=200, client="192.0.2.7"):
    return (
        f'{client} - - [30/Nov/2026:01:00:00 +0000] "GET {path} HTTP/1.1" {status} 5 "-" "curl"\n'
    )


@pytest.fixture
def write_log(overgrow):
    def write(*lines, name="access.log"):
        path = overgrow.folder / name
        path.write_text("".join(lines))
        return str(path)

    return write


def endpoints(overgrow, *options):
    code, printed = overgrow.json("inventory", "list", *options)
    assert code == 0
    return {each["template"]: each for each in printed["endpoints"]}


def test_a_scanned_log_is_listed_beside_the_routes_of_the_table(overgrow, write_log):
    log = write_log(*map(log_line, ("/orders/7", "/orders/8", "/about")))
    code, printed = overgrow.json("inventory", "scan", log)
    found = endpoints(overgrow)

    assert (0, 3, 0) == (code, printed["logs"][0]["requests"], printed["logs"][0]["unread"])
    assert ("confirmed", "table", "order-detail", 2) == tuple(
        found["/orders/<int:id>"][each] for each in ("state", "source", "route", "requests")
    )
    assert ("review", "traffic", None) == tuple(
        found["/about"][each] for each in ("state", "source", "route")
    )


def test_lines_that_are_no_requests_are_shown(overgrow, write_log):
    log = write_log(log_line("/a"), "what is this\n")

    shown = overgrow("inventory", "scan", log).output

    assert "1 line fit no format; the first new one is line 2: 'what is this'" in shown


def test_a_log_of_another_format_fails_and_says_what_was_tried(overgrow, write_log):
    log = write_log("2026/11/30 [error] no\n")

    done = overgrow("inventory", "scan", log)
    shown = done.stderr

    assert done.exit_code == 1
    assert "Formats tried: nginx" in shown
    assert "Line 1 is '2026/11/30 [error] no'" in shown
    assert "[log-unreadable]" in shown


def test_the_other_logs_are_read_beside_a_bad_one(overgrow, write_log):
    good = write_log(log_line("/a"))
    code, printed = overgrow.json("inventory", "scan", "missing.log", good)

    assert (1, [0, 1]) == (code, [each["requests"] for each in printed["logs"]])


def test_an_empty_inventory_says_how_to_fill_it(overgrow):
    overgrow.table.unlink()

    assert "overgrow inventory scan FILE..." in overgrow("inventory", "list").output


def test_no_secret_of_a_request_is_stored_or_shown(overgrow, write_log):
    log = write_log(
        log_line(f"/reset/{SECRET}?token={SECRET}"), log_line(f"/u/{SECRET}@example.com;s={SECRET}")
    )
    overgrow("inventory", "scan", log)

    shown = overgrow("inventory", "list").output + overgrow("inventory", "list", "--json").output
    files = b"".join(path.read_bytes() for path in (overgrow.folder / ".overgrow").glob("store*"))

    assert "/reset/<token>" in shown
    assert SECRET not in shown
    assert SECRET.encode() not in files


def test_a_text_from_traffic_cannot_control_the_terminal(overgrow, write_log):
    overgrow("inventory", "scan", write_log(log_line("/a%1b%5b2Jb"), log_line("/c\x1b[2J")))

    assert "\x1b" not in overgrow("inventory", "list").output


def test_a_confirmed_template_takes_the_paths_that_fit(overgrow, write_log):
    overgrow("inventory", "scan", write_log(log_line("/shop/anna"), log_line("/shop/bert")))
    code, printed = overgrow.json("inventory", "confirm", "/shop/<name>", "--why", "names")

    assert (0, [{"template": "/shop/<name>", "state": "confirmed", "paths": 2}]) == (code, printed)
    assert endpoints(overgrow)["/shop/<name>"]["why"] == "names"


def test_an_ignored_endpoint_leaves_the_list_and_comes_back(overgrow, write_log):
    overgrow("inventory", "scan", write_log(log_line("/health")))
    overgrow("inventory", "ignore", "/health")
    hidden, only = endpoints(overgrow), endpoints(overgrow, "--only", "ignored")
    overgrow("inventory", "ignore", "--undo", "/health")

    assert ("/health" in hidden, "/health" in only) == (False, True)
    assert endpoints(overgrow)["/health"]["state"] == "review"


def test_an_unknown_endpoint_is_named_with_near_ones(overgrow, write_log):
    overgrow("inventory", "scan", write_log(log_line("/health")))

    assert "Did you mean /health?" in overgrow.fails("inventory", "ignore", "/helth")


def test_a_text_that_is_no_template_is_refused(overgrow):
    assert "must begin with /" in overgrow.fails("inventory", "confirm", "orders")


def test_a_longer_list_says_so(overgrow, write_log):
    overgrow("inventory", "scan", write_log(*map(log_line, ("/a", "/b", "/c"))))

    code, printed = overgrow.json("inventory", "list", "--limit", "2")

    assert (0, True, 2) == (code, printed["more"], len(printed["endpoints"]))


def test_a_scan_that_was_killed_goes_on_where_it_was(overgrow, write_log):
    log = write_log(*(log_line(f"/a/{n}") for n in range(30_000)))
    child = subprocess.Popen(
        [sys.executable, "-c", SCAN_IN_SMALL_STEPS],
        cwd=overgrow.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with child:
        assert child.stdout
        assert [b"saved\n"] * 3 == [child.stdout.readline() for _ in range(3)]
        child.send_signal(signal.SIGKILL)

    overgrow("inventory", "scan", log)

    assert endpoints(overgrow)["/a/<int:id>"]["requests"] == 30_000
