"""A Django site on both sides: its noise is accepted twice at most, nothing else differs, no bug hides.

Legacy is the site behind gunicorn and gzip; migrated is the same site, mounted in a Flask app. Whatever the site does
by itself (tokens, nonces, sessions, ids, times) is noise; ten mistakes are then made beside it and in large
bodies. FOREIGN_COMPARISONS says how many comparisons without a mismatch it takes (1000 for a long run).
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.ports import free_port
from tests.programs import is_missed
from tests.story.front import ROOT, environment_for, eventually, overgrow, running_front
from tests.story.shadowed import Shadowed

pytestmark = pytest.mark.timeout(900)  # as many comparisons as FOREIGN_COMPARISONS says
IS_HERE = find_spec("django") is not None
HOST = "shop.example"
COMPARISONS = int(os.environ.get("FOREIGN_COMPARISONS", "320"))
PAIRS = 34  # of each route, to learn from
MORE_PAIRS = 8  # in a second round: what was learned before still counts
BATCH = 40
ROUNDS = 2
MOST_COMMANDS = 12

APP = """\
import os
import time
from pathlib import Path

from flask import Flask, Response, request

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.story.foreign_shop.settings"
# Everything is compared at once here, as fast as it comes: the share of a core that comparisons
# may take is there for the sake of users.
time.thread_time = lambda: 0.0
MISTAKES = Path(__file__).with_name("mistakes")


def create_app():
    from django.core.wsgi import get_wsgi_application

    site = get_wsgi_application()
    app = Flask("site", static_folder=None)

    def served(**_):
        return Response.from_app(site, request.environ)

    for rule in os.environ["RULES"].split():
        app.add_url_rule(rule, rule, served, methods=["GET"])

    @app.after_request
    def mistaken(response):
        change = CHANGES.get(request.path)
        if change is not None and MISTAKES.exists():
            change(response)
        return response

    return app


def in_body(old, new):
    def change(response):
        assert old in response.data, (old, response.data)
        response.data = response.data.replace(old, new, 1)

    return change


def in_header(name, old, new):
    def change(response):
        assert old in response.headers[name], response.headers
        response.headers[name] = response.headers[name].replace(old, new)

    return change


def lost_member(response):
    document = json.loads(response.data)
    del document["request"]
    response.data = json.dumps(document)


import json

CHANGES = {
    "/": in_body(b"Total 78.50", b"Total 87.50"),
    "/products/1": in_body(b'name="amount" value="3"', b'name="amount" value="4"'),
    "/api/stats": in_body(b'"items", "value": 3', b'"items", "value": 4'),
    "/orders/export.csv": in_body(b"1,lamp,1,19.50", b"1,lamp,1,19.05"),
    "/feedback": in_header("Content-Security-Policy", "; object-src 'none'", ""),
    "/login/": in_header("Set-Cookie", "SameSite=Lax", "SameSite=None"),
    "/api/me": lost_member,
    "/admin/foreign_shop/product/1/change/": in_body(b'value="19.50"', b'value="19.05"'),
    "/report": in_body(b"2000: ", b"2001: "),
    "/downloads/catalogue.bin": in_body(b"\\x00", b"\\x01"),
}
"""


class Page(NamedTuple):
    """An address of the site: its route's path, what is asked for, and whether ada asks or anybody."""

    rule: str
    path: str
    by_ada: bool = False


PAGES = [
    Page("/", "/"),
    Page("/login/", "/login/"),
    Page("/account", "/account", by_ada=True),
    Page("/products", "/products"),
    Page("/products/<int:number>", "/products/1"),
    Page("/cart", "/cart"),
    Page("/search", "/search?q=a"),
    Page("/feedback", "/feedback"),
    Page("/report", "/report"),
    Page("/orders/export.csv", "/orders/export.csv", by_ada=True),
    Page("/orders/<int:number>", "/orders/1"),
    Page("/orders/<int:number>/invoice", "/orders/1/invoice", by_ada=True),
    Page("/downloads/catalogue.bin", "/downloads/catalogue.bin"),
    Page("/api/products", "/api/products"),
    Page("/api/products/<int:number>", "/api/products/2"),
    Page("/api/stats", "/api/stats"),
    Page("/api/me", "/api/me", by_ada=True),
    Page("/admin/login/", "/admin/login/"),
    Page("/admin/", "/admin/", by_ada=True),
    Page("/admin/foreign_shop/product/", "/admin/foreign_shop/product/", by_ada=True),
    Page(
        "/admin/foreign_shop/product/<int:number>/change/",
        "/admin/foreign_shop/product/1/change/",
        by_ada=True,
    ),
]


class Bug(NamedTuple):
    """A mistake: where it is asked for, and the exact path at which it has to be found."""

    path: str
    found: str


BUGS = [
    Bug("/", "html:/html/body/main/p[2]/text()"),
    Bug("/products/1", "html:/html/body/main/form/input[@name=amount]/@value"),
    Bug("/api/stats", "$.rows[1].value"),
    Bug("/orders/export.csv", "text:line[3]"),
    Bug("/feedback", "header:content-security-policy;object-src"),
    Bug("/login/", "cookie:csrftoken;samesite"),
    Bug("/api/me", "$.request"),
    Bug("/admin/foreign_shop/product/1/change/", "input[@name=price]/@value"),
    Bug("/report", "html:/html/body/main/pre/text()"),
    Bug("/downloads/catalogue.bin", "bytes"),
]


# Every rule that is there in the end, at the only paths at which the site may differ from itself.
TOKEN = "input[@name=csrfmiddlewaretoken]/@value"
USER_TOOLS = f"html:/html/body/div/header/div[@id=user-tools]/form/{TOKEN}"
LISTED = {
    ("header:content-encoding", "ignore (content-coding)"),
    ("header:x-request-id", "same_shape (header-value)"),
    ("header:content-security-policy;script-src", "same_shape (header-value)"),
    *((f"cookie:{name}", "same_shape (cookie-value)") for name in ("csrftoken", "sessionid")),
    (f"html:/html/body/main/form/{TOKEN}", "same_shape (value)"),
    (f"html:/html/body/div/div/main/div/div/form/{TOKEN}", "same_shape (value)"),
    (f"html:/html/body/div/div/main/div/div/div/div/form/{TOKEN}", "same_shape (value)"),
    (USER_TOOLS, "same_shape (value)"),
    ("html:/html/head/meta[@name=api-token]/@content", "same_shape (value)"),
    ("html:/html/head/script/@nonce", "same_shape (value)"),
    ("html:/html/body/main/script/@nonce", "same_shape (value)"),
    ("html:/html/body/main/p[1]/text()", "same_shape (text)"),
    ("html:/html/body/main/table/tr[*]/td[3]/text()", "same_shape (text)"),
    ("$.request", "same_shape (value)"),
    ("$.as_of", "timestamp_within"),
    ("$.products[*].cursor", "same_shape (value)"),
    ("$.rows[key=took_ms].value", "same_shape (value)"),
    ("text:line[1]", "same_shape (text)"),
}


@dataclass
class Site:
    """The running front door between both sides, and what was done with it."""

    shadowed: Shadowed
    environment: dict[str, str]
    cookies: str = ""
    commands: list[tuple[str, ...]] = field(default_factory=list)
    clean: Counter[str] = field(default_factory=Counter)  # what came of comparisons after learning
    closed: dict[str, list[str]] = field(default_factory=dict)  # gates before there was a mistake
    rules: list[dict[str, Any]] = field(default_factory=list)

    def command(self, *words: str, exits: int | None = 0) -> Any:
        """Run one command as a person would, and count it: what it prints as JSON."""
        self.commands.append(words)
        config = str(self.shadowed.front.config)
        done = overgrow(*words, "--config", config, "--json", environment=self.environment)
        assert exits in {None, done.returncode}, done.stdout + done.stderr
        return json.loads(done.stdout)

    def look(self, *words: str, exits: int | None = 0) -> Any:
        """Run one command for the test's own sake.

        Not in this process: what the site's app does to it would meet the tests behind this one.
        """
        config = str(self.shadowed.front.config)
        done = overgrow(*words, "--config", config, "--json", environment=self.environment)
        assert exits in {None, done.returncode}, done.stdout + done.stderr
        return json.loads(done.stdout)

    def log_in(self) -> None:
        """Log ada in by the form, as a browser does."""
        _, headers, page = self.ask(Page("", "/login/"))
        (token,) = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"csrfmiddlewaretoken": token.decode(), "username": "ada", "password": "engine"}
        status, more, _ = self.ask(
            Page("", "/login/"), body=urlencode(form), cookies=jar_of(headers)
        )
        assert status == 302
        self.cookies = f"{jar_of(headers)}; {jar_of(more)}"

    def ask(
        self, page: Page, *, body: str | None = None, cookies: str = ""
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask for one page: status, headers and body as they came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.shadowed.front.port, timeout=60)
        cookies = cookies or (self.cookies if page.by_ada else "")
        headers = {"Host": HOST, **({"Cookie": cookies} if cookies else {})}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif not page.by_ada:
            headers["Accept-Encoding"] = "gzip"
        try:
            connection.request("POST" if body else "GET", page.path, body, headers)
            answer = connection.getresponse()
            packed = answer.getheader("Content-Encoding") == "gzip"
            whole = answer.read()
            return answer.status, answer.getheaders(), gzip.decompress(whole) if packed else whole
        finally:
            connection.close()

    def compare(self, pages: list[Page]) -> Counter[str]:
        """Ask for pages, a batch at a time, until each copy has come to an end: to which ones."""
        found: Counter[str] = Counter()
        for at in range(0, len(pages), BATCH):
            found += self._batch(pages[at : at + BATCH])
        return found

    def _batch(self, pages: list[Page]) -> Counter[str]:
        before = self.shadowed.fates()
        with ThreadPoolExecutor(6) as pool:
            statuses = {status for status, _, _ in pool.map(self.ask, pages)}
        assert statuses == {200}
        eventually(
            lambda: (self.shadowed.fates() - before).total() >= len(pages),
            within_s=90,
            every_s=0.05,
        )
        return self.shadowed.fates() - before

    def route(self, path: str) -> str:
        """The name of the route that takes a path."""
        told = self.look("explain", "-H", f"Host: {HOST}", path)
        return str(told["route"])


def jar_of(headers: list[tuple[str, str]]) -> str:
    """The cookies that an answer sets, as a request carries them."""
    return "; ".join(
        value.partition(";")[0] for name, value in headers if name.lower() == "set-cookie"
    )


@contextmanager
def legacy(environment: dict[str, str]) -> Iterator[int]:
    """Run the site as legacy serves it."""
    port = free_port()
    words = ["--bind", f"127.0.0.1:{port}", "--threads", "4", "--log-level", "error"]
    app = "tests.story.foreign_shop.serving:behind_gzip()"
    command = [sys.executable, "-m", "gunicorn", *words, app]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            eventually(lambda: answers(port), within_s=30)
            yield port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    """Whether somebody answers at a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/api/stats")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def with_shadow(table: str) -> str:
    """The table as a person edits it: every route compared, and what it takes to flip one."""
    lines = "    shadow: {percent: 100%, noise: 100%}\n    require: {clean: 15}\n"
    edited = table.replace("    target: legacy\n", f"    target: legacy\n{lines}")
    # A large page that legacy packs says nothing by its hash; a large download does.
    name, _, rest = edited.partition("path: /report\n")
    assert rest
    larger = rest.replace("noise: 100%}", "noise: 100%, max_answer: 1MiB}", 1)
    return f"{name}path: /report\n{larger}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, its noise accepted in two rounds at most."""
    if not IS_HERE:
        is_missed("no Django here: make .venv/.foreign-installed")
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "shop.py").write_text(APP)
    rules = " ".join(page.rule for page in PAGES)
    with ExitStack() as stack:
        own = {"RULES": rules, "FOREIGN_DATA": str(folder / "shop.sqlite3")}
        environment = environment_for(0, folder / "no.sqlite3", **own)
        seed = [sys.executable, "-m", "tests.story.foreign_shop"]
        subprocess.run(seed, cwd=ROOT, env=environment, check=True, timeout=60)
        port = stack.enter_context(legacy(environment))
        begun = ("init", "--legacy", f"http://127.0.0.1:{port}", "--app", "shop:create_app")
        config = folder / "routes.yaml"
        done = overgrow(*begun, "--config", str(config), environment=environment)
        assert done.returncode == 0, done.stderr
        front = stack.enter_context(
            running_front(
                with_shadow(config.read_text()), folder, port, data=folder / "no.sqlite3", **own
            )
        )
        found = Site(Shadowed(front, folder), front.environment)
        found.commands += [begun, ("serve",)]
        found.log_in()
        learn(found)
        without_noise(found)
        found.clean = send(found, PAGES * -(-COMPARISONS // len(PAGES)))
        gates = found.command("gate", "--all", exits=None)["members"]
        found.closed = {each["route"]: each["reasons"] for each in gates if not each["ready"]}
        found.rules = found.look("diff", "rules")
        yield found


@pytest.fixture(scope="module")
def mistaken(site: Site) -> Site:
    """The same after migrated made ten mistakes, each on a route of its own."""
    (site.shadowed.folder / "mistakes").touch()
    pages = [page for page in PAGES if page.path in {bug.path for bug in BUGS}]
    assert len(pages) == len(BUGS)
    send(site, pages * 12)
    return site


def learn(site: Site) -> None:
    """Send traffic, accept what is proposed, and begin anew, until nothing is proposed any more."""
    for number in range(ROUNDS):
        send(site, PAGES * (PAIRS if number == 0 else MORE_PAIRS))
        words = ("--proposals", "--yes", "--restart", "--reason", "noise of the site itself")
        if not site.command("diff", "accept", *words)["files"]:
            break
        if number == 0:
            send(site, PAGES[:2])
            accept_packing(site)


def send(site: Site, pages: list[Page]) -> Counter[str]:
    """Ask for pages and wait until all comparisons are stored, and a second more for what was learned."""
    stored = site.shadowed.stored()
    fates = site.compare(pages)
    judged = sum(fates[verdict] for verdict in ("matched", "ignored", "mismatched"))
    eventually(lambda: site.shadowed.stored() >= stored + judged, within_s=30, every_s=0.2)
    return fates


def accept_packing(site: Site) -> None:
    """Agree that legacy's answers are packed and migrated's are not, for every route."""
    path = "header:content-encoding"
    for group in site.command("diff", "top"):
        if path in {each["path"] for each in group["differences"]}:
            words = ("--path", path, "--everywhere", "--restart", "--reason", "a proxy packs")
            site.command("diff", "accept", group["group"], *words)
            return


def without_noise(site: Site) -> None:
    """Stop asking twice, as a person does who has learned enough."""
    table = site.shadowed.front.config
    table.write_text(table.read_text().replace("noise: 100%", "noise: 0%"))
    revision = site.look("check")["revision"]
    eventually(lambda: site.shadowed.front.runs(revision))


def told_of(site: Site, bug: Bug) -> tuple[set[str], set[str]]:
    """The exact paths of what no rule covers on a bug's route, and why its gate is closed."""
    route = site.route(bug.path)
    paths: set[str] = set()
    for group in site.look("diff", "top", "--route", route, "--limit", "50"):
        shown = site.look("diff", "show", group["group"])
        paths |= {
            each["path"]
            for example in shown["examples"]
            for each in example["differences"]
            if each["rule"] is None
        }
    gate = site.look("gate", route, exits=1)
    return paths, set(gate["reasons"])


def test_a_site_on_both_sides_never_mismatches_once_its_noise_is_accepted(site):
    assert (0, set()) == (site.clean["mismatched"], {*site.clean} - {"matched", "ignored"})
    assert site.clean.total() >= COMPARISONS


def test_what_is_accepted_is_no_wider_than_what_is_listed(site):
    found = {(rule["path"], words_of(rule)) for rule in site.rules}

    assert set() == found - LISTED


def words_of(rule: dict[str, Any]) -> str:
    """A rule as it is listed: of times without the bound, which is that of the machine."""
    kinds = f" ({', '.join(rule['kinds'])})" if rule["kinds"] else ""
    return f"{rule['how'].partition(' ')[0]}{kinds}"


def test_a_dozen_commands_open_the_gates_of_every_route(site):
    assert ({}, True) == (site.closed, len(site.commands) <= MOST_COMMANDS)
    assert len(PAGES) >= 16


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.path)
def test_a_bug_beside_noise_or_in_a_large_body_closes_its_gate(mistaken, bug):
    paths, reasons = told_of(mistaken, bug)

    assert [path for path in paths if path.endswith(bug.found)] == [*paths]
    assert (True, True) == (bool(paths), bool(reasons))
