"""werkzeug's own ProxyMiddleware, in front of everything."""

from __future__ import annotations

import os

from werkzeug.exceptions import NotFound
from werkzeug.middleware.http_proxy import ProxyMiddleware


def create_app():
    target = {"target": os.environ["UPSTREAM"]}
    return ProxyMiddleware(NotFound(), dict.fromkeys(("/items", "/files"), target))
