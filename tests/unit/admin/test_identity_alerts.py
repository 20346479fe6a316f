"""The alert for users who cannot be identified: one for each reader, however many workers say it."""

from __future__ import annotations

from overgrow.admin.alerts import identity_alerts


def test_each_reader_with_a_problem_has_one_alert():
    why = "it cannot be asked: no answer within 5 s"
    living = [
        {"slot": 0},
        {"slot": 1, "identity": {"ask": why}},
        {"slot": 2, "identity": {"ask": why}},
    ]

    assert [each.what for each in identity_alerts(living)] == [
        f"Users cannot be identified by ask: {why}."
    ]


def test_workers_without_a_problem_or_of_an_earlier_version_give_none():
    assert list(identity_alerts([{"slot": 0}, {"slot": 1, "identity": {}}])) == []
