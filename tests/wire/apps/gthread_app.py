"""A small team's app for the tests of the WSGI mount; `create_app` is what the servers are given.

What happens in its views is appended to the file TOLD, one word a line, for the test to read.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import flask

import proxy


def create_app():
    """The app under test: the team's app with the front door mounted around it."""
    return proxy.create_app()


def create_team_app():
    app = flask.Flask(__name__)

    @app.get("/m/hello")
    def hello():
        return f"hello from {os.getpid()}"

    @app.post("/m/upload")
    def upload():
        tell("upload-began")
        body = flask.request.get_data()
        tell("upload-whole")
        return digest(body)

    @app.get("/m/endless")
    def endless():
        def blocks():
            try:
                while True:
                    yield b"x" * 65_536
            finally:
                tell("endless-closed")

        return flask.Response(blocks(), mimetype="application/octet-stream")

    @app.get("/m/boom")
    def boom():
        raise RuntimeError("a mistake in a view")

    @app.get("/m/anything/<path:rest>")
    def anything(rest):
        return flask.request.environ["RAW_URI"]

    return app


def tell(word):
    with Path(os.environ["TOLD"]).open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def digest(body):
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"
