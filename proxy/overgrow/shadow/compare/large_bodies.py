"""Two bodies of which at least one is too large to keep: by length and hash, as far as these tell.

Pure. Equal fingerprints are equal bodies. Unequal ones are unequal bytes, which is a difference unless the
same content may stand behind them: another packing of it, or noise that the rules of the route allow.
"""

from __future__ import annotations

from overgrow.shadow.compare.content import content_of
from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.headers import codings_of
from overgrow.shadow.values.answer import Answer, Fingerprint, Fingerprinting

_BODY_PATHS = ("$", "html:", "text:")


def compare_large(control: Answer, candidate: Answer, findings: Findings) -> None:
    """Find whether the bodies differ; mark the findings as undecided where nobody can tell."""
    first, second = (_packed(each) for each in (control, candidate))
    codings = [codings_of(each) for each in (control, candidate)]
    if codings[0] != codings[1]:
        unpacked = [_unpacked(each) for each in (control, candidate)]
        if unpacked[0] is None or unpacked[1] is None:
            findings.undecided = "answer-too-large"
            return
        first, second = unpacked[0], unpacked[1]
    if first == second:
        return
    may_be_equal = codings[0] == codings[1] != []  # two writers pack the same in two ways
    if may_be_equal or any(rule.path.startswith(_BODY_PATHS) for rule in findings.rules.rules):
        findings.undecided = "answer-too-large"
    elif first.length != second.length:
        findings.add("length", "bytes", _shown(first), _shown(second))
    else:
        findings.add("bytes", "bytes", _shown(first), _shown(second))


def _packed(answer: Answer) -> Fingerprint:
    return answer.fingerprint or Fingerprinting([answer.body]).fingerprint()


def _unpacked(answer: Answer) -> Fingerprint | None:
    """Return the fingerprint of a body without its codings; None where they cannot be taken off."""
    if answer.fingerprint is not None:
        return None if codings_of(answer) else answer.fingerprint
    content = content_of(answer)
    return None if content.trouble else Fingerprinting([content.body]).fingerprint()


def _shown(print_: Fingerprint) -> str:
    return f"{print_.length} bytes, too large to show"
