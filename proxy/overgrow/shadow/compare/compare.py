"""Compares two whole responses; each part of a response has a module of its own.

Pure: no I/O, no clock, no randomness. It never raises, whatever the responses contain. Work is bounded and
linear in their size. The list of differences is bounded, but the verdict does not depend on that bound. If a
body is too large or too deep to be compared as JSON or HTML, it is compared as text or bytes.
"""

from __future__ import annotations

from functools import partial

from overgrow.shadow.compare.content import (
    MAX_BODY,
    DecodedText,
    decode_body,
    unpack_body,
)
from overgrow.shadow.compare.cookies import compare_cookies
from overgrow.shadow.compare.entity_tags import is_etag_implied_by_body
from overgrow.shadow.compare.families import (
    BYTES,
    TEXT,
    UNREADABLE,
    BodyFamily,
    choose_common_family,
)
from overgrow.shadow.compare.findings import EnoughFindings, Finding, Findings
from overgrow.shadow.compare.headers import (
    NO_BODY,
    are_bodies_unseen_by_clients,
    compare_content_types,
    compare_headers,
    compare_status,
    content_codings_of,
)
from overgrow.shadow.compare.large_bodies import compare_large_bodies
from overgrow.shadow.compare.text_bodies import compare_bytes, compare_lines, describe_length
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.values.difference import ABSENT, Comparison
from overgrow.shadow.values.snapshot import ResponseSnapshot

MATCHED = Comparison("matched")


def compare(
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    rules: Rules = Rules.none,
    base: str = "",
) -> Comparison:
    """Compare the candidate with the control. Differences that rules allow are marked as covered.

    `base` is the URL of the request, against which references are resolved; empty if unknown.
    """
    if control == candidate:
        return MATCHED
    return _collect_findings(control, candidate, Findings(rules, base)).build_comparison()


def findings_of(
    control: ResponseSnapshot, candidate: ResponseSnapshot, rules: Rules = Rules.none
) -> list[Finding]:
    """Return the differences with their values, for learning noise."""
    return _collect_findings(control, candidate, Findings(rules)).kept


def _collect_findings(
    control: ResponseSnapshot, candidate: ResponseSnapshot, findings: Findings
) -> Findings:
    try:
        is_unseen = are_bodies_unseen_by_clients(control, candidate)
        compare_status(control, candidate, findings)
        if not is_unseen:
            are_ascii = partial(_have_ascii_bodies, control, candidate)
            compare_content_types(control, candidate, findings, are_ascii)
        compare_headers(
            control, candidate, findings, partial(_are_etags_implied_by_bodies, control, candidate)
        )
        compare_cookies(control, candidate, findings)
        if not is_unseen:
            _compare_bodies(control, candidate, findings)
    except EnoughFindings:
        pass  # the verdict cannot change any more
    return findings


def _have_ascii_bodies(*responses: ResponseSnapshot) -> bool:
    """Return whether all bodies are present, can be unpacked, and are plain ASCII.

    A response to HEAD has no body, so the result is then False.
    """
    if any(each.fingerprint is not None for each in responses):
        return False
    unpacked = [unpack_body(each) for each in responses]
    return all(each.body and not each.trouble and each.body.isascii() for each in unpacked)


def _are_etags_implied_by_bodies(*responses: ResponseSnapshot) -> bool:
    """Return whether each ETag is absent, or is a weak tag that a framework computed from the body.

    A weak ETag also counts as implied if the status allows no body, such as 204: Express sends such ETags.
    """
    for each in responses:
        if each.fingerprint is not None:
            return False
        if each.status in NO_BODY and (each.joined_header(b"etag") or "W/").startswith("W/"):
            continue
        unpacked = unpack_body(each)
        if unpacked.trouble or not is_etag_implied_by_body(
            each.joined_header(b"etag"), unpacked.body
        ):
            return False
    return True


def _compare_bodies(
    control: ResponseSnapshot, candidate: ResponseSnapshot, findings: Findings
) -> None:
    codings = [", ".join(content_codings_of(each)) for each in (control, candidate)]
    if codings[0] != codings[1]:
        findings.add_difference("content-coding", "header:content-encoding", codings[0], codings[1])
    if control.fingerprint is not None or candidate.fingerprint is not None:
        compare_large_bodies(control, candidate, findings)
        return
    if codings[0] == codings[1] and control.body == candidate.body:
        return
    first, second = unpack_body(control), unpack_body(candidate)
    if first.trouble != second.trouble:
        findings.add_difference(
            "encoding", "body", first.trouble or "unpacked", second.trouble or "unpacked"
        )
    if first.body and not second.body:
        findings.add_difference("missing", "body", describe_length(first.body), ABSENT)
    elif second.body and not first.body:
        findings.add_difference("extra", "body", ABSENT, describe_length(second.body))
    elif first.body == second.body:
        return
    elif first.trouble or second.trouble:  # a packed body has no lines
        compare_bytes(first.body, second.body, findings)
    else:
        _compare_unpacked_bodies(control, candidate, (first.body, second.body), findings)


def _compare_unpacked_bodies(
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    bodies: tuple[bytes, bytes],
    findings: Findings,
) -> None:
    """Compare two unpacked bodies in the most precise way that suits both."""
    family = choose_common_family(control, candidate)
    if family is BYTES or max(map(len, bodies)) > MAX_BODY:
        compare_bytes(*bodies, findings)
        return
    first, second = decode_body(control, bodies[0]), decode_body(candidate, bodies[1])
    if first.flaw != second.flaw:
        findings.add_difference("encoding", "body", first.flaw or "sound", second.flaw or "sound")
    _compare_decoded_texts(family, first, second, findings)


def _compare_decoded_texts(
    family: BodyFamily, control: DecodedText, candidate: DecodedText, findings: Findings
) -> None:
    if control.text == candidate.text:
        return
    if max(len(control.text), len(candidate.text)) > family.max_chars:
        family = TEXT
    try:
        family.compare(control.text, candidate.text, findings)
    except UNREADABLE:
        findings.naming = None
        compare_lines(control.text, candidate.text, findings)
