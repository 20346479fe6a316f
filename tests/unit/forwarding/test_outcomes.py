"""What the Forwarder reports of legacy: the latest outcome, each once."""

import asyncio

import httpx
import pytest

from overgrow.exchange import Failure, Inbound
from overgrow.forwarding.forwarder import Forwarder
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision, Legacy, RouteTable

LEGACY = Legacy("http://legacy.test")
DECISION = Decision(None, "legacy", "default", "r")
REFUSED = httpx.ConnectError("refused")
LATE = httpx.ReadTimeout("late")


async def outcomes_of(*steps):
    """Serve a request for each step (None: an answer); "take" asks for the outcome."""
    coming = [step for step in steps if step != "take"]

    def handler(_request):
        step = coming.pop(0)
        if step is not None:
            raise step
        return httpx.Response(503)

    table = RouteTable("r", LEGACY)
    forwarder = Forwarder(lambda: table, lambda _legacy: httpx.MockTransport(handler))
    taken = []
    for step in steps:
        if step == "take":
            taken.append(forwarder.take_new_outcome_of_legacy())
            continue
        head = head_of(
            method="GET", target=b"/", headers=[(b"host", b"h")], peer="127.0.0.1", scheme="http"
        )
        reply = await forwarder.serve(Inbound(head), DECISION)
        await reply.close()
    return [None if each is None else _short(each) for each in taken]


def _short(outcome: LegacyOutcome):
    code = outcome.failure.code if outcome.failure else "answer"
    return (code, outcome.failures_in_row)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(("take",), [None], id="nothing was asked"),
        pytest.param((None, "take", "take"), [("answer", 0), None], id="an answer, told once"),
        pytest.param(
            (REFUSED, "take", "take"), [("legacy-connect", 1), None], id="a failure, told once"
        ),
        pytest.param((None, LATE, "take"), [("legacy-timeout", 1)], id="the failure is newer"),
        pytest.param((LATE, None, "take"), [("answer", 0)], id="the answer is newer"),
        pytest.param(
            (LATE, "take", LATE, LATE, "take"),
            [("legacy-timeout", 1), ("legacy-timeout", 3)],
            id="failures in a row are counted over questions",
        ),
        pytest.param(
            (LATE, LATE, None, LATE, "take"), [("legacy-timeout", 1)], id="an answer ends the row"
        ),
    ],
)
def test_the_latest_outcome_is_reported_once(steps, expected):
    assert asyncio.run(outcomes_of(*steps)) == expected


def test_a_handshake_counts_as_a_request():
    table = RouteTable("r", LEGACY)
    forwarder = Forwarder(lambda: table, lambda _legacy: httpx.MockTransport(None))
    forwarder.note_handshake_outcome(Failure("legacy-connect", "connect", "legacy"), LEGACY)
    failed = forwarder.take_new_outcome_of_legacy()
    forwarder.note_handshake_outcome(None, LEGACY)

    assert (failed.is_unreachable, forwarder.take_new_outcome_of_legacy()) == (
        True,
        LegacyOutcome(None),
    )


def test_a_failure_of_the_former_legacy_says_nothing_of_the_current_one():
    table = RouteTable("r", LEGACY)
    forwarder = Forwarder(lambda: table, lambda _legacy: httpx.MockTransport(None))
    forwarder.note_failure(
        Failure("legacy-connect", "connect", "legacy"), Legacy("http://former.test")
    )

    assert forwarder.take_new_outcome_of_legacy() is None
