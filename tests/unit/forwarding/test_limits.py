"""The waits and bounds that the forwarding side has where nobody says otherwise."""

from overgrow.forwarding.client.pool import ConnectionLifetime
from overgrow.forwarding.client.timeouts import DEFAULT_TIMEOUTS, UpstreamTimeouts
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.routing.model import Legacy


def test_the_default_waits_are_those_that_are_promised():
    assert UpstreamTimeouts(2.0, 30.0, 100.0, 3600.0, None) == DEFAULT_TIMEOUTS


def test_the_default_transport_keeps_what_is_promised():
    transport = LegacyTransport("http://127.0.0.1:1")

    assert (256, ConnectionLifetime(30.0, 300.0)) == (
        transport._max_connections,
        transport._kept_for,
    )


def test_the_default_legacy_app_waits_and_bounds_as_promised():
    legacy = Legacy("http://127.0.0.1:1")
    waits = legacy.timeouts

    assert (256, 300.0) == (legacy.max_connections, legacy.max_age_s)
    assert (2.0, 30.0, 100.0, 3600.0) == (
        waits.connect_s, waits.response_s, waits.idle_s, waits.stream_idle_s,
    )  # fmt: skip


def test_a_wait_for_a_connection_is_as_long_as_connecting_may_take():
    assert (3.0, 1.0) == (
        UpstreamTimeouts(connect_s=3.0).queue_s,
        UpstreamTimeouts(connect_s=3.0, pool_s=1.0).queue_s,
    )
