"""The access log has standard output to itself, whatever the app writes there."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.wire.serving.servers import PATIENCE_S
from tests.wire.serving.test_serve_for_real import Site

APP = """
import os, subprocess, sys
from flask import Flask

print("printed at import")

def noisy():
    print("printed", '{"forged": true}')
    sys.stdout.write("half a line")
    sys.__stdout__.flush()
    os.write(1, b"written")
    subprocess.run(["/bin/echo", "echoed"])
    return "noisy"

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=noisy, endpoint="hello")
    return app
"""


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    (tmp_path / "site_under_test.py").write_text(APP)
    return made


def test_what_a_view_writes_to_standard_output_goes_to_standard_error(site):
    with site.serve() as served:
        for _ in range(3):
            assert served.asked("/hello").endswith(b"noisy")
        served.process.send_signal(signal.SIGTERM)
        log, told = served.process.communicate(timeout=PATIENCE_S)

    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["url.path"] for line in lines] == ["/hello"] * 3
    assert "printed at import" in served.notes + told
    for text in ('printed {"forged": true}', "half a line", "written", "echoed\n"):
        assert told.count(text) == 3


def test_lines_lost_to_a_dead_reader_are_in_the_metrics_and_said_once(site):
    site.write_app("one")
    with site.serve() as served:
        served.process.stdout.close()
        for _ in range(3):
            assert served.asked("/hello").endswith(b"one")
        deadline = time.monotonic() + PATIENCE_S
        while b"overgrow_log_lines_dropped_total 3.0" not in served.scraped():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        served.process.send_signal(signal.SIGTERM)
        told = served.process.stderr.read()

    assert told.count("access-log-lost") == 1


def test_a_start_with_closed_streams_gives_their_numbers_to_no_socket(site, socket_folder):
    site.write_app("one")
    site.write_table("migrated")
    command = 'exec 1>&- 2>&-; exec "$@"'
    with subprocess.Popen(
        ["/bin/sh", "-c", command, "sh", *site.command("--bind", f"unix:{socket_folder}/s")],
        cwd=site.folder,
        env=site.env,
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (socket_folder / "s").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        links = [str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in (1, 2)]
        process.terminate()

        assert process.wait(PATIENCE_S) == 0
    assert links == ["/dev/null", "/dev/null"]
