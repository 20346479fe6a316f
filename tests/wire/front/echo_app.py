"""A team's app for the wire tests: it tells what it saw, and misbehaves on demand."""

from __future__ import annotations

import time

from flask import Flask, jsonify, request


def create_app() -> Flask:
    app = Flask(__name__)

    @app.get("/environ")
    def environ():
        told = {key: request.environ.get(key) for key in ("REMOTE_ADDR", "wsgi.url_scheme")}
        return jsonify({**told, "HTTP_HOST": request.host, "headers": list(request.headers)})

    @app.route("/who", methods=["GET", "POST"])
    def who():
        told = request.environ.get("overgrow.identity")
        return jsonify({"user": request.environ.get("REMOTE_USER"), "identity": told})

    @app.get("/mixed")
    def mixed():
        legacy = request.environ["overgrow.legacy"]
        parts = [legacy.get(f"/part/{number}") for number in range(2)]
        response = jsonify([[part.status, part.text] for part in parts])
        legacy.pass_cookies(response)
        return response

    @app.get("/loop")
    def loop():
        page = request.environ["overgrow.legacy"].get("/part/loop")
        return page.text, page.status

    @app.get("/moved")
    def moved():
        return jsonify({"user": request.environ.get("REMOTE_USER")})

    @app.get("/crash")
    def crash():
        def body():
            raise RuntimeError("a secret of the app")
            yield b""

        return app.response_class(body())

    @app.get("/late")
    def late():
        time.sleep(0.6)
        return "late"

    return app
