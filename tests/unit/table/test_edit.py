from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest

from overgrow.table import file_lock as holding
from overgrow.table.editing import flip as edit
from overgrow.table.editing import judge_edit, kill_switch
from overgrow.table.editing import transaction as turn
from overgrow.table.editing.flip import Actor, flip, rollback
from overgrow.table.editing.history import read_history
from overgrow.table.editing.kill_switch import kill, kill_and_report, resume
from overgrow.table.live import boot
from overgrow.table.reading.parse import AppRule
from overgrow.table.reading.problems import EditRefused
from tests.disk import came_whole, disk_calls

TABLE = """\
version: 1
legacy: {url: 'http://h'}   # the old shop
routes:
  # the first one
  - path: /x
    target: "legacy"   # why
    methods: [GET]
  - {path: /y, target: legacy}
  - name: z
    path: /z
    target: migrated
    reversible: false
"""


class Shop:
    """A table in a folder and the commands on it."""

    def __init__(self, folder: Path, text: str = TABLE) -> None:
        self.config = folder / "routes.yaml"
        self.config.write_bytes(text.encode())
        self.state = folder / "state"
        self.state.mkdir()
        self.given = {"env": {}, "who": "kim", "now": lambda: "2026-01-01T00:00:00Z"}

    def flip(self, name: str, to: str, **more):
        return flip(self.config, self.state, name, to, Actor(**(self.given | more)))

    def rollback(self, name: str | None = None, **more):
        return rollback(self.config, self.state, name, Actor(**(self.given | more)))

    def refused(self, call, *arguments, **more) -> EditRefused:
        before = self.text
        with pytest.raises(EditRefused) as caught:
            call(*arguments, **more)
        assert self.text == before
        assert not [path for path in self.config.parent.iterdir() if path.suffix == ".flip"]
        return caught.value

    @property
    def text(self) -> str:
        return self.config.read_bytes().decode()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("flips", "old", "new"),
    [
        pytest.param(["migrated"], '"legacy"', '"migrated"', id="quotes and comment stay"),
        pytest.param(["gone"], '"legacy"', '"gone"', id="gone"),
        pytest.param(["5.50%"], "# why\n", "# why\n    canary: 5.5%\n", id="canary after target"),
        pytest.param(["0%"], "# why\n", "# why\n    canary: 0%\n", id="0% is written as asked"),
        pytest.param(["5%", "7%"], "# why\n", "# why\n    canary: 7%\n", id="canary replaced"),
        pytest.param(["5%", "legacy"], "# why\n", "# why\n    canary: 0%\n", id="legacy sets 0%"),
        pytest.param(
            ["5%", "migrated"],
            '"legacy"   # why\n',
            '"migrated"   # why\n    canary: 5%\n',
            id="migrated leaves the canary dormant",
        ),
    ],
)
def test_a_flip_changes_the_scalars_meant_and_nothing_else(shop, flips, old, new):
    for to in flips:
        shop.flip("get-x", to)

    assert shop.text == TABLE.replace(old, new)


def test_a_flip_inside_braces_stays_inside_them(shop):
    shop.flip("y", "10%")

    assert shop.text == TABLE.replace("/y, target: legacy}", "/y, target: legacy, canary: 10%}")


def test_a_flip_says_what_it_found_and_made(shop):
    flipped = shop.flip("get-x", "10%")

    assert (flipped.route, flipped.from_, flipped.to) == ("get-x", "legacy", "10%")
    assert flipped.revision == read_history(shop.state).entries[0].after


@pytest.mark.parametrize("to", ["legacy"])
def test_a_flip_to_where_the_route_stands_writes_and_records_nothing(shop, to):
    shop.config.chmod(0o444)

    assert shop.flip("get-x", to).changes == ()
    assert read_history(shop.state).entries == ()


@pytest.mark.parametrize(
    ("name", "to", "code", "said"),
    [
        ("get-xx", "legacy", "unknown-route", "Did you mean get-x?"),
        ("nothing", "legacy", "unknown-route", "overgrow routes"),
        ("z", "legacy", "irreversible", "line 12"),
        ("z", "5%", "irreversible", "migrated or gone only"),
        ("y", "120%", "bad-flip", "the maximum is 100%. Write 100% or migrated for everybody."),
        ("y", "10", "bad-flip", "sign %. Write 10%."),
        ("y", "1.234", "bad-flip", "Write 1.23%."),
        ("y", "-5%", "bad-flip", "such as 10% or 0.25%"),
        ("y", "migrate", "bad-flip", "'migrate' is not a valid target. Did you mean migrated?"),
        ("y", "Legacy", "bad-flip", "Did you mean legacy?"),
        (
            "y",
            "nginx",
            "bad-flip",
            "'nginx' is not a valid target. Write legacy, migrated, gone or",
        ),
    ],
)
def test_a_flip_that_cannot_be_is_refused(shop, name, to, code, said):
    refused = shop.refused(shop.flip, name, to)

    assert refused.code == code
    assert said in str(refused)
    assert refused.as_json()["code"] == code


def test_an_irreversible_route_can_still_go(shop):
    assert shop.flip("z", "gone").to == "gone"


def test_a_table_that_would_not_be_valid_is_refused_with_its_problems(tmp_path):
    shop = Shop(tmp_path, TABLE + "  - {path: /w, target: legcy}\n")
    refused = shop.refused(shop.flip, "y", "migrated")

    assert refused.code == "would-be-invalid"
    assert "routes.yaml:13:24" in str(refused)
    assert [problem["code"] for problem in refused.as_json()["problems"]] == ["unknown-word"]
    assert "rollback --all" not in refused.fix


@pytest.mark.parametrize("to", ["legacy", "0%"])
def test_towards_legacy_an_invalid_table_points_to_what_always_works(tmp_path, to):
    shop = Shop(
        tmp_path, TABLE.replace("y, target: legacy", "y, target: migrated") + "  - {x: 1}\n"
    )

    assert "overgrow rollback --all" in shop.refused(shop.flip, "y", to).fix


def test_a_flip_can_mend_the_one_value_that_was_wrong(tmp_path):
    shop = Shop(tmp_path, TABLE.replace('"legacy"', "legcy"))

    assert shop.flip("get-x", "legacy").from_ == "nothing valid"


def test_the_apps_rules_are_asked_only_when_more_clients_go_to_migrated(shop):
    def broken():
        raise ImportError

    shop.flip("get-x", "20%", rules=lambda: [AppRule("/x", None), AppRule("/z", None)])
    shop.flip("get-x", "10%", rules=broken)
    shop.flip("get-x", "legacy", rules=broken)
    shop.flip("get-x", "gone", rules=broken)
    shop.flip("get-x", "legacy", rules=broken)
    shop.rollback(rules=broken)
    shop.rollback(rules=broken)
    shop.rollback(rules=lambda: [AppRule("/x", None), AppRule("/z", None)])
    shop.rollback(rules=lambda: [AppRule("/x", None), AppRule("/z", None)])
    shop.rollback(rules=broken)
    with pytest.raises(ImportError):
        shop.flip("get-x", "10%", rules=broken)


def test_a_flip_without_a_rule_for_it_is_refused(shop):
    refused = shop.refused(shop.flip, "get-x", "1%", rules=lambda: [AppRule("/z", None)])

    assert [problem.code for problem in refused.problems] == ["app-rule-missing"]


def test_a_table_that_is_no_yaml_is_refused_and_points_to_the_kill_file(tmp_path):
    shop = Shop(tmp_path, "routes: [\n")
    refused = shop.refused(shop.flip, "x", "legacy")

    assert refused.code == "file-unreadable"
    assert "rollback --all" in str(refused)


def test_a_missing_table_is_refused(shop):
    shop.config.unlink()

    with pytest.raises(EditRefused, match="No such file"):
        shop.flip("x", "legacy")


def test_links_are_followed_and_stay_links(shop, tmp_path):
    (tmp_path / "link").mkdir()
    link = tmp_path / "link" / "routes.yaml"
    link.symlink_to(shop.config)
    flip(link, shop.state, "get-x", "migrated", Actor(env={}))

    assert link.is_symlink()
    assert '"migrated"' in shop.text


def test_the_mode_and_owner_are_kept(shop):
    if os.getuid() == 0:
        os.chown(shop.config, 12345, 12346)
    shop.config.chmod(0o640)
    owner = shop.config.stat()
    shop.flip("get-x", "migrated")
    now = shop.config.stat()

    assert (now.st_mode, now.st_uid, now.st_gid) == (owner.st_mode, owner.st_uid, owner.st_gid)


def test_a_read_only_file_is_refused_with_the_line_to_change(shop):
    shop.config.chmod(0o444)
    refused = shop.refused(shop.flip, "get-x", "migrated")

    assert refused.code == "read-only"
    assert 'line 6 becomes "target: "migrated"   # why"' in refused.fix


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EROFS, errno.EACCES])
def test_a_mount_without_rename_is_refused_and_recorded_as_abandoned(shop, monkeypatch, number):
    def no_rename(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(turn.os, "replace", no_rename)
    refused = shop.refused(shop.flip, "get-x", "10%")

    assert refused.code == "read-only"
    assert 'after line 6 comes "canary: 10%"' in refused.fix
    assert [entry.action for entry in read_history(shop.state).entries] == ["flip", "abandoned"]
    assert shop.refused(shop.rollback).code == "nothing-to-undo"


def test_a_folder_that_takes_no_new_file_is_refused(shop, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(turn, "write_draft", read_only)

    assert shop.refused(shop.flip, "get-x", "gone").code == "read-only"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_leaves_the_table_whole_and_is_named(shop, monkeypatch, number):
    def full(_):
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(turn.os, "fsync", full)
    refused = shop.refused(shop.flip, "get-x", "gone")

    assert (refused.code, refused.message) == (
        "file-unwritable",
        f"{shop.config} cannot be written: No space left on device",
    )
    assert "rollback --all" in refused.fix
    assert read_history(shop.state).entries == ()


def test_a_history_that_takes_no_line_stops_the_flip_and_stays_whole(shop, monkeypatch):
    shop.flip("get-x", "10%")
    before = (shop.state / "flips.jsonl").read_bytes()
    real, told = os.write, []

    def nearly_full(descriptor, data):
        told.append(data)
        if len(told) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:10])

    monkeypatch.setattr(os, "write", nearly_full)
    refused = shop.refused(shop.flip, "get-x", "gone")

    assert refused.code == "file-unwritable"
    assert refused.message.startswith(f"{shop.state}/flips.jsonl cannot be written: No space")
    assert (shop.state / "flips.jsonl").read_bytes() == before


def test_a_history_that_cannot_be_opened_is_named(shop):
    (shop.state / "flips.jsonl").mkdir()
    refused = shop.refused(shop.flip, "get-x", "gone")

    assert refused.code == "file-unwritable"
    assert refused.message == f"{shop.state}/flips.jsonl cannot be written: Is a directory"


def test_a_file_size_limit_leaves_the_table_whole(shop):
    """For real: the kernel refuses the new table, in a process whose files may have 64 bytes."""
    before = shop.text
    left, told = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=limited_flip, args=(shop, told))
    process.start()

    assert left.recv() == ("file-unwritable", f"{shop.config} cannot be written: File too large")
    process.join()
    assert shop.text == before


def limited_flip(shop, told) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    try:
        shop.flip("get-x", "gone")
    except EditRefused as refused:
        told.send((refused.code, refused.message))


@pytest.mark.parametrize("how", ["rewritten", "touched", "rewritten in time", "replaced in time"])
def test_a_file_that_somebody_else_changed_meanwhile_is_not_overwritten(shop, monkeypatch, how):
    theirs = TABLE.replace("/y", "/q") if "rewritten" in how else TABLE
    found = shop.config.stat()
    at_ns = found.st_mtime_ns if how.endswith("in time") else 1
    real = edit.lines_to_change

    def meanwhile(*arguments):
        written = shop.config.with_name("theirs") if "replaced" in how else shop.config
        written.write_text(theirs)
        os.utime(written, ns=(at_ns, at_ns))
        written.replace(shop.config)
        return real(*arguments)

    monkeypatch.setattr(edit, "lines_to_change", meanwhile)
    with pytest.raises(EditRefused) as caught:
        shop.flip("get-x", "migrated")

    assert caught.value.code == "changed-meanwhile"
    assert shop.text == theirs
    assert read_history(shop.state).entries == ()


def _flip_in_a_process(config, state, name, to):
    flip(Path(config), Path(state), name, to, Actor(env={}))


@pytest.mark.parametrize("states", [1, 2], ids=["one state folder", "two state folders"])
def test_flips_at_once_run_one_after_the_other_and_none_is_lost(tmp_path, states):
    names = [f"r{number}" for number in range(8)]
    routes = "".join(f"  - {{name: {name}, path: /{name}, target: legacy}}\n" for name in names)
    shop = Shop(tmp_path, "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n" + routes)
    context = multiprocessing.get_context("spawn")
    folders = [tmp_path / f"state{number}" for number in range(states)]
    for folder in folders:
        folder.mkdir()
    arguments = [
        (str(shop.config), str(folders[at % states]), name, "migrated")
        for at, name in enumerate(names)
    ]
    with context.Pool(4) as pool:
        pool.starmap(_flip_in_a_process, arguments)

    assert shop.text.count("target: migrated") == 8
    told = [read_history(folder) for folder in folders]
    assert sum(len(each.entries) for each in told) == 8
    assert [each.broken for each in told] == [()] * states


# --- rollback -------------------------------------------------------------------------------------


def test_rollbacks_walk_back_flip_by_flip_to_the_very_bytes(shop):
    for name, to in [("get-x", "10%"), ("get-x", "migrated"), ("y", "5%"), ("get-x", "legacy")]:
        shop.flip(name, to)
    undone = [shop.rollback() for _ in range(4)]

    assert [(one.route, one.from_, one.to) for one in undone] == [
        ("get-x", "legacy", "migrated"),
        ("y", "5%", "legacy"),
        ("get-x", "migrated", "10%"),
        ("get-x", "10%", "legacy"),
    ]
    assert shop.text == TABLE


def test_a_rollback_of_one_route_leaves_the_others(shop):
    shop.flip("get-x", "migrated")
    shop.flip("y", "migrated")

    assert shop.rollback("get-x").route == "get-x"
    assert shop.text == TABLE.replace("/y, target: legacy", "/y, target: migrated")


def test_entries_without_a_name_are_not_among_the_states_that_are_said(shop):
    shop.config.write_text(f"{TABLE.rstrip()}\n  - [a, b]\n")

    assert "None" not in str(shop.refused(shop.rollback))


def test_with_nothing_left_to_undo_the_states_are_said(shop):
    shop.flip("y", "migrated")
    shop.rollback()
    refused = shop.refused(shop.rollback)

    assert refused.code == "nothing-to-undo"
    assert "y is legacy" in str(refused)
    assert "of y" in str(shop.refused(shop.rollback, "y"))
    assert shop.refused(shop.rollback, "yy").code == "unknown-route"


@pytest.mark.parametrize(
    ("by_hand", "said"),
    [
        ("/y, target: gone}", "wrote 5%; the file says y is gone"),
        ("/y, target: legacy, canary: 6%}", "wrote 5%; the file says y is 6%"),
        ("/y, target: legacy, canary: 5.0%}", "written otherwise"),
        ("/other, target: legacy}", "the file says nothing of y"),
    ],
)
def test_a_flip_that_the_file_no_longer_says_is_not_undone(shop, by_hand, said):
    shop.flip("y", "5%")
    shop.config.write_text(TABLE.replace("/y, target: legacy}", by_hand))
    refused = shop.refused(shop.rollback)

    assert refused.code == "not-as-written"
    assert said in str(refused)
    assert "kim" in str(refused)
    assert "To get legacy back: overgrow flip y legacy." == refused.fix


def test_a_rollback_never_sends_an_irreversible_route_back(shop):
    shop.flip("get-x", "migrated")
    text = shop.text.replace("[GET]", "[GET]\n    reversible: false")
    shop.config.write_text(text)

    assert shop.refused(shop.rollback).code == "irreversible"


def test_an_inserted_canary_that_got_a_comment_becomes_0_percent(shop):
    shop.flip("get-x", "5%")
    shop.config.write_text(shop.text.replace("canary: 5%", "canary: 5%  # try"))
    shop.rollback()

    assert "canary: 0%  # try\n" in shop.text


def test_an_inserted_canary_that_moved_inside_braces_becomes_0_percent(shop):
    shop.flip("y", "5%")
    text = shop.text.replace(
        "{path: /y, target: legacy, canary: 5%}", "{canary: 5%, path: /y, target: legacy}"
    )
    shop.config.write_text(text)
    shop.rollback()

    assert "{canary: 0%, path: /y, target: legacy}" in shop.text


def test_an_inserted_canary_that_moved_beside_the_dash_becomes_0_percent(shop):
    shop.flip("get-x", "5%")
    moved = shop.text.replace("    canary: 5%\n", "").replace(
        "- path: /x", "- canary: 5%\n    path: /x"
    )
    shop.config.write_text(moved)
    shop.rollback()

    assert "- canary: 0%\n    path: /x" in shop.text


def test_an_inserted_canary_on_a_last_line_without_end_goes(tmp_path):
    text = "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n  - path: /x\n    target: legacy"
    shop = Shop(tmp_path, text)
    shop.flip("x", "5%")
    shop.rollback()

    assert shop.text == text


# --- the kill file --------------------------------------------------------------------------------


def test_killing_makes_the_file_beside_the_table_and_resuming_removes_both(shop):
    made = kill(shop.config, shop.state, who="kim")
    (shop.state / "kill").touch()

    assert made == Path(f"{shop.config}.kill")
    assert resume(shop.config, shop.state) == (made, shop.state / "kill")
    assert resume(shop.config, shop.state) == ()
    assert [entry.action for entry in read_history(shop.state).entries] == ["kill", "resume"]


def test_the_state_folder_takes_the_kill_file_if_the_tables_cannot(shop):
    config = shop.config.parent / "absent" / "routes.yaml"

    assert kill(config, shop.state) == shop.state / "kill"
    assert kill_and_report(config, shop.state).refused == (
        f"{config}.kill: No such file or directory",
    )


def test_where_no_kill_file_can_be_made_both_reasons_are_said(tmp_path):
    with pytest.raises(EditRefused, match=r"No such file.*No such file") as caught:
        kill(tmp_path / "a" / "routes.yaml", tmp_path / "b")
    assert f"touch {tmp_path}/a/routes.yaml.kill" in caught.value.fix


def test_a_kill_file_that_cannot_be_removed_is_said(shop):
    Path(f"{shop.config}.kill").mkdir()

    with pytest.raises(EditRefused, match="cannot be removed"):
        resume(shop.config, shop.state)


def test_a_kill_file_that_stays_does_not_keep_the_other_one(shop):
    Path(f"{shop.config}.kill").mkdir()
    (shop.state / "kill").touch()

    with pytest.raises(
        EditRefused, match=r"routes.yaml.kill cannot be removed: .*state/kill was removed"
    ):
        resume(shop.config, shop.state)
    assert not (shop.state / "kill").exists()


def test_a_read_only_folder_without_a_kill_file_does_not_stop_resume(shop, monkeypatch):
    (shop.state / "kill").touch()
    unlink = Path.unlink

    def read_only(path, *args, **given):
        if path.parent == shop.config.parent:
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, *args, **given)

    monkeypatch.setattr(Path, "unlink", read_only)

    assert resume(shop.config, shop.state) == (shop.state / "kill",)


def test_a_kill_works_without_a_history(shop):
    (shop.state / "flips.jsonl").mkdir()

    assert kill(shop.config, shop.state).exists()


def test_the_journal_says_who_changed_what(shop):
    shop.flip("get-x", "10%")
    line = json.loads((shop.state / "flips.jsonl").read_text())

    assert line["changes"] == [["canary", None, "10%", "get-x"]]
    assert [line[key] for key in ("who", "action", "route", "from", "to")] == [
        "kim", "flip", "get-x", "legacy", "10%",
    ]  # fmt: skip


def test_a_flip_of_half_a_table_is_refused_while_somebody_may_be_writing(shop):
    boot(shop.config, shop.state, env={}, rules=None)
    shop.config.write_text(TABLE[: TABLE.index("  - name: z")])
    os.utime(shop.config, ns=(1, 1))  # as a copy that keeps times
    refused = shop.refused(shop.flip, "get-x", "gone")

    assert (refused.code, refused.fix) == (
        "changed-meanwhile",
        "Nothing was changed. Try again in 3 s.",
    )


def test_a_flip_of_a_table_that_weakens_is_refused_with_the_reason(shop, tmp_path):
    boot(shop.config, shop.state, env={}, rules=None)
    (tmp_path / "new").write_text(TABLE.replace("    reversible: false\n", ""))
    (tmp_path / "new").replace(shop.config)
    refused = shop.refused(shop.flip, "get-x", "gone")

    assert refused.code == "would-be-invalid"
    assert [problem.code for problem in refused.problems] == ["irreversible-weakened"]


def test_a_flip_after_a_flip_that_no_worker_has_seen_is_made(shop):
    boot(shop.config, shop.state, env={}, rules=None)
    shop.flip("get-x", "gone")

    assert shop.flip("y", "gone").to == "gone"


def test_a_flip_keeps_the_byte_order_mark(tmp_path):
    shop = Shop(tmp_path, "\ufeff" + TABLE)
    shop.flip("get-x", "gone")

    assert shop.text == "\ufeff" + TABLE.replace('"legacy"', '"gone"')


def test_a_flip_survives_a_power_cut_at_any_moment(shop, monkeypatch):
    made = disk_calls(monkeypatch)
    shop.flip("get-x", "gone")
    rename = next(call for call in made if call[0] == "rename" and call[-1] == "routes.yaml")

    assert came_whole(made, "routes.yaml")
    assert made.index(("sync", "flips.jsonl")) < made.index(rename)
    assert made[-1] == ("sync", shop.config.parent.name)


def test_a_kill_survives_a_power_cut(shop, monkeypatch):
    made = disk_calls(monkeypatch)
    kill(shop.config, shop.state)

    assert ("sync", "routes.yaml.kill") in made


def test_a_kill_file_that_was_given_up_on_does_not_come_later(shop, monkeypatch):
    beside, answers, real = f"{shop.config}.kill", threading.Event(), os.open

    def hanging(path, *given, **more):
        if str(path) == beside:
            answers.wait(30)
        return real(path, *given, **more)

    monkeypatch.setattr(kill_switch, "ANSWER_S", 0.05)
    monkeypatch.setattr(os, "open", hanging)
    made = kill_and_report(shop.config, shop.state)
    (hung,) = (each for each in threading.enumerate() if each.name == beside)
    answers.set()
    hung.join(60)

    assert made.path == shop.state / "kill"
    assert not Path(beside).exists()


def test_a_folder_that_cannot_be_locked_stops_no_flip(shop, monkeypatch):
    real = holding.fcntl.flock

    def no_folders(descriptor, operation):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor, operation)

    monkeypatch.setattr(holding.fcntl, "flock", no_folders)

    assert shop.flip("get-x", "gone").to == "gone"


def test_the_folder_that_a_link_leads_to_is_the_one_to_be_locked(shop, tmp_path):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/routes.yaml"
    link.symlink_to(shop.config)
    held = os.open(tmp_path, os.O_RDONLY)
    holding.fcntl.flock(held, holding.fcntl.LOCK_EX)
    with pytest.raises(EditRefused) as caught:
        flip(link, shop.state, "get-x", "gone", Actor(env={}, wait_s=0.0))
    os.close(held)

    assert caught.value.code == "locked"


def test_an_edit_that_moved_another_route_too_is_not_written(shop, monkeypatch):
    def careless(text, *_, **__):
        return text.replace("legacy}", "gone}").replace('"legacy"', '"gone"')

    monkeypatch.setattr(edit, "apply_changes", careless)

    assert shop.refused(shop.flip, "get-x", "gone").code == "shape-unknown"


def test_of_many_routes_six_are_told_when_nothing_is_left_to_undo(tmp_path):
    names = [f"r{number}" for number in range(8)]
    routes = "".join(f"  - {{name: {name}, path: /{name}, target: legacy}}\n" for name in names)
    shop = Shop(tmp_path, "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n" + routes)
    told = shop.refused(shop.rollback).fix

    assert "r5 is legacy; and 2 more (overgrow routes)" in told


def test_a_flip_of_a_table_that_lost_a_route_long_ago_is_made(shop, monkeypatch):
    shop.config.write_text(TABLE + "  - {name: last, path: /last, target: legacy}\n")
    boot(shop.config, shop.state, env={}, rules=None)
    shop.config.write_text(TABLE)
    written_s = shop.config.stat().st_ctime
    monkeypatch.setattr(judge_edit.time, "time", lambda: written_s + 3.0)

    assert shop.flip("get-x", "gone").to == "gone"
