"""Answers queries about stored differences: it lists them, shows one, and previews a rule.

The command line, the JSON API and the admin pages use this one class. It reads the store through a Protocol,
and does not know SQL or HTTP.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from overgrow.evidence import SHORT_ID, Group, StoredGroups
from overgrow.shadow.review.drafting import RuleWish, draft_rules_for
from overgrow.shadow.review.judged_groups import JudgedGroup, judge_groups
from overgrow.shadow.review.preview import RulePreview, RuleTarget, preview_rules, reached_routes
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.review.rules_folder import RulesFolder
from overgrow.shadow.rules.rules import Rule

MAX_GROUPS = (
    2_500  # that one question looks at; the store keeps 2,000, and deletes others within minutes
)
_ID = re.compile(r"[0-9a-f]{4,16}")


class EvidenceReader(Protocol):
    """The part of the store that a review reads."""

    def __enter__(self) -> Self:
        """Return the reader."""

    def __exit__(self, *_: object) -> None:
        """Close the connections."""

    def stored_groups(self, routes: Collection[str] | None, limit: int) -> StoredGroups:
        """Return at most `limit` groups of some routes, or of all routes for None.

        The most severe and most frequent come first.
        """

    def group(self, key: str) -> tuple[Group, ...]:
        """Return the groups whose key begins with `key`, with examples."""


@dataclass(frozen=True, slots=True)
class GroupListing:
    """The judged groups of one route or of all.

    `known` is the number of groups in the store. `looked_at` is the number of judged groups: the most severe
    and most frequent groups are judged.
    """

    groups: tuple[JudgedGroup, ...]
    looked_at: int
    known: int

    @property
    def open_groups(self) -> tuple[JudgedGroup, ...]:
        """The groups that no current rule covers."""
        return tuple(each for each in self.groups if each.is_open)


class DifferenceReview:
    """The stored differences under the rules of one folder. `open_store` opens the store for reading."""

    def __init__(self, open_store: Callable[[], EvidenceReader], folder: RulesFolder) -> None:
        self._open_store = open_store
        self.folder = folder

    def listing(self, route: str | None = None) -> GroupListing:
        """Return the groups of a route, or of all routes, the most severe and most frequent first."""
        with self._open_store() as reader:
            stored = reader.stored_groups(None if route is None else [route], MAX_GROUPS)
        judged = judge_groups(stored.groups, self.folder.rules)
        return GroupListing(tuple(judged), len(judged), stored.total)

    def find(self, text: str) -> list[JudgedGroup]:
        """Return the groups of the id that begins with `text`. If no id or several ids begin with it, refuse.

        If the difference occurred both while legacy and while migrated served users, there are two groups,
        otherwise one.
        """
        with self._open_store() as reader:
            found = reader.group(text) if _ID.fullmatch(text) else ()
            known = found or reader.stored_groups(None, MAX_GROUPS).groups
        ids = sorted({each.key for each in known})
        if found and len(ids) == 1:
            return judge_groups(found, self.folder.rules)
        raise _ambiguous(text, ids) if found else _unknown_group(text, ids)

    def preview_group(self, judged: Sequence[JudgedGroup], wish: RuleWish) -> RulePreview:
        """Return what the rules for a group would hide."""
        group = judged[0].group
        rules = draft_rules_for(judged, wish)
        return self.preview(rules, RuleTarget(group.route, group.key, wish.everywhere))

    def preview(self, rules: Sequence[Rule], target: RuleTarget) -> RulePreview:
        """Return which stored differences new rules would hide, on all routes that the rules reach."""
        with self._open_store() as reader:
            stored = reader.stored_groups(reached_routes(target, self.folder), MAX_GROUPS)
        return preview_rules(rules, target, self.folder, stored)


def _ambiguous(text: str, ids: Sequence[str]) -> ReviewRefused:
    what = f"{text} is the beginning of the ids of {len(ids)} groups: {', '.join(ids[:5])}."
    return ReviewRefused("unknown-mismatch", what, "Write more characters of the id.")


def _unknown_group(text: str, ids: Sequence[str]) -> ReviewRefused:
    shown = text[:SHORT_ID]
    near = difflib.get_close_matches(shown, [each[:SHORT_ID] for each in ids], 3, cutoff=0.5)
    fix = f"Did you mean {' or '.join(near)}?" if near else "overgrow diff top --all lists them."
    return ReviewRefused("unknown-mismatch", f"There is no group of mismatches {text}.", fix)
