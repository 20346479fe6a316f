"""A copy of the tree in which one mistake after another is made, and the tests that are run in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.listing import ListError, Mutant

_LIMIT_S = 240  # a mistake that makes a test hang counts as noticed
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said of one mistake."""

    mutant: Mutant
    state: str  # noticed, unnoticed, or error
    detail: str  # the test that noticed; what is wrong with the line

    @property
    def is_noticed(self) -> bool:
        """Whether a test failed because of it."""
        return self.state == "noticed"

    @property
    def is_as_expected(self) -> bool:
        """Whether it was noticed, or the list says why it cannot be."""
        return self.is_noticed or (self.state == "unnoticed" and bool(self.mutant.unnoticed))

    def line(self) -> str:
        """One line for people."""
        reason = self.detail or self.mutant.unnoticed
        return f"{self.state:9} {self.mutant.area}: {self.mutant.title}  [{reason}]"


class TreeCopy:
    """One copy of the tree; not for two threads at once."""

    def __init__(self, folder: Path, *, are_sound: bool = False) -> None:
        """Take a copy; `are_sound` says that its tests are known to pass without a mistake."""
        self._folder = folder
        self._are_sound = are_sound
        self._sound: dict[tuple[str, ...], str] = {}  # tests -> what fails without a mistake

    @classmethod
    def of(cls, root: Path, folder: Path, *, are_sound: bool = False) -> TreeCopy:
        """Copy what git tracks or would track, as it is in the working tree."""
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout
        for name in filter(None, listing.decode().split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        return cls(folder, are_sound=are_sound)

    def judge(self, mutant: Mutant) -> Outcome:
        """Make the mistake, run its tests, take it back."""
        path = self._folder / mutant.file
        try:
            text = path.read_text("utf-8")
            mutated = mutant.mutate(text)
        except (OSError, ListError) as error:
            return Outcome(mutant, "error", str(error))
        if not self._are_sound and (broken := self._failing_without(mutant.tests)):
            return Outcome(mutant, "error", f"fails without the mistake: {broken}")
        path.write_text(mutated, "utf-8")
        try:
            # A test of a race may miss it once; it has to miss it twice.
            failed = self._first_failure(mutant.tests) or self._first_failure(mutant.tests)
        finally:
            path.write_text(text, "utf-8")
        return Outcome(mutant, "noticed" if failed else "unnoticed", failed)

    def _failing_without(self, tests: tuple[str, ...]) -> str:
        if tests not in self._sound:
            # What fails once may have failed for a busy machine; the mistakes need it to pass.
            self._sound[tests] = self._first_failure(tests) and self._first_failure(tests)
        return self._sound[tests]

    def _first_failure(self, tests: tuple[str, ...]) -> str:
        """The first test that fails, "a hang" or "no test ran"; empty when all pass."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        # Child processes of the tests import the copy too, not the installed checkout.
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._folder), str(self._folder / "proxy")]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(
            command,
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed = process.communicate(timeout=_LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "a hang"
        if process.returncode == 0:
            return ""
        found = _FAILED.search(printed)
        return found.group(1) if found else f"pytest's exit code {process.returncode}"
