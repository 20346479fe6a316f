import errno
import fcntl
import json
import os
import tempfile
from contextlib import contextmanager

import pytest

from overgrow.observe.board import claim_slot
from overgrow.table.editing import flip as edit
from overgrow.table.reading.parse import revision_of


def revision(overgrow):
    return revision_of(overgrow.table.read_bytes())


def test_flip_says_from_to_and_revision(overgrow):
    done = overgrow("flip", "orders", "migrated")

    told = f"revision {revision(overgrow)}; no front door runs on this state folder"
    assert (0, f"orders: legacy -> migrated ({told})\n") == (
        done.exit_code,
        done.stdout,
    )


def test_flip_as_json_has_exactly_the_keys_that_are_promised(overgrow):
    code, told = overgrow.json("flip", "orders", "12.5%")

    assert (0, "orders", "legacy", "12.5%", revision(overgrow), None) == (code, *told.values())
    assert ["route", "from", "to", "revision", "confirmed"] == list(told)


def test_flip_to_where_it_stands_changes_nothing(overgrow):
    before = overgrow.table.read_bytes()

    done = overgrow("flip", "orders", "legacy")

    assert (0, "orders is already legacy; nothing was changed.\n") == (done.exit_code, done.stdout)
    assert before == overgrow.table.read_bytes()


@pytest.mark.parametrize(
    "words", [["flip", "order", "legacy"], ["rollback", "order"]], ids=["flip", "rollback"]
)
def test_an_unknown_route_is_told_with_the_nearest_names(overgrow, words):
    told = overgrow.fails(*words)

    assert "Did you mean orders or order-detail? [unknown-route]" in told


def test_an_unknown_route_as_json_is_an_error_with_its_code(overgrow):
    code, told = overgrow.json("flip", "zzz", "legacy")

    assert (1, ["code", "message", "fix", "problems", "next"]) == (code, list(told["error"]))
    assert ("unknown-route", "overgrow routes lists the names.") == (
        told["error"]["code"],
        told["error"]["fix"],
    )


@pytest.mark.parametrize("to", ["legacy", "migrated", "10%"])
def test_a_group_that_no_route_is_in_is_refused(overgrow, to):
    assert "group" in overgrow.fails("flip", "group:checkout", to)


@pytest.mark.parametrize("to", ["10", "101%", "new", "1.234%"])
def test_an_invalid_target_is_bad_usage_and_says_what_to_write(overgrow, to):
    told = overgrow.misused("flip", "orders", to)

    assert (True, True) == ("Write" in told, "[bad-flip]" in told)


def test_a_place_that_is_none_has_its_code_as_json_too(overgrow):
    exit_code, told = overgrow.json("flip", "orders", "120%")

    assert (2, "bad-flip") == (exit_code, told["error"]["code"])


def test_a_flip_that_would_make_the_table_invalid_names_the_problem(overgrow):
    told = overgrow.fails("flip", "cart", "migrated")

    assert ["would-be-invalid", "app-rule-missing"] == [
        line.rpartition("[")[2].rstrip("]") for line in told.splitlines()
    ]


def test_a_refusal_as_json_carries_its_problems(overgrow):
    told = overgrow.json("flip", "cart", "migrated")[1]["error"]

    assert ("would-be-invalid", ["app-rule-missing"]) == (
        told["code"],
        [one["code"] for one in told["problems"]],
    )


def test_a_broken_app_stops_a_flip_to_migrated_with_its_reason(overgrow):
    overgrow.app.write_text("1/0\n")
    before = overgrow.table.read_bytes()

    told = overgrow.fails("flip", "orders", "migrated")

    assert (True, True) == ("ZeroDivisionError" in told, "Nothing was changed" in told)
    assert before == overgrow.table.read_bytes()


@pytest.mark.parametrize("words", [["flip", "order-detail", "legacy"], ["rollback"]])
def test_a_broken_app_does_not_stop_the_way_back(overgrow, words):
    overgrow("flip", "orders", "migrated")
    overgrow.app.write_text("1/0\n")

    assert 0 == overgrow(*words).exit_code


def test_rollback_undoes_the_last_flip_and_then_the_one_before(overgrow):
    before = overgrow.table.read_bytes()
    overgrow("flip", "orders", "10%")
    overgrow("flip", "orders", "migrated")

    told = [overgrow.json("rollback")[1] for _ in range(2)]

    assert [("migrated", "10%"), ("10%", "legacy")] == [(one["from"], one["to"]) for one in told]
    assert before == overgrow.table.read_bytes()


def test_rollback_of_a_route_undoes_its_own_last_flip(overgrow):
    overgrow("flip", "orders", "migrated")
    overgrow("flip", "order-detail", "legacy")

    assert "orders" == overgrow.json("rollback", "orders")[1]["route"]


def test_rollback_with_nothing_to_undo_says_where_routes_stand(overgrow):
    told = overgrow.fails("rollback", "orders")

    assert "orders is legacy" in told


def test_rollback_all_makes_the_kill_file_and_resume_removes_it(overgrow):
    made = overgrow.json("rollback", "--all")
    exists = (overgrow.folder / "routes.yaml.kill").exists()
    removed = overgrow.json("resume")

    assert (0, {"killed": True, "file": "routes.yaml.kill", "confirmed": None}) == made
    assert (0, {"killed": False, "removed": ["routes.yaml.kill"], "confirmed": None}) == removed
    assert (True, False) == (exists, (overgrow.folder / "routes.yaml.kill").exists())


def test_rollback_all_works_with_a_broken_table(overgrow):
    overgrow.table.write_text("version: [")

    assert 0 == overgrow("rollback", "--all").exit_code


def test_rollback_all_works_without_a_table_where_a_front_door_ran(overgrow):
    (overgrow.folder / ".overgrow").mkdir()
    overgrow.table.rename(overgrow.folder / ".overgrow/last-good.yaml")

    assert 0 == overgrow("rollback", "--all").exit_code


@pytest.fixture
def closed(overgrow, monkeypatch):
    """A folder that takes no kill file, as one mounted for reading only."""
    real = os.open

    def refused(path, *args, **given):
        if str(path).endswith("routes.yaml.kill"):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, *args, **given)

    monkeypatch.setattr(os, "open", refused)
    return overgrow


def test_a_kill_file_in_the_state_folder_says_why_it_is_there(closed):
    slot = claim_slot(closed.folder / ".overgrow/board")
    slot.publish({"killed": True})
    done = closed("rollback", "--all")
    slot.release()

    kill = closed.folder / ".overgrow/kill"
    assert (0, True) == (done.exit_code, kill.exists())
    assert done.stdout.startswith(
        f"Everything goes to legacy while {kill} exists, on all workers.\nIt is in the state folder, because it cannot be "
        "made beside the table: routes.yaml.kill: Read-only file system.\n"
    )


def test_a_kill_file_that_no_worker_sees_is_not_said_to_work(overgrow):
    slot = claim_slot(overgrow.folder / ".overgrow/board")
    slot.publish({"killed": False})
    code, told = overgrow.json("rollback", "--all", "--timeout", "50ms")
    done = overgrow("rollback", "--all", "--timeout", "50ms")
    slot.release()

    assert (1, True, False) == (code, told["killed"], told["confirmed"])
    assert 1 == done.exit_code
    assert "Everything goes to legacy" not in done.output
    assert f"worker 0 (pid {os.getpid()}) has not seen it" in done.stderr


def test_a_kill_and_a_resume_beside_a_held_history_say_who_holds_it(overgrow):
    (overgrow.folder / ".overgrow").mkdir()
    held = os.open(overgrow.folder / ".overgrow/flips.jsonl", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    killed, resumed = overgrow("rollback", "--all"), overgrow("resume")
    early = overgrow("history")
    os.close(held)
    overgrow("flip", "orders", "migrated")
    told = [one["action"] for one in overgrow.json("history")[1]["entries"]]

    assert [0, 0] == [killed.exit_code, resumed.exit_code]
    assert f"it is locked by pid {os.getpid()} (" in killed.stderr
    assert "the next command that writes it adds this entry" in resumed.stderr
    assert ["flip", "resume", "kill"] == told
    waiting = [line for line in early.stdout.splitlines() if not line.startswith("  ")]
    assert ["resume", "kill"] == [line.split()[-1] for line in waiting]
    assert 2 == early.stdout.count("  not in the history yet")


def test_a_kill_file_that_nobody_looks_for_is_not_said_to_work(closed):
    done = closed("rollback", "--all")

    kill = closed.folder / ".overgrow/kill"
    assert 1 == done.exit_code
    assert done.stdout.startswith(
        f"Made {kill}, because none can be made beside the table: routes.yaml"
    )
    assert "Everything goes to legacy" not in done.output
    assert "none has confirmed the kill file. Name its state folder with --state." in done.stderr
    assert f"touch {closed.folder}/routes.yaml.kill" in done.stderr


def test_what_a_script_is_told_of_such_a_kill_file_is_unconfirmed(closed):
    code, told = closed.json("rollback", "--all")

    assert (1, True, False) == (code, told["killed"], told["confirmed"])


def test_no_kill_file_is_left_where_no_front_door_would_ever_look(closed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (closed.folder / "file").touch()
    code, told = closed.json("rollback", "--all", "--state", "file/state")

    assert (1, "read-only") == (code, told["error"]["code"])
    assert told["error"]["message"].startswith("Nothing was changed: no kill file can be made")
    assert f"{closed.folder}/file/state cannot be written" in told["error"]["message"]
    assert [] == list(tmp_path.glob("overgrow-*/kill"))
    (journal,) = tmp_path.glob("overgrow-*/flips.jsonl")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert ["kill", "resume"] == [each["action"] for each in entries]


@pytest.mark.parametrize("words", [["rollback", "--all"], ["resume"], ["flip", "a", "legacy"]])
def test_a_mistyped_table_leaves_no_kill_file_and_no_folder_behind(bare, words):
    told = bare.fails(*words, "--config", "shpo/routes.yaml")

    assert "[file-missing]" in told
    assert [] == list(bare.folder.iterdir())


def test_rollback_all_takes_no_route(overgrow):
    assert "leave out ROUTE" in overgrow.misused("rollback", "orders", "--all")


def test_resume_without_a_kill_file_says_where_it_looked(overgrow):
    done = overgrow("resume")

    assert (0, True, True) == (
        done.exit_code,
        "routes.yaml.kill" in done.stdout,
        ".overgrow/kill" in done.stdout,
    )


def test_a_flip_under_a_kill_file_notes_that_it_waits(overgrow):
    overgrow("rollback", "--all")

    assert "overgrow resume" in overgrow("flip", "orders", "migrated").stderr


def test_a_state_folder_that_cannot_be_used_is_told_once(overgrow, caplog, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(overgrow.folder))
    (overgrow.folder / "file").touch()

    done = overgrow("flip", "orders", "migrated", "--state", "file/state")

    assert (0, 1) == (done.exit_code, len(caplog.records))
    assert "--state" in caplog.records[0].message


def test_wait_confirms_once_all_workers_run_the_revision(overgrow, admin, ready):
    polls = []

    def answer(_path):
        polls.append(0)
        told = ready(revision(overgrow))
        if len(polls) == 1:
            told["workers"][1]["revision"] = "before"
        return 200, told

    with admin(answer) as (_, address):
        code, told = overgrow.json("flip", "orders", "migrated", "--wait", "--admin", address)

    assert (0, True, 2) == (code, told["confirmed"], len(polls))


def test_wait_gives_up_naming_the_workers_that_lag(overgrow, admin, ready):
    def answer(_path):
        told = ready(revision(overgrow))
        told["workers"][1]["revision"] = "before"
        return 200, told

    with admin(answer) as (_, address):
        done = overgrow(
            "flip",
            "orders",
            "gone",
            "--wait",
            "--timeout",
            "60ms",
            "--json",
            OVERGROW_ADMIN=address,
        )

    assert (1, False) == (done.exit_code, json.loads(done.stdout)["confirmed"])
    assert "after 0.06 s worker 1 (pid 41) runs before." in done.stderr


@pytest.mark.parametrize(
    ("route", "code"),
    [
        pytest.param("order-detail", 0, id="another route: this flip is in it"),
        pytest.param("orders", 1, id="the same route: it is somewhere else now"),
    ],
)
def test_wait_is_content_with_a_later_file_that_keeps_the_flip(overgrow, admin, ready, route, code):
    def answer(_path):
        edit.flip(
            overgrow.table,
            overgrow.folder / ".overgrow",
            route,
            "gone",
            edit.Actor(env={}, who="kim"),
        )
        return 200, ready(revision(overgrow))

    with admin(answer) as (_, address):
        done = overgrow(
            "flip", "orders", "migrated", "--wait", "--timeout", "60ms", OVERGROW_ADMIN=address
        )

    assert code == done.exit_code, done.stderr


def test_wait_says_when_the_file_is_refused(overgrow, admin, ready):
    error = {"at": "2026-11-22T18:00:00.000Z", "problems": []}

    with admin(lambda _path: (200, ready("before", reload_error=error))) as (_, address):
        done = overgrow("flip", "orders", "gone", "--wait", "--timeout", "1ms", "--admin", address)

    assert "rejected the file since 2026-11-22T18:00:00.000Z" in done.stderr


def test_wait_without_a_front_door_says_that_the_change_is_made(overgrow):
    done = overgrow("flip", "orders", "gone", "--wait")

    assert (1, True) == (done.exit_code, done.stdout.startswith("orders: legacy -> gone"))
    assert "not every running worker has confirmed it: No front door answers" in done.stderr


def test_ctrl_c_while_waiting_says_that_the_change_is_made(overgrow, admin, ready, monkeypatch):
    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("overgrow.cli.waiting.time.sleep", interrupt)

    with admin(lambda _path: (200, ready("before"))) as (_, address):
        done = overgrow("flip", "orders", "gone", "--wait", "--admin", address)

    assert (1, True) == (done.exit_code, "you stopped waiting" in done.stderr)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:0", "127.0.0.1:99999", "unix:"])
def test_an_address_that_is_none_is_refused_before_anything_changes(overgrow, address):
    before = overgrow.table.read_bytes()

    told = overgrow.misused("flip", "orders", "gone", "--wait", "--admin", address)

    assert (True, before) == ("HOST:PORT" in told, overgrow.table.read_bytes())


@pytest.mark.parametrize("span", ["5", "soon", "0s", "-1s"])
def test_a_timeout_that_is_none_is_bad_usage(overgrow, span):
    assert "Write" in overgrow.misused("flip", "orders", "gone", f"--timeout={span}")


def test_a_kill_is_confirmed_once_every_worker_on_the_board_has_seen_it(overgrow, admin, ready):
    slot = claim_slot(overgrow.folder / ".overgrow/board")
    slot.publish({"killed": False})
    words = ["rollback", "--all", "--wait", "--timeout", "50ms"]

    with admin(lambda _path: (200, ready("x", killed=True))) as (_, address):
        late = overgrow(*words, "--admin", address)
        slot.publish({"killed": True})
        seen = overgrow(*words, "--admin", address)
    slot.release()

    assert (1, 0) == (late.exit_code, seen.exit_code)
    assert "worker 0" in late.stderr
    assert "on all workers" in seen.stdout


@pytest.mark.parametrize("words", [("migrated", "orders"), ("5%", "orders")])
def test_a_flip_with_its_words_swapped_is_told_in_their_order(overgrow, words):
    assert f"Write overgrow flip orders {words[0]}." in overgrow.misused("flip", *words)


@contextmanager
def worker_that_says(overgrow, **report):
    """A running worker of the state folder, which reports this on the board."""
    slot = claim_slot(overgrow.folder / ".overgrow/board")
    slot.publish(report)
    try:
        yield slot
    finally:
        slot.release()


def test_a_kill_with_no_wait_waits_for_no_worker(overgrow):
    with worker_that_says(overgrow, killed=False):
        done = overgrow("rollback", "--all", "--no-wait")
        told = overgrow.json("rollback", "--all", "--no-wait")

    assert (0, None) == (told[0], told[1]["confirmed"])
    assert (0, False) == (done.exit_code, "No front door" in done.stdout)


def test_resume_waits_until_every_worker_follows_the_table(overgrow, monkeypatch):
    overgrow("rollback", "--all")
    polls = []

    with worker_that_says(overgrow, killed=True) as slot:

        def follow(_seconds):
            polls.append(0)
            slot.publish({"killed": False})

        monkeypatch.setattr("overgrow.cli.waiting.time.sleep", follow)
        code, told = overgrow.json("resume")

    assert (0, True, 1) == (code, told["confirmed"], len(polls))


def test_resume_gives_up_naming_the_workers_that_obey_the_kill_file(overgrow):
    overgrow("rollback", "--all")

    with worker_that_says(overgrow, killed=True):
        done = overgrow("resume", "--timeout", "50ms")
        code, told = overgrow.json("resume", "--timeout", "50ms")

    assert (1, False) == (code, told["confirmed"])
    assert (1, False) == (done.exit_code, "follows the table" in done.stdout)
    assert f"worker 0 (pid {os.getpid()}) still sends everything to legacy" in done.stderr


def test_resume_says_when_somebody_kills_again_meanwhile(overgrow, monkeypatch):
    overgrow("rollback", "--all")

    def kill_again(_seconds):
        (overgrow.folder / "routes.yaml.kill").touch()

    monkeypatch.setattr("overgrow.cli.waiting.time.sleep", kill_again)
    with worker_that_says(overgrow, killed=True):
        done = overgrow("resume", "--timeout", "50ms")

    assert (1, True) == (done.exit_code, "A new kill file was made meanwhile" in done.stderr)


def test_resume_with_no_wait_waits_for_no_worker(overgrow):
    overgrow("rollback", "--all")

    with worker_that_says(overgrow, killed=True):
        code, told = overgrow.json("resume", "--no-wait")

    assert (0, None) == (code, told["confirmed"])


def test_a_second_resume_waits_for_the_workers_too(overgrow):
    with worker_that_says(overgrow, killed=True) as slot:
        late = overgrow("resume", "--timeout", "50ms")
        slot.publish({"killed": False})
        done = overgrow("resume")

    assert (1, 0) == (late.exit_code, done.exit_code)
    assert "the table decides, on all workers" in done.stdout


def test_resume_asks_a_named_admin_listener(overgrow, admin, ready):
    polls = []

    def answer(_path):
        polls.append(0)
        return 200, ready("x", killed=len(polls) == 1)

    with admin(answer) as (_, address):
        code, told = overgrow.json("resume", "--admin", address)

    assert (0, True, 2) == (code, told["confirmed"], len(polls))
