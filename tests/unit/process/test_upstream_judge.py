"""The loop that judges legacy: a probe that hangs delays nothing."""

import asyncio
from types import SimpleNamespace

from overgrow.exchange import Failure
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.process.upstream_judge import UpstreamJudge
from overgrow.routing.model import Legacy

PROBED = Legacy("http://127.0.0.1:9000", probe="/health")
REFUSED = Failure("legacy-connect", "connect", "legacy")
LATE = Failure("legacy-timeout", "head", "legacy")


class FakeApp:
    """An app whose probes end when the test says so."""

    def __init__(self, legacy=PROBED):
        self.use(legacy)
        self.outcome, self.probes, self.asked = None, [], asyncio.Event()
        self.looks, self.looked = 0, asyncio.Event()

    def use(self, legacy):
        self.live = SimpleNamespace(matcher=SimpleNamespace(table=SimpleNamespace(legacy=legacy)))

    def take_legacy_outcome(self):
        outcome, self.outcome = self.outcome, None
        return outcome

    async def probe_legacy(self):
        self.asked.set()
        self.probes.append(asyncio.get_running_loop().create_future())
        return await self.probes[-1]

    async def living_workers(self):
        self.looks += 1
        self.looked.set()
        return []


def judge_of(app, publish=lambda: None):
    return UpstreamJudge(app, app, publish, lambda _living: True)


def run(story):
    asyncio.run(asyncio.wait_for(story, 30))


def test_requests_are_judged_while_a_probe_hangs():
    async def story():
        app, published = FakeApp(), asyncio.Event()
        judge = judge_of(app, published.set)
        judging = asyncio.create_task(judge.run())
        await app.asked.wait()
        app.outcome = LegacyOutcome(REFUSED, 1)
        await published.wait()
        judging.cancel()

        assert (False, False) == (judge.as_json()["up"], app.probes[0].done())

    run(story())


def test_a_request_that_fails_is_judged_before_the_board_is_read_again():
    async def story():
        app, published = FakeApp(Legacy("http://127.0.0.1:9000")), asyncio.Event()
        judge = judge_of(app, published.set)
        judging = asyncio.create_task(judge.run())
        await app.looked.wait()
        app.outcome = LegacyOutcome(REFUSED, 1)
        await published.wait()
        judging.cancel()

        assert (False, 1) == (judge.as_json()["up"], app.looks)

    run(story())


def test_a_probe_that_ends_late_counts():
    async def story():
        app = FakeApp()
        judge = judge_of(app)
        judging = asyncio.create_task(judge.judge())
        await app.asked.wait()
        app.probes[0].set_result(LATE)
        await judging

        assert judge.as_json()["error"] == "legacy-timeout"

    run(story())


def test_a_probe_of_a_former_legacy_counts_for_nothing():
    async def story():
        app = FakeApp()
        judge = judge_of(app)
        judging = asyncio.create_task(judge.judge())
        await app.asked.wait()
        app.use(Legacy("http://127.0.0.1:9001"))
        app.probes[0].set_result(LATE)
        await judging

        assert judge.as_json()["up"]

    run(story())


def test_the_end_of_judging_cancels_the_probe():
    async def story():
        app = FakeApp()
        judging = asyncio.create_task(judge_of(app).run())
        await app.asked.wait()
        judging.cancel()
        await asyncio.wait({judging})
        await asyncio.sleep(0)

        assert app.probes[0].cancelled()

    run(story())
