"""The app of the migrated endpoint, the same behind the front door and behind plain gunicorn."""

from __future__ import annotations

import time

import flask

SLOW_S = 5
MEDIUM_BYTES = 1_000_000
PIECE_BYTES = 50_000
NOTE = "x" * 240


def create_app():
    app = flask.Flask(__name__)

    @app.get("/moved/<int:number>")
    def moved(number):
        return flask.jsonify(id=number, name="A plain white teapot", note=NOTE)

    @app.get("/moved/medium")
    def medium():
        return flask.Response(b"x" * PIECE_BYTES for _ in range(MEDIUM_BYTES // PIECE_BYTES))

    @app.post("/moved/sent")
    def sent():
        return flask.jsonify(size=len(flask.request.get_data()))

    @app.get("/turns/<int:number>")
    def turns(number):
        return flask.jsonify(id=number, side="migrated", note=NOTE)

    @app.get("/copied/<int:number>")
    def copied(number):
        time.sleep(SLOW_S)
        return flask.jsonify(id=number, side="migrated", note=NOTE)

    return app
