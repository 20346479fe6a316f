"""A team's app that makes spans of its own by opentelemetry-api alone."""

from __future__ import annotations

import time

from flask import Flask, jsonify, request
from opentelemetry import trace


def create_app() -> Flask:
    app = Flask(__name__)
    tracer = trace.get_tracer("the-app")

    @app.get("/moved/<int:number>")
    def moved(number):
        with tracer.start_as_current_span("look up"):
            return jsonify(dict(request.headers))

    @app.get("/failing")
    def failing():
        with tracer.start_as_current_span("fail"):
            return "no", 500

    @app.get("/moved-area/<int:number>/map")
    def area(number):
        return str(number)

    @app.get("/late")
    def late():
        time.sleep(0.6)
        return "late"

    @app.get("/copied")
    def copied():
        with tracer.start_as_current_span("serve a copy"):
            return "ok"

    return app
