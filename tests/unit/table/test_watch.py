from __future__ import annotations

import asyncio
import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from overgrow.files import signature_of
from overgrow.routing.model import Legacy
from overgrow.table import watcher as watch
from overgrow.table.judging import TableContext
from overgrow.table.live import LiveTable, boot
from overgrow.table.reading.parse import revision_of
from overgrow.table.watcher import INTERVAL_S, TableEvent, Watcher, WatcherEffects

GOOD = "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n  - {name: x, path: /x, target: legacy}\n"
MOVED = GOOD.replace("target: legacy", "target: migrated")
BAD = GOOD.replace("target: legacy", "target: legcy")


class Scene:
    """A table in a folder, a process that runs it, and everything its watcher said."""

    def __init__(self, folder: Path, config: Path | None = None) -> None:
        self.config = config or folder / "routes.yaml"
        self.state = folder / "state"
        self.state.mkdir()
        if config is None:
            self.config.write_text(GOOD)
        self.live: LiveTable = boot(self.config, self.state, env={}, rules=None, now=lambda: "T0")
        self.heard: list[TableEvent] = []
        self.times = iter(f"T{number}" for number in range(1, 99))
        self.signature = signature_of
        self.clock_s = 100.0
        effects = WatcherEffects(
            on_change=self.heard.append,
            signature=lambda path: self.signature(path),  # noqa: PLW0108 - tests exchange it later
            now=lambda: next(self.times),
            clock=lambda: self.clock_s,
        )
        self.watcher = Watcher(self.live, TableContext(self.config, {}), self.state, effects)

    def poll(self, times: int = 2) -> None:
        async def polls() -> None:
            for _ in range(times):
                await self.watcher.poll()

        asyncio.run(polls())

    @property
    def kinds(self) -> list[str]:
        return [change.kind for change in self.heard]

    @property
    def target(self) -> str:
        return self.live.matcher.table.routes[0].target


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_age_of_the_last_look_is_that_of_the_oldest_file(scene, monkeypatch):
    ages = []
    for broken in (False, True, False):
        scene.clock_s += 10
        with monkeypatch.context() as patched:
            if broken:
                patched.setattr(watch, "is_kill_file", _refuse_access)
            scene.poll(1)
        scene.clock_s += 1
        ages.append(scene.watcher.look_age_s)

    assert [1, 12, 1] == ages


def _refuse_access(path):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_look_that_fails_does_not_count(scene):
    def signature(_):
        raise RuntimeError("never seen before")

    scene.signature = signature
    scene.clock_s += 10
    with pytest.raises(RuntimeError):
        scene.poll(1)

    assert 10 == scene.watcher.look_age_s


def test_a_file_that_says_what_runs_changes_nothing(scene):
    before = scene.live.matcher
    scene.poll(4)

    assert scene.heard == []
    assert scene.live.matcher is before


def test_a_changed_file_takes_effect_at_the_second_poll_that_agrees(scene):
    scene.poll()
    scene.config.write_text(MOVED)
    scene.poll(1)
    first = scene.target
    scene.poll(1)

    assert [first, scene.target] == ["legacy", "migrated"]
    assert scene.kinds == ["table"]
    assert scene.live.since == "T1"
    assert (scene.state / "last-good.yaml").read_text() == MOVED


def test_a_table_swapped_before_the_first_poll_is_noticed(scene):
    scene.config.write_text(MOVED)
    scene.poll()

    assert scene.target == "migrated"


def test_an_editors_rename_is_seen(scene, tmp_path):
    scene.poll()
    (tmp_path / "new").write_text(MOVED)
    (tmp_path / "new").replace(scene.config)
    scene.poll()

    assert scene.target == "migrated"


def test_a_write_in_place_of_equal_length_is_seen(scene):
    scene.poll()
    other = GOOD.replace("/x", "/y")
    with scene.config.open("r+") as file:
        file.write(other)
    os.utime(scene.config, ns=(1, 1))
    scene.poll()

    assert scene.live.matcher.table.routes[0].path == "/y"


def test_a_swap_of_kubernetes_symlinks_is_seen(tmp_path):
    for name, text in (("v1", GOOD), ("v2", MOVED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "routes.yaml").symlink_to("..data/routes.yaml")
    scene = Scene(tmp_path, tmp_path / "routes.yaml")
    scene.poll()

    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    scene.poll()

    assert scene.target == "migrated"


def test_a_file_that_changes_while_it_is_read_waits_until_it_settles(scene):
    scene.poll()
    signatures = iter([(1, 1, mtime, 1, 1) for mtime in (1, 1, 2, 2, 2, 2)])
    scene.signature = lambda _: next(signatures)
    scene.config.write_text(MOVED)
    scene.poll(2)  # two agree, but the signature after reading is another one
    before = scene.target
    scene.poll(2)

    assert [before, scene.target] == ["legacy", "migrated"]


def test_a_broken_table_is_rejected_once_and_the_old_one_runs_on(scene):
    scene.config.write_text(BAD)
    scene.poll(5)

    assert scene.kinds == ["rejected"]
    assert scene.target == "legacy"
    assert [p.code for p in scene.live.reload_error.problems] == ["unknown-word"]
    assert scene.heard[0].revision == scene.live.matcher.table.revision
    assert (scene.state / "last-good.yaml").read_text() == GOOD


def test_a_touched_broken_table_keeps_the_time_since_when(scene):
    scene.config.write_text(BAD)
    scene.poll()
    os.utime(scene.config, ns=(1, 1))
    scene.poll()

    assert scene.live.reload_error.at == "T1"
    assert scene.kinds == ["rejected"]


def test_a_mended_table_clears_the_error(scene):
    scene.config.write_text(BAD)
    scene.poll()
    scene.config.write_text(GOOD)
    scene.poll()

    assert scene.kinds == ["rejected", "recovered"]
    assert scene.live.reload_error is None


def test_a_mended_table_keeps_its_notes(scene):
    noted = MOVED.replace("migrated}", "migrated, canary: 5%}")
    for text in (noted, BAD, noted):
        scene.config.write_text(text)
        scene.poll()

    told = [(change.kind, [note.code for note in change.notes]) for change in scene.heard]
    assert ("recovered", ["canary-dormant"]) == told[-1]


def test_a_new_table_after_a_broken_one_clears_the_error(scene):
    scene.config.write_text(BAD)
    scene.poll()
    scene.config.write_text(MOVED)
    scene.poll()

    assert scene.kinds == ["rejected", "table"]
    assert scene.live.reload_error is None


def test_a_deleted_table_keeps_running_and_is_reported_once(scene):
    scene.config.unlink()
    scene.poll(5)

    assert scene.kinds == ["rejected"]
    assert [p.code for p in scene.live.reload_error.problems] == ["file-missing"]
    assert scene.target == "legacy"


@pytest.mark.parametrize("where", ["config", "state"])
def test_a_kill_file_counts_from_the_next_poll_until_it_goes(scene, where):
    path = Path(f"{scene.config}.kill") if where == "config" else scene.state / "kill"
    path.touch()
    scene.poll(1)
    killed = scene.live.killed
    path.unlink()
    scene.poll(1)

    assert [killed, scene.live.killed] == [True, False]
    assert scene.kinds == ["killed", "resumed"]


def test_a_kill_file_beside_a_broken_table_counts(scene):
    scene.config.write_text(BAD)
    (scene.state / "kill").touch()
    scene.poll()

    assert scene.live.killed
    assert scene.kinds == ["killed", "rejected"]


def test_a_last_good_table_that_is_itself_invalid_now_stays_reported(tmp_path):
    scene = Scene(tmp_path)
    scene.config.write_text(MOVED)
    scene.poll()
    live = boot(scene.config, scene.state, env={}, rules=[])
    heard: list[TableEvent] = []
    context, effects = TableContext(scene.config, {}, []), WatcherEffects(on_change=heard.append)
    watcher = Watcher(live, context, scene.state, effects)

    async def polls() -> None:
        await watcher.poll()
        await watcher.poll()

    asyncio.run(polls())

    assert [p.code for p in live.reload_error.problems] == ["app-rule-missing"]
    assert heard == []


def test_the_watcher_looks_four_times_a_second_until_it_is_cancelled(scene):
    slept = []

    async def run() -> None:
        running = asyncio.ensure_future(watcher.watch())
        with pytest.raises(asyncio.CancelledError):
            await running

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if scene.live.reload_error is not None and len(slept) > 8:
            raise_in_all()
        await asyncio.sleep(0)

    def raise_in_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    context, effects = TableContext(scene.config, {}), WatcherEffects(sleep=sleep)
    watcher = Watcher(scene.live, context, scene.state, effects)
    scene.config.write_text(BAD)
    asyncio.run(run())

    assert set(slept) == {INTERVAL_S}


def test_a_fault_in_one_look_ends_no_looking(scene, caplog):
    faults = [RuntimeError("never seen before")]

    def signature(path: Path) -> object:
        if faults:
            raise faults.pop()
        return signature_of(path)

    scene.signature = signature
    scene.config.write_text(MOVED)

    async def story() -> None:
        running = asyncio.ensure_future(scene.watcher.watch())
        await until(lambda: scene.target == "migrated")
        running.cancel()

    asyncio.run(story())

    assert "checking the route table or a kill file failed" in caplog.text


# --- file systems that do not answer --------------------------------------------------------------


class Mount:
    """A file system that can hang: calls for `path` wait until it answers again."""

    def __init__(self, monkeypatch, path: Path, call: str) -> None:
        self.answers = threading.Event()
        self.waiting = 0
        real = getattr(os, call)

        def hanging(name, *args, **kwargs):
            if str(name) == str(path) and not self.answers.is_set():
                self.waiting += 1
                self.answers.wait(60)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(os, call, hanging)


def impatient(scene: Scene, **given) -> Watcher:
    effects = WatcherEffects(
        on_change=scene.heard.append, now=lambda: next(scene.times), patience_s=0.25, **given
    )
    return Watcher(scene.live, TableContext(scene.config, {}), scene.state, effects)


async def until(fact) -> None:
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - a fact of threads, not of the loop
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("call", ["stat", "open"])
def test_a_table_that_hangs_is_told_and_heals_while_kill_files_work(scene, monkeypatch, call):
    mount = Mount(monkeypatch, scene.config, call)
    scene.config.write_text(MOVED)

    async def story() -> list[str]:
        running = asyncio.ensure_future(impatient(scene).watch())
        await until(lambda: scene.config in scene.live.unseen)
        (problem,) = scene.live.trouble.problems
        (scene.state / "kill").touch()
        await until(lambda: scene.live.killed)
        before = scene.target
        mount.answers.set()
        await until(lambda: scene.target == "migrated" and not scene.live.unseen)
        running.cancel()
        return [problem.code, problem.file, before]

    assert asyncio.run(story()) == ["file-unseen", str(scene.config), "legacy"]
    assert scene.live.trouble is None
    assert mount.waiting == 1  # one call hangs: no second is begun beside it


def test_a_kill_file_that_hangs_hides_neither_the_other_nor_the_table(scene, monkeypatch):
    first = Path(f"{scene.config}.kill")
    mount = Mount(monkeypatch, first, "lstat")

    async def story() -> list[str]:
        running = asyncio.ensure_future(impatient(scene).watch())
        await until(lambda: first in scene.live.unseen)
        (problem,) = scene.live.trouble.problems
        scene.config.write_text(MOVED)
        (scene.state / "kill").touch()
        await until(lambda: scene.live.killed and scene.target == "migrated")
        mount.answers.set()
        await until(lambda: not scene.live.unseen)
        running.cancel()
        return [problem.file, problem.fix.rpartition(" ")[2]]

    assert asyncio.run(story()) == [str(first), f"{scene.state / 'kill'}."]
    assert scene.kinds.count("unseen") == scene.kinds.count("seen") == 1


def test_a_kill_file_that_cannot_be_told_keeps_what_was_seen_last(scene, monkeypatch):
    path = scene.state / "kill"
    path.touch()
    scene.poll(1)

    def gone(name):
        if name == path:
            raise OSError(errno.ESTALE, "Stale file handle")
        return Path(name).stat(follow_symlinks=False)

    monkeypatch.setattr(os, "lstat", gone)
    scene.poll(2)

    assert scene.live.killed
    assert scene.kinds == ["killed", "unseen"]
    assert "Stale file handle" in scene.live.trouble.problems[0].message


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a folder"])
def test_a_table_that_is_no_regular_file_is_refused_at_once(scene, make):
    scene.config.unlink()
    make(scene.config)
    scene.poll()

    assert scene.kinds == ["rejected"]
    assert [p.code for p in scene.live.reload_error.problems] == ["file-missing"]


def test_new_content_of_the_same_size_and_time_is_seen(scene):
    times = scene.config.stat()
    scene.poll()
    scene.config.write_text(GOOD.replace("/x", "/y"))
    os.utime(scene.config, ns=(times.st_atime_ns, times.st_mtime_ns))
    scene.poll()

    assert scene.live.matcher.table.routes[0].path == "/y"


def test_a_state_folder_that_hangs_holds_up_no_table(scene, monkeypatch):
    monkeypatch.setattr(watch, "KEEP_S", 0.01)
    mount = Mount(monkeypatch, scene.state / "last-good.yaml", "stat")
    scene.config.write_text(MOVED)

    async def looks() -> str:
        running = asyncio.ensure_future(scene.watcher.watch())
        await until(lambda: scene.target == "migrated")
        running.cancel()
        return "still hanging" if not mount.answers.is_set() and mount.waiting else "over"

    found = asyncio.run(looks())
    mount.answers.set()

    assert found == "still hanging"


LONG = """\
version: 1
legacy:
  url: http://h
  max_connections: 7
cohort: {salt: s}
routes:
  - {name: x, path: /x, target: legacy}
  - name: y
    path: /y
    target: gone
    priority: 1
"""


X = "  - {name: x, path: /x, target: legacy}\n"


def cut_after(text):
    """The table as far as this text, as it stands while somebody writes it."""
    return LONG[: LONG.index(text) + len(text)]


CUTS = [
    pytest.param(cut_after("target: legacy}\n"), id="at the end of a line, a route less"),
    pytest.param(cut_after("target: gone\n"), id="within the last route, a field less"),
    pytest.param(cut_after("priority: 1"), id="before the last line's end"),
    pytest.param(cut_after("max_connections: 7\n"), id="before the routes"),
    pytest.param(cut_after("url: http://h\n"), id="within legacy"),
    pytest.param(cut_after("routes:") + " []\n", id="all routes"),
    pytest.param(
        cut_after("routes:\n") + "  - {name: a, path: /a, target: legacy}\n" + X,
        id="as many routes, but not the last",
    ),
]


@pytest.fixture
def long_scene(scene):
    scene.config.write_text(LONG)
    scene.poll()
    scene.heard.clear()
    return scene


def names(scene):
    return sorted(route.name for route in scene.live.matcher.table.routes)


@pytest.mark.parametrize("cut", CUTS)
def test_a_table_written_in_place_without_its_end_waits_three_seconds(long_scene, cut):
    long_scene.config.write_text(cut)
    long_scene.poll(3)
    long_scene.clock_s += 2.9
    long_scene.poll(1)
    before = long_scene.live.matcher.table.revision
    long_scene.clock_s += 0.1
    long_scene.poll(1)

    assert before == revision_of(LONG.encode())
    assert long_scene.live.matcher.table.revision == revision_of(cut.encode())
    assert long_scene.kinds == ["waiting", "table"]
    assert [note.code for note in long_scene.heard[0].notes] == ["half-written"]


def test_a_table_whose_last_section_is_not_there_yet_waits(scene):
    scene.config.write_text(GOOD + "cohort: {salt: s}\n")
    scene.poll()
    scene.config.write_text(GOOD)
    scene.poll(3)

    assert scene.kinds == ["table", "waiting"]


def test_a_table_that_is_still_being_written_waits_anew(long_scene):
    for size in range(4):
        long_scene.config.write_text(cut_after("target: legacy}\n") + "#\n" * size)
        long_scene.poll(2)
        long_scene.clock_s += 2.0

    assert names(long_scene) == ["x", "y"]
    assert long_scene.live.waiting is not None


def test_a_table_that_waits_is_read_once(long_scene, monkeypatch):
    reads: list[Path] = []
    real = watch.read_table_or
    monkeypatch.setattr(
        watch, "read_table_or", lambda none, path: reads.append(path) or real(none, path)
    )
    long_scene.config.write_text(cut_after("target: legacy}\n"))
    long_scene.poll(6)

    assert long_scene.kinds == ["waiting"]
    assert reads == [long_scene.config]


def test_a_table_whose_rest_comes_in_time_takes_effect_at_once(long_scene):
    long_scene.config.write_text(cut_after("target: legacy}\n"))
    long_scene.poll(3)
    long_scene.config.write_text(LONG.replace("/y", "/z"))
    long_scene.poll(2)

    assert long_scene.kinds == ["waiting", "table"]
    assert long_scene.live.waiting is None
    assert {route.path for route in long_scene.live.matcher.table.routes} == {"/x", "/z"}


def test_a_table_that_is_again_what_runs_ends_the_wait(long_scene):
    for text in (cut_after("target: legacy}\n"), LONG):
        long_scene.config.write_text(text)
        long_scene.poll(2)

    assert long_scene.kinds == ["waiting", "recovered"]
    assert long_scene.live.waiting is None


def test_a_renamed_table_with_fewer_routes_never_waits(long_scene, tmp_path):
    (tmp_path / "new").write_text(GOOD)
    (tmp_path / "new").replace(long_scene.config)
    long_scene.poll(1)
    long_scene.config.chmod(0o600)
    signature = signature_of(long_scene.config)
    long_scene.signature = lambda _: signature
    long_scene.poll(2)

    assert (long_scene.kinds, names(long_scene)) == (["table"], ["x"])


def test_a_table_made_piece_by_piece_after_its_deletion_waits(long_scene):
    long_scene.config.unlink()
    long_scene.poll(2)
    long_scene.config.write_text(cut_after("target: legacy}\n"))
    long_scene.poll(3)

    assert names(long_scene) == ["x", "y"]
    assert long_scene.kinds == ["rejected", "waiting"]
    assert long_scene.live.reload_error is None


def test_a_refused_file_written_anew_in_place_waits_too(long_scene, tmp_path):
    (tmp_path / "new").write_text(BAD)
    (tmp_path / "new").replace(long_scene.config)
    long_scene.poll(2)
    long_scene.config.write_text(cut_after("target: legacy}\n"))
    long_scene.poll(3)

    assert names(long_scene) == ["x", "y"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("target: gone", "target: legacy"), ("/y", "/other"), ("name: y", "name: other")],
)
def test_an_edit_in_place_that_keeps_the_end_never_waits(long_scene, before, after):
    long_scene.config.write_text(LONG.replace(before, after))
    long_scene.poll(2)

    assert long_scene.kinds == ["table"]


def test_other_certificates_are_read_and_told_without_another_table(scene, tmp_path):
    pem, read = tmp_path / "ca.pem", []
    scene.live.matcher.table = replace(
        scene.live.matcher.table, legacy=Legacy("https://h", tls_ca=str(pem))
    )
    pem.write_text("one")
    times = pem.stat()

    def trust(table):
        read.append(Path(table.legacy.tls_ca).read_text())
        if read[-1] == "bad":
            raise OSError(errno.EIO, "no certificates")

    watcher = impatient(scene, trust=trust)

    async def looks() -> None:
        for _ in range(3):
            await watcher._check_certificates()

    for text in ("one", "two", "bad", "six"):
        pem.write_text(text)
        os.utime(pem, ns=(times.st_atime_ns, times.st_mtime_ns))
        asyncio.run(looks())

    assert read == ["two", "bad", "six"]
    assert scene.kinds == ["certificates", "certificates"]


def test_certificates_that_are_written_or_gone_are_not_read(scene, tmp_path):
    pem, read = tmp_path / "ca.pem", []
    scene.live.matcher.table = replace(
        scene.live.matcher.table, legacy=Legacy("https://h", tls_ca=str(pem))
    )
    pem.write_text("one")
    watcher = impatient(scene, trust=read.append)

    async def looks(count: int) -> None:
        for _ in range(count):
            await watcher._check_certificates()

    asyncio.run(looks(3))
    pem.write_text("half of two")
    asyncio.run(looks(1))
    pem.unlink()
    asyncio.run(looks(3))

    assert read == []
