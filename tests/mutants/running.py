"""A copy of the tree in which one mistake after another is made, and the tests that are run in it."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any, Self

from tests.mutants import fork_server
from tests.mutants.listing import ListError, Mutant

LIMIT_S = 240  # for the tests of one mistake, where none fails; such a hang counts as noticed
# Those of the project that take long to load.
LIBRARIES = (
    "alembic.command",
    "flask",
    "gunicorn.app.base",
    "httpx",
    "prometheus_client",
    "psycopg",
    "respx",
    "sqlalchemy",
    "uvloop",
    "websockets.sync.client",
    "yaml",
)
LEAVE_S = 20  # for the end of a run in which a test has failed
_TEST_LIMIT_S = 90  # more than the minute that tests wait for a fact
_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said of one mistake."""

    mutant: Mutant
    state: str  # noticed, unnoticed, or error
    detail: str  # the test that noticed; what is wrong with the line
    took_s: float = 0.0

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
        return f"{self.state:9} {self.mutant.area}: {self.mutant.title}  [{reason}] {self.took_s:.1f} s"


class TreeCopy:
    """One copy of the tree; not for two threads at once."""

    def __init__(self, folder: Path, *, are_sound: bool = False) -> None:
        """Take a copy; `are_sound` says that its tests are known to pass without a mistake."""
        self._folder = folder
        self._are_sound = are_sound
        self._sound: dict[tuple[str, ...], str] = {}  # tests -> what fails without a mistake
        self._tests = TestRunner(folder)

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
        _compile(folder)
        return cls(folder, are_sound=are_sound)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tests.close()

    def judge(self, mutant: Mutant) -> Outcome:
        """Make the mistake, run its tests, take it back."""
        began = time.monotonic()
        state, detail = self._judge(mutant)
        return Outcome(mutant, state, detail, time.monotonic() - began)

    def _judge(self, mutant: Mutant) -> tuple[str, str]:
        path = self._folder / mutant.file
        try:
            text = path.read_text("utf-8")
            mutated = mutant.mutate(text)
        except (OSError, ListError) as error:
            return "error", str(error)
        if self._tests.has_loaded(mutant.file):
            return "error", f"{mutant.file} is loaded before the tests; mistakes in it are not seen"
        if not self._are_sound and (broken := self._failing_without(mutant.tests)):
            return "error", f"fails without the mistake: {broken}"
        run = self._tests.first_failure
        path.write_text(mutated, "utf-8")
        try:
            # A test of a race may miss it once; it has to miss it twice.
            failed = run(mutant.tests) or run(mutant.tests)
        finally:
            path.write_text(text, "utf-8")
        return ("noticed" if failed else "unnoticed"), failed

    def _failing_without(self, tests: tuple[str, ...]) -> str:
        if tests not in self._sound:
            # What fails once may have failed for a busy machine; the mistakes need it to pass.
            run = self._tests.first_failure
            self._sound[tests] = run(tests) and run(tests)
        return self._sound[tests]


def _compile(folder: Path) -> None:
    """Compile a copy once, for all runs and the programs they start.

    What is compiled is compared with its source by hash: mistakes of one length follow each other
    within the second that a file's time has.
    """
    compileall.compile_dir(
        folder, quiet=2, workers=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH
    )


class TestRunner:
    """Runs tests in a copy of the tree, by a fork server that begins with the first run."""

    __test__ = False  # pytest, this is no test

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the server
        self._loaded: list[str] = []

    def has_loaded(self, file: str) -> bool:
        """Whether no run would see that a file has changed."""
        self._started()
        return file in self._loaded

    def first_failure(self, tests: Sequence[str]) -> str:
        """The first test that fails, "a hang" or pytest's exit code; empty when all pass."""
        run = self._ask(tests)
        if run["failed"] or run["code"] == 0:
            return str(run["failed"])
        return "a hang" if run["code"] is None else f"pytest's exit code {run['code']}"

    def close(self) -> None:
        """Let the server end."""
        if self._server is not None:
            self._server.communicate()
            self._server = None
        self._said.close()

    def _ask(self, tests: Sequence[str]) -> dict[str, Any]:
        server = self._started()
        assert server.stdin is not None
        server.stdin.write(json.dumps(tests) + "\n")
        server.stdin.flush()
        return self._heard(server)

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None:
            self._server = self._start()
            self._loaded = self._heard(self._server)
        return self._server

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, fork_server.__file__),
                *(str(LIMIT_S), str(LEAVE_S), " ".join(LIBRARIES)),
                *_OPTIONS,
            ],
            cwd=self._folder,
            # Programs that tests start import the copy too, not the installed checkout.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(self._folder), str(self._folder / "proxy")]),
                "PYTEST_TIMEOUT": str(_TEST_LIMIT_S),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def _heard(self, server: subprocess.Popen[str]) -> Any:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            code = server.wait()
            self._said.seek(0)
            raise ListError(f"pytest ended with {code}: {self._said.read()[-500:]}")
        return json.loads(line)
