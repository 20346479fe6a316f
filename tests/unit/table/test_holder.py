from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from overgrow.table import judging
from overgrow.table.judging import app_to_start, unreadable_problem
from overgrow.table.last_good import keep_last_good, read_last_good
from overgrow.table.live import NoUsableTable, ReloadError, boot, is_killed
from overgrow.table.reading.parse import AppRule
from overgrow.yaml_file.problem import Problem
from tests.disk import came_whole, disk_calls

GOOD = "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n  - {name: x, path: /x, target: legacy}\n"
BAD = GOOD.replace("target: legacy", "target: legcy")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def booted(config, state, *, rules=None, allow_last_good=True):
    return boot(
        config, state, env={}, rules=rules, allow_last_good=allow_last_good, now=lambda: "T"
    )


def test_a_valid_table_runs_and_becomes_the_last_good_one(config, state):
    live = booted(config, state, allow_last_good=False)

    assert [route.name for route in live.matcher.table.routes] == ["x"]
    assert (live.since, live.killed, live.reload_error) == ("T", False, None)
    assert (state / "last-good.yaml").read_text() == GOOD


@pytest.mark.parametrize("broken", ["invalid", "missing"])
def test_a_strict_start_refuses_a_table_that_is(config, state, broken):
    booted(config, state)
    config.write_text(BAD) if broken == "invalid" else config.unlink()

    with pytest.raises(NoUsableTable, match=r"routes\.yaml:.*\["):
        booted(config, state, allow_last_good=False)


def test_a_worker_that_boots_beside_a_broken_table_runs_the_last_good_one(config, state):
    booted(config, state)
    config.write_text(BAD)

    live = booted(config, state)

    assert [route.name for route in live.matcher.table.routes] == ["x"]
    assert [problem.code for problem in live.reload_error.problems] == ["unknown-word"]
    assert live.reload_error.as_json()["at"] == "T"
    assert (state / "last-good.yaml").read_text() == GOOD


def test_without_any_good_table_there_is_nothing_to_start_with(config, state):
    config.write_text(BAD)

    with pytest.raises(NoUsableTable):
        booted(config, state)


def test_a_last_good_table_runs_even_if_the_app_lost_its_rule(config, state):
    config.write_text(GOOD.replace("target: legacy", "target: migrated"))
    booted(config, state, rules=[AppRule("/x", None)])

    live = booted(config, state, rules=[])

    assert live.matcher.table.routes[0].target == "migrated"
    assert [problem.code for problem in live.reload_error.problems] == ["app-rule-missing"]


@pytest.mark.parametrize("where", ["config", "state"])
def test_a_kill_file_lets_even_a_strict_start_use_the_last_good_table(config, state, where):
    booted(config, state)
    config.write_text(BAD)
    (Path(f"{config}.kill") if where == "config" else state / "kill").touch()

    live = booted(config, state, allow_last_good=False)

    assert live.killed
    assert live.matcher.table.legacy.url == "http://h"
    assert "killed since T" in repr(live)


def test_a_broken_last_good_table_is_none(config, state):
    config.write_text(BAD)
    (state / "last-good.yaml").write_text(BAD)

    with pytest.raises(NoUsableTable):
        booted(config, state)


def test_a_dangling_link_as_kill_file_counts(config, state):
    (state / "kill").symlink_to("nowhere")

    assert is_killed(config, state)


def test_a_state_folder_that_cannot_be_written_costs_only_the_copy(config, tmp_path):
    live = booted(config, tmp_path / "absent")

    assert live.reload_error is None


def test_a_copy_that_fails_half_way_leaves_the_old_one_whole(state, monkeypatch):
    keep_last_good(state, b"old")

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    keep_last_good(state, b"new")

    assert [path.name for path in state.iterdir()] == ["last-good.yaml"]
    assert (state / "last-good.yaml").read_bytes() == b"old"


def test_a_missing_file_is_a_problem_with_its_path(tmp_path):
    with pytest.raises(NoUsableTable) as caught:
        boot(tmp_path / "none.yaml", tmp_path, env={}, rules=None)

    (problem,) = caught.value.problems
    assert problem.code == "file-missing"
    assert problem.as_json()["file"] == str(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (FileNotFoundError(2, "No such file or directory"), "overgrow init"),
        (IsADirectoryError(21, "Is a directory"), "--config shop/routes.yaml"),
        (PermissionError(13, "Permission denied"), "the right to read it"),
    ],
)
def test_a_file_that_cannot_be_read_has_the_fix_that_fits(error, fix):
    assert fix in unreadable_problem(Path("shop"), error).fix


SECURE = GOOD.replace("'http://h'", "'https://h', tls_ca: ca.pem")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda _: None, "No such file or directory", id="not there"),
        pytest.param(lambda path: path.write_text("x"), "holds no certificate", id="no PEM"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a folder"),
    ],
)
def test_certificates_that_cannot_be_used_are_a_problem_with_its_place(config, state, make, why):
    config.write_text(SECURE)
    make(config.parent / "ca.pem")

    with pytest.raises(NoUsableTable) as caught:
        booted(config, state)

    (problem,) = caught.value.problems
    assert ("tls-ca", 2, 36) == (problem.code, problem.line, problem.column)
    assert why in problem.message


def test_no_certificate_is_needed_where_legacy_is_reached_without_tls(config, state):
    config.write_text(SECURE.replace("https:", "http:"))

    assert booted(config, state).reload_error is None


def test_a_last_good_table_runs_even_if_its_certificates_are_gone(config, state):
    (state / "last-good.yaml").write_text(SECURE)
    config.write_text(SECURE)

    live = booted(config, state)

    assert "https://h" == live.matcher.table.legacy.url
    assert ["tls-ca"] == [problem.code for problem in live.reload_error.problems]


def test_a_huge_file_is_refused_without_being_read_whole(config, state):
    booted(config, state)
    os.truncate(config, 1 << 28)
    tracemalloc.start()
    live = booted(config, state)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [each.code for each in live.reload_error.problems] == ["file-too-large"]
    assert most < 1 << 26


LONG = GOOD + "  - {name: kept, prefix: /kept, target: gone, reversible: false}\n"


def names(live):
    return sorted(route.name for route in live.matcher.table.routes)


@pytest.fixture
def long_gone(monkeypatch):
    """A clock by which every file was written long ago."""
    real = judging.time.time
    monkeypatch.setattr(judging.time, "time", lambda: real() + 60)


@pytest.mark.usefixtures("long_gone")
def test_a_worker_booting_beside_a_weakening_table_runs_what_others_run(config, state):
    config.write_text(LONG)
    booted(config, state)
    config.write_text(GOOD)
    live = booted(config, state)

    assert names(live) == ["kept", "x"]
    assert [problem.code for problem in live.reload_error.problems] == ["irreversible-weakened"]
    assert (state / "last-good.yaml").read_text() == LONG


@pytest.mark.usefixtures("long_gone")
def test_a_strict_start_refuses_a_weakening_table(config, state):
    config.write_text(LONG)
    booted(config, state)
    config.write_text(GOOD)

    with pytest.raises(NoUsableTable, match="irreversible-weakened"):
        booted(config, state, allow_last_good=False)


@pytest.mark.usefixtures("long_gone")
def test_two_weakening_tables_are_compared_with_the_one_that_runs(config, state):
    config.write_text(LONG)
    booted(config, state)
    for text in (GOOD, GOOD.replace("/x", "/y")):
        config.write_text(text)
        live = booted(config, state)

    assert names(live) == ["kept", "x"]


@pytest.mark.parametrize(
    ("text", "used", "compared"),
    [(GOOD, False, True), (LONG, False, False), (GOOD, True, False)],
    ids=["a first start", "a first start with irreversible routes", "a state folder that lost it"],
)
def test_a_start_without_a_last_good_table_is_known(config, state, text, used, compared):
    config.write_text(text)
    if used:
        (state / "metrics").mkdir()
    first, second = booted(config, state), booted(config, state)

    assert [first.compared, second.compared] == [compared, True]


def test_a_worker_booting_beside_a_half_written_table_waits_like_the_rest(config, state):
    config.write_text(LONG)
    booted(config, state)
    config.write_text(GOOD)
    os.utime(config, ns=(1, 1))  # as a copy that keeps times
    live = booted(config, state)

    assert names(live) == ["kept", "x"]
    assert (live.reload_error, live.waiting.code) == (None, "half-written")


def test_a_strict_start_beside_a_half_written_table_waits_too(config, state):
    config.write_text(LONG)
    booted(config, state)
    config.write_text(GOOD)
    live = booted(config, state, allow_last_good=False)

    assert names(live) == ["kept", "x"]
    assert live.waiting.code == "half-written"


def test_a_shorter_table_that_stood_for_three_seconds_is_booted(config, state, monkeypatch):
    config.write_text(GOOD + "  - {name: y, path: /y, target: gone}\n")
    booted(config, state)
    config.write_text(GOOD)
    written_s = max(config.stat().st_mtime, config.stat().st_ctime)
    monkeypatch.setattr(judging.time, "time", lambda: written_s + 3.0)

    assert names(booted(config, state)) == ["x"]


@pytest.mark.usefixtures("long_gone")
def test_a_table_that_lost_its_end_long_ago_is_booted(config, state):
    config.write_text(GOOD + "  - {name: y, path: /y, target: gone}\n")
    booted(config, state)
    config.write_text(GOOD)

    assert names(booted(config, state)) == ["x"]


def test_a_renamed_table_that_is_shorter_is_booted_at_once(config, state, tmp_path):
    config.write_text(GOOD + "  - {name: y, path: /y, target: gone}\n")
    booted(config, state)
    (tmp_path / "new").write_text(GOOD)
    (tmp_path / "new").replace(config)

    assert names(booted(config, state)) == ["x"]


def test_the_last_good_table_is_kept_with_its_app_and_its_file(config, state):
    boot(config, state, env={}, rules=None, app="shop:create_app")
    found = config.stat()
    booted(config, state)

    assert read_last_good(state) == (
        GOOD.encode(),
        "shop:create_app",
        (found.st_dev, found.st_ino),
    )


OTHER = '{"revision": "0", "app": "other:app", "source": [1, 2]}'


@pytest.mark.parametrize("broken", ["", "{", "[]", OTHER, '{"revision": null}'])
def test_what_is_known_of_another_table_is_not_believed(config, state, broken):
    booted(config, state)
    (state / "last-good.json").write_text(broken)

    assert read_last_good(state) == (GOOD.encode(), None, None)


APPS = [
    pytest.param("app: other:app\n" + BAD, "kept:app", id="an invalid table"),
    pytest.param(BAD, "kept:app", id="an invalid table without an app"),
    pytest.param("", "kept:app", id="an empty table"),
    pytest.param(None, "kept:app", id="no table"),
    pytest.param("app: other:app\n" + GOOD, "other:app", id="a valid table"),
]


@pytest.mark.parametrize(("text", "app"), APPS)
@pytest.mark.usefixtures("long_gone")
def test_the_app_to_start_is_that_of_the_table_to_run(config, state, text, app):
    config.write_text("app: kept:app\n" + GOOD)
    booted(config, state)
    config.unlink() if text is None else config.write_text(text)

    assert app_to_start(config, state, env={}, rules=None).name == app


def test_the_app_that_ran_beats_what_a_variable_says_of_it_now(config, state):
    config.write_text("app: ${APP}\n" + GOOD)
    boot(config, state, env={"APP": "kept:app"}, rules=None, app="kept:app")
    config.write_text(BAD)

    assert app_to_start(config, state, env={"APP": "other:app"}, rules=None).name == "kept:app"


@pytest.mark.usefixtures("long_gone")
def test_a_killed_start_beside_a_weakening_table_runs_the_last_good_one(config, state):
    config.write_text(LONG)
    booted(config, state)
    config.write_text(GOOD)
    (state / "kill").touch()
    live = booted(config, state, allow_last_good=False)

    assert (live.killed, names(live)) == (True, ["kept", "x"])


@pytest.mark.usefixtures("long_gone")
def test_a_last_good_table_that_says_nothing_here_is_compared_with_nothing(config, state):
    config.write_text(LONG.replace("/kept", "'${AT}'"))
    boot(config, state, env={"AT": "/kept"}, rules=None)
    config.write_text(GOOD)
    live = booted(config, state)

    assert (names(live), live.compared) == (["x"], False)


def test_a_kill_file_that_cannot_be_looked_at_counts_as_none(config, state, monkeypatch):
    def fails(_):
        raise OSError(5, "Input/output error")

    (state / "kill").touch()
    monkeypatch.setattr(os, "lstat", fails)

    assert not is_killed(config, state)


def test_two_troubles_are_told_together_since_the_first(config, state):
    live = booted(config, state)
    refused, unseen = (Problem(code, "f", 1, 1, None, "m", "x") for code in ("bad", "file-unseen"))
    live.reload_error = ReloadError("T2", (refused,))
    live.unseen[config] = ReloadError("T1", (unseen,))

    assert live.trouble == ReloadError("T1", (refused, unseen))


def test_a_table_that_takes_effect_ends_what_kept_others_from_it(config, state):
    live = booted(config, state)
    problem = Problem("half-written", "f", 1, 1, None, "m", "x")
    live.reload_error, live.waiting = ReloadError("T", (problem,)), problem
    live.swap(live.matcher)

    assert (live.reload_error, live.waiting) == (None, None)


def test_a_new_last_good_table_survives_a_power_cut(config, state, monkeypatch):
    made = disk_calls(monkeypatch)
    booted(config, state)

    assert came_whole(made, "last-good.yaml")
