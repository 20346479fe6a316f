"""The name of a folder of counters."""

import pytest

from overgrow.observe.counter_identity import (
    CounterIdentity,
    confirm_identity,
    has_identity,
    identify_counters,
    keep_identity,
)
from overgrow.observe.metrics import Metrics
from tests.unit.observe.exchanges import exchange


def test_all_workers_of_a_folder_find_one_name(tmp_path):
    first = identify_counters(tmp_path / "metrics")

    assert (first, True) == (identify_counters(tmp_path / "metrics"), first.is_new)


def test_counters_of_an_earlier_version_are_not_new(tmp_path):
    metrics = Metrics(tmp_path, 0)
    metrics.record(exchange())
    metrics.close()

    assert not identify_counters(tmp_path).is_new


def test_a_stored_name_is_no_longer_new(tmp_path):
    name = identify_counters(tmp_path).name
    confirm_identity(tmp_path, name)

    assert CounterIdentity(name, is_new=False) == identify_counters(tmp_path)


def test_a_name_is_kept_where_there_is_none(tmp_path):
    for name in ("first", "second"):
        keep_identity(tmp_path, CounterIdentity(name, is_new=True))

    assert ("first", True) == (identify_counters(tmp_path).name, has_identity(tmp_path))
    assert ["history.json"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}'])
def test_a_garbled_name_is_replaced(tmp_path, content):
    (tmp_path / "history.json").write_text(content)
    found = identify_counters(tmp_path)

    assert found == identify_counters(tmp_path)
