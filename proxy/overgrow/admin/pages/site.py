"""How a page is registered and served: as HTML, and as the JSON that keeps the open page up to date.

A page is one Page value: its path, its template, and `build`, which returns the page's data as JSON values. The
HTML and the JSON contain the same data. static/live.js asks for the JSON every two seconds and puts its texts
into the elements that name them; docs/architecture.md describes the attributes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue

from overgrow.admin.access import current_access
from overgrow.admin.alerts import FilesReader
from overgrow.admin.auth import form_token_of
from overgrow.admin.pages.frame import NAVIGATION, Frame, read_frame
from overgrow.admin.view import AdminView
from overgrow.text import ago_text, rfc3339

DATA = "/page-data"  # before the path of a page: the page's data as JSON
TICK_S = 2.0  # how often live.js asks
KEPT_S = 1.9  # data is made once in this time for all viewers of this worker; less than a tick, so that no viewer misses one
MOST_COST = 0.05  # of one core: data that costs more is kept for longer,
LONGEST_S = 10.0  # but no longer than this
MOST_KEPT = 16  # pages whose data is kept
LOOKS = (
    5  # reloads, a second apart, without JavaScript, after a change, until all workers follow it
)
Query = Mapping[str, str]
PageData = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `build(view, now_s, query, **parts of the path)` returns its data.

    `build` gets only the query parameters that `parameters` names. If the HTML shows only a part of the data,
    `narrow(data, query)` returns that part. `build` raises an HTTPException for a page that does not exist.
    Texts are shown as they are; times are RFC 3339.
    """

    path: str
    template: str
    build: Callable[..., PageData]
    parameters: tuple[str, ...] = ()
    narrow: Callable[[PageData, Query], PageData] | None = None


@dataclass(frozen=True, slots=True)
class KeptData:
    """The data of a page as JSON text, and until when it is used."""

    until_s: float
    text: str


class Site:
    """The pages of one admin app. `now` returns unix time; `clock` returns seconds that are never set back."""

    def __init__(
        self,
        app: Flask,
        view: AdminView,
        now: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._view, self._now, self._clock = app, view, now, clock
        self._kept: dict[str, KeptData] = {}
        self._files = FilesReader(view)
        self._lock = Lock()  # the data is heavy: two viewers at once wait for one answer

    def now_s(self) -> float:
        """Return unix time."""
        return self._now()

    def add_page(self, page: Page) -> None:
        """Serve a page at its path, and its data below /page-data."""
        name = page.template.removesuffix(".html")
        self._app.add_url_rule(page.path, name, partial(self._html, page))
        self.add_data(page)

    def add_data(self, page: Page) -> None:
        """Serve only the data of a page."""
        name = page.template.removesuffix(".html")
        self._app.add_url_rule(f"{DATA}{page.path}", f"{name}_data", partial(self._json, page))

    def _html(self, page: Page, **parts: str) -> ResponseReturnValue:
        data = page.build(self._view, self._now(), _query(page), **parts)
        shown = page.narrow(data, request.args) if page.narrow else data
        return self.render(page.template, page.path, page=shown)

    def render(self, template: str, here: str, **values: Any) -> str:
        """Return a page as HTML, with the frame; `here` is the page's path in the navigation."""
        now_s, access = self._now(), current_access()
        frame, looks = self._read_frame()
        return render_template(
            template,
            view=self._view,
            frame=frame.as_json(),
            here=here,
            navigation=NAVIGATION,
            csrf=form_token_of(self._view) if access.may_change else None,
            logout_csrf=form_token_of(self._view) if access.session else None,
            access=access,
            now=rfc3339(now_s),
            ago=partial(ago_text, now_s=now_s),
            next_look=f"{request.path}?look={looks - 1}" if looks else None,
            **values,
        )

    def _read_frame(self) -> tuple[Frame, int]:
        """Return the frame, and how many more times the page checks whether all workers follow a change."""
        looks = None
        if "look" in request.args:
            looks = max(0, min(request.args.get("look", 0, type=int), LOOKS))
        frame = read_frame(self._view, self._files, looks)
        return frame, (looks or 0) if frame.lagging else 0

    def _json(self, page: Page, **parts: str) -> ResponseReturnValue:
        """Return frame and data as JSON; 304 if the viewer has it already."""
        frame, _ = self._read_frame()
        frame_text = json.dumps(frame.as_json(), separators=(",", ":"))
        text = f'{{"frame":{frame_text},"page":{self._page_text(page, parts)}}}'
        response = Response(text, mimetype="application/json")
        response.set_etag(hashlib.sha256(text.encode()).hexdigest()[:32])
        return response.make_conditional(request)

    def _page_text(self, page: Page, parts: Mapping[str, str]) -> str:
        """Return the page's data as JSON text, made at most once a tick."""
        query = _query(page)
        key = json.dumps([request.path, query])
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or self._clock() >= kept.until_s:
                kept = self._make(page, query, parts)
                self._keep(key, kept)
        return kept.text

    def _make(self, page: Page, query: Query, parts: Mapping[str, str]) -> KeptData:
        began_s = self._clock()
        data = page.build(self._view, self._now(), query, **parts)
        text = json.dumps(data, separators=(",", ":"))
        done_s = self._clock()
        kept_s = min(LONGEST_S, max(KEPT_S, (done_s - began_s) / MOST_COST))
        return KeptData(done_s + kept_s, text)

    def _keep(self, key: str, data: KeptData) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = data


def _query(page: Page) -> dict[str, str]:
    """Return the parameters of the request that the page's data depends on."""
    return {name: request.args[name] for name in page.parameters if name in request.args}
