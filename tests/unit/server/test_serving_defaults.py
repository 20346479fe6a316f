"""What a worker allows its clients where nobody says otherwise: the promises of the docs."""

from overgrow.server.connection import MAX_PIPELINED_BYTES
from overgrow.server.listener import ClientLimits
from overgrow.server.pace import SlowClientPolicy
from overgrow.server.request_parser import HEAD_BYTES


def test_a_client_has_the_time_that_is_promised():
    limits = ClientLimits()

    assert (10.0, 75.0, 100.0) == (limits.head_s, limits.keepalive_s, limits.idle_s)
    assert (2.0, 30.0, 3.0) == (limits.linger_s, limits.linger_max_s, limits.cancel_s)


def test_a_client_has_the_room_that_is_promised():
    limits = ClientLimits()

    assert (10_000, 8190, 32_768, 100) == (
        limits.connections, limits.line_bytes, limits.field_bytes, limits.fields,
    )  # fmt: skip
    assert (65_536, 65_536) == (HEAD_BYTES, MAX_PIPELINED_BYTES)


def test_a_client_is_slow_below_a_kilobyte_a_second_over_ten_seconds():
    assert ClientLimits().slow == SlowClientPolicy(rate=1024, period_s=10.0)
