"""A small team's app for the tests of the WSGI mount; `create_app` is what the servers are given.

What happens in its views is appended to the file TOLD, one word a line, for the test to read.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import flask

import overgrow

views = flask.Blueprint("m", __name__, url_prefix="/m")


def create_app():
    """The app under test: the team's app with the front door mounted around it."""
    return overgrow.create_app()


def create_asgi():
    """The same app the way production runs it."""
    return overgrow.create_asgi()


def create_team_app():
    app = flask.Flask(__name__)
    app.register_blueprint(views)
    return app


@views.get("/hello")
def hello():
    return f"hello from {os.getpid()}"


@views.post("/upload")
def upload():
    tell("upload-began")
    body = flask.request.get_data()
    tell("upload-whole")
    return digest(body)


@views.get("/endless")
def endless():
    def blocks():
        try:
            while True:
                yield b"x" * 65_536
        finally:
            tell("endless-closed")

    return flask.Response(blocks(), mimetype="application/octet-stream")


@views.get("/slow")
def slow():
    time.sleep(float(flask.request.args["seconds"]))
    return "slow"


@views.get("/short")
def short():
    blocks = iter([b"only this"])
    return flask.Response(blocks, headers={"Content-Length": "100"})


@views.get("/whoami")
def whoami():
    return f"{flask.request.remote_addr} {flask.request.url}"


@views.get("/boom")
def boom():
    raise RuntimeError("a mistake in a view")


@views.get("/anything/<path:rest>")
def anything(rest):
    return flask.request.environ["RAW_URI"]


def tell(word):
    with Path(os.environ["TOLD"]).open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def digest(body):
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"
