import json

import pytest

from tests.unit.table.test_running import holding


def side(requests=0, errors=0, median_s=None):
    return {"requests": requests, "errors": errors, "median_s": median_s}


def route(name, **given):
    told = {
        "name": name,
        "target": "legacy",
        "canary": 0,
        "live_share": None,
        "share": None,
        "requests": 0,
        "errors": 0,
        "other": 0,
        "legacy": side(),
        "migrated": side(),
    }
    return {**told, **given}


@pytest.fixture
def status(bare, admin, ready):
    """Run `overgrow status` against a listener that says so, on 80 columns."""

    def run(*words, routes=(), code=200, **given):
        told = {**ready("3f1c0a9e7b42", **given), "routes": list(routes)}
        with admin(lambda _path: (code, told)) as (server, address):
            done = bare("status", *words, "--admin", address, COLUMNS="80")
        assert ["/api/status"] == [path for path, _ in server.asked]
        return done

    return run


def test_status_says_version_master_and_start(status):
    server = {"version": "0.1.0", "pid": 19657, "started_at": "2026-11-30T01:44:30Z"}

    done = status(server=server)

    assert (
        "version 0.1.0, pid 19657, up since 2026-11-30 01:44:30 UTC"
        == (done.stdout.splitlines()[1])
    )


def test_status_shows_revision_workers_and_each_route(status):
    orders = route(
        "orders",
        canary=12.5,
        live_share=12.3456,
        requests=1_234_567,
        errors=3,
        legacy=side(1_000_000, 1, 0.01234),
        migrated=side(234_567, 2, 1.5),
    )

    lines = status(routes=[orders, route("default")]).stdout.splitlines()

    assert "ready: revision 3f1c0a9e7b42, 2 workers, all running it" == lines[0]
    assert ["orders", "legacy", "12.5%", "12.35%", "1234567", "3", "12.3", "ms", "1.5", "s"] == (
        lines[3].split()
    )
    assert ["default", "legacy", "-", "-", "0", "0", "-", "-"] == lines[4].split()


def test_long_names_and_large_numbers_fit_eighty_columns(status):
    names = [f"get-api-{'x' * 40}-{number}" for number in range(50)]
    figures = side(9_999_999_999, 9_999_999, 0.123456)
    rows = [
        route(name, requests=9_999_999_999, errors=9_999_999, live_share=99.99, legacy=figures)
        for name in names
    ]

    lines = status(routes=rows).stdout.splitlines()

    assert names == [line for line in lines if line.startswith("get-")]
    assert max(map(len, lines)) <= 80


def test_a_route_that_left_the_table_has_no_target(status):
    lines = status(routes=[route("former", target=None, requests=2)]).stdout.splitlines()

    assert ["former", "-", "-", "-", "2"] == lines[3].split()[:5]


def test_status_as_json_is_what_the_listener_says(status, ready):
    done = status("--json", routes=[route("orders")])

    assert {**ready("3f1c0a9e7b42"), "routes": [route("orders")]} == json.loads(done.stdout)


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_front_door_that_is_not_ready_is_shown_with_exit_1(status, state):
    done = status(status=state, revision=None, workers=[], agreed=False)

    assert (1, f"{state}: revision -, 0 workers") == (
        done.exit_code,
        done.stdout.splitlines()[0],
    )


def test_workers_that_do_not_agree_are_named(status, ready):
    workers = ready("3f1c0a9e7b42")["workers"]
    workers[0]["revision"] = "0123456789ab"

    told = status(agreed=False, workers=workers).stdout

    assert "ready: revision 3f1c0a9e7b42, 2 workers, not all running it" in told
    assert "worker 1 (pid 41): revision 3f1c0a9e7b42 since 2026-11-22T18:00:00.000Z" in told


def test_workers_of_one_revision_that_do_not_agree_differ_on_the_kill_file(status):
    lines = status(agreed=False, killed=True).stdout.splitlines()

    assert [
        "ready: revision 3f1c0a9e7b42, 2 workers, all running it",
        "not all workers have noticed that the kill file was made or removed: that takes a second",
        "KILLED: everything goes to legacy. To follow the table again: overgrow resume",
    ] == lines[:3]


def test_workers_that_do_not_start_are_shown_with_reason_and_time(status):
    error = {"at": "2026-11-22T18:00:00Z", "reason": "no module named shop", "failures": 3}
    done = status(boot_error=error)

    assert done.stdout.splitlines()[-2:] == [
        "NOT STARTED: 3 workers in a row since 2026-11-22T18:00:00Z; the others keep serving",
        "  no module named shop",
    ]


def test_a_refused_file_is_shown_with_its_problems_and_since_when(status):
    problem = {
        "code": "canary-out-of-range",
        "file": "routes.yaml",
        "line": 17,
        "column": 13,
        "route": "orders",
        "message": "canary is 120%; the maximum is 100%",
        "fix": "Write 100% or remove the line.",
    }

    done = status(reload_error={"at": "2026-11-22T18:00:00.000Z", "problems": [problem]})

    assert 1 == done.exit_code
    assert done.stdout.splitlines()[-2:] == [
        "REFUSED: the front door has not loaded the file on disk since 2026-11-22T18:00:00.000Z",
        (
            '  routes.yaml:17:13: route "orders": canary is 120%; the maximum is 100%. '
            "Write 100% or remove the line. [canary-out-of-range]"
        ),
    ]


def test_a_dead_legacy_is_shown_and_is_exit_1(status):
    upstream = {"up": False, "since": "2026-11-22T17:02:09Z", "error": "legacy-connect"}

    done = status(upstream=upstream)

    assert 1 == done.exit_code
    assert "legacy does not answer since 2026-11-22 17:02 (legacy-connect): " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_an_earlier_front_door_says_nothing_of_legacy(status):
    assert 0 == status(upstream=None).exit_code


def test_a_kill_file_is_shown_with_the_routes_it_does_not_move(status):
    told = status(killed=True, irreversible=["invoices", "tax"]).stdout

    assert "KILLED: everything goes to legacy. To follow the table again: overgrow resume" in told
    assert "invoices, tax" in told


def breaker(slot, state="open", **given):
    told = {
        "slot": slot,
        "route": "orders",
        "side": "migrated",
        "state": state,
        "share": 0,
        "retry_after_s": 4,
        "opened_by": {"answers": 24, "failed": 13, "slow": 2},
    }
    return {**told, **given}


def test_open_breakers_are_shown_with_their_cause_and_number_of_workers(
    status,
):
    told = status(breakers=[breaker(0), breaker(1), breaker(1, "recovering", route="cart")])

    assert told.stdout.splitlines()[-3:] == [
        "BREAKER recovering: cart, migrated, in 1 worker: 13 failed and 2 slow of 24",
        "BREAKER open: orders, migrated, in 2 workers: 13 failed and 2 slow of 24",
        "To close them at once: overgrow breaker reset ROUTE",
    ]


def test_a_breaker_of_which_nobody_knows_what_opened_it_is_shown(status):
    told = status(breakers=[breaker(0, opened_by=None)]).stdout

    assert "BREAKER open: orders, migrated, in 1 worker\n" in told


def test_while_all_breakers_are_closed_none_is_mentioned(status):
    assert "BREAKER" not in status(breakers=[]).stdout


def test_notes_are_shown(status):
    assert "note: app is a:b" in status(notes=["app is a:b"]).stdout


def test_nobody_to_ask_is_an_error_with_the_fix(bare):
    told = bare.fails("status")

    assert "No front door answers at 127.0.0.1:1: Connection refused. Is overgrow serve" in told


def test_nobody_to_ask_as_json_is_an_error(bare):
    code, told = bare.json("status")

    assert (1, "unreachable") == (code, told["error"]["code"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param((200, b"<html>"), "not an admin listener of Overgrow", id="a page"),
        pytest.param((404, {"detail": "x"}), "not an admin listener of Overgrow", id="other JSON"),
        pytest.param((200, [1]), "not an admin listener of Overgrow", id="a list"),
        pytest.param((401, {"error": {"message": "x"}}), "OVERGROW_ADMIN_TOKEN", id="no token"),
        pytest.param((421, {"error": {"message": "what host"}}), "what host", id="its own error"),
    ],
)
def test_an_answer_that_is_none_is_told_with_the_fix(bare, admin, answer, reason):
    with admin(lambda _path: answer) as (_, address):
        assert reason in bare.fails("status", "--admin", address)


def test_the_token_is_sent(bare, admin, ready):
    with admin(lambda _path: (200, {**ready("x"), "routes": []})) as (server, address):
        bare("status", OVERGROW_ADMIN=address, OVERGROW_ADMIN_TOKEN="k\u00e9y")

    assert ["Bearer k\u00e9y".encode().decode("latin-1")] == [token for _, token in server.asked]


def test_a_token_that_no_header_can_carry_is_told(bare):
    assert "OVERGROW_ADMIN_TOKEN" in bare.fails("status", OVERGROW_ADMIN_TOKEN="a\nb")


def test_a_socket_file_that_is_not_there_is_told(bare):
    assert "No front door answers at unix:" in bare.fails("status", "--admin", "unix:/nowhere.sock")


def test_the_front_door_on_the_state_folder_is_found_without_its_port(
    overgrow, admin, ready, monkeypatch
):
    monkeypatch.delenv("OVERGROW_ADMIN")
    state = overgrow.folder / ".overgrow"
    state.mkdir()
    with (
        admin(lambda _: (200, {**ready("abc"), "routes": [], "breakers": []})) as (_, address),
        holding(state, f"pid 7, public 127.0.0.1:1, admin {address}"),
    ):
        done = overgrow("status")

    assert (0, True) == (done.exit_code, "ready" in done.stdout), done.output
