"""Finds names for siblings: an HTML element gets its name or id, an item of a JSON array the value of a key.

Pure. Rule: a value is used as a name only if a programmer could have written it, if it has no digits (because
rows of a list have no lasting names), and if no sibling has the same value. If a sibling is added, a path by
name stays right, whereas an index may become wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from overgrow.shadow.compare.findings import DifferencePaths
from overgrow.shadow.compare.html_bodies import Node, child_paths
from overgrow.shadow.compare.html_tree import Element
from overgrow.shadow.compare.json_bodies import unique_member_values
from overgrow.shadow.redact.paths import looks_like_a_name

# Members whose values name items in a path. A `name` may be a person's: see _is_safe_item_name.
KEYS = ("key", "code", "slug", "metric", "field", "name")
_NAMING_ATTRIBUTES = ("name", "id")  # attributes that name elements
_STEP = re.compile(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[("(?:[^"\\]|\\.)*"|\d+)\]')
_SEGMENT = re.compile(r"/([^/]*)")


@dataclass(slots=True)
class HtmlPathNaming:
    """The names in one page. Differences are reported by names, and rules may also use indexes."""

    root: Element
    _below: dict[int, _ChildPathSteps] = field(default_factory=dict)

    def paths_of_difference(self, kind: str, path: str) -> DifferencePaths:
        """Return two paths: one that has names or ids instead of indexes where possible, then the given `path`."""
        node: Node | None = self.root
        steps_by_name = [path[: path.find("/")] if "/" in path else path]
        steps = _SEGMENT.findall(path)
        for at, step in enumerate(steps):
            # An extra element has the candidate's index, which is not one of the control's elements.
            is_other = kind == "extra" and at == len(steps) - 1 and not step.startswith("@")
            name, node = (step, None) if is_other else self._name_step_and_find_child(node, step)
            steps_by_name.append(name)
        return DifferencePaths("/".join(steps_by_name), path)

    def _name_step_and_find_child(self, node: Node | None, step: str) -> tuple[str, Node | None]:
        if not isinstance(node, Element):
            return step, None
        if id(node) not in self._below:
            self._below[id(node)] = _ChildPathSteps(node.children)
        return self._below[id(node)].step_by_name(step)


class _ChildPathSteps:
    """The path steps to an element's children, by index and by name. Steps by name are computed when needed."""

    def __init__(self, children: list[Node]) -> None:
        places = [place[1:] for place in child_paths("", children)]
        self._at = dict(zip(places, children, strict=True))
        self._often = Counter(
            (child.tag, attribute, child.attributes.get(attribute))
            for child in children
            if not isinstance(child, str)
            for attribute in _NAMING_ATTRIBUTES
        )

    def step_by_name(self, place: str) -> tuple[str, Node | None]:
        """Return (step by name, child) for a step by index such as `li[2]`.

        If the child has no usable name, the step is returned unchanged.
        """
        child = self._at.get(place)
        if not isinstance(child, Element):
            return place, child
        # An id only replaces an index: pages have many ids, and most steps are clear without.
        for attribute in _NAMING_ATTRIBUTES if "[" in place else _NAMING_ATTRIBUTES[:1]:
            value = child.attributes.get(attribute, "")
            if value and is_usable_as_step_name(value) and looks_like_a_name(child.tag):
                is_alone = self._often[child.tag, attribute, value] == 1
                return f"{child.tag}[@{attribute}={value}]" if is_alone else place, child
        return place, child

    def __iter__(self) -> Iterator[tuple[str, str, Node]]:
        return ((place, self.step_by_name(place)[0], child) for place, child in self._at.items())


def child_path_steps(children: list[Node]) -> Iterator[tuple[str, str, Node]]:
    """Yield the step by index, the step by name and the child, for each child."""
    return iter(_ChildPathSteps(children))


def is_usable_as_step_name(value: str) -> bool:
    """Return whether a value may serve as a name in a path."""
    return not any(map(str.isdigit, value)) and looks_like_a_name(value)


@dataclass(slots=True)
class JsonPathNaming:
    """The keys of array items in one document. Differences are reported by index, and rules may also use keys."""

    document: object
    _keys: dict[int, tuple[str, list[object]] | None] = field(default_factory=dict)

    def paths_of_difference(self, kind: str, path: str) -> DifferencePaths:
        """Return two paths: the given `path`, then one that has keys instead of indexes where possible."""
        if "[" not in path:
            return DifferencePaths(path, path)
        steps = list(_STEP.finditer(path))
        value, keyed, at = self.document, "$", 1
        for number, step in enumerate(steps):
            if step.start() != at:
                return DifferencePaths(path, path)  # cut
            at = step.end()
            is_other = kind == "extra" and number == len(steps) - 1
            name, value = (
                (step[0], None) if is_other else self._name_step_and_find_child(value, step)
            )
            keyed += name
        return DifferencePaths(path, keyed if at == len(path) else path)

    def _name_step_and_find_child(self, value: object, step: re.Match[str]) -> tuple[str, object]:
        if isinstance(value, dict) and step[1]:
            return step[0], value.get(step[1])
        if isinstance(value, list) and step[2] and step[2].isdigit():
            at = int(step[2])
            return self._step_and_item_at(value, at) if at < len(value) else (step[0], None)
        return step[0], None

    def _step_and_item_at(self, items: list[object], at: int) -> tuple[str, object]:
        if id(items) not in self._keys:
            self._keys[id(items)] = _naming_key_and_values(items)
        return _item_path_step(self._keys[id(items)], at), items[at]


def item_path_steps(items: list[object]) -> list[str]:
    """Return the step to each item: by key if the item has one, else by index."""
    keyed = _naming_key_and_values(items)
    return [_item_path_step(keyed, at) for at in range(len(items))]


def _item_path_step(keyed: tuple[str, list[object]] | None, at: int) -> str:
    if keyed is None or not _is_safe_item_name(keyed[0], keyed[1][at]):
        return f"[{at}]"
    return f"[{keyed[0]}={keyed[1][at]}]"


def _naming_key_and_values(items: list[object]) -> tuple[str, list[object]] | None:
    """Return (key, values) of the member whose values identify the items; None if there is no such member."""
    for key in KEYS:
        values = unique_member_values(items, key)
        if values:
            return key, values
    return None


def _is_safe_item_name(key: str, value: object) -> bool:
    """Return whether an item's value may be its name in a path: `took_ms` may, but `mary` may be a person."""
    return (
        isinstance(value, str) and is_usable_as_step_name(value) and (key != "name" or "_" in value)
    )
