"""The head of two answers: status, content type and the other header fields.

Pure. Only what must differ between two servers is left out: times, names of servers, hop-by-hop
fields, what follows from the body's length. Order counts only where the field gives it a meaning.
"""

from __future__ import annotations

from proxy.shadow.answer import Answer
from proxy.shadow.compare_policies import POLICIES, compare_policies
from proxy.shadow.difference import ABSENT, Kind, printable
from proxy.shadow.findings import Findings

# Two answers to two requests never share these. Age is a cache's clock.
IGNORED = frozenset({"age", "content-length", "date", "server", "via"})
# RFC 9110 7.6.1; the last two are of RFC 9112 and of old practice.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
APART = frozenset({"set-cookie", "content-type", "content-encoding"})  # compared on their own

# Sets of tokens: neither the order nor the case of these says anything.
TOKEN_SETS = frozenset(
    {
        "accept-ranges",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-expose-headers",
        "allow",
        "vary",
    }
)
# Sets of members with parameters: the order says nothing, the text of each does.
MEMBER_SETS = frozenset(
    {"cache-control", "clear-site-data", "content-security-policy", "link", "server-timing"}
)


def compare_status(control: Answer, candidate: Answer, findings: Findings) -> None:
    """Find whether the status differs."""
    if control.status != candidate.status:
        findings.add("status", "status", str(control.status), str(candidate.status))


def compare_headers(control: Answer, candidate: Answer, findings: Findings) -> None:
    """Find header fields that are missing, added or of another value."""
    first, second = fields_of(control), fields_of(candidate)
    for name in first | second:  # the control's order, then what is added
        path = f"header:{printable(name)}"
        if name not in second:
            findings.add("header-missing", path, ", ".join(first[name]), ABSENT)
        elif name not in first:
            findings.add("header-extra", path, ABSENT, ", ".join(second[name]))
        elif first[name] != second[name]:
            _compare_values(name, path, first[name], second[name], findings)


def _compare_values(
    name: str, path: str, control: list[str], candidate: list[str], findings: Findings
) -> None:
    if name in POLICIES and compare_policies(path, control, candidate, findings):
        return
    first, second = (members_of(name, values) for values in (control, candidate))
    if first != second:
        kind: Kind = "order" if sorted(control) == sorted(candidate) else "header-value"
        findings.add(kind, path, ", ".join(control), ", ".join(candidate))


def fields_of(answer: Answer) -> dict[str, list[str]]:
    """Return the header fields that are compared here, each with its values in order."""
    fields: dict[str, list[str]] = {}
    for key, value in answer.headers:
        fields.setdefault(key.decode("latin-1").lower(), []).append(
            value.decode("latin-1").strip(" \t")
        )
    named = {each.strip().lower() for each in ",".join(fields.get("connection", [])).split(",")}
    dropped = IGNORED | HOP_BY_HOP | APART | named
    return {
        name: values
        for name, values in fields.items()
        if name not in dropped and not name.startswith("x-overgrow")
    }


def members_of(name: str, values: list[str]) -> list[str]:
    """Return a field's values so that lists are equal if they mean the same."""
    joined = ", ".join(values)  # RFC 9110 5.3: several lines are one list
    if name in TOKEN_SETS:
        return sorted({each.strip().lower() for each in joined.split(",")} - {""})
    if name in MEMBER_SETS:
        return sorted(each.strip() for each in _split(joined) if each.strip())
    return [joined]


def _split(joined: str) -> list[str]:
    """Return the members of a list; a comma in quotes or in <...> separates nothing."""
    members, start, closing = [], 0, ""
    for at, character in enumerate(joined):
        if closing:
            closing = "" if character == closing else closing
        elif character in '"<':
            closing = '"' if character == '"' else ">"
        elif character == ",":
            members.append(joined[start:at])
            start = at + 1
    return [*members, joined[start:]]


def media_of(answer: Answer) -> tuple[str, dict[str, str]]:
    """Return the media type of an answer's body, in lower case and empty if none, and its parameters."""
    media, *pieces = (answer.field(b"content-type") or "").split(";")
    return media.strip().lower(), dict(_parameter(each) for each in pieces if each.strip())


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    key, value = name.strip().lower(), value.strip().strip('"')
    return key, value.lower() if key == "charset" else value


def compare_content_types(control: Answer, candidate: Answer, findings: Findings) -> None:
    """Find whether the body is of another media type or, if not, has other parameters."""
    path = "header:content-type"
    (media, first), (other_media, second) = media_of(control), media_of(candidate)
    if media != other_media:
        findings.add("content-type", path, media or ABSENT, other_media or ABSENT)
        return
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            one, other = first.get(name, ABSENT), second.get(name, ABSENT)
            findings.add("content-type", f"{path};{printable(name)}", one, other)
