import asyncio

import pytest

from proxy.admin.listener import AdminListener
from proxy.exchange import Inbound, Reply
from proxy.routing.model import Decision
from tests.unit.observe.exchanges import head

DECISION = Decision(None, "migrated", "default", "")


class Pages:
    """A Server that has no free thread: it says 503 to everything."""

    async def serve(self, inbound, decision):
        return Reply(503, [], b"busy")


def answer(method, target):
    inbound = Inbound(head(target, method=method))
    return asyncio.run(AdminListener(Pages()).serve(inbound, DECISION))


@pytest.mark.parametrize("target", [b"/healthz", b"/healthz?probe=1"])
def test_healthz_needs_no_thread(target):
    reply = answer("GET", target)

    assert (200, b"ok\n") == (reply.status, reply.body)


def test_head_of_healthz_has_no_body():
    assert (200, b"") == (answer("HEAD", b"/healthz").status, answer("HEAD", b"/healthz").body)


@pytest.mark.parametrize(
    ("method", "target"), [("GET", b"/readyz"), ("POST", b"/healthz"), ("GET", b"/healthz/")]
)
def test_everything_else_goes_to_the_pages(method, target):
    assert answer(method, target).status == 503
