"""A state folder goes up one version and back: the version before, from this repository's history, runs on it.

`tests/version_before.txt` names that version: a tag or a commit. A release sets it to the release before.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overgrow.table.editing.unrecorded import waiting_notes
from tests.programs import IMPORT_PATH
from tests.wire.serving.servers import PATIENCE_S, ROOT
from tests.wire.serving.test_serve_for_real import Served, Site

BEFORE = (ROOT / "tests" / "version_before.txt").read_text("utf-8").split()[0]


@pytest.fixture(scope="module")
def version_before(tmp_path_factory) -> Path:
    """The package of the version before, unpacked."""
    folder = tmp_path_factory.mktemp("before")
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("there is no history beside the tree to take the version before from")
    command = [git, "-C", str(ROOT), "archive", BEFORE, "proxy/overgrow"]
    packed = subprocess.run(command, capture_output=True, check=False)
    if packed.returncode:
        why = f"the history has no {BEFORE}; fetch it whole (fetch-depth: 0)"
        if "GITHUB_ACTIONS" in os.environ:  # ci.yml fetches the whole history
            pytest.fail(why)
        pytest.skip(why)  # a shallow copy of the repository is no fault of the code
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder / "proxy"


class Version:
    """One version of Overgrow over a folder: it serves there, and its commands run there."""

    def __init__(self, site: Site, import_path: str) -> None:
        self._site = site
        self._env = {**site.env, "PYTHONPATH": import_path}

    def serve(self) -> Served:
        self._site.env = self._env
        return self._site.serve()

    def run(self, *arguments: str) -> dict:
        """What a command prints as JSON."""
        command = [sys.executable, "-B", "-m", "overgrow.cli.main", *arguments, "--json"]
        done = subprocess.run(
            command,
            cwd=self._site.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def flips(self) -> list[dict]:
        return self.run("history")["entries"]


@pytest.fixture
def site(tmp_path):
    found = Site(tmp_path)
    found.write_table("migrated\n    name: hello\n    shadow: 100%")
    return found


@pytest.fixture
def present(site):
    return Version(site, IMPORT_PATH)


@pytest.fixture
def before(site, version_before):
    return Version(site, str(version_before))


def work(version: Version, target: str) -> int:
    """Serve, ask, flip, send everything to legacy and back; return how many requests the metrics count."""
    with version.serve() as served:
        for _ in range(3):
            served.asked("/hello")
        version.run("flip", "hello", target)
        version.run("rollback", "--all")
        version.run("resume")
        counted = requests_in(served.scraped())
    assert served.process.returncode == 0
    return counted


def requests_in(metrics: bytes) -> int:
    lines = metrics.decode().splitlines()
    found = [each for each in lines if each.startswith("overgrow_requests_total{")]
    return sum(int(float(each.rpartition(" ")[2])) for each in found)


def notes_of(site: Site) -> int:
    """How many kills and resumes wait to be written: one waits for no lock, the next change writes it."""
    return len(waiting_notes(site.folder / "routes.yaml", site.folder / ".overgrow"))


def test_the_version_before_works_on_with_what_this_one_wrote(site, present, before):
    counted = [work(present, "legacy"), work(before, "migrated"), work(present, "legacy")]
    told = [present.flips(), before.flips()]

    assert counted == [3, 6, 9]
    # The version before knows fewer fields.
    assert [{name: entry[name] for name in told[1][0]} for entry in told[0]] == told[1]
    assert len(told[0]) + notes_of(site) == 9


def test_this_version_works_on_with_what_the_one_before_wrote(site, present, before):
    counted = [work(before, "legacy"), work(present, "migrated")]

    assert counted == [3, 6]
    assert len(present.flips()) + notes_of(site) == 6
