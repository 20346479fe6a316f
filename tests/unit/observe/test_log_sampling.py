"""A share of the requests is logged, and always those that somebody will look for."""

import json

import pytest

from overgrow.exchange import Failure, FellBack
from overgrow.observe.access_log.sampling import SLOW_S, SampledJsonLines, SampledSink
from tests.unit.observe.exchanges import exchange


class Kept(list):
    record = list.append


@pytest.mark.parametrize(
    ("share", "draw", "expected"),
    [(0.1, 0.0999, 1), (0.1, 0.1, 0), (0.0, 0.0, 0), (1.0, 0.9999, 1)],
)
def test_a_share_of_the_requests_is_kept(share, draw, expected):
    kept = Kept()
    SampledSink(kept, share, lambda: draw).record(exchange())

    assert len(kept) == expected


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"status": 500}, id="a 5xx of the app"),
        pytest.param({"status": 0}, id="the client left"),
        pytest.param(
            {"status": 200, "failure": Failure("legacy-closed", "body", "legacy")},
            id="a response that broke off",
        ),
        pytest.param({"fallback": FellBack("migrated-crash", 500, "")}, id="legacy answered"),
        pytest.param({"first_byte_s": SLOW_S}, id="slow"),
    ],
)
def test_what_somebody_will_look_for_is_always_kept(given):
    kept = Kept()
    SampledSink(kept, 0.0, lambda: 0.0).record(exchange(**given))

    assert len(kept) == 1


def test_a_line_that_was_drawn_says_its_share():
    lines = SampledJsonLines(0.125)
    drawn, always = exchange(), exchange(status=503)

    assert json.loads(lines.format_line(drawn))["overgrow.sample_percent"] == 12.5
    assert "overgrow.sample_percent" not in json.loads(lines.format_line(always))
