"""Two HTML pages by structure: elements, attributes, text.

Pure. Children are paired when equal, then by tag in order, so that an item that went is one
difference. Paths are those of the control, like XPath: `html:/html/body/ul/li[3]/@class`; an index
stands only where an element has several children of one name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.html_tree import Element
from overgrow.shadow.compare.pairing import (
    Numbers,
    Pairing,
    are_permuted,
    by_number,
    in_place,
)
from overgrow.shadow.values.difference import ABSENT, MAX_PATH, Kind, printable

Node = Element | str


def compare_html(control: Element, candidate: Element, findings: Findings) -> None:
    """Find where two pages differ."""
    _Walk(findings).elements("html:", control, candidate)


@dataclass(slots=True)
class _Walk:
    """One descent into both trees at once."""

    findings: Findings
    numbers: Numbers = field(default_factory=Numbers)
    known: dict[int, int] = field(default_factory=dict)
    same: dict[tuple[int, int], bool] = field(default_factory=dict)

    def number(self, node: Node) -> int:
        """Return a number that equal nodes share; trees are kept alive by the caller."""
        if isinstance(node, str):
            return self.numbers.of_key(("text", node))
        if id(node) not in self.known:
            inside = tuple([self.number(child) for child in node.children])
            content = (node.tag, tuple(node.attributes.items()), inside)
            self.known[id(node)] = self.numbers.of_key(content)
        return self.known[id(node)]

    def are_same(self, control: Node, candidate: Node) -> bool:
        """Return whether two nodes are equal; parts that both trees share cost nothing."""
        if control is candidate:
            return True
        if not (isinstance(control, Element) and isinstance(candidate, Element)):
            return control == candidate
        pair = (id(control), id(candidate))
        if pair not in self.same:
            self.same[pair] = (
                control.tag == candidate.tag
                and control.attributes == candidate.attributes
                and len(control.children) == len(candidate.children)
                and all(map(self.are_same, control.children, candidate.children))
            )
        return self.same[pair]

    def elements(self, path: str, control: Element, candidate: Element) -> None:
        """Compare two elements that stand at one path."""
        if self.are_same(control, candidate):
            return
        if control.attributes is not candidate.attributes:
            self.attributes(path, control.attributes, candidate.attributes)
        if self.are_permuted(control.children, candidate.children):
            shown = (", ".join(_names(each)) for each in (control, candidate))
            self.findings.add("order", path or "html:", *shown)
            return
        found = self.by_field(control, candidate) or self.paired(control, candidate)
        if found.reordered:
            shown = (", ".join(_fields(each)) for each in (control, candidate))
            self.findings.add("order", path or "html:", *shown)
        places = list(places_of(path, control.children))
        for at in found.missing:
            self.findings.add("missing", places[at], _shown(control.children[at]), ABSENT)
        for one, other in found.pairs:
            self.nodes(places[one], control.children[one], candidate.children[other])
        others = list(places_of(path, candidate.children)) if found.extra else []
        for at in found.extra:
            self.findings.add("extra", others[at], ABSENT, _shown(candidate.children[at]))

    def are_permuted(self, control: list[Node], candidate: list[Node]) -> bool:
        """Return whether the children of two elements are equal but for their order."""
        if len(control) != len(candidate):
            return False
        pairs = zip(control, candidate, strict=True)
        rest = [pair for pair in pairs if not self.are_same(*pair)]
        names = [[_name(pair[at]) for pair in rest] for at in (0, 1)]
        often = Counter(names[0])
        # What is the only one of its name on both sides, and not the same, has no equal.
        alone = (often[one] == 1 for one, other in zip(*names, strict=True) if one == other)
        if not rest or any(alone) or often != Counter(names[1]):
            return False
        return are_permuted(*([self.number(pair[at]) for pair in rest] for at in (0, 1)))

    def nodes(self, path: str, control: Node, candidate: Node) -> None:
        """Compare two nodes of one name."""
        if control is candidate:
            return
        if isinstance(control, Element) and isinstance(candidate, Element):
            self.elements(path, control, candidate)
        elif control != candidate:
            self.findings.add("text", path, control, candidate)

    def attributes(self, path: str, control: dict[str, str], candidate: dict[str, str]) -> None:
        """Compare attributes by name."""
        for name in sorted(control.keys() | candidate.keys()):
            first, second = control.get(name, ABSENT), candidate.get(name, ABSENT)
            if first != second:
                kind: Kind = "missing" if second is ABSENT else "extra"
                kind = kind if ABSENT in (first, second) else "value"
                self.findings.add(kind, f"{path}/@{printable(name)}", first, second)

    def numbered(self, element: Element) -> list[int]:
        """Return the numbers of an element's children."""
        return [self.number(child) for child in element.children]

    def paired(self, control: Element, candidate: Element) -> Pairing:
        """Pair equal children at both ends, and what lies between by name, in order."""
        names = [self.named(_names(each)) for each in (control, candidate)]
        if names[0] == names[1]:
            return in_place(*names)
        first, second = self.numbered(control), self.numbered(candidate)
        left = _common(first, second)
        right = _common(first[left:][::-1], second[left:][::-1])
        inner = [each[left : len(each) - right] for each in names]
        found = by_number(*inner)
        pairs = [(at, at) for at in range(left)]
        pairs += [(one + left, other + left) for one, other in found.pairs]
        pairs += [(len(first) - at, len(second) - at) for at in range(right, 0, -1)]
        return Pairing(
            pairs, [at + left for at in found.missing], [at + left for at in found.extra]
        )

    def by_field(self, control: Element, candidate: Element) -> Pairing | None:
        """Pair children by the names of fields, where the same fields stand in another order."""
        first, second = _fields(control), _fields(candidate)
        if not first or first == second or Counter(first) != Counter(second):
            return None
        keys = [
            [_field_of(child) or _name(child) for child in each.children]
            for each in (control, candidate)
        ]
        found = by_number(*map(self.named, keys))
        return found if found.reordered and not (found.missing or found.extra) else None

    def named(self, names: Iterable[str]) -> list[int]:
        """Return numbers for names."""
        return [self.numbers.of_key(("name", name)) for name in names]


def _common(control: list[int], candidate: list[int]) -> int:
    """Return how many items are equal from the left."""
    pairs = enumerate(zip(control, candidate, strict=False))
    return next(
        (at for at, (one, other) in pairs if one != other), min(len(control), len(candidate))
    )


def _names(element: Element) -> list[str]:
    return [_name(child) for child in element.children]


def _fields(element: Element) -> list[str]:
    """Return what tells an element's children apart that have a `name`: `input amount`."""
    return [field for child in element.children if (field := _field_of(child))]


def _field_of(node: Node) -> str:
    name = "" if isinstance(node, str) else node.attributes.get("name", "")
    return f"{_name(node)} {printable(name)}" if name else ""


def _name(node: Node) -> str:
    return "text()" if isinstance(node, str) else printable(node.tag)


def places_of(path: str, children: list[Node]) -> Iterator[str]:
    """Yield the paths of an element's children, with an index where a name stands twice."""
    names = [_name(child) for child in children]
    often, met = Counter(names), Counter[str]()
    for name in names:
        met[name] += 1
        index = f"[{met[name]}]" if often[name] > 1 else ""
        yield f"{path}/{name}{index}"[:MAX_PATH]


def _shown(node: Node) -> str:
    """Return a node in a few words: a text as it is, an element by its start tag."""
    if isinstance(node, str):
        return node
    attributes = "".join(f' {name}="{value}"' for name, value in node.attributes.items())
    return f"<{node.tag}{attributes}>"
