"""The list of mistakes fits the code, and the tool that makes them tells noticed from unnoticed."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import running
from tests.mutants.__main__ import LISTS, ROOT, main
from tests.mutants.listing import ListError, Mutant, drawn, read_lists
from tests.mutants.running import Outcome, TreeCopy

MUTANTS = read_lists(LISTS)
CODE = "def is_adult(age):\n    return age >= 18\n"
MISTAKE = Mutant("ages", "18 is too young", "ages.py", ">= 18", "> 18", ("test_ages.py",))


def has_ended(pid: int) -> bool:
    """Whether a process has ended, read or not by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A small tree under git with a test that knows 17 and 18, and needs no plugin and no library."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(running, "LIBRARIES", ())
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "ages.py").write_text(CODE)
    (tree / "test_ages.py").write_text(
        "from ages import is_adult\n\n\n"
        "def test_ages():\n    assert [is_adult(17), is_adult(18)] == [False, True]\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    with TreeCopy.of(tree, tmp_path / "copy") as made:
        yield made


def test_every_mistake_of_the_lists_fits_the_code():
    unfit = []
    for mutant in MUTANTS:
        try:
            mutant.mutate((ROOT / mutant.file).read_text("utf-8"))
        except (OSError, ListError) as error:
            unfit.append(str(error))

    assert unfit == []


def test_every_mistake_names_tests_that_exist():
    named = {Path(test.partition("::")[0]) for mutant in MUTANTS for test in mutant.tests}

    assert sorted(str(path) for path in named if not (ROOT / path).exists()) == []


def test_every_mistake_has_a_title_of_its_own():
    titles = [(mutant.area, mutant.title) for mutant in MUTANTS]

    assert len(titles) == len(set(titles))


def test_a_mistake_that_a_test_catches_is_noticed(copy):
    outcome = copy.judge(MISTAKE)

    assert (outcome.state, outcome.detail) == ("noticed", "test_ages.py::test_ages")


def test_a_mistake_that_no_test_catches_is_unnoticed(copy):
    harmless = Mutant("ages", "19 is harmless", "ages.py", "18", "18 + 0", MISTAKE.tests)

    assert copy.judge(harmless).state == "unnoticed"


def test_a_mistake_is_taken_back_afterwards(copy):
    copy.judge(MISTAKE)

    assert CODE == (copy._folder / "ages.py").read_text()


def test_a_mistake_that_does_not_fit_the_code_is_an_error(copy):
    stale = Mutant("ages", "stale", "ages.py", ">= 21", "> 21", MISTAKE.tests)

    outcome = copy.judge(stale)

    assert (outcome.state, "stands 0 times" in outcome.detail) == ("error", True)


def test_tests_that_fail_without_the_mistake_are_an_error(copy):
    (copy._folder / "test_ages.py").write_text("def test_ages():\n    assert False\n")

    outcome = copy.judge(MISTAKE)

    assert (outcome.state, outcome.is_as_expected) == ("error", False)


def test_tests_that_are_known_to_pass_are_run_with_the_mistake_alone(copy):
    (copy._folder / "test_ages.py").write_text("def test_ages():\n    assert False\n")

    with TreeCopy(copy._folder, are_sound=True) as sound:
        outcome = sound.judge(MISTAKE)

    assert ("noticed", "test_ages.py::test_ages") == (outcome.state, outcome.detail)


def test_programs_that_a_test_starts_import_the_copy_too(copy):
    """The package lives in proxy/; an installed checkout has one of the same name."""
    package = copy._folder / "proxy" / "overgrow"
    package.mkdir(parents=True)
    (copy._folder / "ages.py").rename(package / "__init__.py")
    (copy._folder / "test_ages.py").write_text(
        "import subprocess, sys\n\n\ndef test_ages():\n"
        "    code = 'import overgrow; sys.exit(overgrow.is_adult(17))'\n"
        "    subprocess.run([sys.executable, '-c', 'import sys;' + code], check=True)\n"
    )

    younger = replace(MISTAKE, file="proxy/overgrow/__init__.py", now=">= 17")

    assert "noticed" == copy.judge(younger).state


def test_mistakes_of_one_length_are_each_seen_though_made_in_one_second(copy):
    harmless = replace(MISTAKE, title="17.5 is too young", now=">  17")

    outcomes = [copy.judge(mutant).state for mutant in (harmless, MISTAKE, harmless, MISTAKE)]

    assert ["unnoticed", "noticed"] * 2 == outcomes


def test_a_mistake_that_leaves_a_program_behind_is_noticed_and_ends_it(copy):
    (copy._folder / "test_ages.py").write_text(
        "import subprocess\nfrom pathlib import Path\nfrom ages import is_adult\n\n\n"
        "def test_ages():\n"
        "    left = subprocess.Popen(['sleep', '1000'])\n"
        "    Path('left').write_text(str(left.pid))\n"
        "    assert is_adult(18)\n"
        "    left.kill()\n    left.wait()\n"
    )

    state = copy.judge(MISTAKE).state
    left = int((copy._folder / "left").read_text())

    assert "noticed" == state
    while not has_ended(left):  # it was killed; the time limit of the test is all it has
        time.sleep(0.01)


def test_a_mistake_that_makes_a_test_hang_is_noticed(copy, monkeypatch):
    monkeypatch.setattr(running, "LIMIT_S", 2)
    hang = replace(MISTAKE, was="return age", now="while True: pass\n    return age")

    with TreeCopy(copy._folder, are_sound=True) as sound:
        outcome = sound.judge(hang)

    assert ("noticed", "a hang") == (outcome.state, outcome.detail)


def test_a_mistake_that_keeps_a_failed_run_from_ending_is_noticed_by_name(copy, monkeypatch):
    monkeypatch.setattr(running, "LEAVE_S", 1)
    hang = replace(
        MISTAKE,
        was="return age",
        now="import atexit, time; atexit.register(time.sleep, 1000)\n    return not age",
    )

    outcome = copy.judge(hang)

    assert ("noticed", "test_ages.py::test_ages") == (outcome.state, outcome.detail)


def test_a_mistake_that_ends_the_whole_process_is_noticed(copy):
    ending = replace(MISTAKE, was="return age", now="import os; os._exit(7)\n    return age")

    outcome = copy.judge(ending)

    assert ("noticed", "pytest's exit code 7") == (outcome.state, outcome.detail)


def test_a_mistake_in_a_file_that_is_loaded_before_the_tests_is_an_error(copy):
    (copy._folder / "conftest.py").write_text("import ages\n")

    outcome = copy.judge(MISTAKE)

    assert ("error", "ages.py is loaded" in outcome.detail) == (outcome.state, True)


def test_an_unnoticed_mistake_passes_with_a_reason_only():
    explained = replace(MISTAKE, unnoticed="no test can see it")

    assert [True, False] == [
        Outcome(mutant, "unnoticed", "").is_as_expected for mutant in (explained, MISTAKE)
    ]


def test_the_same_seed_draws_the_same_share():
    one, same, other = (drawn(MUTANTS, percent=10, seed=seed) for seed in ("a", "a", "b"))

    assert one == same != other
    assert len(one) == -(-len(MUTANTS) // 10)


def test_an_unknown_list_is_refused_with_the_names_that_exist():
    with pytest.raises(ListError, match=r"no list 'lodaing'.*routing"):
        read_lists(LISTS, ["lodaing"])


def test_the_command_says_how_many_were_noticed(monkeypatch, capsys, copy):
    monkeypatch.setattr("tests.mutants.__main__.read_lists", lambda *_: [MISTAKE])
    monkeypatch.setattr("tests.mutants.__main__.ROOT", copy._folder.parent / "tree")

    assert main(["--jobs", "1"]) == 0
    assert "1 of 1 mistakes noticed" in capsys.readouterr().out
