"""Files that may be anything, and file calls that may never return."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace

import pytest

from overgrow import files
from overgrow.files import NotRegular, Silent, read_regular, replace_file, signature_of, within
from overgrow.files.thread import FileThread
from tests.locking import waits_for

WAIT_S = 60.0  # a bound on a wait that succeeds costs nothing


def test_a_regular_file_is_read_as_far_as_asked(tmp_path):
    (tmp_path / "table").write_bytes(b"0123456789")

    assert read_regular(tmp_path / "table", 4) == b"0123"


def test_a_fifo_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    opened = []
    monkeypatch.setattr(files.os, "open", lambda *given: opened.append(given))

    with pytest.raises(NotRegular, match="a FIFO"):
        read_regular(tmp_path / "fifo", 10)
    assert opened == []


def test_a_file_that_became_a_fifo_is_neither_waited_for_nor_read(tmp_path, monkeypatch):
    path = tmp_path / "table"
    path.write_bytes(b"text")
    require = files._require_regular

    def swap(path_, found):
        require(path_, found)
        monkeypatch.setattr(files, "_require_regular", require)
        path.unlink()
        os.mkfifo(path)

    monkeypatch.setattr(files, "_require_regular", swap)

    # In a thread that is waited for: opening a FIFO could wait for a writer for ever.
    with pytest.raises(NotRegular):
        within(WAIT_S, path, lambda: read_regular(path, 10))


def test_while_a_call_hangs_no_other_is_begun_for_its_path(tmp_path):
    released, begun = threading.Event(), []

    def hang():
        begun.append(True)
        released.wait(WAIT_S)
        return "late"

    for _ in range(3):
        with pytest.raises(Silent, match="has not answered"):
            within(0.02, tmp_path / "mount", hang)
    elsewhere = within(WAIT_S, tmp_path / "other", lambda: "answer")
    (hanging,) = files._hanging.values()
    released.set()
    hanging.join(WAIT_S)

    assert (begun, elsewhere) == ([True], "answer")
    assert within(WAIT_S, tmp_path / "mount", lambda: "again") == "again"


def test_what_comes_when_nobody_waits_any_more_is_undone(tmp_path):
    released, undone = threading.Event(), []

    def hang():
        released.wait(WAIT_S)
        return "a lock"

    with pytest.raises(Silent):
        within(0.02, tmp_path / "mount", hang, undo=undone.append)
    (hanging,) = files._hanging.values()
    released.set()
    hanging.join(WAIT_S)
    in_time = within(WAIT_S, tmp_path / "mount", lambda: "another", undo=undone.append)

    assert (undone, in_time) == (["a lock"], "another")


def test_a_call_that_hangs_holds_up_no_end_of_the_process(tmp_path):
    assert within(WAIT_S, tmp_path, lambda: threading.current_thread().daemon) is True


def test_a_call_is_begun_only_while_nobody_changes_what_hangs(tmp_path):
    assert waits_for(files._hanging_lock, lambda: begun_within(tmp_path).wait(0.05))


def begun_within(path) -> threading.Event:
    """Make a call; the event is set once it has begun."""
    begun = threading.Event()
    within(WAIT_S, path, begun.set)
    return begun


def test_whoever_gives_up_waits_until_nobody_changes_what_hangs(tmp_path):
    begun, released = threading.Event(), threading.Event()

    def hang():
        begun.set()
        released.wait(WAIT_S)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(within, 1.0, tmp_path / "mount", hang)
        assert begun.wait(WAIT_S)
        with files._hanging_lock:
            given_up = wait([call], timeout=1.5).done
        released.set()

    assert set() == given_up


def test_what_came_late_is_undone_only_while_nobody_changes_what_hangs(tmp_path):
    released, undone = threading.Event(), threading.Event()
    with pytest.raises(Silent):
        within(0.02, tmp_path / "mount", lambda: released.wait(WAIT_S), undo=lambda _: undone.set())
    with files._hanging_lock:
        released.set()
        was_early = undone.wait(0.2)

    assert (was_early, undone.wait(WAIT_S)) == (False, True)


def test_a_device_is_refused_as_one():
    with pytest.raises(NotRegular, match="it is a device"):
        read_regular(Path(os.devnull), 1)


def test_a_terminal_that_takes_the_place_of_a_file_is_not_made_the_own_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"text")
    flags, really_open = [], os.open
    monkeypatch.setattr(os, "open", lambda path, how: flags.append(how) or really_open(path, how))

    read_regular(tmp_path / "file", 9)

    assert flags[0] & os.O_NOCTTY


def test_an_answer_in_the_moment_in_which_patience_ends_is_the_answer(tmp_path, monkeypatch):
    class LastMoment(files.Future):
        def result(self, timeout=None):
            found = super().result(WAIT_S)
            if timeout is not None:
                raise TimeoutError
            return found

    monkeypatch.setattr(files, "Future", LastMoment)

    assert within(0.01, tmp_path / "mount", lambda: "answer") == "answer"
    assert str(tmp_path / "mount") not in files._hanging


def test_a_call_that_nobody_waits_for_any_more_is_not_made():
    made = []

    async def scenario():
        thread = FileThread("files")
        entered, released = threading.Event(), threading.Event()

        def block():
            entered.set()
            released.wait(WAIT_S)

        first = asyncio.create_task(thread.call(block))
        await asyncio.to_thread(entered.wait, WAIT_S)
        second = asyncio.create_task(thread.call(made.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        released.set()
        await first
        await thread.call(made.append, "third")

    asyncio.run(scenario())

    assert made == ["third"]


def test_a_thread_for_file_calls_is_begun_by_one_caller_at_a_time():
    thread = FileThread("files")

    assert waits_for(thread._lock, thread._ensure_thread)


def test_a_thread_that_is_about_to_end_stays_for_a_call_that_has_come():
    thread = FileThread("files")
    thread._thread = threading.current_thread()
    thread._calls.put(None)
    stays = not thread._may_end()
    thread._calls.get()

    assert (stays, thread._may_end()) == (True, True)


@pytest.mark.parametrize("field", ["st_dev", "st_ino", "st_mtime_ns", "st_ctime_ns", "st_size"])
def test_a_file_of_which_one_thing_differs_is_another(tmp_path, monkeypatch, field):
    (tmp_path / "table").touch()
    found = os.stat(tmp_path / "table")  # noqa: PTH116 - what is faked below
    names = ("st_dev", "st_ino", "st_mtime_ns", "st_ctime_ns", "st_size")
    told = {name: getattr(found, name) for name in names}
    other = SimpleNamespace(**{**told, field: told[field] + 1})
    before = signature_of(tmp_path / "table")
    monkeypatch.setattr(files, "os", SimpleNamespace(stat=lambda _: other))

    assert signature_of(tmp_path / "table") != before


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path):
    target = tmp_path / "kept"
    target.write_bytes(b"old")

    replace_file(target, b"new")

    assert (b"new", 0o600) == (target.read_bytes(), target.stat().st_mode & 0o777)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_cannot_be_replaced_stays_as_it_is(tmp_path, monkeypatch, call):
    (tmp_path / "kept").write_bytes(b"old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "kept", b"new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"old")]
