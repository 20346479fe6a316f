"""Whether legacy answers, judged by requests, other workers and probes; time comes in as a number."""

import pytest

from overgrow.exchange import Failure
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.observe.upstream import UpstreamState, newest_state, upstream_json
from overgrow.process.upstream_watch import FAILURES_IN_ROW, IDLE_S, QUIET_S, UpstreamWatch
from overgrow.routing.model import Legacy

NOW_S = 1_800_000_000.0
REFUSED = Failure("legacy-connect", "connect", "legacy")
LATE = Failure("legacy-timeout", "head", "legacy")
PLAIN = Legacy("http://127.0.0.1:9000")
PROBED = Legacy("http://127.0.0.1:9000", probe="/health")
ANSWER = LegacyOutcome(None)


def watch_after(*outcomes):
    """A watch that judged one outcome a second, the last one at NOW_S."""
    watch = UpstreamWatch()
    for age, outcome in zip(range(len(outcomes) - 1, -1, -1), outcomes, strict=True):
        watch.judge_outcome(outcome, NOW_S - age)
    return watch


def published(watch, slot=0):
    return {"slot": slot, "upstream": watch.as_json()}


def test_legacy_counts_as_up_without_evidence():
    assert upstream_json([{"slot": 0}]) == {"up": True, "since": None, "error": None}


def test_one_refused_connection_shows_that_legacy_is_down():
    watch = watch_after(ANSWER, LegacyOutcome(REFUSED, 1), LegacyOutcome(REFUSED, 2))

    assert upstream_json([published(watch)]) == {
        "up": False,
        "since": "2027-01-15T07:59:59Z",
        "error": "legacy-connect",
    }


def test_one_slow_page_does_not_show_that_legacy_is_down():
    assert watch_after(ANSWER, LegacyOutcome(LATE, FAILURES_IN_ROW - 1)).state.up


def test_failures_in_a_row_show_that_legacy_is_down():
    watch = watch_after(ANSWER, LegacyOutcome(LATE, FAILURES_IN_ROW))

    assert (False, "legacy-timeout") == (watch.state.up, watch.state.error)


@pytest.mark.parametrize(("failures", "is_up"), [(1, True), (2, True), (3, False)])
def test_the_third_failure_in_a_row_shows_that_legacy_is_down(failures, is_up):
    watch = watch_after(ANSWER, LegacyOutcome(LATE, failures))

    assert watch.state.up is is_up


def test_a_probe_that_failed_here_says_nothing_of_legacy():
    watch = UpstreamWatch()
    watch.judge_probe(Failure("front-busy", "connect", "here"), NOW_S - 1, NOW_S)

    assert watch.state.up


def test_an_answer_shows_that_legacy_is_up_again():
    watch = watch_after(LegacyOutcome(REFUSED, 1), ANSWER)

    assert UpstreamState(since_s=NOW_S, at_s=NOW_S) == watch.state


def test_the_time_since_stays_while_the_failures_go_on():
    watch = watch_after(LegacyOutcome(REFUSED, 1), LegacyOutcome(LATE, 2), LegacyOutcome(LATE, 3))

    assert (NOW_S - 2, "legacy-timeout") == (watch.state.since_s, watch.state.error)


def test_the_newest_evidence_of_all_workers_wins():
    down, up = watch_after(LegacyOutcome(REFUSED, 1), None), watch_after(ANSWER)

    assert newest_state([published(up, 0), published(down, 1)]).up


def test_a_worker_adopts_what_the_others_know():
    down, fresh = watch_after(LegacyOutcome(REFUSED, 1)), UpstreamWatch()
    fresh.adopt([published(down)], NOW_S)

    assert (down.state, True) == (fresh.state, fresh.needs_publishing())


def test_a_worker_does_not_adopt_what_is_older_than_its_own_evidence():
    down, up = watch_after(LegacyOutcome(REFUSED, 1), None), watch_after(ANSWER)
    up.adopt([published(down)], NOW_S)

    assert up.state.up


def test_another_legacy_is_judged_anew():
    watch = UpstreamWatch()
    watch.follow_table(PLAIN, NOW_S)
    watch.judge_outcome(LegacyOutcome(REFUSED, 1), NOW_S)
    old = published(watch)
    watch.follow_table(Legacy("http://127.0.0.1:9001"), NOW_S + 1)
    watch.adopt([old], NOW_S + 1)

    assert (True, None) == (watch.state.up, watch.state.since_s)


def test_a_setting_of_the_same_legacy_forgets_nothing():
    watch = UpstreamWatch()
    watch.follow_table(PLAIN, NOW_S)
    watch.judge_outcome(LegacyOutcome(REFUSED, 1), NOW_S)
    watch.follow_table(PROBED, NOW_S + 1)

    assert not watch.state.up


@pytest.mark.parametrize(
    ("legacy", "outcomes", "after_s", "expected"),
    [
        pytest.param(PLAIN, (), 0, False, id="nothing is known and no probe is set"),
        pytest.param(PROBED, (), 0, True, id="a probe is set and nothing is known"),
        pytest.param(PROBED, (ANSWER,), IDLE_S - 1, False, id="an answer a moment ago"),
        pytest.param(PROBED, (ANSWER,), IDLE_S, True, id="idle"),
        pytest.param(PLAIN, (ANSWER,), 10 * IDLE_S, False, id="idle, and no probe is set"),
        pytest.param(PLAIN, (LegacyOutcome(REFUSED, 1),), 1, True, id="unreachable"),
        pytest.param(PLAIN, (LegacyOutcome(LATE, 3),), 1, False, id="a connection proves little"),
        pytest.param(PLAIN, (LegacyOutcome(LATE, 3),), QUIET_S, True, id="quiet for a while"),
        pytest.param(PROBED, (LegacyOutcome(LATE, 3),), 1, True, id="late, and a probe is set"),
    ],
)
def test_legacy_is_probed_while_nothing_else_shows(legacy, outcomes, after_s, expected):
    assert watch_after(*outcomes).needs_probe(legacy, NOW_S + after_s) == expected


def test_a_failure_of_our_own_says_nothing_of_legacy():
    watch = watch_after(ANSWER)
    watch.judge_probe(Failure("legacy-busy", "queue", "front"), NOW_S, NOW_S + 1)

    assert watch.state.up


def test_an_answer_during_a_probe_disproves_the_probe_that_failed():
    watch = watch_after(ANSWER)
    watch.judge_probe(LATE, NOW_S - 3, NOW_S + 2)

    assert watch.state.up


def test_a_failed_probe_outweighs_an_answer_before_it():
    watch = watch_after(ANSWER)
    watch.judge_probe(LATE, NOW_S + 1, NOW_S + 6)

    assert not watch.state.up


def test_equal_evidence_is_published_again_only_when_it_is_old():
    watch = watch_after(ANSWER)
    first = watch.needs_publishing()
    watch.judge_outcome(ANSWER, NOW_S + 5)
    soon = watch.needs_publishing()
    watch.judge_outcome(ANSWER, NOW_S + 11)

    assert (True, False, True) == (first, soon, watch.needs_publishing())


def test_evidence_from_before_the_clock_was_set_back_does_not_stay_newest():
    fast, watch = watch_after(LegacyOutcome(REFUSED, 1)), UpstreamWatch()
    others = [published(fast)]
    watch.adopt(others, NOW_S - 3600)
    fast.adopt(others, NOW_S - 3600)
    watch.judge_outcome(ANSWER, NOW_S - 3599)

    assert newest_state([published(watch, 0), published(fast, 1)]).up


def test_evidence_is_published_again_when_the_clock_was_set_back():
    watch = watch_after(ANSWER)
    watch.needs_publishing()
    watch.adopt([published(watch)], NOW_S - 3600)

    assert (True, NOW_S - 3600) == (watch.needs_publishing(), watch.state.since_s)


def test_an_idle_legacy_is_probed_though_the_clock_was_set_back():
    watch = watch_after(ANSWER)
    watch.adopt([published(watch)], NOW_S - 3600)

    assert watch.needs_probe(PROBED, NOW_S - 3600 + IDLE_S)


def test_a_worker_of_a_later_version_may_publish_more():
    later = {"slot": 1, "upstream": {**watch_after(ANSWER).as_json(), "rtt_s": 0.1}}

    assert watch_after(ANSWER).state == newest_state([later])
