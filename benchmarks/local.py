"""A migrated endpoint against the same Flask app under gunicorn gthread.

WsgiServer alone stands under the least ASGI that carries it, `serve` is the whole front door with its
access log and metrics.

    python benchmarks/local.py [--rounds 5] [--seconds 3] [--connections 32] [--threads 16]

One worker each, interleaved rounds, medians; needs wrk. Only the ratio travels between machines.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flask

from benchmarks.processes import free_port
from overgrow.exchange import Inbound
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision
from overgrow.wsgi.server import WsgiServer

DECISION = Decision(None, "migrated", "target", "bench")
HERE = Path(__file__).parent
ROUTES = """\
version: 1
app: local:create_app
legacy:
  url: http://127.0.0.1:9
routes:
  - path: /api/products/<int:number>
    methods: [GET]
    target: migrated
"""
PRODUCT = {"id": 1, "name": "A plain white teapot", "price": "19.90", "note": "x" * 200}


def create_app():
    app = flask.Flask(__name__)

    @app.get("/api/products/<int:number>")
    def product(number):
        return flask.jsonify(PRODUCT | {"id": number})

    @app.post("/api/products")
    def create():
        return flask.jsonify(flask.request.get_json()), 201

    return app


def create_asgi(threads: str = "16"):
    """The least ASGI around WsgiServer: what a front door costs comes on top."""
    local = WsgiServer(create_app().wsgi_app, threads=int(threads), multiprocess=False)

    async def serve(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("no lifespan here")
        reply = await local.serve(Inbound(_head(scope), _body(scope, receive)), DECISION)
        start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        await send(start)
        if isinstance(reply.body, bytes):
            await send({"type": "http.response.body", "body": reply.body})
            return
        async for chunk in reply.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})
        await reply.close()

    return serve


def _head(scope):
    target = scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    headers = scope["headers"]
    host = next((value.decode() for name, value in headers if name == b"host"), "")
    peer = scope["client"][0] if scope["client"] else "unix"
    return Head(scope["method"], target, headers, peer, peer, scope["scheme"], host)


def _body(scope, receive):
    if scope["method"] == "GET":
        return None

    async def chunks():
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    return chunks()


def started(port, command, **more):
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=HERE, **more)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process
    raise SystemExit(f"nothing listens on {port}")


def gunicorn(port, *flags):
    command = ["gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "--no-control-socket"]
    return started(port, [*command, "--keep-alive", "75", "--log-level", "error", *flags])


def serve(port, threads, folder):
    """The front door as `overgrow serve` runs it, logging to nowhere."""
    routes = Path(folder) / "routes.yaml"
    routes.write_text(ROUTES)
    flags = ["--config", str(routes), "--workers", "1", "--admin", f"127.0.0.1:{free_port()}"]
    command = ["overgrow.cli.main", "serve", "--bind", f"127.0.0.1:{port}", *flags]
    environ = {**os.environ, "OVERGROW_THREADS": threads, "PYTHONPATH": str(HERE)}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return started(port, command, env=environ, **silent)


def cpu_s(process):
    """The processor time of a server's worker, in seconds: steadier than rates on a busy machine."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def measured(port, process, seconds, connections):
    """Requests a second, and the worker's processor time for one in microseconds."""
    before = cpu_s(process)
    url = f"http://127.0.0.1:{port}/api/products/7"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    total = int(re.search(r"(\d+) requests in", out)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return rate, (cpu_s(process) - before) / total * 1e6


def main():
    arguments = parsed()
    threads = str(arguments.threads)
    ports = {name: free_port() for name in ("gthread", "WsgiServer", "serve")}
    rates = {name: [] for name in ports}
    with tempfile.TemporaryDirectory() as folder:
        processes = {
            "gthread": gunicorn(
                ports["gthread"], "-k", "gthread", "--threads", threads, "local:create_app()"
            ),
            "WsgiServer": gunicorn(
                ports["WsgiServer"], "-k", "asgi", f"local:create_asgi('{threads}')"
            ),
            "serve": serve(ports["serve"], threads, folder),
        }
        try:
            for _ in range(arguments.rounds):
                for name, process in processes.items():
                    found = measured(ports[name], process, arguments.seconds, arguments.connections)
                    rates[name].append(found)
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            for process in processes.values():
                process.wait(40)
    report(rates)


def report(rates):
    medians = {
        name: [statistics.median(column) for column in zip(*each, strict=True)]
        for name, each in rates.items()
    }
    base = medians["gthread"][0]
    for name, (rate, cpu_us) in medians.items():
        rounds = " ".join(f"{each:.0f}" for each, _ in rates[name])
        print(
            f"{name:9} {rate:6.0f}/s  x{rate / base:.2f}  {cpu_us:4.0f} us of processor  ({rounds})"
        )
    print("goal: at least x1.0")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--threads", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    main()
