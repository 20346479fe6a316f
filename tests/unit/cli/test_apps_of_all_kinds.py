"""Which routes the check of the app's rules lets pass, for Flask apps as people write them."""

from __future__ import annotations

import sys

import pytest
from flask import Blueprint, Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from overgrow.app import app_rules
from overgrow.app_loader.loader import TeamApp, import_team_app
from overgrow.table.reading.parse import parse

TABLE = (
    "version: 1\nlegacy: {{url: http://127.0.0.1:9}}\nroutes:\n  - {{{route}, target: migrated}}\n"
)


def problems(flask: Flask, route: str) -> list[str]:
    """What `check` says of a table of one migrated route."""
    rules = app_rules(TeamApp("shop:create_app", flask))
    data = TABLE.format(route=route).encode()
    return [str(each) for each in parse(data, file="routes.yaml", env={}, rules=rules).problems]


def shop(**rule) -> Flask:
    app = Flask("shop")
    app.add_url_rule("/orders/", "orders", lambda: "orders", **rule)
    app.add_url_rule("/leaf/<int:id>", "leaf", lambda **_: "leaf", **rule)
    return app


def loose_everywhere() -> Flask:
    app = Flask("shop")
    app.url_map.strict_slashes = False
    app.add_url_rule("/orders/", "orders", lambda: "orders")
    app.add_url_rule("/leaf/<int:id>", "leaf", lambda **_: "leaf")
    return app


def dispatching() -> Flask:
    app = shop()
    admin = Flask("admin")
    admin.add_url_rule("/", "home", lambda: "home")
    admin.add_url_rule("/users/<int:id>", "user", lambda **_: "user", methods=["GET"])
    admin.wsgi_app = ProxyFix(admin.wsgi_app)
    mounts = {"/admin": admin, "/plain": lambda environ, start_response: []}
    app.wsgi_app = ProxyFix(DispatcherMiddleware(app.wsgi_app, mounts))
    return app


def with_a_plain_wrapper() -> Flask:
    app = shop()
    inner = app.wsgi_app

    def wrapper(environ, start_response):
        return inner(environ, start_response)

    app.wsgi_app = wrapper
    return app


def with_a_blueprint() -> Flask:
    app = Flask("shop")
    app.config["APPLICATION_ROOT"] = "/shop"
    blueprint = Blueprint("orders", "orders")
    blueprint.add_url_rule("/<int:id>", "one", lambda **_: "one")
    app.register_blueprint(blueprint, url_prefix="/orders")
    return app


def with_hosts() -> Flask:
    app = Flask("shop", host_matching=True, static_host="shop.test")
    app.add_url_rule("/orders", "orders", lambda: "orders", host="shop.test")
    return app


def with_subdomains() -> Flask:
    app = Flask("shop", subdomain_matching=True)
    app.add_url_rule("/orders", "orders", lambda: "orders", subdomain="api")
    return app


def with_odd_rules() -> Flask:
    app = Flask("shop")
    app.url_map.merge_slashes = False
    app.url_map.add(Rule("/any", endpoint="any", methods=None))
    app.url_map.add(Rule("/moved", endpoint="moved", redirect_to="/any"))
    app.url_map.add(Rule("/alias", endpoint="any", alias=True))
    app.url_map.add(Rule("/built", endpoint="built", build_only=True))
    app.url_map.add(Rule("/socket", endpoint="socket", websocket=True))
    return app


@pytest.mark.parametrize(
    ("app", "route"),
    [
        pytest.param(lambda: shop(strict_slashes=False), "path: /orders", id="loose branch"),
        pytest.param(lambda: shop(strict_slashes=False), "path: /orders/", id="loose, as written"),
        pytest.param(
            lambda: shop(strict_slashes=False), "path: '/leaf/<int:id>/'", id="loose leaf"
        ),
        pytest.param(loose_everywhere, "path: /orders", id="loose app"),
        pytest.param(loose_everywhere, "path: '/leaf/<int:n>/'", id="loose app, leaf"),
        pytest.param(dispatching, "path: /orders/", id="beside a mount"),
        pytest.param(dispatching, "path: /admin/", id="root of a mounted app"),
        pytest.param(dispatching, "path: /admin", id="the mount itself"),
        pytest.param(dispatching, "path: '/admin/users/<int:id>', methods: [GET]", id="mounted"),
        pytest.param(dispatching, "prefix: /admin", id="a mount as prefix"),
        pytest.param(dispatching, "path: /plain/x, methods: [PUT]", id="below an unknown app"),
        pytest.param(dispatching, "prefix: /plain", id="an unknown app as prefix"),
        pytest.param(with_a_plain_wrapper, "path: /orders/", id="a function around the app"),
        pytest.param(with_a_blueprint, "path: '/orders/<int:id>'", id="blueprint"),
        pytest.param(with_a_blueprint, "prefix: /orders", id="blueprint as prefix"),
        pytest.param(with_hosts, "path: /orders, host: shop.test", id="host matching"),
        pytest.param(with_subdomains, "path: /orders", id="subdomain"),
        pytest.param(with_odd_rules, "path: /any, methods: [PATCH]", id="no methods"),
        pytest.param(with_odd_rules, "path: /moved", id="redirect_to"),
        pytest.param(with_odd_rules, "path: /alias", id="alias"),
    ],
)
def test_a_route_the_app_serves_passes(app, route):
    assert problems(app(), route) == []


@pytest.mark.parametrize(
    ("app", "route", "text"),
    [
        pytest.param(shop, "path: /orders", "no rule of the shape /orders", id="strict"),
        pytest.param(dispatching, "path: /users", "no rule of the shape", id="beside the mount"),
        pytest.param(dispatching, "path: /admin/nothing", "no rule of the shape", id="in a mount"),
        pytest.param(
            dispatching,
            "path: '/admin/users/<int:id>', methods: [PUT]",
            "does not take PUT",
            id="method of a mounted rule",
        ),
        pytest.param(dispatching, "prefix: /plainly", "no rule at or below", id="other segment"),
        pytest.param(with_odd_rules, "path: /built", "no rule of the shape", id="build_only"),
        pytest.param(with_odd_rules, "path: /socket", "no rule of the shape", id="websocket"),
        pytest.param(
            with_a_plain_wrapper,
            "path: /inside",
            'says so: app.add_url_rule("/inside", "NAME")',
            id="what a function might serve",
        ),
    ],
)
def test_a_route_the_app_does_not_serve_is_a_problem(app, route, text):
    (problem,) = problems(app(), route)

    assert text in problem


def test_a_rule_without_a_view_satisfies_the_check_of_a_wrapped_app():
    app = with_a_plain_wrapper()
    app.add_url_rule("/inside", "inside")

    assert problems(app, "path: /inside") == []


WRAPPED = """
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
flask_app = Flask("shop")
fixed = ProxyFix(flask_app)
dispatched = DispatcherMiddleware(flask_app, {})
method = flask_app.wsgi_app
def function(environ, start_response):
    return flask_app(environ, start_response)
def factory_of_a_wrapper():
    return ProxyFix(flask_app)
"""


@pytest.mark.parametrize(
    "name", ["fixed", "dispatched", "method", "function", "factory_of_a_wrapper"]
)
def test_a_wrapper_in_place_of_the_app_is_told_how_to_wrap_inside(tmp_path, monkeypatch, name):
    (tmp_path / "wrapped_shop.py").write_text(WRAPPED)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "wrapped_shop", raising=False)
    team = import_team_app(f"wrapped_shop:{name}", tmp_path)

    assert team.flask is None
    assert "wrap it inside: app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {...})" in team.why
