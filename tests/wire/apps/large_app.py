"""An app whose answers are large, in every way an app can make one."""

from __future__ import annotations

import io
import time

from flask import Flask, Response, request, send_file, stream_with_context

SIZE_BYTES = 20 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


def create_app() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/whole", view_func=whole)
    app.add_url_rule("/blocks", view_func=blocks)
    app.add_url_rule("/endless", view_func=endless)
    app.add_url_rule("/events", view_func=events)
    app.add_url_rule("/streamed", view_func=upload, methods=["POST"])
    app.add_url_rule("/file", view_func=file)
    app.add_url_rule("/written", view_func=written)
    app.add_url_rule("/small", view_func=small)
    app.add_url_rule("/upload", view_func=upload, methods=["POST"])
    app.extensions["asgi"] = {"/asgi": asgi}
    return app


def whole():
    return Response(b"x" * SIZE_BYTES)


def blocks():
    return Response(b"x" * BLOCK_BYTES for _ in range(SIZE_BYTES // BLOCK_BYTES))


def endless():
    return Response(iter(lambda: b"x" * BLOCK_BYTES, b""))


def events():
    def said():
        yield "data: begun\n\n"
        time.sleep(float(request.args["quiet_s"]))
        yield "data: ended\n\n"

    return Response(stream_with_context(said()), mimetype="text/event-stream")


def file():
    return send_file(io.BytesIO(b"x" * SIZE_BYTES), mimetype="text/plain")


def written():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"x" * SIZE_BYTES)
        return []

    return app


def small():
    return "small"


def upload():
    return str(len(request.get_data()))


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * SIZE_BYTES})
