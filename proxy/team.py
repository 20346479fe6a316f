"""The team's own Flask app: found by name, imported, its URL rules read as plain data.

Root's helper: the only module that imports user code. An app that cannot be imported is a value,
so that legacy traffic, flips to legacy and the kill file go on without it.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class TeamApp(NamedTuple):
    """The app behind migrated routes. `flask` is None, and `why` says so, if it cannot be had."""

    name: str  # MODULE:FACTORY
    flask: Flask | None
    why: str = ""


class AppBrokenError(RuntimeError):
    """Raised for every request to an app that could not be imported."""


def team_app(name: str, folder: Path) -> TeamApp:
    """Import `MODULE:FACTORY` (or `MODULE:APP`) with the table's folder first on sys.path."""
    where = str(folder.resolve())
    if where not in sys.path:
        sys.path.insert(0, where)
    try:
        return TeamApp(name, _made(name))
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code may raise anything
        return TeamApp(name, None, _reason(name, error))


def _made(name: str) -> Flask:
    module_name, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module_name), attribute or "create_app")
    app = found if isinstance(found, Flask) else found()
    if not isinstance(app, Flask):
        raise TypeError(f"{name} gives a {type(app).__name__}, not a flask.Flask")
    return app


def _reason(name: str, error: BaseException) -> str:
    """One line: what was raised, and where in the team's own code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in {__file__, importlib.__file__}
        and not frame.filename.startswith("<frozen")
    ]
    raised = f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        raised = f"it ends the process with sys.exit({error.code!r})"
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{name} cannot be imported: {raised}{place}"


def broken(why: str) -> WSGIApp:
    """A WSGI app that fails every request and says why in the log, not to the client."""

    def wsgi_app(_environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise AppBrokenError(why)

    return wsgi_app
