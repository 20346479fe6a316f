"""The app of the example: put your own in its place."""

from __future__ import annotations

from flask import Flask


def create_app() -> Flask:
    """Return an app with one view."""
    app = Flask(__name__)

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return f"Hello, {name}!\n"

    return app
