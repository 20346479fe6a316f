"""Failures by code and party, over all workers."""

from overgrow.exchange import Failure
from overgrow.observe.failure_totals import read_failures
from overgrow.observe.metrics import Metrics


def test_failures_are_told_by_frequency_and_an_answer_asked_for_is_none(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for code, party, times in (("legacy-connect", "legacy", 2), ("gone", "front", 3)):
        failure = Failure(code, "connect", party)
        for _ in range(times):
            metrics.count_failure(failure)

    assert (("legacy-connect", "legacy", 2),) == read_failures(tmp_path)
