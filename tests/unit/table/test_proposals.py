"""Whether running workers would take a table: asked and answered by files."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from overgrow.table.proposals import FOLDER, KEPT_S, ProposalAnswerer, propose_table
from overgrow.yaml_file.problem import Problem
from tests.disk import disk_calls

WRONG = Problem("app-rule-missing", "routes.yaml", 5, 13, "a", "the app has no rule", "Add one.")


def test_a_worker_answers_with_what_is_wrong(tmp_path):
    desk = ProposalAnswerer(tmp_path, lambda data: ([WRONG] if data == b"bad" else [], "edited"))
    with propose_table(tmp_path, b"bad") as proposal:
        desk.check(3)
        answer = proposal.answers()[3, os.getpid()]

    assert ((WRONG,), "edited") == (answer.problems, answer.stale)


def test_each_worker_answers_for_itself(tmp_path):
    with propose_table(tmp_path, b"good") as proposal:
        for slot in (0, 1):
            ProposalAnswerer(tmp_path, lambda _: ((), None)).check(slot)

        assert {(0, os.getpid()), (1, os.getpid())} == set(proposal.answers())


def test_a_proposal_is_judged_once(tmp_path):
    seen = []
    desk = ProposalAnswerer(tmp_path, lambda data: (seen.append(data) or (), None))
    with propose_table(tmp_path, b"text"):
        desk.check(0)
        desk.check(0)

    assert [b"text"] == seen


def test_nothing_is_left_behind(tmp_path):
    with propose_table(tmp_path, b"text"):
        ProposalAnswerer(tmp_path, lambda _: ((), None)).check(0)

    assert [] == list((tmp_path / FOLDER).iterdir())


def test_what_a_killed_command_left_is_neither_judged_nor_kept(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    old = folder / "abc.yaml"
    old.write_bytes(b"old")
    os.utime(old, (1, 1))
    seen = []
    desk = ProposalAnswerer(tmp_path, lambda data: (seen.append(data) or (), None))
    desk.check(0)
    with propose_table(tmp_path, b"new"):
        left = list(folder.iterdir())

    assert ([], 1) == (seen, len(left))
    assert KEPT_S >= 60


def test_without_a_folder_there_is_nothing_to_answer(tmp_path):
    ProposalAnswerer(tmp_path / "gone", lambda _: ((), None)).check(0)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"slot": 0}'])
def test_an_answer_that_cannot_be_read_is_none(tmp_path, text):
    with propose_table(tmp_path, b"text") as proposal:
        key = next((tmp_path / FOLDER).iterdir()).stem
        (tmp_path / FOLDER / f"{key}.0-1.json").write_bytes(text)

        assert {} == proposal.answers()


def test_nobody_else_may_list_the_proposals(tmp_path):
    with propose_table(tmp_path, b"text"):
        mode = (tmp_path / FOLDER).stat().st_mode

    assert stat.S_IMODE(mode) == 0o700


def test_a_command_leaves_the_proposals_of_others_alone(tmp_path):
    with propose_table(tmp_path, b"mine") as mine:
        with propose_table(tmp_path, b"another's"):
            pass
        ProposalAnswerer(tmp_path, lambda _: ((), None)).check(0)

        assert [(0, os.getpid())] == list(mine.answers())


def test_the_answers_to_another_proposal_do_not_count(tmp_path):
    with propose_table(tmp_path, b"mine") as mine, propose_table(tmp_path, b"bad") as other:
        ProposalAnswerer(tmp_path, lambda data: ([WRONG] if data == b"bad" else [], None)).check(0)

        found = [each.answers()[0, os.getpid()].problems for each in (mine, other)]

    assert [(), (WRONG,)] == found


def test_a_worker_forgets_proposals_that_are_gone(tmp_path):
    seen = []
    desk = ProposalAnswerer(tmp_path, lambda data: (seen.append(data) or (), None))
    (tmp_path / FOLDER).mkdir()
    asked = tmp_path / FOLDER / "abc.yaml"
    for text in (b"first", b"second"):
        asked.write_bytes(text)
        desk.check(0)
        asked.unlink()
        desk.check(0)

    assert [b"first", b"second"] == seen


def test_a_command_that_ends_while_it_is_answered_harms_no_worker(tmp_path):
    desk = ProposalAnswerer(tmp_path, lambda _: (shutil.rmtree(tmp_path / FOLDER) or (), None))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "abc.yaml").write_bytes(b"text")

    desk.check(0)

    assert [] == list(tmp_path.iterdir())


def test_proposals_and_answers_appear_whole(tmp_path, monkeypatch):
    made = disk_calls(monkeypatch)
    with propose_table(tmp_path, b"text"):
        ProposalAnswerer(tmp_path, lambda _: ((), None)).check(0)

    renamed = [call[-1].rpartition(".")[2] for call in made if call[0] == "rename"]
    assert ["yaml", "json"] == renamed
