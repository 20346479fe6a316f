"""docs/moving-an-endpoint.md, walked through: its tables, its apps and its commands, with a real front door.

What the commands print is held to the page, but for times, revisions and measured figures. After a
change of what they print, FILL_EXAMPLES=1 writes the page anew; read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from overgrow.cli.main import main
from overgrow.evidence import EvidenceReset
from overgrow.store import tables
from overgrow.store.admin_writes import reset_evidence
from overgrow.store.engine import StoreError, open_engine, store_url
from overgrow.store.reader import open_reader
from tests.story.front import NOTHING, Front, eventually, running_front
from tests.story.stub import running_stub

PAGE = Path(__file__).resolve().parents[2] / "docs/moving-an-endpoint.md"
STEP = re.compile(
    r"^```(yaml|python|console)\n(.*?)^```|^<!-- (traffic|clients): (\d+) -->",
    re.MULTILINE | re.DOTALL,
)
ORDERS = (1, 2, 3, 99)  # of the demo's legacy shop; it has no order 99


class Step(NamedTuple):
    """One thing the page does: write a table or an app, run commands, send requests."""

    kind: str
    text: str  # of a block, or a number
    start: int  # where the text stands in the page
    end: int


def steps_of(page: str) -> Iterator[Step]:
    for found in STEP.finditer(page):
        kind, group = (found[1], 2) if found[1] else (found[3], 4)
        yield Step(kind, found[group], *found.span(group))


class Walk:
    """A front door over the page's table and app, and what the page does to it."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._folder = front.config.parent
        self._url = store_url(self._folder / ".overgrow", None)

    def take(self, step: Step) -> str:
        """Do one step; the text that the page should show for it."""
        does: dict[str, Callable[[str], str]] = {
            "yaml": self._table,
            "python": self._app,
            "console": self._commands,
            "traffic": self._traffic,
            "clients": self._clients,
        }
        return does[step.kind](step.text)

    def _table(self, text: str) -> str:
        before = self._front.readyz()["revision"]
        self._front.config.write_text(text)
        eventually(lambda: self._front.readyz().get("revision") != before)
        if "shadow:" in text:
            self._settle()
        return text

    def _settle(self) -> None:
        """Wait until evidence is kept, a second after the table first asks for some; begin with none."""
        eventually(lambda: self._get("1?first") and self._compared("first"), every_s=0.2)
        self._get("1?last")
        eventually(lambda: self._compared("last"))  # what was sent before is stored, too
        engine = open_engine(self._url)
        reset_evidence(engine, EvidenceReset("order", 0.0, "test", "the page begins here"))
        with engine.begin() as connection:
            connection.execute(tables.restart.delete())
        engine.dispose()

    def _compared(self, key: str) -> bool:
        """Whether a request with this query key was compared, as the store knows."""
        try:
            with open_reader(self._url) as reader:
                shapes = reader.evidence("order", "legacy").shapes
        except StoreError:
            return False
        return any(shape.compared for shape in shapes if shape.query_keys == (key,))

    def _app(self, text: str) -> str:
        """Deploy: write the code, and have new workers started with it."""
        before = set(self._front.workers.values())
        (self._folder / "shop.py").write_text(text)
        self._front.process.send_signal(signal.SIGHUP)
        eventually(lambda: (now := set(self._front.workers.values())) and not before & now)
        return text

    def _commands(self, text: str) -> str:
        lines = [line for line in text.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{self._printed(line[2:])}" for line in lines)

    def _printed(self, line: str) -> str:
        name, *words = shlex.split(line)
        assert name == "overgrow"
        done = CliRunner(env=self._front.environment).invoke(main, words, prog_name=name)
        assert done.exit_code in {0, 1}
        return done.output

    def _traffic(self, count: str) -> str:
        """Send requests of one client."""
        self._send([{}] * int(count))
        return count

    def _clients(self, count: str) -> str:
        """Send a request of each of many clients."""
        self._send([{"Cookie": f"overgrow_id=client-{n}"} for n in range(int(count))])
        return count

    def _send(self, requests: Sequence[Mapping[str, str]]) -> None:
        """Send requests no faster than they are compared, and wait until all are stored.

        The last ones go one by one: the page shows the latest examples, copies overtake one another.
        """
        counted, stored = self._counted(), self._stored()
        for number, headers in enumerate(requests, 1):
            self._get(ORDERS[number % len(ORDERS)], headers)
            if number % 20 == 0 or len(requests) - number < len(ORDERS):
                wanted = counted + number
                eventually(lambda wanted=wanted: self._counted() >= wanted)
        all_of_them = [figure + len(requests) for figure in stored]
        eventually(lambda: self._stored() == all_of_them)

    def _get(self, order: object, headers: Mapping[str, str] = NOTHING) -> bool:
        status = self._front.get(f"/api/orders/{order}", headers=headers)[0]
        assert status in {200, 404}
        return True

    def _counted(self) -> int:
        """How many copies were sent, as the metrics have it: at once."""
        lines = self._front.get("/metrics", admin=True)[2].decode().splitlines()
        found = [line for line in lines if line.startswith("overgrow_shadow_total{")]
        return int(sum(float(line.rpartition(" ")[2]) for line in found))

    def _stored(self) -> list[int]:
        """How many requests and how many comparisons the store knows of."""
        with open_reader(self._url) as reader:
            found = reader.shadow_status()
        return [sum(each.served for each in found), sum(each.comparisons for each in found)]


def steady_status(text: str) -> str:
    """What `status` prints, without what depends on the second: figures, rates, connections."""
    text = re.sub(r"^SIDE .*?\n\n", "RATES\n\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\S+ connections? of at most .*$", "CONNECTIONS", text, flags=re.MULTILINE)
    return re.sub(r"[\d.]+( m?s\b)?", "N", text)


def steady(text: str) -> str:
    """The page without what differs at each run: ages, days, revisions, measured figures, who."""
    text = re.sub(r"\d+ (s|min|h) ago|\bjust now\b", "AGO", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "THEN", text)
    text = re.sub(r"until \d{4}-\d\d-\d\d", "until A DAY", text)
    text = re.sub(r"AGO by \S+:", "AGO by SOMEBODY:", text)
    text = re.sub(
        r"(ready: revision .*?```)",
        lambda found: steady_status(found[1]),
        text,
        flags=re.DOTALL,
    )
    return re.sub(r"\s+", " ", text)  # where a line breaks hangs on how wide an age is


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """The page as it would be if it were written now."""
    for name in [each for each in os.environ if each.startswith("OVERGROW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    page = PAGE.read_text("utf-8")
    table, app, *steps = steps_of(page)
    data = tmp_path / "shop.sqlite3"
    (tmp_path / "shop.py").write_text(app.text)
    with (
        running_stub(data=data) as legacy,
        running_front(table.text, tmp_path, legacy, data=data) as front,
    ):
        walk = Walk(front)
        shown, at = "", 0
        for step in steps:
            shown += page[at : step.start] + walk.take(step)
            at = step.end
    sys.modules.pop("shop", None)
    return shown + page[at:]


def test_the_page_shows_what_a_walk_through_it_prints(walked):
    if os.environ.get("FILL_EXAMPLES") == "1":
        PAGE.write_text(walked, "utf-8")

    assert steady(PAGE.read_text("utf-8")) == steady(walked)
