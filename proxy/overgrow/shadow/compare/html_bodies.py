"""Compares two HTML pages by structure: elements, attributes, text.

Pure. Equal children are paired first, then children with the same tag in order, so that a removed item is one
difference. Paths are those of the control, as in XPath: `html:/html/body/ul/li[3]/@class`. A step has an index
only if an element has several children of one name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.html_tree import Element
from overgrow.shadow.compare.pairing import (
    Pairing,
    ValueInterner,
    are_permutations,
    pair_by_position,
    pair_equal,
)
from overgrow.shadow.values.difference import ABSENT, MAX_PATH, Kind, escape_unprintable

Node = Element | str


def compare_html_trees(
    root_path: str, control: Element, candidate: Element, findings: Findings
) -> None:
    """Report where two trees differ; all paths begin with `root_path`, such as `html:`."""
    _HtmlTreeComparer(findings).compare_elements(root_path, control, candidate)


@dataclass(slots=True)
class _HtmlTreeComparer:
    """Walks both trees at once."""

    findings: Findings
    interner: ValueInterner = field(default_factory=ValueInterner)
    node_numbers: dict[int, int] = field(default_factory=dict)
    known_equal: dict[tuple[int, int], bool] = field(default_factory=dict)

    def intern_node(self, node: Node) -> int:
        """Return a number for a node; equal nodes have equal numbers. The caller must keep the trees alive."""
        if isinstance(node, str):
            return self.interner.intern_key(("text", node))
        if id(node) not in self.node_numbers:
            inside = tuple([self.intern_node(child) for child in node.children])
            content = (node.tag, tuple(node.attributes.items()), inside)
            self.node_numbers[id(node)] = self.interner.intern_key(content)
        return self.node_numbers[id(node)]

    def are_equal_nodes(self, control: Node, candidate: Node) -> bool:
        """Return whether two nodes are equal.

        If both trees share a node, its children need not be examined.
        """
        if control is candidate:
            return True
        if not (isinstance(control, Element) and isinstance(candidate, Element)):
            return control == candidate
        pair = (id(control), id(candidate))
        if pair not in self.known_equal:
            self.known_equal[pair] = (
                control.tag == candidate.tag
                and control.attributes == candidate.attributes
                and len(control.children) == len(candidate.children)
                and all(map(self.are_equal_nodes, control.children, candidate.children))
            )
        return self.known_equal[pair]

    def compare_elements(self, path: str, control: Element, candidate: Element) -> None:
        """Compare two elements at one path."""
        if self.are_equal_nodes(control, candidate):
            return
        if control.attributes is not candidate.attributes:
            self.compare_attributes(path, control.attributes, candidate.attributes)
        if self.are_children_reordered(control.children, candidate.children):
            shown = (", ".join(_child_names(each)) for each in (control, candidate))
            self.findings.add_difference("order", path, *shown)
            return
        found = self.pair_children_by_field_name(control, candidate) or self.pair_children(
            control, candidate
        )
        if found.reordered:
            shown = (", ".join(_form_field_labels(each)) for each in (control, candidate))
            self.findings.add_difference("order", path, *shown)
        places = list(child_paths(path, control.children))
        for at in found.missing:
            self.findings.add_difference(
                "missing", places[at], _describe_node(control.children[at]), ABSENT
            )
        for one, other in found.pairs:
            self.compare_nodes(places[one], control.children[one], candidate.children[other])
        others = list(child_paths(path, candidate.children)) if found.extra else []
        for at in found.extra:
            self.findings.add_difference(
                "extra", others[at], ABSENT, _describe_node(candidate.children[at])
            )

    def are_children_reordered(self, control: list[Node], candidate: list[Node]) -> bool:
        """Return whether two elements have equal children in another order."""
        if len(control) != len(candidate):
            return False
        pairs = zip(control, candidate, strict=True)
        rest = [pair for pair in pairs if not self.are_equal_nodes(*pair)]
        names = [[_node_name(pair[at]) for pair in rest] for at in (0, 1)]
        often = Counter(names[0])
        # A child that is the only one of its name on both sides, and differs, has no equal elsewhere.
        alone = (often[one] == 1 for one, other in zip(*names, strict=True) if one == other)
        if not rest or any(alone) or often != Counter(names[1]):
            return False
        return are_permutations(*([self.intern_node(pair[at]) for pair in rest] for at in (0, 1)))

    def compare_nodes(self, path: str, control: Node, candidate: Node) -> None:
        """Compare two nodes with the same name."""
        if control is candidate:
            return
        if isinstance(control, Element) and isinstance(candidate, Element):
            self.compare_elements(path, control, candidate)
        elif control != candidate:
            self.findings.add_difference("text", path, control, candidate)

    def compare_attributes(
        self, path: str, control: dict[str, str], candidate: dict[str, str]
    ) -> None:
        """Compare attributes by name."""
        for name in sorted(control.keys() | candidate.keys()):
            first, second = control.get(name, ABSENT), candidate.get(name, ABSENT)
            if first != second:
                kind: Kind = "missing" if second is ABSENT else "extra"
                kind = kind if ABSENT in (first, second) else "value"
                self.findings.add_difference(
                    kind, f"{path}/@{escape_unprintable(name)}", first, second
                )

    def intern_children(self, element: Element) -> list[int]:
        """Return the numbers of an element's children."""
        return [self.intern_node(child) for child in element.children]

    def pair_children(self, control: Element, candidate: Element) -> Pairing:
        """Pair children by position if their names are the same, in the same order.

        Otherwise pair the equal children at the beginning and at the end. Pair the children in between by name,
        in order.
        """
        names = [self.intern_names(_child_names(each)) for each in (control, candidate)]
        if names[0] == names[1]:
            return pair_by_position(*names)
        first, second = self.intern_children(control), self.intern_children(candidate)
        left = _common_prefix_length(first, second)
        right = _common_prefix_length(first[left:][::-1], second[left:][::-1])
        inner = [each[left : len(each) - right] for each in names]
        found = pair_equal(*inner)
        pairs = [(at, at) for at in range(left)]
        pairs += [(one + left, other + left) for one, other in found.pairs]
        pairs += [(len(first) - at, len(second) - at) for at in range(right, 0, -1)]
        return Pairing(
            pairs, [at + left for at in found.missing], [at + left for at in found.extra]
        )

    def pair_children_by_field_name(self, control: Element, candidate: Element) -> Pairing | None:
        """Pair children by their field names if both elements have the same form fields in different orders.

        Else return None.
        """
        first, second = _form_field_labels(control), _form_field_labels(candidate)
        if not first or first == second or Counter(first) != Counter(second):
            return None
        keys = [
            [_form_field_label(child) or _node_name(child) for child in each.children]
            for each in (control, candidate)
        ]
        found = pair_equal(*map(self.intern_names, keys))
        return found if found.reordered and not (found.missing or found.extra) else None

    def intern_names(self, names: Iterable[str]) -> list[int]:
        """Return a number for each name. Equal names have equal numbers."""
        return [self.interner.intern_key(("name", name)) for name in names]


def _common_prefix_length(control: list[int], candidate: list[int]) -> int:
    """Return how many items at the beginning of both sequences are equal."""
    pairs = enumerate(zip(control, candidate, strict=False))
    return next(
        (at for at, (one, other) in pairs if one != other), min(len(control), len(candidate))
    )


def _child_names(element: Element) -> list[str]:
    return [_node_name(child) for child in element.children]


def _form_field_labels(element: Element) -> list[str]:
    """Return the labels of those children that have an attribute `name`, such as `input amount`."""
    return [field for child in element.children if (field := _form_field_label(child))]


def _form_field_label(node: Node) -> str:
    name = "" if isinstance(node, str) else node.attributes.get("name", "")
    return f"{_node_name(node)} {escape_unprintable(name)}" if name else ""


def _node_name(node: Node) -> str:
    return "text()" if isinstance(node, str) else escape_unprintable(node.tag)


def child_paths(path: str, children: list[Node]) -> Iterator[str]:
    """Yield the paths of an element's children. If several children have one name, their paths have an index."""
    names = [_node_name(child) for child in children]
    often, met = Counter(names), Counter[str]()
    for name in names:
        met[name] += 1
        index = f"[{met[name]}]" if often[name] > 1 else ""
        yield f"{path}/{name}{index}"[:MAX_PATH]


def _describe_node(node: Node) -> str:
    """Describe a node in a short text: a text node by itself, an element by its start tag."""
    if isinstance(node, str):
        return node
    attributes = "".join(f' {name}="{value}"' for name, value in node.attributes.items())
    return f"<{node.tag}{attributes}>"
