"""One app on both sides, every address of it: what differs is noise, and once learned nothing differs.

The shops are not frozen: sessions, tokens, references and times are new in each answer, so there is
something to learn. Each has data of its own, so that an order may be placed twice.
"""

from __future__ import annotations

import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest

from tests.story.endpoints import ENDPOINTS, FORM, ORDER, Endpoint, file_form, order
from tests.story.front import eventually
from tests.story.shadowed import WITH_APP, Shadowed, two_shops
from tests.story.stub import answer_of

# Flask rules of the shop's templates; all other paths are routes as they stand.
TEMPLATES = {
    r"/products/\d+": "/products/<int:number>",
    r"/api/products/\d+": "/api/products/<int:number>",
    r"/api/orders/\d+": "/api/orders/<int:number>",
    r"/downloads/.*": "/downloads/<name>",
    r"/static/.*": "/static/<name>",
}
EVERY = "    target: legacy\n    shadow: {percent: 100%, noise: 100%, unsafe: true}\n"
PAIRS = 30  # asked for by a proposal

# What a team would say of the rest: at which path, why, and how narrow. Whatever is not named
# here must match, or be learned.
REFLECTED = "It shows the request with its hops, and one side has more of them."
TWICE = "Placed on both sides, each with a reference of its own."
CLOCK = "Both sides write the time of the request."
AGREED = [
    ("echo", "$.headers", "ignore", REFLECTED),
    ("echo", "$.headers[*][*]", "ignore", REFLECTED),
    *(
        ("whoami", f"$.{name}", "ignore", REFLECTED)
        for name in ("via", *(f"x-forwarded-{each}" for each in ("for", "host", "port", "proto")))
    ),
    ("api-orders", "$.reference", "same_shape", TWICE),
    ("api-orders", "$.placed_at", "timestamp_within 5s", CLOCK),
    ("api-orders", "$.orders[*].reference", "same_shape", TWICE),
    ("api-orders", "$.orders[*].placed_at", "timestamp_within 5s", CLOCK),
    ("api-orders-number", "$.reference", "same_shape", TWICE),
    ("api-orders-number", "$.placed_at", "timestamp_within 5s", CLOCK),
    ("login", "cookie:shop_seen", "timestamp_within 5s", CLOCK),
]
LEARNED = {
    (page, path, "same_shape")
    for page in ("cart", "login")
    for path in ("cookie:shop_session", "html:/html/body/main/form/input[@name=csrf_token]/@value")
}


def rule_of(endpoint: Endpoint) -> str:
    """The Flask rule of an endpoint, which is its route's path."""
    path = endpoint.path.partition("?")[0]
    found = [rule for pattern, rule in TEMPLATES.items() if re.fullmatch(pattern, path)]
    return found[0] if found else path


def is_a_frozen_visit(endpoint: Endpoint) -> bool:
    """Whether it carries the session of a frozen shop; here a Browser makes those visits."""
    return any(name == "Cookie" for name, _ in endpoint.headers)


RULES = sorted({rule_of(each) for each in ENDPOINTS})
ASKED = [*[each for each in ENDPOINTS if not is_a_frozen_visit(each)], file_form(b"leaf")]
# Why an answer is not compared. The catalogue has 3 MB, whatever range of it is asked for.
NOT_COMPARED = {
    "GET /broken": {"unfinished"},
    "GET /events": {"stream"},
    "POST /upload": {"request-too-large"},
}
STEPS = [
    ("GET", "/cart", {}),
    ("POST", "/cart", {"product": "5", "quantity": "2"}),
    ("GET", "/cart?product=5", {}),
    ("POST", "/cart", {"product": "4", "quantity": "0"}),
    ("GET", "/login", {}),
    ("POST", "/login", {"name": "ada", "password": "wrong"}),
    ("POST", "/login", {"name": "ada", "password": "engine"}),
    ("GET", "/account", {}),
    ("POST", "/logout", {}),
]
STATUSES = [200, 303, 200, 400, 200, 401, 303, 200, 303]


class Browser:
    """A visitor who keeps cookies, and sends forms with the token of the page before."""

    def __init__(self, shadowed: Shadowed) -> None:
        self._port = shadowed.front.port
        self._cookies: dict[str, str] = {}
        self._token = ""

    def get(self, path: str) -> int:
        """Open a page; its status."""
        return self._ask("GET", path)

    def post(self, path: str, **fields: str) -> int:
        """Send a form; the status."""
        body = urlencode({"csrf_token": self._token, **fields}).encode()
        return self._ask("POST", path, (FORM,), body)

    def _ask(
        self,
        method: str,
        path: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
    ) -> int:
        jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers += (("Cookie", jar),) * bool(jar)
        answer = answer_of(self._port, Endpoint(method, path, headers, body))
        for name, value in answer.headers:
            if name == "set-cookie":
                cookie, _, rest = value.partition("=")
                self._cookies[cookie] = rest.partition(";")[0]
        found = re.search(rb'name="csrf_token" value="(\w+)"', answer.body)
        self._token = found[1].decode() if found else self._token
        return answer.status


def visit(shadowed: Shadowed) -> list[tuple[int, str]]:
    """Fill a cart, log in and out: each step's status, and what became of its copy."""
    for _ in range(50):
        told = list(visited(shadowed))
        if all(fate != "budget" for _, fate in told):
            return told
    raise AssertionError(told)


def visited(shadowed: Shadowed) -> Iterator[tuple[int, str]]:
    browser = Browser(shadowed)
    for method, path, fields in STEPS:
        statuses: list[int] = []

        def step(method=method, path=path, fields=fields, statuses=statuses) -> None:
            asked = browser.get(path) if method == "GET" else browser.post(path, **fields)
            statuses.append(asked)

        with lagging(shadowed, only="engine" in fields.values()):
            fate = shadowed.fate_of(step)
        yield statuses[0], fate


def everything(shadowed: Shadowed, endpoints: list[Endpoint]) -> dict[str, set[str]]:
    """Ask for every address of the shop in every way; by request the fates of the copies."""
    found: dict[str, set[str]] = defaultdict(set)
    for endpoint in endpoints:
        with lagging(shadowed, only=endpoint == order(ORDER)):
            fate = fate_of(shadowed, endpoint)
        found[f"{endpoint.method} {endpoint.path.partition('?')[0]}"].add(fate)
    return found


def fate_of(shadowed: Shadowed, endpoint: Endpoint) -> str:
    """What became of an endpoint's copy; asked again where it had no chance to be compared."""
    is_unread = endpoint.body == b"a body nobody reads"
    for _ in range(500):
        fate = shadowed.fate_of(lambda: answer_of(shadowed.front.port, endpoint))
        if fate == "budget":  # the second shop does what the copy would have done
            answer_of(shadowed.second_port, endpoint)
        elif fate != "unfinished" or not is_unread:  # legacy may be too quick to read the body
            return fate
    raise AssertionError(endpoint)


@contextmanager
def lagging(shadowed: Shadowed, *, only: bool) -> Iterator[None]:
    """Let the migrated side lag by a second, so that two clocks differ for sure."""
    late = shadowed.folder / "late"
    if only:
        late.touch()
    yield
    late.unlink(missing_ok=True)


def learn(shadowed: Shadowed) -> None:
    """Send what there is to learn from."""
    everything(shadowed, ASKED)
    assert [status for status, _ in visit(shadowed)] == STATUSES
    for page in ("/cart", "/login"):
        for _ in range(PAIRS):
            fate_of(shadowed, Endpoint("GET", page))
    eventually(lambda: len(shadowed.overgrow("diff", "proposals")) == len(LEARNED), every_s=0.2)
    eventually(lambda: shadowed.stored() == compared(shadowed))


def compared(shadowed: Shadowed) -> int:
    """How many comparisons were made."""
    found = shadowed.fates()
    return sum(found[verdict] for verdict in ("matched", "ignored", "mismatched"))


def accept(shadowed: Shadowed) -> set[tuple[str, str, str]]:
    """Accept what was learned; what that was."""
    proposals = shadowed.overgrow("diff", "proposals")
    for each in proposals:
        shadowed.overgrow("diff", "accept", each["proposal"], "--reason", "New for each visitor.")
    return {(each["route"], each["path"], each["how"]) for each in proposals}


def agree(shadowed: Shadowed) -> None:
    """Accept what a person must judge."""
    for route, path, how, reason in AGREED:
        (group, *_) = [
            each["group"]
            for each in shadowed.overgrow("diff", "top", "--route", route)
            if any(one["path"] == path for one in each["differences"] if not one["covered"])
        ]
        words = ("--path", path, "--how", how, "--reason", reason)
        shadowed.overgrow("diff", "accept", group, *words)


def begin_anew(shadowed: Shadowed) -> None:
    """Wait until the rules are in force, and forget the pairs from before."""
    for path in ("/cart", "/login", "/echo", "/whoami", "/api/orders", "/api/orders/4"):
        page = Endpoint("GET", path)
        eventually(lambda page=page: fate_of(shadowed, page) == "ignored", every_s=0.2)
    eventually(lambda: shadowed.stored() == compared(shadowed))
    for route in sorted({each["route"] for each in shadowed.overgrow("diff", "top", "--all")}):
        shadowed.overgrow("shadow", "restart", route, "--reason", "Rules were agreed on.")


def table_of(rules: list[str]) -> str:
    return WITH_APP + "".join(f"  - path: {rule}\n{EVERY}" for rule in rules)


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    """Two shops with clocks and chance of their own."""
    with two_shops(
        tmp_path_factory.mktemp("living"), table_of(RULES), RULES, frozen=False
    ) as shadowed:
        yield shadowed


def test_one_app_on_both_sides_never_mismatches_once_its_noise_is_learned(living):
    learn(living)
    agree(living)
    learned = accept(living)
    begin_anew(living)
    before, count, stored = living.fates(), compared(living), living.stored()

    fates = everything(living, ASKED)
    steps = visit(living)
    eventually(lambda: living.stored() - stored == compared(living) - count)
    after = living.fates() - before
    not_compared = {asked: told - {"matched", "ignored"} for asked, told in fates.items()}

    assert learned == LEARNED
    assert {asked: told for asked, told in not_compared.items() if told} == NOT_COMPARED
    assert [status for status, _ in steps] == STATUSES
    assert {fate for _, fate in steps} == {"matched", "ignored"}
    assert after["mismatched"] == after["unanswered"] == 0
    assert living.overgrow("diff", "top") == []
    assert [each["path"] for each in living.overgrow("diff", "rules") if not each["covered"]] == []


def test_frozen_shops_differ_in_nothing_but_the_hops_they_show(tmp_path):
    with two_shops(tmp_path, table_of(RULES), RULES, frozen=True) as shadowed:
        fates = everything(shadowed, ENDPOINTS)
        eventually(lambda: shadowed.stored() == compared(shadowed))
        groups = shadowed.overgrow("diff", "top")

    assert {asked for asked, told in fates.items() if "mismatched" in told} == {
        *("GET /echo", "POST /echo", "PROPFIND /echo", "GET /whoami")
    }
    assert {group["route"] for group in groups} == {"echo", "whoami"}


def test_an_event_stream_is_counted_as_not_compared_since_it_never_ends(living):
    def some_of_it() -> None:
        with socket.create_connection(("127.0.0.1", living.front.port), timeout=60) as sock:
            sock.sendall(b"GET /events?every_ms=10 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            assert b"event: tick" in read_until(sock, b"event: tick")

    assert living.fate_of(some_of_it) == "stream"


def test_a_websocket_is_served_and_not_compared(living):
    head = (
        b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    before = living.fates()
    with socket.create_connection(("127.0.0.1", living.front.port), timeout=60) as sock:
        sock.sendall(head)
        told = read_until(sock, b"\r\n\r\n")

    assert told.startswith(b"HTTP/1.1 101 ")
    assert eventually(lambda: handshakes(living)) == [(1, 0)]
    assert living.fates() - before == {}


def handshakes(shadowed: Shadowed) -> list[tuple[int, int]]:
    """How many upgrades the gate knows to have been served, and how many compared."""
    shapes = shadowed.shapes("ws")
    return [(each.served, each.compared) for each in shapes if each.status == 101]


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """What arrives, up to a mark at least."""
    found = b""
    while mark not in found:
        piece = sock.recv(65536)
        assert piece, found
        found += piece
    return found
