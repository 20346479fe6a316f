"""docs/tutorial, followed page after page in an empty folder: each command is typed, each output compared.

PHP runs the legacy app. After a change of what commands print, FILL_EXAMPLES=1 writes the pages anew;
read the difference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.programs import is_missed, needed
from tests.story.front import ROOT
from tests.story.tutorial import Newcomer, Step, is_shown, steps_of

pytestmark = pytest.mark.timeout(600)  # some sixty processes, one after the other
TUTORIAL = ROOT / "docs/tutorial"
EXAMPLE = ROOT / "examples/tool-library"
PAGES = sorted(TUTORIAL.glob("[0-9]*.md"))


def clone(folder: Path) -> None:
    """Put what the tutorial takes from a clone into a folder named like one."""
    for name in ("proxy", "examples"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)


def environment_of(newcomer: Path, ports: dict[str, str]) -> dict[str, str]:
    """The newcomer's environment: the packages that pip would fetch are those of this environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OVERGROW_", "SHOP_", "FLASK_", "PYTEST_"))
    }
    kept.pop(
        "COLUMNS", None
    )  # of whoever runs the tests: the pages show what a wide terminal shows
    return {
        **kept,
        "HOME": str(newcomer),
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of an option that is off
        "PIP_NO_INDEX": "1",
        "OVERGROW_BIND": f"127.0.0.1:{ports['8000']}",
        "OVERGROW_ADMIN": f"127.0.0.1:{ports['8001']}",
    }


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Each page as it would be if it were written now, and the folder that the tutorial made."""
    needed("php", "php-cli")
    needed("curl", "curl")
    php_with_sqlite = ["php", "-r", "exit((int) !extension_loaded('pdo_sqlite'));"]
    if subprocess.run(php_with_sqlite, check=False).returncode:
        is_missed("PHP has no SQLite (Debian package php-sqlite3)")
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "overgrow").mkdir()
    clone(folder / "overgrow")
    ports = {port: str(free_port()) for port in ("8000", "8001", "9000")}
    newcomer = Newcomer(folder, folder / "tool-library", environment_of(folder, ports), ports)
    try:
        pages = {page.name: follow(newcomer, page.read_text("utf-8")) for page in PAGES}
    finally:
        newcomer.leave()
    return pages, folder / "tool-library"


def follow(newcomer: Newcomer, page: str) -> str:
    shown, at = "", 0
    for step in steps_of(page):
        shown += page[at : step.start] + newcomer.take(step)
        at = step.end
    return shown + page[at:]


@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_a_page_shows_what_its_commands_print(walked, page):
    if os.environ.get("FILL_EXAMPLES") == "1":
        (TUTORIAL / page).write_text(walked[0][page], "utf-8")

    assert (TUTORIAL / page).read_text("utf-8") == walked[0][page]


def test_the_files_of_the_pages_are_those_of_the_example():
    steps = [step for page in PAGES for step in steps_of(page.read_text("utf-8"))]
    written = {step.text.split()[1]: step.text for step in steps if step.kind == "python"}
    app = EXAMPLE / "app"

    assert written == {
        str(file.relative_to(app)): file.read_text("utf-8") for file in app.rglob("*.py")
    }


def test_the_index_of_the_tutorial_links_each_page():
    index = (TUTORIAL / "README.md").read_text("utf-8")

    assert [] == [page.name for page in PAGES if f"]({page.name})" not in index]


@pytest.mark.parametrize("page", sorted(TUTORIAL.glob("*.md")), ids=lambda page: page.name)
def test_a_page_of_the_tutorial_says_first_who_it_is_for(page):
    title, first = page.read_text("utf-8").split("\n\n")[:2]

    assert ("# ", "For ") == (title[:2], first[:4])
    assert "After " in first


def test_a_block_with_a_mark_before_it_runs_in_its_own_terminal():
    page = "<!-- terminal: app, 9000 -->\n```console\n$ run\n```\n<!-- stop: app -->\n"

    assert [
        Step("terminal", "$ run\n", 40, 46, name="app", port="9000"),
        Step("stop", "<!-- stop: app -->\n", 50, 69, name="app"),
    ] == list(steps_of(page))


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        pytest.param("a\n...\nd\n", "a\nb\nc\nd\n", True, id="dots stand for lines"),
        pytest.param("a\n", "a\nb\n", False, id="a line too many"),
        pytest.param("a\n", "", False, id="nothing was printed"),
        pytest.param("HTTP/1.1 200 OK\n", "HTTP/1.1 500 Oops\n", False, id="another status"),
        pytest.param("at 0123456789ab\n", "at ba9876543210\n", True, id="another revision"),
    ],
)
def test_an_output_is_compared_by_what_stays_the_same(shown, printed, fits):
    assert fits == is_shown(shown, printed, "curl")
