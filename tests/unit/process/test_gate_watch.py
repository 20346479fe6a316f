"""Gates are judged by one worker, within bounds."""

import asyncio
from types import SimpleNamespace

import pytest

from overgrow.process import gate_watch
from overgrow.process.gate_watch import GateWatch
from overgrow.routing.model import Route

ROUTES = [Route(name=name, path=f"/{name}", target="legacy", shadow=100) for name in "abc"]


def report(question, *, missing=None, is_ready=True):
    return SimpleNamespace(
        question=question,
        result=SimpleNamespace(rate_bound=0.02, allowed_rate=0.01),
        evidence=SimpleNamespace(newest_at=5.0),
        missing_store=missing,
        is_ready=is_ready,
    )


class Watch:
    """A gate watch, what it asked and how often it published."""

    def __init__(self, routes=(), answer=report, *, speaks=True):
        self.routes, self.speaks, self.asked, self.published = list(routes), speaks, [], 0
        self.answer = answer

        async def is_speaker():
            return self.speaks

        self.watch = GateWatch(lambda: self.routes, self._ask, self._publish, is_speaker)

    def _ask(self, question):
        self.asked.append(question.route)
        return self.answer(question)

    def _publish(self):
        self.published += 1

    def judge(self):
        asyncio.run(self.watch.judge())
        return self.watch.gates


def test_the_share_answered_alike_and_the_share_required_are_published():
    found = Watch(ROUTES[:1])
    gate = found.judge()["a"]

    assert (gate["value"], gate["threshold"], gate["is_open"]) == (0.98, 0.99, True)
    assert (gate["newest_s"], found.published) == (5.0, 1)


def test_only_routes_with_a_shadow_that_can_go_back_are_judged():
    others = [
        Route(name="plain", path="/p", target="legacy"),
        Route(name="final", path="/f", target="migrated", shadow=100, reversible=False),
    ]

    assert Watch(others).judge() == {}


def test_a_worker_that_does_not_speak_judges_nothing_and_forgets():
    found = Watch(ROUTES)
    assert len(found.judge()) == 3
    found.speaks = False

    assert found.judge() == {}
    assert found.asked == ["a", "b", "c"]


def test_the_gate_of_a_removed_route_is_forgotten():
    found = Watch(ROUTES)
    found.judge()
    found.routes = ROUTES[:1]

    assert found.judge().keys() == {"a"}


def test_without_a_store_no_gate_has_figures():
    found = Watch(ROUTES, lambda question: report(question, missing="no store"))

    assert (found.judge(), found.asked, found.published) == ({}, ["a", "b", "c"], 0)


def test_a_round_that_took_its_time_goes_on_with_the_next_routes(monkeypatch):
    clock = iter(range(1_000))
    monkeypatch.setattr(gate_watch.time, "thread_time", lambda: next(clock))
    found = Watch(ROUTES)

    assert found.judge().keys() == {"a"}
    assert found.judge().keys() == {"a", "b"}
    assert found.asked == ["a", "b"]


@pytest.mark.parametrize("is_ready", [True, False])
def test_whether_a_gate_is_open_is_told_whatever_the_figures(is_ready):
    found = Watch(ROUTES[:1], lambda question: report(question, is_ready=is_ready))

    assert found.judge()["a"]["is_open"] is is_ready
