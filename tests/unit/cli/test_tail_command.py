"""`overgrow tail`: one line per decision, each once, until Ctrl-C."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from overgrow.cli import tail as module
from overgrow.cli.terminal_screen import cut_to_width


def decision(seq, **given):
    plain = {
        "seq": seq,
        "at": "2026-11-30T08:55:23.123Z",
        "slot": 0,
        "method": "GET",
        "path": "/orders/17",
        "route": "order-detail",
        "side": "migrated",
        "reason": "canary",
        "status": 200,
        "duration_s": 0.0123,
        "failure": None,
        "trace_id": None,
    }
    return {**plain, **given}


def page(*decisions, after=0, missed=0, **given):
    last = decisions[-1]["seq"] if decisions else after
    plain = {"decisions": list(decisions), "next_after": last, "missed": missed}
    return {**plain, "restarted": False, "more": False, **given}


@pytest.fixture
def tail(overgrow, admin, monkeypatch):
    """Run `overgrow tail` against a listener that gives these answers, then Ctrl-C."""

    def run(*words, answers, **environment):
        left = list(answers)

        def answer(_path):
            found = left.pop(0)
            return found if isinstance(found, tuple) else (200, found)

        monkeypatch.setattr(module.time, "sleep", lambda _s: None if left else interrupt())
        with admin(answer) as (server, address):
            done = overgrow("tail", *words, "--admin", address, **environment)
        done.tokens = {token for _, token in server.asked}
        done.queries = [parse_qs(urlsplit(path).query) for path, _ in server.asked]
        return done

    return run


def interrupt():
    raise KeyboardInterrupt


def test_a_line_says_when_how_and_by_whom_a_request_was_served(tail):
    done = tail(answers=[page(decision(1))], COLUMNS="80")

    assert "08:55:23 200 12.3 ms GET   migrated canary   order-detail /orders/17\n" == done.stdout
    assert 0 == done.exit_code


def test_each_poll_asks_for_what_came_after_the_one_before(tail):
    done = tail(answers=[page(decision(7)), page(after=7), page(decision(8))])

    assert [None, ["7"], ["7"]] == [query.get("after") for query in done.queries]
    assert 2 == len(done.stdout.splitlines())


def test_filters_go_to_the_front_door(tail):
    words = ("--route", "orders", "--side", "legacy", "--status", "5xx", "--reason", "canary")
    done = tail(*words, answers=[page()])

    [query] = done.queries
    assert {"route", "side", "status", "reason", "limit"} == query.keys()
    assert (["5xx"], ["10"]) == (query["status"], query["limit"])


@pytest.mark.parametrize(
    "words",
    [("--status", "6xx"), ("--side", "new"), ("--reason", "because"), ("--last", "1001")],
)
def test_a_filter_that_can_match_nothing_is_bad_usage(overgrow, words):
    assert words[0] in overgrow.misused("tail", *words)


def test_json_is_one_object_per_line(tail):
    done = tail("--json", answers=[page(decision(1), decision(2))])

    assert [1, 2] == [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def test_missed_decisions_are_reported(tail):
    done = tail(answers=[page(decision(1)), page(decision(9), missed=7)])

    assert "7 decisions were overwritten" in done.stderr


@pytest.mark.parametrize(
    "path",
    [
        "/\x1b[2J\x1b[31m",
        "/a\nforged",
        "/\u202egnp.exe",
        "/" + "x" * 60_000,
        "/\u2028",
        "/" + "\u65e5" * 90,
    ],
)
@pytest.mark.parametrize("route", ["r" * 200, "orders"])
def test_a_hostile_path_stays_one_inert_line_of_80_columns(tail, path, route):
    done = tail(answers=[page(decision(1, path=path, route=route))], COLUMNS="80")

    [line] = done.stdout.splitlines()
    assert line.isprintable()
    assert cut_to_width(line, 80) == line


def test_a_failure_is_named(tail):
    failed = decision(1, status=502, side="legacy", failure="legacy-connect", path="/" + "x" * 90)
    done = tail(answers=[page(failed)], COLUMNS="80")

    assert done.stdout.endswith("... [legacy-connect]\n")


def test_a_front_door_that_restarts_is_waited_for(tail):
    busy = (503, b"")
    done = tail(answers=[page(decision(1)), busy, busy, page(decision(2))])

    assert 2 == len(done.stdout.splitlines())
    assert ["waiting", "answers again"] == [
        word for word in ("waiting", "answers again") if word in done.stderr
    ]
    assert 2 == len(done.stderr.splitlines())


def test_no_front_door_is_an_error_with_the_fix(overgrow):
    assert "Is overgrow serve running?" in overgrow.fails("tail", "--admin", "127.0.0.1:1")


def test_an_unknown_route_ends_with_the_nearest_name(tail):
    error = {"code": "unknown-route", "message": "No route x.", "fix": "Did you mean orders?"}
    done = tail("--route", "x", answers=[(404, {"error": error})])

    assert (1, True) == (done.exit_code, "Did you mean orders?" in done.stderr)


@pytest.mark.parametrize(
    ("sent", "code"), [("unknown-route", "unknown-route"), ("bad-parameter", "unreachable")]
)
def test_a_refusal_of_the_front_door_keeps_its_code(tail, sent, code):
    error = {"code": sent, "message": "No.", "fix": "Do it."}
    first = tail("--route", "x", answers=[(404, {"error": error})])
    later = tail("--route", "x", answers=[page(), (404, {"error": error})])

    assert first.stderr.endswith(f"Do it. [{code}]\n")
    assert later.stderr.endswith(f"Do it. [{code}]\n")


def test_numbers_that_begin_again_are_reported(tail):
    done = tail(answers=[page(decision(50)), page(decision(1), restarted=True)])

    assert "numbered from 1 again" in done.stderr


def test_none_of_the_past_is_shown_if_nobody_wants_it(tail):
    done = tail("--last", "0", answers=[page(decision(1)), page(decision(2, path="/new"))])

    assert ["/new"] == [line.split()[-1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({"OVERGROW_ADMIN_READ_TOKEN": "reader"}, "Bearer reader"),
        ({"OVERGROW_ADMIN_READ_TOKEN": "reader", "OVERGROW_ADMIN_TOKEN": "all"}, "Bearer all"),
    ],
)
def test_a_token_that_may_only_read_is_enough(tail, environment, token):
    assert {token} == tail(answers=[page()], **environment).tokens


def test_a_narrow_terminal_is_no_error(tail):
    assert 0 == tail(answers=[page(decision(1, path="/" + "x" * 99))], COLUMNS="20").exit_code
