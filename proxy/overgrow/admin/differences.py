"""The stored differences for the admin listener: lists them, shows one, previews a rule, accepts it.

The API and the pages call these functions; they use the same review as the command line. Only what
was previewed can be accepted: a request to accept carries the digest of the preview, and is refused if the file, the
rules or what they hide have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from overgrow.admin.view import AdminView
from overgrow.evidence import EvidenceReset, Group
from overgrow.files import ANSWER_S, Silent, within
from overgrow.shadow.review.drafting import (
    RuleWish,
    Terms,
    draft_rules,
    rule_json,
)
from overgrow.shadow.review.judged_groups import JudgedGroup
from overgrow.shadow.review.preview import RulePreview
from overgrow.shadow.review.review import DifferenceReview, GroupListing
from overgrow.shadow.review.rules_folder import FOLDER, TolerantRulesFolder, compare_names
from overgrow.shadow.review.side_by_side import ComparedPair, latest_pairs
from overgrow.table.editing.accepted_rules import AcceptedRules, lock_for_accept
from overgrow.table.reading.problems import EditRefused
from overgrow.text import printable
from overgrow.yaml_file.scalars import nearest_word

if TYPE_CHECKING:
    from overgrow.store.reader import Reader

T = TypeVar("T")
ASK_S = 8.0  # for the store to answer, and for what it holds to be judged
LOCK_S = 2.0  # short: the admin listener has few threads
MOST_SAMPLES = 5
MOST_LISTED = 200


class EvidenceUnavailable(Exception):
    """The store does not exist yet, or cannot be read."""


@dataclass(frozen=True, slots=True)
class ListedDifferences:
    """The groups of a list.

    `missing` says why the store cannot be read, and `notes` say what is wrong with rules files.
    """

    listing: GroupListing
    groups: tuple[JudgedGroup, ...]  # those that were asked for, at most MOST_LISTED
    matching: int  # how many there are
    missing: str
    notes: tuple[str, ...]

    @property
    def has_more(self) -> bool:
        """Whether there are more groups than those in the list."""
        return self.matching > len(self.groups) or self.listing.known > self.listing.looked_at


@dataclass(frozen=True, slots=True)
class ShownDifference:
    """One group with its samples.

    If the group occurred both while legacy and while migrated served users, it has two judged groups.
    """

    judged: tuple[JudgedGroup, ...]
    samples: tuple[ComparedPair, ...]
    unstored: int  # samples that were too large to store
    rules: tuple[Mapping[str, Any], ...]  # that would cover what is open
    notes: tuple[str, ...]

    @property
    def group(self) -> Group:
        """The judged group with the most pairs."""
        return self.judged[0].group

    @property
    def undecided_rules(self) -> tuple[str, ...]:
        """The names of rules that may cover open differences, but cannot be applied to the stored pairs."""
        return tuple(dict.fromkeys(rule.name for each in self.judged for rule in each.undecided))

    @property
    def is_open(self) -> bool:
        """Whether the group has differences that no current rule covers."""
        return any(each.is_open for each in self.judged)


class AcceptOrder(NamedTuple):
    """A rule that a person accepts: under which terms, after which preview, and whether to reset the evidence of the route."""

    terms: Terms
    digest: str
    who: str
    restart: bool = False


class AcceptResult(NamedTuple):
    """The written rules.

    `unrecorded` says why the history has no entry for them; it is empty if the history has one.
    """

    preview: RulePreview
    open_groups: int
    unrecorded: str


class PreviewChanged(EditRefused):
    """The file, the rules or the hidden differences have changed since the person saw the preview.

    `preview` is the new preview.
    """

    def __init__(self, preview: RulePreview) -> None:
        what = "the rules file, or what the rule would hide, has changed since the preview"
        fix = "Nothing was changed. Read the new preview, and accept that."
        super().__init__("changed-meanwhile", what, fix)
        self.preview = preview


# --- reading --------------------------------------------------------------------------------------


def list_differences(
    view: AdminView, now_s: float, route: str | None, *, everything: bool, limit: int = MOST_LISTED
) -> ListedDifferences:
    """Return the open groups of one route or of all routes; with `everything`, also the groups that rules cover.

    Raises:
        EditRefused: unknown-route, if neither the table has the route nor the store a group of it.

    """
    notes: list[str] = []
    try:
        listing = _ask(view, lambda: _review(view, now_s, notes).listing(route))
        missing = ""
    except EvidenceUnavailable as error:
        listing, missing = GroupListing((), 0, 0), str(error)
    if route is not None and not listing.known:
        _require_route(view, route)
    chosen = listing.groups if everything else listing.open_groups
    return ListedDifferences(listing, chosen[:limit], len(chosen), missing, tuple(notes))


def _require_route(view: AdminView, name: str) -> None:
    names = [route.name for route in view.table.routes] if view.table else []
    if name not in names:
        near = nearest_word(name, names)
        fix = f"Did you mean {near}?" if near else "overgrow routes lists the names."
        what = f"{view.config} has no route named {printable(name, keep='')}"
        raise EditRefused("unknown-route", what, fix)


def show_difference(view: AdminView, now_s: float, text: str) -> ShownDifference:
    """Return the group whose id begins with `text`."""
    notes: list[str] = []
    judged = find_difference(view, now_s, text, notes)
    examples = [example for each in judged for example in each.group.examples]
    parts = [part for each in judged for part in each.open_parts]
    return ShownDifference(
        judged,
        tuple(latest_pairs(examples, MOST_SAMPLES)),
        sum(not example.pair for example in examples),
        tuple(map(rule_json, draft_rules(parts))),
        tuple(notes),
    )


def find_difference(
    view: AdminView, now_s: float, text: str, notes: list[str]
) -> tuple[JudgedGroup, ...]:
    """Return the groups of one id, the most frequent first; append notes on rules files to `notes`."""
    found = _ask(view, lambda: _review(view, now_s, notes).find(text))
    return tuple(sorted(found, key=lambda each: -each.group.count))


def preview_rule(view: AdminView, now_s: float, text: str, wish: RuleWish) -> RulePreview:
    """Return what a rule for the group whose id begins with `text` would hide."""
    return _ask(view, lambda: _preview(_review(view, now_s, []), text, wish))


def _preview(review: DifferenceReview, text: str, wish: RuleWish) -> RulePreview:
    return review.preview_group(review.find(text), wish)


def _review(view: AdminView, now_s: float, notes: list[str]) -> DifferenceReview:
    """Return a review of the groups in the store under the rules that are on disk now."""
    routes = view.table.routes if view.table else ()
    today = datetime.fromtimestamp(now_s, UTC).date()
    folder = TolerantRulesFolder(
        view.config.parent / FOLDER, compare_names(routes), today, notes.append
    )

    def open_store() -> Reader:
        from overgrow.store.engine import store_url  # noqa: PLC0415  SQLAlchemy is slow, and large
        from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

        return open_reader(store_url(view.state, view.store_url))

    return DifferenceReview(open_store, folder)


def _ask(view: AdminView, question: Callable[[], T]) -> T:
    """Run a query on the store, in a thread that nobody joins, because a disk or a database may never answer.

    Raises:
        EvidenceUnavailable: if there is no store, or it cannot be read in time.

    """
    from overgrow.store.engine import StoreError  # noqa: PLC0415  as above

    try:
        return within(ASK_S, view.state / "differences", question)
    except (StoreError, OSError) as error:
        raise EvidenceUnavailable(_reason(error)) from error


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if isinstance(error, Silent):
        return f"The evidence store has not answered for {ASK_S:g} s."
    return f"The evidence in {error.filename} cannot be read: {error.strerror or error}."


# --- writing --------------------------------------------------------------------------------------


def accept_rule(
    view: AdminView, now_s: float, text: str, wish: RuleWish, order: AcceptOrder
) -> AcceptResult:
    """Write the rules that were previewed; refuse if a preview would be different now."""
    preview = preview_rule(view, now_s, text, replace(wish, terms=order.terms))
    if preview.digest != order.digest:
        raise PreviewChanged(preview)
    work = partial(_write, view.state, preview, order)
    unrecorded = within(LOCK_S * 2 + ANSWER_S, preview.path, work)
    route = preview.target.route
    if order.restart:
        _ask(
            view, partial(_reset, view, EvidenceReset(route, now_s, order.who, order.terms.reason))
        )
    left = list_differences(view, now_s, route, everything=False).matching
    return AcceptResult(preview, left, unrecorded)


def _write(state: Path, preview: RulePreview, order: AcceptOrder) -> str:
    with lock_for_accept(state, LOCK_S) as record:
        preview.write()
        names = [rule.name for rule in preview.rules]
        target, why = preview.target, order.terms.reason
        return record(AcceptedRules(order.who, target.route, target.key, preview.path, names, why))


def _reset(view: AdminView, begun: EvidenceReset) -> None:
    from overgrow.store.admin_writes import reset_evidence  # noqa: PLC0415  as above
    from overgrow.store.engine import engine_of, store_url  # noqa: PLC0415  as above

    engine = engine_of(store_url(view.state, view.store_url))
    try:
        reset_evidence(engine, begun)
    finally:
        engine.dispose()
