"""Which paths the team's app serves, as plain data: its URL rules, and those of apps that it wraps or mounts.

A Flask app may be wrapped (`app.wsgi_app = ProxyFix(app.wsgi_app)`) or share its paths with other apps by
Werkzeug's DispatcherMiddleware. Apps are found through the attributes `mounts` and `app` of such objects. No
object is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException


class TeamRule(NamedTuple):
    """One URL rule; `methods` is None for all.

    `is_loose`: a trailing slash makes no difference. `is_open`: the rule is a prefix, and an app with unknown
    rules takes every path at and below it. If the prefix is empty, the whole app is unknown, because something wraps it.
    """

    rule: str
    methods: frozenset[str] | None
    is_loose: bool = False
    is_open: bool = False


def rules_of(flask: Flask) -> list[TeamRule]:
    """Return the rules of an app and of the apps around it, each with the prefix of its mount."""
    return list(_rules_of(flask, "", set()))


def find_rule(flask: Flask, method: str, path: str) -> str | None:
    """Return the URL rule by which an app serves a request; None if it has none of its own for it."""
    try:
        rule, _ = flask.url_map.bind("").match(path, method=method, return_rule=True)
    except HTTPException:  # a 404 or 405, or a redirect to another spelling of the path
        return None
    return rule.rule


def _rules_of(wsgi: Any, prefix: str, seen: set[tuple[int, str]]) -> Iterator[TeamRule]:
    if (id(wsgi), prefix) in seen:
        return
    seen.add((id(wsgi), prefix))
    if isinstance(wsgi, Flask):
        yield from _own_rules(wsgi, prefix)
        if (wrapped := vars(wsgi).get("wsgi_app")) is not None:
            yield from _rules_of(wrapped, prefix, seen)
        return
    mounts = getattr(wsgi, "mounts", None)
    for mount, app in mounts.items() if isinstance(mounts, Mapping) else ():
        yield from _rules_of(app, prefix + mount, seen)
    inner = _wrapped_app(wsgi)
    if inner is not None:
        yield from _rules_of(inner, prefix, seen)
    else:
        yield TeamRule(prefix, None, is_open=True)


def _own_rules(flask: Flask, prefix: str) -> Iterator[TeamRule]:
    for rule in flask.url_map.iter_rules():
        if rule.build_only or rule.websocket:  # no request matches them
            continue
        methods = frozenset(rule.methods) if rule.methods else None
        is_root = rule.rule == "/" and bool(prefix)  # a mount's root is at its prefix, too
        is_loose = rule.strict_slashes is False or is_root
        yield TeamRule(prefix + rule.rule, methods, is_loose)


def _wrapped_app(wsgi: Any) -> Any:
    """Return the app inside a wrapper: the Flask app whose `wsgi_app` this is, or a middleware's `app`; None if none is found."""
    owner = getattr(wsgi, "__self__", None)
    if isinstance(owner, Flask):
        return owner
    inner = getattr(wsgi, "app", None) or getattr(wsgi, "wsgi_app", None)
    return inner if callable(inner) else None


def wraps_flask(wsgi: Any) -> bool:
    """Whether a WSGI app that is not a Flask app wraps a Flask app."""
    for _ in range(20):
        if wsgi is None or isinstance(wsgi, Flask):
            break
        wsgi = _wrapped_app(wsgi)
    return isinstance(wsgi, Flask)
