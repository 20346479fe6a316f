"""Compares two bodies by length and hash, because at least one of them is too large to keep.

Pure. Equal fingerprints mean equal bodies. Unequal fingerprints mean unequal bytes. The content may be equal
all the same if it is compressed differently, or if rules of the route allow noise in it; the result is
undecided then.
"""

from __future__ import annotations

from overgrow.shadow.compare.content import unpack_body
from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.headers import content_codings_of
from overgrow.shadow.values.path_syntax import BODY_PREFIXES
from overgrow.shadow.values.snapshot import Fingerprint, FingerprintBuilder, ResponseSnapshot


def compare_large_bodies(
    control: ResponseSnapshot, candidate: ResponseSnapshot, findings: Findings
) -> None:
    """Report whether the bodies differ. If this cannot be known, mark the findings as undecided."""
    first, second = (_fingerprint_of_sent_body(each) for each in (control, candidate))
    codings = [content_codings_of(each) for each in (control, candidate)]
    if codings[0] != codings[1]:
        unpacked = [_fingerprint_of_unpacked_body(each) for each in (control, candidate)]
        if unpacked[0] is None or unpacked[1] is None:
            findings.undecided = "answer-too-large"
            return
        first, second = unpacked[0], unpacked[1]
    if first == second:
        return
    may_be_equal = (
        codings[0] == codings[1] != []
    )  # two programs may pack the same content in two ways
    if may_be_equal or any(rule.path.startswith(BODY_PREFIXES) for rule in findings.rules.rules):
        findings.undecided = "answer-too-large"
    elif first.length != second.length:
        findings.add_difference("length", "bytes", _describe_size(first), _describe_size(second))
    else:
        findings.add_difference("bytes", "bytes", _describe_size(first), _describe_size(second))


def _fingerprint_of_sent_body(response: ResponseSnapshot) -> Fingerprint:
    return response.fingerprint or FingerprintBuilder([response.body]).fingerprint()


def _fingerprint_of_unpacked_body(response: ResponseSnapshot) -> Fingerprint | None:
    """Return the fingerprint of a body without its content codings. Return None if the codings cannot be removed."""
    if response.fingerprint is not None:
        return None if content_codings_of(response) else response.fingerprint
    content = unpack_body(response)
    return None if content.trouble else FingerprintBuilder([content.body]).fingerprint()


def _describe_size(fingerprint: Fingerprint) -> str:
    return f"{fingerprint.length} bytes, too large to show"
