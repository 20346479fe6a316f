"""Processes that the team's app forks, and that live longer than what they were forked for."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from tests.wire.serving.servers import PATIENCE_S, Client
from tests.wire.serving.test_serve_for_real import Site

APP = """
import os, pathlib, signal, stat
from flask import Flask

def linger():
    for number in range(200):  # the test reads pipes to their end
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.close(number)
        except OSError:
            pass
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    with pathlib.Path("pids").open("a") as pids:
        pids.write(f"{os.getpid()}\\n")
    signal.pause()
    os._exit(0)

def fork():
    if os.fork() == 0:
        linger()
    return "forked"

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=fork, endpoint="hello")
    return app
"""


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    (tmp_path / "site_under_test.py").write_text(APP)
    yield made
    pids = tmp_path / "pids"
    for pid in pids.read_text().split() if pids.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def test_a_client_sees_its_end_though_a_process_of_the_app_lives_on(site):
    with site.serve() as served, Client(served.public) as client:
        client.send(b"GET /hello HTTP/1.0\r\nHost: a\r\n\r\n")

        assert client.read_to_end().endswith(b"forked")


def test_an_address_is_free_though_a_process_of_the_app_lives_on(site):
    with site.serve() as served:
        address = served.public.removeprefix("http://")
        served.asked("/hello")
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(PATIENCE_S)

    with site.serve(bind=address) as again:
        assert again.public == f"http://{address}"
