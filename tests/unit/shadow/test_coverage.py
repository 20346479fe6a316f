"""Which answers to users count as what has to be covered."""

from __future__ import annotations

import pytest

from overgrow.exchange import Failure
from overgrow.shadow.coverage import CoverageSink
from tests.unit.observe.exchanges import exchange
from tests.unit.shadow.mirrored import HEAD, Notes, decided


def answers(**given):
    notes = Notes()
    made = {"status": 200, "decision": decided(), "head": HEAD} | given
    status = made.pop("status")
    CoverageSink(notes).record(exchange(status=status)._replace(**made))
    return notes.answers


def test_an_answer_on_a_route_with_a_shadow_is_told_with_its_shape():
    (served,) = answers(status=404, decision=decided("migrated"))

    assert (served.route, served.control, served.shape.status) == ("orders", "migrated", 404)
    assert (served.shape.method, served.shape.template) == ("GET", "/a")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"decision": decided(route=None)}, id="no route"),
        pytest.param({"decision": decided(shadow=0)}, id="no shadow"),
        pytest.param({"decision": decided(reason="override")}, id="a tester's"),
        pytest.param({"decision": decided(reason="fallback")}, id="fell back"),
        pytest.param({"failure": Failure("legacy-connect", "connect", "legacy")}, id="a failure"),
        pytest.param({"status": 0}, id="nothing was sent"),
    ],
)
def test_other_answers_are_not(given):
    assert answers(**given) == []
