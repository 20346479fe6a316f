import fcntl
import json
import multiprocessing
import os
import signal
from contextlib import contextmanager

import pytest

from overgrow.observe.board import claim_slot, workers
from tests.locking import waits_for

# Python 3.12 warns of a fork beside threads; here the child only counts, logs or waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def process():
    """Fork a child that runs a function until it is killed; it has begun when this returns."""
    started = []

    def run(work):
        begun, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                kept = work()
                os.write(tell, b"1")
                signal.pause()
                del kept
            finally:
                os._exit(1)
        os.close(tell)
        assert os.read(begun, 1) == b"1"
        os.close(begun)
        started.append(pid)
        return pid

    yield run
    for pid in started:
        end(pid)


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def publishing(folder, revision):
    def work():
        slot = claim_slot(folder)
        slot.publish({"revision": revision})
        return slot

    return work


def test_slots_are_numbered_from_zero(tmp_path):
    first, second = claim_slot(tmp_path), claim_slot(tmp_path)

    assert (0, 1) == (first.number, second.number)
    first.release()
    second.release()


def test_the_lowest_free_slot_is_claimed(tmp_path):
    slots = [claim_slot(tmp_path) for _ in range(3)]
    slots[1].release()

    again = claim_slot(tmp_path)

    assert again.number == 1
    for slot in (slots[0], again, slots[2]):
        slot.release()


def test_the_folder_is_made(tmp_path):
    slot = claim_slot(tmp_path / "state" / "board")

    assert slot.is_held
    slot.release()


def test_what_was_published_is_told_with_slot_and_pid(tmp_path):
    slot = claim_slot(tmp_path)

    slot.publish({"revision": "abc", "reload_error": None})

    told = {"slot": 0, "pid": os.getpid(), "revision": "abc", "reload_error": None}
    assert workers(tmp_path) == [told]
    slot.release()


def test_a_second_publish_replaces_the_first(tmp_path):
    slot = claim_slot(tmp_path)
    slot.publish({"revision": "abc", "draining": True})

    slot.publish({"revision": "def"})

    assert [{"slot": 0, "pid": os.getpid(), "revision": "def"}] == workers(tmp_path)
    slot.release()


def test_a_worker_that_has_not_published_is_not_told(tmp_path):
    slot = claim_slot(tmp_path)

    assert workers(tmp_path) == []
    slot.release()


def test_a_released_slot_is_not_told(tmp_path):
    slot = claim_slot(tmp_path)
    slot.publish({"revision": "abc"})

    slot.release()
    slot.release()

    assert workers(tmp_path) == []
    assert repr(slot) == "<Slot 0, not held>"


def test_no_folder_has_no_workers(tmp_path):
    assert workers(tmp_path / "nowhere") == []


def test_publishing_after_release_is_refused(tmp_path):
    slot = claim_slot(tmp_path)
    slot.release()

    with pytest.raises(RuntimeError, match="claim_slot in each worker, after the fork"):
        slot.publish({})


def test_a_worker_killed_with_9_is_gone_and_its_slot_free(tmp_path, process):
    pid = process(publishing(tmp_path, "abc"))
    assert [pid] == [worker["pid"] for worker in workers(tmp_path)]

    end(pid)

    assert workers(tmp_path) == []
    slot = claim_slot(tmp_path)
    assert slot.number == 0
    slot.release()


def test_a_predecessors_last_words_are_not_taken_for_the_successors(tmp_path, process):
    end(process(publishing(tmp_path, "abc")))

    slot = claim_slot(tmp_path)

    assert workers(tmp_path) == []
    slot.release()


def test_a_child_that_outlives_its_worker_does_not_keep_the_slot(tmp_path, process):
    read, write = os.pipe()

    def worker_with_child():
        slot = claim_slot(tmp_path)
        slot.publish({"revision": "abc"})
        if os.fork() == 0:
            os.write(write, f"{os.getpid()}\n".encode())
            signal.pause()
            os._exit(0)
        return slot

    worker = process(worker_with_child)
    orphan = int(os.read(read, 20))
    end(worker)

    try:
        assert workers(tmp_path) == []
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(read)
        os.close(write)


def test_a_forked_child_may_not_publish_for_its_parent(tmp_path):
    slot = claim_slot(tmp_path)
    answers = FORK.SimpleQueue()

    def child():
        try:
            slot.publish({"revision": "stolen"})
        except RuntimeError:
            answers.put(slot.is_held)

    running = FORK.Process(target=child)
    running.start()
    running.join()

    assert answers.get() is False
    assert slot.is_held
    slot.release()


def test_processes_that_claim_at_once_get_different_slots(tmp_path):
    numbers = FORK.SimpleQueue()
    done = FORK.Event()

    def claim():
        slot = claim_slot(tmp_path)
        workers(tmp_path)
        numbers.put(slot.number)
        done.wait(60)

    running = [FORK.Process(target=claim) for _ in range(6)]
    for each in running:
        each.start()
    claimed = sorted(numbers.get() for _ in running)
    done.set()
    for each in running:
        each.join()

    assert claimed == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("text", ["", "{", "[]"], ids=["empty", "torn", "no object"])
def test_a_damaged_state_file_hides_its_worker_only(tmp_path, text):
    slots = [claim_slot(tmp_path), claim_slot(tmp_path)]
    for slot in slots:
        slot.publish({"revision": "abc"})
    (tmp_path / "slot-0.json").write_text(text)

    assert [1] == [worker["slot"] for worker in workers(tmp_path)]
    for slot in slots:
        slot.release()


def test_readers_never_see_half_a_state(tmp_path):
    slot = claim_slot(tmp_path)
    slot.publish({"revision": "a" * 5000})

    written = json.loads((tmp_path / "slot-0.json").read_text())

    assert written["revision"] == "a" * 5000
    assert not list(tmp_path.glob("*.new"))
    slot.release()


@contextmanager
def board_locked(folder, mode):
    descriptor = os.open(folder / "board.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, mode)
    yield
    os.close(descriptor)


def test_a_claim_waits_while_somebody_looks_at_the_board(tmp_path):
    # A look tests locks by taking them: a claim meanwhile would skip free slots.
    assert waits_for(board_locked(tmp_path, fcntl.LOCK_SH), lambda: claim_slot(tmp_path))


def test_a_look_waits_while_somebody_claims_a_slot(tmp_path):
    assert waits_for(board_locked(tmp_path, fcntl.LOCK_EX), lambda: workers(tmp_path))


def test_of_two_threads_that_publish_one_waits(tmp_path):
    slot = claim_slot(tmp_path)

    assert waits_for(slot._publishing, lambda: slot.publish({}))


def test_a_reader_keeps_the_whole_state_that_it_opened(tmp_path):
    slot = claim_slot(tmp_path)
    slot.publish({"revision": "a"})

    with (tmp_path / "slot-0.json").open() as opened:
        slot.publish({"revision": "b"})

        assert json.load(opened)["revision"] == "a"


def test_a_released_slot_leaves_no_state_behind(tmp_path):
    slot = claim_slot(tmp_path)
    slot.publish({})

    slot.release()

    assert not (tmp_path / "slot-0.json").exists()


def test_workers_stand_in_the_order_of_their_slots(tmp_path):
    slots = [claim_slot(tmp_path) for _ in range(11)]
    for slot in slots:
        slot.publish({})

    assert list(range(11)) == [worker["slot"] for worker in workers(tmp_path)]
