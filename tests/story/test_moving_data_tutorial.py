"""The tutorial of docs/moving-data.md: each file is written, each command is run, under traffic, on both databases.

After a change of what commands print, FILL_EXAMPLES=1 writes the page anew; read the difference.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import server
from tests.story.front import ROOT

PAGE = ROOT / "docs/moving-data.md"
STEP = re.compile(
    r"^```(?P<kind>python|yaml)\n# (?P<name>[\w.]+)\n(?P<file>.*?)^```"
    r"|^<!-- tutorial: (?P<what>begin|end) (?P<table>\w+) -->"
    r"|^```console\n(?P<typed>\$ .*?)^```",
    re.MULTILINE | re.DOTALL,
)


def tutorial() -> str:
    text = PAGE.read_text("utf-8")
    return text[text.index("## Tutorial") : text.index("## Problems")]


def blocks() -> Iterator[re.Match[str]]:
    yield from STEP.finditer(tutorial())


def plain(text: str) -> str:
    """What is the same in every run: no counts, times, revisions, names or widths."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z  \S+", "WHEN WHO", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "WHEN", text)
    text = re.sub(r"below \S+: neither", "below FOLDER: neither", text)
    text = re.sub(r"revision [0-9a-f]+", "revision REV", text)
    text = re.sub(r"\d[\d,]*( rows?| ranges?| of)", r"N\1", re.sub(r"rows\b", "row", text))
    text = re.sub(r"of [\d,]+", "of N", text).replace("ranges", "range")
    return re.sub(r" +", " ", text).strip()


class Reader:
    """A person with a folder, who types what the page says."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("OVERGROW_")}
        kept.pop("COLUMNS", None)
        self.env = {**kept, "SHOP_DB": url, "PATH": path, "PYTHONPATH": str(ROOT)}
        self.traffic: dict[str, subprocess.Popen[bytes]] = {}

    def type(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            check=False,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def begin(self, table: str) -> None:
        command = [sys.executable, "traffic.py", table]
        self.traffic[table] = subprocess.Popen(command, cwd=self.folder, env=self.env)

    def end(self, table: str) -> None:
        process = self.traffic.pop(table)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def reader(request, tmp_path):
    url = "sqlite:///shop.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    reader = Reader(tmp_path, url)
    yield reader
    for process in reader.traffic.values():
        process.kill()
        process.wait()


def follow(reader: Reader) -> list[tuple[str, str]]:
    """Do what the page says; return [(the block on the page, the block as it came out)]."""
    found = []
    for block in blocks():
        if block["name"]:
            (reader.folder / block["name"]).write_text(block["file"])
        elif block["what"] == "end":
            reader.end(block["table"])
        elif block["typed"]:
            commands = re.findall(r"^\$ (.*)$", block["typed"], re.MULTILINE)
            came = "".join(f"$ {one}\n{reader.type(one)}" for one in commands)
            found.append((block["typed"], came))
            if "shop_tables.py" in came:
                reader.begin("order_rows")
        if block["what"] == "begin" and block["table"] == "orders":
            reader.begin("orders")
    return found


def test_the_tutorial_holds_line_by_line(reader):
    found = follow(reader)
    reader.end("orders")

    if os.environ.get("FILL_EXAMPLES") and reader.url.startswith("sqlite"):
        text = PAGE.read_text("utf-8")
        for page, came in found:
            text = text.replace(page, came)
        PAGE.write_text(text, "utf-8")
        return
    assert [plain(page) for page, _ in found] == [plain(came) for _, came in found]
