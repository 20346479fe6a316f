"""The page of one group of differences: both responses side by side, the preview of a rule, and a form to accept it.

Two steps: the preview shows which stored differences the rule would hide, and only the preview has the button
that accepts it. The form carries the digest of the preview, so that exactly the rule of the preview is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from flask import Flask, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from overgrow.admin.access import author, clean_name, current_access
from overgrow.admin.differences import (
    AcceptOrder,
    AcceptResult,
    EvidenceUnavailable,
    PreviewChanged,
    ShownDifference,
    accept_rule,
    find_difference,
    preview_rule,
    show_difference,
)
from overgrow.admin.pages.differences import group_row
from overgrow.admin.pages.site import Page, PageData, Query, Site
from overgrow.admin.rule_fields import (
    BadField,
    default_expiry,
    latest_expiry,
    read_terms,
    read_wish,
)
from overgrow.admin.view import AdminView
from overgrow.shadow.review.as_json import MAX_COVERED, preview_json
from overgrow.shadow.review.drafting import HOW, RuleWish
from overgrow.shadow.review.judged_groups import JudgedGroup
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.review.rules_text import is_writable
from overgrow.shadow.rules.comparators import has_comparable_types
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.rules.writing import render_rule_as_yaml
from overgrow.table.file_lock import LockHeld
from overgrow.table.reading.problems import EditRefused

FIELDS = ("path", "how", "kinds", "everywhere")  # of the rule, in the address of a preview
_TERM_LINES = ("author:", "reason:", "expires:")
TERMS = ("author", "reason", "expires", "restart")


class RenderedPage(NamedTuple):
    """A page and its status, as Flask takes them."""

    html: str
    status: int = 200


class DifferencePages:
    """The pages of one group: the group, the preview of a rule, and the answer to an accept."""

    def __init__(self, site: Site, view: AdminView) -> None:
        self._site, self._view = site, view

    def show(self, key: str) -> ResponseReturnValue:
        """Show the group."""
        shown = self._find(key)
        return self._render_group(shown, request.args)

    def preview(self, key: str) -> ResponseReturnValue:
        """Show what a rule for the group would hide."""
        shown = self._find(key)
        return self._render_preview(shown, key, request.args, {})

    def accept(self, key: str) -> ResponseReturnValue:
        """Write the previewed rule. If the preview would be different now, show the new preview instead."""
        form = request.form
        try:
            done = self._accept(key, form)
        except PreviewChanged as changed:
            return self._render_refusal(key, f"{changed.message.capitalize()}. {changed.fix}")
        except ReviewRefused as refused:
            return self._render_refusal(key, f"{refused.message} {refused.fix}")
        except BadField as error:
            return self._render_refusal(key, f"{error.name.capitalize()} must be {error}.", 400)
        except LockHeld as held:
            return self._render_refusal(key, f"{held.filename} cannot be locked: {held.strerror}.")
        except (EditRefused, EvidenceUnavailable) as error:
            return self._render_refusal(key, str(error))
        if form.get("restart"):  # its groups are gone
            route = done.preview.target.route
            return redirect(url_for("differences", route=route, accepted="1"), 303)
        return redirect(url_for("show_difference", key=key, accepted="1"), 303)

    def _accept(self, key: str, form: Mapping[str, str]) -> AcceptResult:
        now_s = self._site.now_s()
        name = current_access().name or clean_name(form.get("author", ""))
        who = author("admin page", name)
        terms = read_terms(name, form.get("reason", ""), form.get("expires"), now_s)
        order = AcceptOrder(terms, form.get("digest", ""), who, restart=bool(form.get("restart")))
        return accept_rule(self._view, now_s, key, _wish_of(form), order)

    def _render_refusal(self, key: str, text: str, status: int = 409) -> ResponseReturnValue:
        """Show the present preview with the reason why the rule was refused, and with what the person had written."""
        shown = self._find(key)
        written = {name: request.form.get(name, "") for name in TERMS}
        page = self._render_preview(shown, key, request.form, {**written, "refused": text})
        return page._replace(status=status)

    def _find(self, key: str) -> ShownDifference:
        try:
            return show_difference(self._view, self._site.now_s(), key)
        except (ReviewRefused, EvidenceUnavailable) as refused:
            raise NotFound(f"{refused} /differences lists the groups.") from refused

    def _render_preview(
        self,
        shown: ShownDifference,
        key: str,
        fields: Mapping[str, str],
        written: Mapping[str, str],
    ) -> RenderedPage:
        """Return the preview of a rule. If there cannot be a preview, return the page of the group with the reason."""
        now_s = self._site.now_s()
        try:
            preview = preview_rule(self._view, now_s, key, _wish_of(fields))
        except (ReviewRefused, EvidenceUnavailable) as refused:
            text = f"{refused} {getattr(refused, 'fix', '')}".strip()
            return RenderedPage(self._render_group(shown, fields, text), 409)
        except BadField as error:
            text = f"{error.name.capitalize()} must be {error}."
            return RenderedPage(self._render_group(shown, fields, text), 400)
        html = self._render(
            "preview.html",
            shown,
            wish=_fields(fields),
            preview=preview_json(preview),
            rules=list(map(_rule_text, preview.rules)),
            is_writable=is_writable(preview.path),
            most_covered=MAX_COVERED,
            written=_with_defaults(written, now_s),
            latest=str(latest_expiry(now_s)),
            refused=written.get("refused", ""),
        )
        return RenderedPage(html)

    def _render_group(
        self, shown: ShownDifference, fields: Mapping[str, str], refused: str = ""
    ) -> str:
        return self._render("difference.html", shown, wish=_fields(fields), refused=refused)

    def _has_route(self, name: str) -> bool:
        table = self._view.table
        return table is not None and any(route.name == name for route in table.routes)

    def _render(self, template: str, shown: ShownDifference, **values: Any) -> str:
        known = {
            "shown": shown,
            "group": shown.group,
            "rows": [group_row(each) for each in shown.judged],
            "paths": sorted({part.path for each in shown.judged for part in each.open_parts}),
            "how_words": HOW,
            "is_comparable": has_comparable_types,
            "name": current_access().name,
            "may_change": current_access().may_change,
            "is_in_table": self._has_route(shown.group.route),
            "accepted": "accepted" in request.args,
            "refused": "",
        }
        return self._site.render(
            template, "/differences", page=page_of(shown.judged), **{**known, **values}
        )


def page_of(judged: Iterable[JudgedGroup]) -> PageData:
    """Return what may change while the page is open: how often and when the group occurred, and whether it is open."""
    return {"groups": [group_row(each) for each in judged]}


def difference_data(view: AdminView, now_s: float, _query: Query, key: str) -> PageData:
    """Return the data of the page for live.js."""
    try:
        return page_of(find_difference(view, now_s, key, []))
    except (ReviewRefused, EvidenceUnavailable) as refused:
        raise NotFound(str(refused)) from refused


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name, "") for name in FIELDS}


def _wish_of(given: Mapping[str, str]) -> RuleWish:
    fields = {name: given.get(name, "").strip() for name in ("path", "how", "kinds")}
    return read_wish(fields, everywhere=bool(given.get("everywhere")))


def _rule_text(rule: Rule) -> str:
    """Return the rule as it will stand in the file, but without author, reason and expiry."""
    lines = render_rule_as_yaml(rule).splitlines()
    return "\n".join(line for line in lines if line.split()[0] not in _TERM_LINES)


def _with_defaults(written: Mapping[str, str], now_s: float) -> dict[str, str]:
    expires = written.get("expires") or str(default_expiry(now_s))
    return {**{name: written.get(name, "") for name in TERMS}, "expires": expires}


def add_difference_pages(app: Flask, site: Site, view: AdminView) -> None:
    """Serve the pages of one group."""
    pages, path = DifferencePages(site, view), "/differences/<key>"
    app.add_url_rule(path, "show_difference", pages.show)
    app.add_url_rule(f"{path}/preview", "preview_difference", pages.preview)
    app.add_url_rule(f"{path}/accept", "accept_difference", pages.accept, methods=["POST"])
    back = partial(redirect, code=303)
    app.add_url_rule(
        f"{path}/accept", "back_to_difference", lambda key: back(f"/differences/{key}")
    )
    for below in ("", "/preview", "/accept"):
        name = f"difference{below.replace('/', '_')}.html"
        site.add_data(Page(f"{path}{below}", name, difference_data))
