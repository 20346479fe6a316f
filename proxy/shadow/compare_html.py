"""Two HTML pages by structure: elements, attributes, text.

Pure. Children are paired when equal, then by tag in order, so that an item that went is one
difference. Paths are those of the control, like XPath: `html:/html/body/ul/li[3]/@class`; an index
stands only where an element has several children of one name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proxy.shadow.difference import ABSENT, MAX_PATH, Kind, printable
from proxy.shadow.findings import Findings
from proxy.shadow.html_tree import Element
from proxy.shadow.numbering import (
    Numbers,
    Pairing,
    are_permuted,
    by_number,
    in_place,
)

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

    def number(self, node: Node) -> int:
        """Return a number that equal nodes share; trees are kept alive by the caller."""
        if isinstance(node, str):
            return self.numbers.of_key(("text", node))
        if id(node) not in self.known:
            inside = tuple([self.number(child) for child in node.children])
            content = (node.tag, tuple(node.attributes.items()), inside)
            self.known[id(node)] = self.numbers.of_key(content)
        return self.known[id(node)]

    def elements(self, path: str, control: Element, candidate: Element) -> None:
        """Compare two elements that stand at one path."""
        if self.number(control) == self.number(candidate):
            return
        self.attributes(path, control.attributes, candidate.attributes)
        first, second = (self.numbered(each) for each in (control, candidate))
        places = [list(places_of(path, each.children)) for each in (control, candidate)]
        if are_permuted(first, second) and first != second:
            shown = (", ".join(_names(each)) for each in (control, candidate))
            self.findings.add("order", path or "html:", *shown)
            return
        found = self.paired(control, candidate)
        for at in found.missing:
            self.findings.add("missing", places[0][at], _shown(control.children[at]), ABSENT)
        for one, other in found.pairs:
            self.nodes(places[0][one], control.children[one], candidate.children[other])
        for at in found.extra:
            self.findings.add("extra", places[1][at], ABSENT, _shown(candidate.children[at]))

    def nodes(self, path: str, control: Node, candidate: Node) -> None:
        """Compare two nodes of one name."""
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
        first, second = self.numbered(control), self.numbered(candidate)
        names = [self.named(_names(each)) for each in (control, candidate)]
        if names[0] == names[1]:
            return in_place(*names)
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
