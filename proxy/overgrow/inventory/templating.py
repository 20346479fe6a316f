"""Groups paths into templates: an adaptive tree over paths whose numbers, ids and tokens are variables already.

Pure. A segment that is still text is either a word of the application (`orders`) or a value (`blue-shoes`). Values
show themselves by statistics of their siblings, top down, so that what stands below many values is judged together:

- there are many siblings (MANY), or most of them were seen once or twice: values keep coming, words do not;
- most have digits in them;
- the same words stand below most of them, as below `/shops/anna/orders` and `/shops/bert/orders`.

A sibling that is far busier than the others, and has other segments below it than they, stays a word: `/users/me`
beside `/users/anna`. A person decides where statistics err: known templates go first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

MANY = 100  # siblings: no application has so many words in one place
FEW = 8  # siblings: below this only digits tell
RARE_SHARE = 0.6  # of the siblings were seen at most twice
RARE_REQUESTS = 2
DIGIT_SHARE = 0.5
SHARED = 0.5  # of the requests below the siblings are for words that stand below many of them
MIN_PARENTS = 4
ONE_IS_ENOUGH = 30  # siblings: with fewer, one word below them may be shared by words
BUSY = 8  # times the median: a word among values
MIN_BUSY = 20
MOST = 0.5
VARIABLE = "<slug>"


@dataclass(slots=True, eq=False)
class _PathNode:
    """One place in the tree: the requests below it, the paths that end here, and its segments."""

    requests: int = 0
    ends: list[str] = field(default_factory=list)
    children: dict[str, _PathNode] = field(default_factory=dict)

    def add(self, segments: Iterable[str], path: str, requests: int) -> None:
        node = self
        for segment in segments:
            node.requests += requests
            child = node.children.get(segment)
            if child is None:
                child = node.children[segment] = _PathNode()
            node = child
        node.requests += requests
        node.ends.append(path)

    def merge(self, other: _PathNode) -> None:
        """Add what stands below another node."""
        waiting = [(self, other)]
        while waiting:
            mine, theirs = waiting.pop()
            mine.requests += theirs.requests
            mine.ends += theirs.ends
            for segment, child in theirs.children.items():
                if segment in mine.children:
                    waiting.append((mine.children[segment], child))
                else:
                    mine.children[segment] = child


def templates_of(paths: Mapping[str, int]) -> dict[str, str]:
    """Return the template of each path. The number of a path is its requests."""
    root = _PathNode()
    for path, requests in paths.items():
        root.add(path.split("/")[1:], path, requests)
    found: dict[str, str] = {}
    waiting: list[tuple[_PathNode, tuple[str, ...]]] = [(root, ())]
    while waiting:
        node, above = waiting.pop()
        template = "/" + "/".join(_with_numbers(above)) if above else "*"
        for path in node.ends:
            found[path] = template if path[:1] == "/" else path
        _merge_values(node)
        waiting += [(child, (*above, segment)) for segment, child in node.children.items()]
    return found


def _with_numbers(segments: Iterable[str]) -> Iterator[str]:
    """Yield the segments with different names of variables."""
    used: dict[str, int] = {}
    for segment in segments:
        if segment != VARIABLE:
            yield segment
            continue
        used[segment] = used.get(segment, 0) + 1
        yield segment if used[segment] == 1 else f"<slug{used[segment]}>"


def _merge_values(node: _PathNode) -> None:
    """Replace the segments of a place that are values of a variable by one segment."""
    texts = {each: child for each, child in node.children.items() if not is_variable(each)}
    variables = [each for each in node.children if is_variable(each)]
    values = _values(texts)
    if not values and len(variables) < 2:
        return
    merged = _PathNode()
    for segment in (*values, *variables):
        merged.merge(node.children.pop(segment))
    node.children[VARIABLE] = merged


def is_variable(segment: str) -> bool:
    """Return whether a segment is one variable and nothing else."""
    return segment[:1] == "<" and segment.find(">") == len(segment) - 1


def _values(texts: Mapping[str, _PathNode]) -> list[str]:
    """Return the segments that are values."""
    with_digits = [each for each in texts if any(map(str.isdigit, each)) or "<" in each]
    if not _are_values(texts):
        is_most = len(with_digits) >= max(3, DIGIT_SHARE * len(texts))
        return with_digits if is_most else []
    usual = median(each.requests for each in texts.values())
    places = sum(bool(each.children) for each in texts.values()) / len(texts)
    below = Counter(segment for node in texts.values() for segment in node.children)
    return [
        each
        for each, node in texts.items()
        if node.requests < max(MIN_BUSY, BUSY * usual) or not _is_unlike(node, places, below)
    ]


def _are_values(texts: Mapping[str, _PathNode]) -> bool:
    if len(texts) < FEW:
        return False
    return _are_many_or_rare(texts) or _shared_below(texts) >= SHARED


def _are_many_or_rare(texts: Mapping[str, _PathNode]) -> bool:
    if len(texts) < FEW:
        return False
    rare = sum(node.requests <= RARE_REQUESTS for node in texts.values())
    return len(texts) >= MANY or rare >= RARE_SHARE * len(texts)


def _shared_below(texts: Mapping[str, _PathNode]) -> float:
    """Return the share of the requests below the segments that are for words which stand below many of them."""
    parents: dict[str, int] = {}
    requests: dict[str, int] = {}
    for node in texts.values():
        if _are_many_or_rare(
            node.children
        ):  # values too: two variables in a row share them by chance
            continue
        for segment, child in node.children.items():
            if not is_variable(segment):
                parents[segment] = parents.get(segment, 0) + 1
                requests[segment] = requests.get(segment, 0) + child.requests
    total = sum(node.requests for node in texts.values())
    least = max(MIN_PARENTS, len(texts) / 4)
    shared = [each for each, count in parents.items() if count >= least]
    if len(shared) == 1 and len(texts) < ONE_IS_ENOUGH:
        return 0.0  # `/me/albums/contains` beside `/me/shows/contains`
    return sum(requests[each] for each in shared) / total


def _is_unlike(node: _PathNode, places: float, below: Mapping[str, int]) -> bool:
    """Return whether what stands below a segment is unlike what stands below its siblings.

    `places` is the share of the siblings that have segments below them; `below` counts these segments.
    """
    if not node.children:
        return places > MOST
    return all(below[segment] == 1 for segment in node.children)
