"""A front door that copies every request to another of the same shop, and what became of the copies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from overgrow.cli.main import main
from overgrow.evidence import Group, ShapeCounts
from overgrow.observe.counted_families import sum_samples
from overgrow.store.engine import StoreError, store_url
from overgrow.store.reader import Reader, open_reader
from tests.story.front import Front, eventually, running_front
from tests.story.stub import running_stub

T = TypeVar("T")

FATES = {"overgrow_shadow_total": "verdict", "overgrow_shadow_dropped_total": "reason"}
WITH_APP = "version: 1\napp: shadow_app:create_app\nlegacy:\n  url: ${LEGACY_URL}\nroutes:\n"

# Passes every request on to the server at SECOND_PORT: a migrated side that is another legacy.
RELAY_APP = '''\
import http.client
import os
import time
from pathlib import Path
from flask import Flask, Response, request

RULES = os.environ["RULES"].split()
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"]
LATE = Path(__file__).with_name("late")


def create_app():
    app = Flask("relay", static_folder=None)
    for rule in RULES:
        app.add_url_rule(rule, rule, relayed, methods=METHODS, provide_automatic_options=False)
    return app


def relayed(**_):
    """The other server's answer, as it is."""
    if LATE.exists():
        time.sleep(1.1)  # a copy that comes back late
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["SECOND_PORT"]))
    target = request.environ["REQUEST_URI"]
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value)
    connection.endheaders(request.get_data() or None)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    hops = {"connection", "date", "server", "transfer-encoding"}
    kept = [pair for pair in answer.getheaders() if pair[0].lower() not in hops]
    response = Response(body, answer.status)
    response.headers.clear()
    response.headers.extend(kept)
    response.automatically_set_content_length = False
    return response
'''


@dataclass
class Shadowed:
    """A running front door between two shops, and the folder of its table."""

    front: Front
    folder: Path

    @property
    def first_port(self) -> int:
        """Where legacy listens."""
        return int(self.front.environment["LEGACY_URL"].rpartition(":")[2])

    @property
    def second_port(self) -> int:
        """Where the shop on migrated's side listens."""
        return int(self.front.environment["SECOND_PORT"])

    def fates(self) -> Counter[str]:
        """How many copies came to which end: a verdict, or why there was none."""
        found: Counter[str] = Counter()
        for each in sum_samples(self.folder / ".overgrow/metrics"):
            if each.name in FATES:
                found[each.labels[FATES[each.name]]] += int(each.value)
        return found

    def fate_of(self, ask: Callable[[], object]) -> str:
        """What became of the one copy of what is asked."""
        before = self.fates()
        ask()
        (label,) = eventually(lambda: self.fates() - before, within_s=30, every_s=0.01)
        return label

    def overgrow(self, *words: str) -> Any:
        """Run one command on the table, in this process: what it prints as JSON."""
        runner = CliRunner(env=self.front.environment)
        config = str(self.front.config)
        done = runner.invoke(main, [*words, "--config", config, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def stored(self) -> int:
        """How many comparisons the store knows of."""
        return (
            self._read(lambda reader: sum(each.comparisons for each in reader.shadow_status())) or 0
        )

    def shapes(self, route: str) -> tuple[ShapeCounts, ...]:
        """Of which shapes the route's requests were, that legacy answered."""
        return self._read(lambda reader: reader.evidence(route, "legacy").shapes) or ()

    def _read(self, ask: Callable[[Reader], T]) -> T | None:
        """What the store says; None while there is none."""
        try:
            with open_reader(store_url(self.folder / ".overgrow", None)) as reader:
                return ask(reader)
        except StoreError:
            return None


@contextmanager
def two_shops(
    folder: Path, table: str, rules: list[str], *, frozen: bool, app: str = RELAY_APP
) -> Iterator[Shadowed]:
    """Run a front door over two shops with equal data and one secret; the second is migrated's."""
    (folder / "relay.py").write_text(RELAY_APP)
    (folder / "shadow_app.py").write_text(app)
    with ExitStack() as stack:
        ports = []
        for name in ("one", "two"):
            shop = folder / name
            shop.mkdir()
            (shop / "secret").write_text("the same for both")
            running = running_stub(frozen=frozen, data=shop / "shop.sqlite3")
            ports.append(stack.enter_context(running))
        given = {"SECOND_PORT": str(ports[1]), "RULES": " ".join(rules)}
        front = stack.enter_context(
            running_front(table, folder, ports[0], data=folder / "no.sqlite3", **given)
        )
        yield Shadowed(front, folder)


def groups_in(folder: Path) -> tuple[Group, ...]:
    """The groups that the store of a folder's front door holds."""
    with open_reader(store_url(folder / ".overgrow", None)) as reader:
        return reader.groups()
