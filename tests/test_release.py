"""A release: one version in every place, a source distribution that makes the same wheel, a workflow that publishes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from packaging.metadata import Metadata

from overgrow.cli.main import main
from tests.release import PLACES, ReleaseError, check_tag, version_in, write_release

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
DAY = date(2027, 1, 31)


@pytest.fixture
def tree(tmp_path):
    """The files of this tree in which versions stand, to write a release into."""
    for place in (*PLACES, "CHANGELOG.md"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / place, tmp_path / place)
    return tmp_path


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """What `python -m build` makes of a copy of the tree: (source distribution, wheel made from it, wheel of the tree)."""
    folder = tmp_path_factory.mktemp("release")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
    shutil.copytree(ROOT / "proxy", folder / "tree/proxy", ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "CHANGELOG.md", "README.md"):
        shutil.copy(ROOT / name, folder / "tree" / name)
    build(folder / "tree", folder / "dist")
    build(folder / "tree", folder / "direct", "--wheel")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    (direct,) = (folder / "direct").glob("*.whl")
    return sdist, wheel, direct


def build(tree, out, *kind):
    command = [sys.executable, "-m", "build", "--no-isolation", *kind, "--outdir", str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def content_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata_of(wheel):
    content = content_of(wheel)
    (name,) = (each for each in content if each.endswith(".dist-info/METADATA"))
    return Metadata.from_email(content[name], validate=True)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_names_the_version_of_the_project(place):
    assert PROJECT["version"] == version_in(ROOT, place)


def test_the_command_says_the_version_of_the_installed_package():
    installed = importlib.metadata.version("overgrow")

    assert f"overgrow, version {installed}\n" == CliRunner().invoke(main, ["--version"]).output
    assert PROJECT["version"] == installed


def test_no_source_holds_a_version_of_its_own():
    package = ROOT / "proxy/overgrow"
    holding = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if f'"{PROJECT["version"]}"' in path.read_text("utf-8")
    ]

    assert [] == holding


def test_the_source_distribution_makes_the_wheel_of_the_tree(dist):
    _, wheel, direct = dist

    assert content_of(direct) == content_of(wheel)


def test_the_source_distribution_has_license_and_typing(dist):
    with tarfile.open(dist[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"LICENSE", "pyproject.toml", "proxy/README.md", "proxy/overgrow/py.typed"} <= names


def test_the_metadata_of_the_wheel_is_complete(dist):
    told = metadata_of(dist[1])

    assert ("overgrow", PROJECT["version"]) == (told.name, str(told.version))
    assert ("MIT", ["LICENSE"]) == (told.license_expression, told.license_files)
    assert "text/markdown" == told.description_content_type
    assert told.summary
    assert told.author
    assert told.requires_python
    assert {"Homepage", "Repository", "Issues", "Documentation", "Changelog"} == set(
        told.project_urls
    )
    assert not [each for each in told.classifiers if each.startswith("License ::")]  # PEP 639


def test_classifiers_name_each_python_that_ci_tests():
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    tested = ci["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: "

    assert {f"{prefix}{each}" for each in tested} == {
        each for each in PROJECT["classifiers"] if re.fullmatch(rf"{prefix}3\.\d+", each)
    }
    assert tested == WORKFLOW["jobs"]["try"]["strategy"]["matrix"]["python"]


def test_the_page_on_the_index_has_no_relative_link():
    text = (ROOT / PROJECT["readme"]).read_text("utf-8")

    assert [] == [
        link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")
    ]


def test_a_release_writes_the_version_and_closes_the_changelog(tree):
    write_release(tree, "0.2.0", DAY)

    assert {"0.2.0"} == {version_in(tree, place) for place in PLACES}
    assert "## [Unreleased]\n\n## [0.2.0] - 2027-01-31\n\n###" in (tree / "CHANGELOG.md").read_text(
        "utf-8"
    )
    check_tag(tree, "v0.2.0")


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("0.1.0", "is not above 0.1.0"),
        ("0.0.9", "is not above 0.1.0"),
        ("v0.2.0", "is not a version"),
        ("0.2", "is not a version"),
    ],
)
def test_a_version_that_cannot_be_next_changes_nothing(tree, version, why):
    before = [(tree / place).read_bytes() for place in (*PLACES, "CHANGELOG.md")]

    with pytest.raises(ReleaseError, match=why):
        write_release(tree, version, DAY)

    assert before == [(tree / place).read_bytes() for place in (*PLACES, "CHANGELOG.md")]


def test_a_release_of_nothing_is_refused(tree):
    write_release(tree, "0.2.0", DAY)

    with pytest.raises(ReleaseError, match="nothing to release"):
        write_release(tree, "0.3.0", DAY)


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("v9.9.9", r"pyproject.toml says .* no dated section \[9.9.9\]"),
        ("0.1.0", "Write v and the version"),
        ("v0.1", "Write v and the version"),
    ],
)
def test_a_tag_that_does_not_fit_the_tree_is_refused(tree, tag, why):
    with pytest.raises(ReleaseError, match=why):
        check_tag(tree, tag)


def test_a_version_that_stands_twice_is_refused(tree):
    with (tree / "Dockerfile").open("a") as file:
        file.write('LABEL org.opencontainers.image.version="0.1.0"\n')

    with pytest.raises(ReleaseError, match="Dockerfile has 2 versions"):
        write_release(tree, "0.2.0", DAY)


def test_the_workflow_publishes_nothing():
    text = (ROOT / ".github/workflows/release.yml").read_text("utf-8")

    assert not re.search(r"twine upload|pypi-publish|uv publish|gh release|docker push", text)


def test_only_the_approved_job_may_write():
    rights = {name: job.get("permissions") for name, job in WORKFLOW["jobs"].items()}

    assert {"contents": "read"} == WORKFLOW["permissions"]
    assert {"build": None, "try": None} == {
        name: given for name, given in rights.items() if name != "attest"
    }
    assert {"attestations": "write", "contents": "read", "id-token": "write"} == rights["attest"]
    assert "release" == WORKFLOW["jobs"]["attest"]["environment"]


def test_nothing_is_attested_before_the_wheel_was_tried():
    needs = {name: job.get("needs") for name, job in WORKFLOW["jobs"].items()}

    assert {"build": None, "try": "build", "attest": ["build", "try"]} == needs


def test_what_is_attested_is_what_was_built(tmp_path):
    steps = WORKFLOW["jobs"]["attest"]["steps"]
    check = next(step["run"] for step in steps if "SUMS" in step.get("env", {}))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/a.whl").write_text("built")
    told = next(step["run"] for step in WORKFLOW["jobs"]["build"]["steps"] if "id" in step)
    output = tmp_path / "output"
    run_step(told, tmp_path, GITHUB_OUTPUT=str(output))
    _, *sums, _ = output.read_text().splitlines()

    codes = [run_step(check, tmp_path, SUMS="\n".join(sums))]
    for name in ("b.whl", "a.whl"):
        (tmp_path / "dist" / name).write_text("replaced")
        codes.append(run_step(check, tmp_path, SUMS="\n".join(sums)))

    assert codes == [0, 1, 1]


def run_step(script: str, folder: Path, **environment: str) -> int:
    """Run a step of a workflow as its runner does, and return the exit code."""
    command = ["bash", "-e", "-o", "pipefail", "-c", script]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True).returncode


def test_every_script_of_the_workflow_is_there():
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    runs = "\n".join(step.get("run", "") for step in steps)

    assert (ROOT / ".ci/try-wheel").stat().st_mode & 0o111
    assert {"requirements/release.txt", ".ci/try-wheel"} == set(
        re.findall(r"requirements/\S+|\.ci/\S+", runs)
    )
