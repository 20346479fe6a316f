"""From two answers to what may be kept of them: compare, redact, group.

Pure. Nothing that leaves this module holds a value of an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair
from overgrow.shadow.fetch import Answers
from overgrow.shadow.findings.groups import MismatchGroup, group_of
from overgrow.shadow.findings.noise import Noise, observe_pair
from overgrow.shadow.recording import DropReason
from overgrow.shadow.redact.redact import RedactedRequest
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.sampling import Copy, url_of
from overgrow.shadow.values.difference import Verdict
from overgrow.shadow.values.snapshot import ResponseSnapshot

QUICK_S = 0.05  # to learn noise takes up to three times as long again


@dataclass(frozen=True, slots=True)
class Served:
    """One request that a user was answered, on a route with a shadow. `at` is unix time."""

    route: str
    side: str
    at: float
    asked: RedactedRequest
    status: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison: what the user asked and got, the verdict, and the group of what differs."""

    served: Served
    verdict: Verdict
    rules: tuple[str, ...] = ()  # names of those that covered something
    group: MismatchGroup | None = None
    noise: Noise | None = None  # where both sides were asked twice


class EvidenceSink(Protocol):
    """Where findings go. Must neither block nor raise."""

    def record_served(self, served: Served) -> None:
        """Take note of an answer to a user."""
        ...

    def record_comparison(self, compared: Compared) -> None:
        """Take note of a comparison."""
        ...

    def record_unanswered(self, served: Served) -> None:
        """Count a copy to which a side gave no answer."""
        ...

    def record_dropped(self, reason: DropReason, served: Served | None = None) -> None:
        """Count a request that was drawn and not compared."""
        ...


def judge(
    copy: Copy, answers: Answers, rules: Rules, cpu_s: Callable[[], float]
) -> Compared | DropReason:
    """Compare the answers under the rules; the reason where nobody can tell what they say.

    Noise is learned from pairs that are compared quickly, by `cpu_s` of the present thread.
    """
    began_s = cpu_s()
    control, candidate, *_ = answers
    comparison = compare(control, candidate, rules, url_of(copy.head))
    if comparison.undecided and comparison.verdict != "mismatched":
        return comparison.undecided
    served = served_of(copy)
    group = None
    if comparison.differences:
        # Those that a rule covers too: a rule that changes re-judges what it hid.
        pair = redact_pair(served.asked, control, candidate, comparison.differences, rules.show)
        group = group_of(copy.route.name, pair, copy.at, truncated=comparison.truncated)
    is_quick = cpu_s() - began_s <= QUICK_S
    answers = answers if is_quick else answers._replace(again=None)
    noise = _learn_noise(group.examples[0].rank if group else "", answers, rules)
    names = {each.rule for each in comparison.differences if each.rule is not None}
    return Compared(served, comparison.verdict, tuple(sorted(names)), group, noise)


def _learn_noise(name: str, answers: Answers, rules: Rules) -> Noise | None:
    """What the second answers teach; of a body of which only a fingerprint is kept, nothing."""
    control, candidate, again, candidate_again = answers
    if again is None:
        return None
    if any(each is not None and each.fingerprint for each in answers):
        control, candidate, again = map(_without_body, (control, candidate, again))
        candidate_again = _without_body(candidate_again) if candidate_again is not None else None
    migrated = (candidate, candidate_again) if candidate_again is not None else None
    return observe_pair(name, control, again, rules, migrated)


def _without_body(answer: ResponseSnapshot) -> ResponseSnapshot:
    return replace(answer, body=b"", fingerprint=None)


def served_of(copy: Copy) -> Served:
    """What the user asked and got."""
    return Served(copy.route.name, copy.decision.side, copy.at, copy.asked, copy.status)
