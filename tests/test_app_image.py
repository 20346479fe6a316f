"""The Dockerfile for an app of one's own, its lines run in order in an empty folder, and its compose.yaml.

Rule: what a line does is done below the folder: `/opt/app` is `FOLDER/opt/app`. Two things are done
otherwise, since a test downloads nothing and is not root everywhere: pip installs Overgrow's wheel alone,
the other packages are this environment's, and nobody is made or becomes a user.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from overgrow.settings import settings_from
from tests.command_lines import objection_to
from tests.dockerfiles import Instruction, environment_of, instructions_of
from tests.ports import free_ports
from tests.story.front import PATIENCE_S, eventually
from tests.wire.apps import slow_legacy

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "deploy/app"
LINES = instructions_of(RECIPE / "Dockerfile")
COMPOSE = yaml.safe_load((RECIPE / "compose.yaml").read_text("utf-8"))
FRONT = COMPOSE["services"]["front"]
INSIDE = re.compile(r"(?<![\w/.])/(?=(?:opt/app|app|src|etc/overgrow|var/lib/overgrow)\b)")
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def last(word: str) -> str:
    return next(each.text for each in reversed(LINES) if each.word == word)


@dataclass
class Rehearsal:
    """The lines of the Dockerfile, run one after the other below a folder."""

    root: Path
    context: Path
    workdir: Path = Path()
    environment: dict[str, str] = field(default_factory=dict)

    def inside(self, text: str) -> str:
        """Return a text with the folders of the image as folders below the root."""
        return INSIDE.sub(f"{self.root}/", text)

    def follow(self, line: Instruction) -> None:
        act = getattr(self, f"follow_{line.word.lower()}", None)
        if act is not None:
            act(line.text)

    def follow_from(self, _text: str) -> None:
        self.environment = {"PATH": os.defpath}

    def follow_workdir(self, text: str) -> None:
        self.workdir = Path(self.inside(text))
        self.workdir.mkdir(parents=True, exist_ok=True)

    def follow_env(self, text: str) -> None:
        for pair in shlex.split(text):
            name, _, value = pair.partition("=")
            value = value.replace("$PATH", self.environment["PATH"])
            self.environment[name] = self.inside(value)

    def follow_copy(self, text: str) -> None:
        if text.startswith("--from="):
            return  # all stages share one root
        *sources, target = text.split()
        for source in sources:
            found = self.context / source
            if found.is_file():
                shutil.copy(found, self.workdir / target)
            else:
                shutil.copytree(found, self.workdir / target, dirs_exist_ok=True)

    def follow_run(self, text: str) -> None:
        if text.startswith("useradd "):
            return
        text = text.replace("-o 10001 -g 10001 ", "")
        if " pip install " in text:
            text = text.replace("-r requirements.txt", "--quiet --no-deps --no-index")
        text = re.sub(r"^python ", f"{sys.executable} ", self.inside(text))
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.workdir,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        if " -m venv " in text:
            self._lend_packages()

    def _lend_packages(self) -> None:
        """Let the new environment import the packages of this one, but not Overgrow's sources."""
        (folder,) = (self.root / "opt/app/lib").glob("python*/site-packages")
        lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (folder / "lent.pth").write_text("\n".join(lent), "utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Rehearsal:
    """The image of the example, as far as it is built without an engine."""
    root = tmp_path_factory.mktemp("image")
    context = tmp_path_factory.mktemp("context") / "shop"
    shutil.copytree(RECIPE, context, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["-m", "build", "--no-isolation", "--wheel", "--outdir", context / "wheels"]
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, *words], cwd=source, check=True, capture_output=True)
    rehearsal = Rehearsal(root, context)
    for line in LINES:
        rehearsal.follow(line)
    return rehearsal


def run_inside(built: Rehearsal, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        executable=built.root / "opt/app/bin" / words[0],
        cwd=built.workdir,
        env={**built.environment, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_the_image_of_an_app_runs_overgrow_from_its_wheel(built):
    shown = run_inside(built, "python", "-c", "import overgrow; print(overgrow.__file__)")

    assert shown.stdout.startswith(str(built.root / "opt/app/lib")), shown.stderr


def test_the_command_of_the_image_serves_both_sides_and_drains(built):
    port, admin = free_ports(2)
    words = json.loads(last("CMD"))
    health = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    health[-1] = health[-1].replace("8001", str(admin))
    with slow_legacy.running() as legacy:
        given = {
            "LEGACY_URL": f"http://127.0.0.1:{legacy.port}",
            "OVERGROW_WORKERS": "1",
            "OVERGROW_BIND": f"127.0.0.1:{port}",
            "OVERGROW_ADMIN": f"127.0.0.1:{admin}",
            "OVERGROW_DRAIN_DELAY": "0s",
        }
        environment = {**built.environment, **given}
        program = built.root / "opt/app/bin/overgrow"
        with subprocess.Popen(
            words,
            executable=program,
            cwd=built.workdir,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as front:
            try:
                eventually(lambda: run_inside(built, *health).returncode == 0, every_s=0.2)
                flipped = run_inside(built, "overgrow", "flip", "hello", "migrated", **given)
                sides = [body_of(port, path) for path in ("/quick", "/hello/fig")]
            finally:
                front.terminate()
            ended = front.wait(PATIENCE_S)

    assert flipped.returncode == 0, flipped.stderr
    assert (sides, ended) == ([b"quick", b"Hello, fig!\n"], 0)


def body_of(port: int, path: str) -> bytes:
    with DIRECTLY.open(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def test_the_image_of_an_app_is_run_by_a_user_without_privileges():
    words = [each.word for each in LINES if each.stage == "production"]

    assert last("USER") == "overgrow"
    assert words.index("USER") < words.index("CMD")
    assert objection_to(json.loads(last("CMD"))) is None


def test_the_image_of_an_app_leaves_out_what_belongs_to_a_machine():
    ignored = (RECIPE / ".dockerignore").read_text("utf-8").splitlines()

    assert {".env", ".git", ".overgrow", ".venv", "**/__pycache__"} <= set(ignored)


def test_compose_for_an_app_gives_the_drain_its_time_and_no_privileges():
    settings = settings_from(environment_of(LINES), {})

    assert int(FRONT["stop_grace_period"].removesuffix("s")) > settings.drain_delay + settings.grace
    assert (FRONT["read_only"], FRONT["cap_drop"]) == (True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for port in FRONT["ports"])
    assert {mount.partition(":")[0] for mount in FRONT["volumes"]} == set(COMPOSE["volumes"])


def test_both_images_run_the_same_command_and_health_check():
    lines = instructions_of(ROOT / "Dockerfile")
    ours = {
        each.word: each.text for each in lines if each.word in {"CMD", "HEALTHCHECK", "STOPSIGNAL"}
    }
    settings = [
        {name: value for name, value in environment_of(each).items() if "OVERGROW_" in name}
        for each in (lines, LINES)
    ]

    assert {word: last(word) for word in ours} == ours
    assert settings[0] == settings[1]
