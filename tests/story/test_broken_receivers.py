"""A collector, Sentry and a webhook that fail at once: no request waits, and each is logged once."""

import re
from contextlib import ExitStack

import pytest

from tests.otlp import running_collector, settings_for
from tests.story.fake_sentry import running_sentry
from tests.story.front import eventually, running_front
from tests.story.stub import running_stub
from tests.story.test_notifications import receiving
from tests.story.test_sentry import APP, TABLE, log_of

REQUESTS = {"/": 200, "/fine/ash": 200, "/orders/7": 500}
FAILS = re.compile(r"(\w+)-fails why=")


@pytest.fixture
def receivers():
    with running_sentry() as sentry, running_collector() as collector, receiving() as webhook:
        yield sentry, collector, webhook
        for each in (sentry.ends, collector.released, webhook.hangs):
            each.set()


def let_hang(sentry, collector, webhook):
    sentry.status, collector.mode, webhook.status = None, "hang", None


def answer_nonsense(sentry, collector, webhook):
    sentry.garbage, collector.mode, webhook.status = b"\x00\xff\r\n\r\n", "garbage", 599


@pytest.mark.parametrize("misbehave", [let_hang, answer_nonsense])
def test_requests_are_answered_whatever_the_receivers_do(tmp_path, receivers, misbehave):
    sentry, collector, webhook = receivers
    misbehave(sentry, collector, webhook)
    (tmp_path / "failing_app.py").write_text(APP)
    settings = settings_for(
        collector.port,
        SENTRY_DSN=sentry.dsn,
        SENTRY_TRACES_SAMPLE_RATE="1",
        OVERGROW_WEBHOOK_URL=webhook.url,
    )
    with ExitStack() as stack:
        legacy = stack.enter_context(running_stub(data=tmp_path / "shop.sqlite3"))
        front = stack.enter_context(
            running_front(TABLE, tmp_path, legacy, data=tmp_path / "d", workers=2, **settings)
        )
        front.overgrow("flip", "crash", "legacy", "--reason", "a test")
        answered = {
            front.get(path)[0] == status for path, status in REQUESTS.items() for _ in "123"
        }
        if misbehave is answer_nonsense:  # one that hangs is found out after its time limit
            eventually(lambda: len(set(FAILS.findall(log_of(front)))) == 3)

    logged = FAILS.findall(log_of(front))
    assert answered == {True}
    assert len(logged) == len(set(logged))
    assert "stopped exit=0" in log_of(front)
