"""What the migrated side has where nobody says otherwise: the promises of the docs."""

import inspect

from overgrow.slow_clients.buffered_body import MEMORY_BYTES
from overgrow.wsgi.request_body import LIMIT_BYTES
from overgrow.wsgi.server import WsgiServer
from overgrow.wsgi.thread_pool import RETRY_AFTER_S, busy_reply
from overgrow.wsgi.unsent_memory import AHEAD_BYTES, MAX_BYTES

KIB = 1024


def test_the_pool_has_sixteen_threads_and_four_times_as_long_a_queue():
    defaults = inspect.signature(WsgiServer).parameters

    assert (16, 64) == (defaults["threads"].default, defaults["queue"].default)


def test_bodies_wait_in_as_much_memory_as_is_promised():
    assert (64 * KIB, 256 * KIB) == (MEMORY_BYTES, LIMIT_BYTES)
    assert (256 * KIB, 64 * KIB * KIB) == (AHEAD_BYTES, MAX_BYTES)


def test_who_finds_no_thread_is_told_to_come_back_in_a_second():
    assert (b"retry-after", b"1") in busy_reply().headers
    assert RETRY_AFTER_S == 1
