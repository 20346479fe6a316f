"""Computes what new rules would hide in the stored groups, before the rules are saved. Pure.

The stored groups of all routes that the rules reach are judged twice: by the present rules, and by the rules
that the file would contain. A preview therefore shows exactly what workers will see after the file is written.
`digest` identifies the preview: the content of the file, the rules, and the hidden differences. The counts of
these differences are not part of the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from overgrow.evidence import Group, StoredGroups
from overgrow.shadow.review.hiding import (
    HiddenDifference,
    RuleChange,
    changes_by_route,
    gravest_first,
    severity_of,
)
from overgrow.shadow.review.rules_folder import RulesFolder
from overgrow.shadow.review.rules_text import read_rules_text, text_with_rules, write_rules_text
from overgrow.shadow.rules.file import parse_rules_file
from overgrow.shadow.rules.rules import Rule


class RuleTarget(NamedTuple):
    """The purpose of new rules: the route and the group that they were drafted for, and whether they apply to every route.

    `key` is the id of the group; None for proposed rules.
    """

    route: str
    key: str | None
    everywhere: bool = False


class CoveredGroup(NamedTuple):
    """The differences of one group that new rules would hide.

    `closes` says that all its differences would be covered.
    """

    group: Group
    hidden: tuple[HiddenDifference, ...]
    closes: bool

    @property
    def severity(self) -> str:
        """The highest severity of the hidden differences."""
        return severity_of(self.hidden[0].part)

    @property
    def is_sure(self) -> bool:
        """Whether the stored data suffice to know that all these differences would be hidden."""
        return all(each.is_sure for each in self.hidden)


@dataclass(frozen=True, slots=True)
class RulePreview:
    """New rules, the file with these rules, and what the rules would hide.

    `routes` are the routes that the rules reach; None stands for all. `opens` are groups that are covered now
    and would be open. `stays_open` are the open paths of the group itself that the new rules do not cover.
    """

    target: RuleTarget
    path: Path
    before: bytes | None
    text: bytes
    rules: tuple[Rule, ...]
    routes: tuple[str, ...] | None
    covers: tuple[CoveredGroup, ...]
    opens: tuple[Group, ...]
    stays_open: tuple[str, ...]
    looked_at: int
    known: int
    oldest_at: float | None  # when the first of the groups that were looked at was first seen

    @property
    def hides(self) -> list[HiddenDifference]:
        """The differences of other groups that the rules would hide, the most severe first."""
        others = (each for each in self.covers if each.group.key != self.target.key)
        return gravest_first(one for each in others for one in each.hidden)

    @property
    def highest_severity(self) -> str | None:
        """The highest severity of all differences that would be hidden; None if there are none."""
        return self.covers[0].severity if self.covers else None

    @property
    def is_bounded(self) -> bool:
        """Whether this preview judged only a part of the groups in the store."""
        return self.known > self.looked_at

    @property
    def digest(self) -> str:
        """A text that identifies the preview. It changes with the file, the rules and the hidden differences."""
        named = [
            str(self.path),
            hashlib.sha256(self.before or b"").hexdigest(),
            [rule.name for rule in self.rules],
            sorted(
                [one.group.route, one.group.control, one.group.key, *one.part.identity, one.is_sure]
                for each in self.covers
                for one in each.hidden
            ),
        ]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]

    def write(self) -> None:
        """Write the rules. If somebody changed the file since it was read for this preview, refuse."""
        write_rules_text(self.path, self.before, self.text)


def preview_rules(
    rules: Sequence[Rule], target: RuleTarget, folder: RulesFolder, stored: StoredGroups
) -> RulePreview:
    """Return what new rules would hide of the stored groups. If the rules would make the file invalid, refuse.

    `stored` are the groups of the routes that the rules reach.
    """
    path = folder.path_everywhere if target.everywhere else folder.path(target.route)
    before = read_rules_text(path)
    text = text_with_rules(path, before, target.route, rules)
    after = folder.with_file(path, parse_rules_file(text, file=str(path), today=folder.today))
    routes = sorted({group.route for group in stored.groups})
    added = {rule.name for rule in rules}
    changes = changes_by_route(routes, folder.rules, after.rules, added)
    return RulePreview(
        target=target,
        path=path,
        before=before,
        text=text,
        rules=tuple(rules),
        routes=reached_routes(target, folder),
        covers=_covered_groups(stored.groups, changes),
        opens=tuple(each for each in stored.groups if changes[each.route].opens(each)),
        stays_open=_paths_left_open(target, stored.groups, changes),
        looked_at=len(stored.groups),
        known=stored.total,
        oldest_at=min((each.first_seen_at for each in stored.groups), default=None),
    )


def reached_routes(target: RuleTarget, folder: RulesFolder) -> tuple[str, ...] | None:
    """Return the routes to which the rules of a target apply; None stands for all."""
    return None if target.everywhere else tuple(sorted(folder.routes_sharing_file(target.route)))


def _covered_groups(
    groups: Sequence[Group], changes: dict[str, RuleChange]
) -> tuple[CoveredGroup, ...]:
    """Return what the rules hide, by group.

    Groups with more severe differences come first, then more frequent groups.
    """
    found = gravest_first(one for each in groups for one in changes[each.route].find_hidden(each))
    by_group: dict[tuple[str, str, str], list[HiddenDifference]] = defaultdict(list)
    for one in found:
        by_group[one.group.route, one.group.control, one.group.key].append(one)
    return tuple(
        CoveredGroup(own[0].group, tuple(own), changes[own[0].group.route].closes(own[0].group))
        for own in by_group.values()
    )


def _paths_left_open(
    target: RuleTarget, groups: Sequence[Group], changes: dict[str, RuleChange]
) -> tuple[str, ...]:
    own = (each for each in groups if (each.route, each.key) == (target.route, target.key))
    left = {part.path for each in own for part in changes[each.route].left_open(each)}
    return tuple(sorted(left))
