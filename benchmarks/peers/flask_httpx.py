"""Flask and httpx as one would first write it: a catch-all view, a shared client, `content`."""

from __future__ import annotations

import os

import flask
import httpx

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
DROPPED = {"connection", "content-length", "content-encoding", "transfer-encoding", "keep-alive"}


def create_app():
    app = flask.Flask(__name__)
    client = httpx.Client(base_url=os.environ["UPSTREAM"], timeout=30)

    @app.route("/", defaults={"path": ""}, methods=METHODS)
    @app.route("/<path:path>", methods=METHODS)
    def forward(path):
        answer = client.request(
            flask.request.method,
            f"/{path}",
            params=flask.request.args,
            headers=[pair for pair in flask.request.headers if pair[0].lower() not in DROPPED],
            content=flask.request.get_data(),
        )
        headers = [pair for pair in answer.headers.items() if pair[0].lower() not in DROPPED]
        return flask.Response(answer.content, answer.status_code, headers)

    return app
