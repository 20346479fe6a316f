"""A new version, written where versions stand: `python -m tests.release 0.2.0`.

The version of pyproject.toml is the source; the label of the image and the example of Kubernetes repeat it, and
CHANGELOG.md gets a section. `--check v0.2.0` says whether a tag fits the tree. Standard library only: the workflow
of a release runs it before it installs anything.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"\d+\.\d+\.\d+"
PLACES = {  # file -> what comes before the version; once in each
    "pyproject.toml": r'^version = "',
    "Dockerfile": r'org\.opencontainers\.image\.version="',
    "deploy/kubernetes.yaml": r"image: \S+/overgrow:",
}
UNRELEASED = "## [Unreleased]\n"


class ReleaseError(Exception):
    """Why there is no release; the text says the fix."""


def version_in(root: Path, place: str) -> str:
    """The version that stands in one of the PLACES."""
    text = (root / place).read_text("utf-8")
    found = re.findall(rf"{PLACES[place]}({NUMBER})", text, re.MULTILINE)
    if len(found) != 1:
        raise ReleaseError(f"{place} has {len(found)} versions; it must have one.")
    return str(found[0])


def write_release(root: Path, version: str, today: date) -> None:
    """Write the version into every place and close the section of the changelog.

    Raises:
        ReleaseError: before anything is written.

    """
    fresh = {place: _with_version(root, place, version) for place in PLACES}
    current = version_in(root, "pyproject.toml")
    if _numbers(version) <= _numbers(current):
        raise ReleaseError(f"{version} is not above {current}, the version of pyproject.toml.")
    fresh["CHANGELOG.md"] = _with_section(root, version, today)
    for place, text in fresh.items():
        (root / place).write_text(text, "utf-8")


def check_tag(root: Path, tag: str) -> None:
    """Raise ReleaseError unless the tag, every place and the changelog name one version."""
    version = tag.removeprefix("v")
    if not tag.startswith("v") or not re.fullmatch(NUMBER, version):
        raise ReleaseError(f"The tag is {tag!r}. Write v and the version, such as v0.2.0.")
    wrong = [f"{place} says {at}" for place in PLACES if (at := version_in(root, place)) != version]
    if not re.search(rf"^## \[{version}\] - \d{{4}}-\d\d-\d\d$", _changelog(root), re.MULTILINE):
        wrong.append(f"CHANGELOG.md has no dated section [{version}]")
    if wrong:
        fix = f"Run python -m tests.release {version}, commit, and tag that commit."
        raise ReleaseError(f"The tag is {tag}, but {'; '.join(wrong)}. {fix}")


def _with_version(root: Path, place: str, version: str) -> str:
    if not re.fullmatch(NUMBER, version):
        raise ReleaseError(f"{version!r} is not a version. Write three numbers, such as 0.2.0.")
    version_in(root, place)
    text = (root / place).read_text("utf-8")
    return re.sub(rf"({PLACES[place]}){NUMBER}", rf"\g<1>{version}", text, flags=re.MULTILINE)


def _with_section(root: Path, version: str, today: date) -> str:
    before, found, after = _changelog(root).partition(UNRELEASED)
    if not found:
        raise ReleaseError(
            "CHANGELOG.md has no section [Unreleased]. Add it below the first lines."
        )
    if not after.partition("\n## ")[0].strip():
        raise ReleaseError(
            "CHANGELOG.md has nothing under [Unreleased]: there is nothing to release."
        )
    return f"{before}{UNRELEASED}\n## [{version}] - {today.isoformat()}\n{after}"


def _changelog(root: Path) -> str:
    return (root / "CHANGELOG.md").read_text("utf-8")


def _numbers(version: str) -> list[int]:
    return [int(each) for each in version.split(".")]


def main(words: list[str]) -> int:
    """Run the command; the exit code."""
    try:
        match words:
            case ["--check", tag]:
                check_tag(ROOT, tag)
            case [version]:
                write_release(ROOT, version, datetime.now(UTC).date())
            case _:
                print("Usage: python -m tests.release VERSION | --check TAG", file=sys.stderr)
                return 2
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
