"""LocalApp under gunicorn's asgi worker against the same Flask app under gunicorn gthread.

    python benchmarks/local.py [--rounds 5] [--seconds 3] [--connections 32] [--threads 16]

One worker each, interleaved rounds, medians; needs wrk. Only the ratio travels between machines.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import flask

from proxy.exchange import Inbound
from proxy.local import LocalApp
from proxy.routing.facts import Head
from proxy.routing.model import Decision

DECISION = Decision(None, "migrated", "target", "bench")
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
    """The least ASGI around LocalApp: what a front door costs comes on top."""
    local = LocalApp(create_app().wsgi_app, threads=int(threads), multiprocess=False)

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


def started(port, threads, *flags):
    command = [sys.executable, "-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}"]
    command += ["--no-control-socket", "--keep-alive", "75", "--log-level", "error", *flags]
    process = subprocess.Popen(command, cwd=Path(__file__).parent)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process
    raise SystemExit(f"nothing listens on {port}")


def measured(port, seconds, connections):
    url = f"http://127.0.0.1:{port}/api/products/7"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    arguments = parsed()
    ports = {"gthread": free_port(), "LocalApp": free_port()}
    threads = str(arguments.threads)
    processes = [
        started(ports["gthread"], threads, "-k", "gthread", "--threads", threads, "local:create_app()"),
        started(ports["LocalApp"], threads, "-k", "asgi", f"local:create_asgi('{threads}')"),
    ]
    rates = {name: [] for name in ports}
    try:
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                rates[name].append(measured(port, arguments.seconds, arguments.connections))
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(20)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    for name, median in medians.items():
        print(f"{name:10} {median:8.0f} requests/s  {[round(each) for each in rates[name]]}")
    print(f"ratio      {medians['LocalApp'] / medians['gthread']:8.2f} (goal: at least 1.0)")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--threads", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    main()
