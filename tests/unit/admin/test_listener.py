import asyncio
import json

import pytest

from overgrow.admin.listener import AdminListener
from overgrow.exchange import Inbound, Reply
from overgrow.routing.model import Decision, Legacy, RouteTable
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import head

DECISION = Decision(None, "migrated", "default", "")
LIVING = [{"slot": 0, "pid": 7, "revision": "abc", "since": SINCE, "killed": False}]


class Pages:
    """A Server that has no free thread: it says 503 to everything."""

    async def serve(self, inbound, decision):
        return Reply(503, [], b"busy")


def answer(method, target, tmp_path, living=LIVING):
    async def seen():
        return living

    view = View(tmp_path, RouteTable("abc", Legacy("http://127.0.0.1:9"), ()))
    listener = AdminListener(Pages(), view, seen)
    return asyncio.run(listener.serve(Inbound(head(target, method=method)), DECISION))


@pytest.mark.parametrize("target", [b"/healthz", b"/healthz?probe=1"])
def test_healthz_needs_no_thread(target, tmp_path):
    reply = answer("GET", target, tmp_path)

    assert (200, b"ok\n") == (reply.status, reply.body)


def test_readyz_needs_no_thread(tmp_path):
    reply = answer("GET", b"/readyz", tmp_path)
    told = json.loads(reply.body)

    assert (200, "ready", "abc") == (reply.status, told["status"], told["revision"])
    assert (b"cache-control", b"no-store") in reply.headers


def test_readyz_is_503_while_no_worker_lives(tmp_path):
    assert answer("GET", b"/readyz", tmp_path, living=()).status == 503


@pytest.mark.parametrize("target", [b"/healthz", b"/readyz"])
def test_head_of_a_probe_has_no_body(target, tmp_path):
    reply = answer("HEAD", target, tmp_path)

    assert (200, b"") == (reply.status, reply.body)


@pytest.mark.parametrize(
    ("method", "target"), [("GET", b"/metrics"), ("POST", b"/readyz"), ("GET", b"/healthz/")]
)
def test_everything_else_goes_to_the_pages(method, target, tmp_path):
    assert answer(method, target, tmp_path).status == 503
