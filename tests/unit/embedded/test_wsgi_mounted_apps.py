"""What `create_app()` says of routes whose ASGI app no WSGI server can call."""

from __future__ import annotations

import logging
import sys

import pytest

from overgrow.app import create_app
from overgrow.settings import Settings

APP = """\
from flask import Flask

async def live(scope, receive, send):
    raise AssertionError

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/plain", "plain", lambda: "")
    app.extensions["asgi"] = {"/live": live}
    return app
"""
TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9"}
routes:
  - {name: plain, path: /plain, target: migrated}
"""


@pytest.fixture
def told(tmp_path, caplog, monkeypatch):
    """What is logged when a table with one more route is served by WSGI."""

    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "asgi_team", raising=False)

    def told(route: str) -> str:
        (tmp_path / "asgi_team.py").write_text(APP)
        (tmp_path / "routes.yaml").write_text(TABLE + route)
        settings = Settings(config=tmp_path / "routes.yaml", app="asgi_team:create_app")
        with caplog.at_level(logging.WARNING, logger="overgrow"):
            create_app(settings)
        return caplog.text

    yield told
    sys.modules.pop("asgi_team", None)


@pytest.mark.parametrize(
    "route",
    [
        "  - {name: live, prefix: /live, target: migrated}\n",
        "  - {name: live, path: /live/feed, target: legacy, canary: 5%}\n",
        "  - {name: live, prefix: /, target: migrated}\n",
    ],
)
def test_a_route_that_only_a_mounted_app_serves_is_named(told, route):
    assert "answers the routes live here. Run overgrow serve" in told(route)


@pytest.mark.parametrize(
    "route",
    [
        "",
        "  - {name: live, prefix: /live, target: legacy}\n",
        "  - {name: lively, path: /lively, target: legacy}\n",
    ],
)
def test_nothing_is_said_while_no_client_goes_there(told, route):
    assert told(route) == ""
