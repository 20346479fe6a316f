"""Finds the team's own Flask app by name, imports it, and reads its URL rules as plain data.

Only the composition root uses this module, and no other module imports user code. A failed import is a value,
so that legacy traffic, flips to legacy and the kill file work without the app.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from flask import Flask

from overgrow.app_loader.url_rules import wraps_flask
from overgrow.app_types import WsgiApp
from overgrow.routing.model import Route
from overgrow.text import exception_text

_PREFIX = re.compile(r"/|(?:/[^/<>%?#\\\s]+)+")  # whole segments, no slash at the end
MAX_CANDIDATES = 5
_UNWRAP = (
    "Name the Flask app itself, or a factory of it, and wrap it inside: "
    "app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {...})"
)


class TeamApp(NamedTuple):
    """The app behind migrated routes. If it cannot be imported, `flask` is None and `why` gives the reason.

    `mounts` are the pairs of prefix and ASGI app in its `extensions["asgi"]`. If this app replaces an app that
    cannot be imported, `note` names the app that it replaces.
    """

    name: str  # MODULE:FACTORY; empty where no app is named
    flask: Flask | None
    why: str = ""
    mounts: tuple[tuple[str, Any], ...] = ()
    note: str = ""
    import_began_s: float = 0.0  # Unix time


def no_app() -> TeamApp:
    """Return an empty Flask app, for a table that names no app because legacy serves everything."""
    return TeamApp("", Flask(__name__, static_folder=None), import_began_s=time.time())


class AppBrokenError(RuntimeError):
    """Raised for every request to an app that could not be imported."""


def import_team_app(name: str, folder: Path) -> TeamApp:
    """Import `MODULE:FACTORY` (or `MODULE:APP`) with the table's folder first on sys.path."""
    where = str(folder.resolve())
    if where not in sys.path:
        sys.path.insert(0, where)
    began_s = time.time()
    try:
        flask = _import_app(name)
        return TeamApp(name, flask, mounts=_mounts_of(flask), import_began_s=began_s)
    except KeyboardInterrupt:  # of whoever waits for this command
        raise
    except BaseException as error:  # noqa: BLE001  user code may raise anything
        return TeamApp(name, None, _import_error(name, error), import_began_s=began_s)


def _import_app(name: str) -> Flask:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    attribute = attribute or "create_app"
    if not hasattr(module, attribute):
        raise AttributeError(f"{module_name} has no {attribute}. {_describe_candidates(module)}")
    found = getattr(module, attribute)
    if isinstance(found, Flask):
        return found
    if wraps_flask(found):
        raise TypeError(f"{name} is of type {type(found).__name__}, not a flask.Flask. {_UNWRAP}")
    if _takes_arguments(found):
        raise TypeError(f"{name} takes arguments, so it is not a factory. {_UNWRAP}")
    app = found()
    if isinstance(app, Flask):
        return app
    problem = f"{name} returns {type(app).__name__}, not a flask.Flask"
    raise TypeError(f"{problem}. {_UNWRAP}" if callable(app) else problem)


def _describe_candidates(module: ModuleType) -> str:
    """Return a list of names in the module that may be the app: Flask apps, and functions that look like factories."""
    members = [pair for pair in vars(module).items() if not pair[0].startswith("_")]
    apps = [name for name, value in members if isinstance(value, Flask)]
    factories = [
        name
        for name, value in members
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not _takes_arguments(value)
    ]
    named = [f"{module.__name__}:{name}" for name in (*apps, *factories)[:MAX_CANDIDATES]]
    if named:
        return f"It has {', '.join(named)}"
    return "It has neither a Flask app nor a function that could make one"


def _takes_arguments(factory: Callable[..., Any]) -> bool:
    """Whether a factory has required arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return callable(factory)
    except ValueError:  # no signature to be had
        return False
    return False


def _mounts_of(flask: Flask) -> tuple[tuple[str, Any], ...]:
    """Return the ASGI apps of `app.extensions["asgi"]`.

    The app sets this plain attribute, so that it need not import overgrow.
    """
    named = flask.extensions.get("asgi", {})
    if not isinstance(named, Mapping):
        raise TypeError('extensions["asgi"] is not a mapping of prefixes to ASGI apps')
    for prefix, app in named.items():
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ValueError(f'extensions["asgi"] has {prefix!r}; a prefix is written like "/live"')
        if not callable(app):
            raise TypeError(
                f'extensions["asgi"][{prefix!r}] cannot be called, so it is not an ASGI app'
            )
    return tuple(named.items())


def _import_error(name: str, error: BaseException) -> str:
    """Return a line that says which exception was raised, and at which place in the team's code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in {__file__, importlib.__file__}
        and not frame.filename.startswith("<frozen")
    ]
    text = exception_text(error)
    raised = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SystemExit):
        raised = f"it ends the process with sys.exit({error.code!r})"
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{name} cannot be imported: {raised}{place}"


def routes_to_mounts(team: TeamApp, routes: Iterable[Route]) -> list[str]:
    """Return the names of those routes that send clients to a mounted ASGI app."""
    return [
        route.name
        for route in routes
        if (route.target == "migrated" or route.canary)
        and any(_is_inside_mount(route, prefix.rstrip("/")) for prefix, _ in team.mounts)
    ]


def _is_inside_mount(route: Route, mount: str) -> bool:
    """Whether a route matches paths of a mount: the route's path is at or below the mount, or its prefix contains the mount."""
    path = route.path or route.prefix or "/"
    above = route.path is None and f"{mount}/".startswith(path.rstrip("/") + "/")
    return above or f"{path}/".startswith(f"{mount}/")


def failing_app(why: str) -> WsgiApp:
    """Return a WSGI app that fails every request; the reason goes to the log, not to the client."""

    def wsgi_app(_environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise AppBrokenError(why)

    return wsgi_app
