"""Who is slow: measured over a whole period in which the client was waited for."""

from __future__ import annotations

import socket

import pytest

from overgrow.server.pace import Pace, unacknowledged_bytes
from overgrow.slow_clients.slowest import end_slowest


class FakeClient:
    attached_login = None
    has_received_whole_body = True

    def __init__(self, rate_if_too_slow):
        self.rate_if_too_slow = rate_if_too_slow
        self.is_ended = False

    def end_slow_request(self):
        self.is_ended = True


def test_no_rate_is_known_before_a_whole_period():
    pace = Pace(100.0, 0)
    pace.update_rate(109.9, 5, 10.0)

    assert pace.rate is None


@pytest.mark.parametrize(("moved", "rate"), [(0, 0.0), (10_000, 1000.0), (200_000, 20_000.0)])
def test_a_rate_is_what_moved_over_the_period(moved, rate):
    pace = Pace(100.0, 7)
    pace.update_rate(110.0, 7 + moved, 10.0)

    assert pace.rate == rate


def test_a_client_that_speeds_up_is_measured_anew():
    pace = Pace(0.0, 0)
    pace.update_rate(10.0, 0, 10.0)
    pace.update_rate(20.0, 100_000, 10.0)

    assert pace.rate == 10_000.0


def test_the_slowest_give_way_first_and_only_those_that_are_slow():
    clients = [FakeClient(rate) for rate in (500.0, None, 3.0, 0.0)]

    assert end_slowest([*clients, None], 2) == 2
    assert [client.is_ended for client in clients] == [False, False, True, True]


def test_bytes_that_the_peer_has_not_read_are_unsent():
    near, far = socket.socketpair()
    with near, far:
        near.send(b"x" * 1000)
        before = unacknowledged_bytes(near.fileno())
        far.recv(1000)

        assert (before >= 1000, unacknowledged_bytes(near.fileno())) == (True, 0)


def test_a_closed_socket_has_nothing_unsent():
    assert unacknowledged_bytes(-1) == 0


def test_a_descriptor_that_is_no_socket_has_nothing_unsent(tmp_path):
    with (tmp_path / "file").open("w") as file:
        assert unacknowledged_bytes(file.fileno()) == 0
