"""Reads the rules files of all routes from disk: compare/NAME.yaml and compare/_all.yaml.

Each file is read once. If a file has problems, none of its rules apply, so that a mistake does not hide
differences. Notes report such problems and expired rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from pathlib import Path

from overgrow.evidence import Part
from overgrow.routing.model import Route
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.rules.cache import read_rules_bytes
from overgrow.shadow.rules.file import EVERYWHERE, RulesFile, parse_rules_file
from overgrow.shadow.rules.rejudge import build_coverage_check
from overgrow.shadow.rules.rules import Rule, Rules

FOLDER = "compare"  # beside the table


class RulesFolder:
    """The current rules of each route.

    `names` maps each route of the table to the name of its rules file. `note` is called with each note on a
    file. If a file cannot be read, ReviewRefused is raised.
    """

    def __init__(
        self, folder: Path, names: Mapping[str, str], today: date, note: Callable[[str], object]
    ) -> None:
        self._folder = folder
        self._names = names
        self._note = note
        self._read: dict[Path, RulesFile] = {}
        self.today = today

    def path(self, route: str) -> Path:
        """Return the path of the file with a route's rules. Several routes may share a file."""
        return self._folder / f"{self._names.get(route, route)}.yaml"

    def routes_sharing_file(self, route: str) -> Collection[str]:
        """Return the routes that share a rules file with a route, including that route."""
        path = self.path(route)
        return {route, *(name for name in self._names if self.path(name) == path)}

    @property
    def path_everywhere(self) -> Path:
        """The path of the file with the rules for every route."""
        return self._folder / f"{EVERYWHERE}.yaml"

    def explains(self, route: str) -> Callable[[Part], bool]:
        """Return a function that says whether the route's current rules cover a difference."""
        return build_coverage_check(self.rules(route))

    def rules(self, route: str) -> Rules:
        """Return the rules that apply today, with the rules for every route last."""
        return self.file(route).rules.with_shared_rules(self.everywhere().rules)

    def file(self, route: str) -> RulesFile:
        """Return the content of the route's file."""
        return self._file(self.path(route))

    def everywhere(self) -> RulesFile:
        """Return the content of the file with the rules for every route."""
        return self._file(self.path_everywhere)

    def location(self, route: str, rule: Rule) -> str:
        """Return the file and line of a rule that applies to a route."""
        is_own = rule in self.file(route).rules.rules
        return f"{self.path(route) if is_own else self.path_everywhere}:{rule.line}"

    def with_file(self, path: Path, file: RulesFile) -> RulesFolder:
        """Return the same folder with other content of one file."""
        other = RulesFolder(self._folder, self._names, self.today, self._note)
        other._read = {**self._read, path: file}
        return other

    def _file(self, path: Path) -> RulesFile:
        if path not in self._read:
            self._read[path] = self._load(path)
        return self._read[path]

    def _load(self, path: Path) -> RulesFile:
        """Read a file, and call `note` with each note on it."""
        try:
            found = read_rules_file(path, self.today)
        except OSError as error:
            return self._without(path, error)
        for note in notes_of_file(path, found):
            self._note(note)
        return found

    def _without(self, path: Path, error: OSError) -> RulesFile:
        """Raise ReviewRefused, because this folder needs every file.

        A subclass may return replacement content instead.
        """
        raise unreadable(path, error) from error


class TolerantRulesFolder(RulesFolder):
    """A folder in which none of the rules of an unreadable file apply. A note reports this."""

    def _without(self, path: Path, error: OSError) -> RulesFile:
        self._note(f"{path} cannot be read, so none of its rules apply: {error.strerror or error}")
        return RulesFile(Rules(is_broken=True))


def unreadable(path: Path, error: OSError) -> ReviewRefused:
    """Return the refusal for a rules file that cannot be read."""
    what = f"{path} cannot be read: {error.strerror or error}."
    return ReviewRefused("rules-unusable", what, "Give this user the right to read it.")


def read_rules_file(path: Path, today: date) -> RulesFile:
    """Return the content of a rules file on a day. If the file does not exist, there are no rules. Raises OSError."""
    try:
        text = read_rules_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return RulesFile(Rules.none)
    return parse_rules_file(text, file=str(path), today=today)


def notes_of_file(path: Path, read: RulesFile) -> list[str]:
    """Return a sentence for each problem and each expired rule of a file."""
    notes = [str(problem) for problem in read.problems]
    if read.problems:
        notes.append(f"until that is fixed no rule in {path} applies")
    return notes + [
        f"{path}:{each.line}: {each.title} expired on {each.expires} and no longer applies"
        for each in read.expired
    ]


def compare_names(routes: Iterable[Route]) -> dict[str, str]:
    """Return {route: name of its rules file}. The name is that of `shadow: {compare: NAME}`, else that of the route."""
    return {each.name: each.shadow_compare or each.name for each in routes}
