"""What a worker remembers of a finished request: little, and nothing large."""

import gc

import pytest

from overgrow.caches.header_memo import HeaderMemo
from overgrow.observe.decision_ring import MOST
from overgrow.observe.recent_exchanges import RecentExchanges
from tests.unit.observe.exchanges import decision, exchange, head

TRACEPARENT = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
SENT = [(b"host", b"shop.test"), (b"traceparent", TRACEPARENT)]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(SENT, TRACEPARENT, id="headers of one request"),
        pytest.param(HeaderMemo(SENT, "shop.test"), TRACEPARENT, id="headers that repeat"),
        pytest.param(SENT[:1], b"", id="none"),
        pytest.param(HeaderMemo(SENT[:1], "shop.test"), b"", id="none, repeated"),
    ],
)
def test_the_trace_that_the_client_sent_is_remembered(headers, expected):
    sink = RecentExchanges()
    for _ in range(2):
        sink.record(exchange(head=head(headers=headers)))

    assert [expected] * 2 == [each.traceparent for each in sink.take_decisions().unpack()]


def test_facts_are_those_of_the_exchange():
    sink = RecentExchanges()
    seen = exchange(status=404, duration_s=1.5)
    sink.record(seen)

    [kept] = sink.take_decisions().unpack()
    assert (seen.decision, 404, None, seen.started_at, 1.5, "GET", b"/orders/17") == kept[:7]


def test_large_heads_do_not_stay_in_memory():
    sink = RecentExchanges()
    large = [(b"cookie", b"x" * 60_000)]
    sink.record(exchange(head=head(b"/" + b"y" * 60_000, headers=large)))

    [kept] = sink.take_decisions().unpack()
    assert len(kept.target) < 1000
    assert not any(large is each or large[0] is each for each in gc.get_referents(*kept))


def test_only_the_newest_decisions_are_kept_and_all_are_counted():
    sink = RecentExchanges()
    for number in range(MOST + 5):
        sink.record(exchange(head=head(b"/%d" % number)))

    taken = sink.take_decisions()
    assert (MOST, MOST + 5, b"/5") == (len(taken.kept), taken.total, taken.unpack()[0].target)
    assert 0 == sink.take_decisions().total


def test_an_unrouted_request_is_remembered_without_its_query():
    sink = RecentExchanges()
    sink.record(exchange("legacy", head=head(b"/a?b=c"), decision=decision("legacy", None)))

    assert {("GET", b"/a", 200): 1} == sink.take_unrouted().counted
