"""Buckets against a real nginx with split_clients."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from overgrow.routing.cohort import bucket_of, canary_limit
from tests.ports import free_port
from tests.programs import needed

SALT = "s\u00e4lt"
PERCENTS = {"p1": 1, "p1234": 1234, "p5000": 5000, "p9999": 9999}

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000;
  {splits}
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "{answers}"; }}
  }}
}}
"""


def configuration(folder: Path, port: int) -> str:
    splits = [
        f'split_clients "${{cookie_id}}{SALT}" ${name} {{ {hundredths / 100}% 1; * 0; }}'
        for name, hundredths in PERCENTS.items()
    ]
    answers = "".join(f"${{{name}}}" for name in PERCENTS)
    return CONFIG.format(folder=folder, port=port, splits="\n  ".join(splits), answers=answers)


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("nginx did not open its port")


@pytest.fixture
def nginx(tmp_path):
    program = needed("nginx", "nginx")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, port), encoding="utf-8")
    command = [program, "-p", str(tmp_path), "-c", "nginx.conf", "-e", str(tmp_path / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            wait_until_open(port, process)
            yield port
        finally:
            process.terminate()


def test_every_client_stands_on_the_side_where_nginx_puts_it(nginx):
    rng = random.Random(20)
    keys = ["".join(rng.choices("abcdef0123456789-_.%", k=rng.randint(1, 40))) for _ in range(2000)]
    connection = HTTPConnection("127.0.0.1", nginx, timeout=60)

    told = {}
    for key in keys:
        connection.request("GET", "/", headers={"Cookie": f"id={key}"})
        told[key] = connection.getresponse().read().decode()
    connection.close()

    limits = [canary_limit(hundredths) for hundredths in PERCENTS.values()]
    ours = {
        key: "".join(str(int(bucket_of(key.encode(), SALT) < limit)) for limit in limits)
        for key in keys
    }
    assert ours == told
