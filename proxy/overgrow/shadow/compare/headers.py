"""Compares the heads of two responses: status, content type and the other header fields.

Pure. Fields that always differ between two servers are left out: times, names of servers, hop-by-hop fields,
and fields that follow from the body's length. The order of values counts only in fields where order has a
meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from overgrow.http import CONNECTION_HEADERS
from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.lifetimes import have_same_expiry
from overgrow.shadow.compare.origins import REFERRING, resolve_references_in_field
from overgrow.shadow.compare.policies import POLICIES, try_compare_policies
from overgrow.shadow.values.difference import ABSENT, Kind, escape_unprintable
from overgrow.shadow.values.snapshot import ResponseSnapshot

# These differ between any two responses: clocks, ages in caches, and names of software. Host is a
# field of requests alone (RFC 9110 7.2), which PHP's built-in server puts into each response.
IGNORED = frozenset(
    {
        *("age", "content-length", "date", "server", "via"),
        "host",
        *("x-powered-by", "x-aspnet-version", "x-aspnetmvc-version"),
    }
)
HOP_BY_HOP = frozenset(name.decode() for name in CONNECTION_HEADERS) | {"trailer"}
APART = frozenset({"set-cookie", "content-type", "content-encoding"})  # compared separately

# Sets of tokens: neither order nor case has a meaning.
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
# Sets of members with parameters: the order has no meaning, the text of each member does.
MEMBER_SETS = frozenset(
    {"cache-control", "clear-site-data", "content-security-policy", "link", "server-timing"}
)


# Statuses whose responses have no body (RFC 9110 15.3.5, 15.3.6, 15.4.5).
NO_BODY = frozenset({204, 205, 304})
# Statuses that a client follows without showing the body (RFC 9110 15.4).
FOLLOWED = frozenset({301, 302, 303, 307, 308})


def are_bodies_unseen_by_clients(control: ResponseSnapshot, candidate: ResponseSnapshot) -> bool:
    """Return whether clients ignore both bodies: the responses are redirects, or their status allows no body."""
    if control.status != candidate.status:
        return False
    if control.status in NO_BODY:
        return True
    redirects = control.status in FOLLOWED
    return redirects and all(each.joined_header(b"location") for each in (control, candidate))


def compare_status(
    control: ResponseSnapshot, candidate: ResponseSnapshot, findings: Findings
) -> None:
    """Report whether the status differs."""
    if control.status != candidate.status:
        findings.add_difference("status", "status", str(control.status), str(candidate.status))


def compare_headers(
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    findings: Findings,
    are_tags_implied: Callable[[], bool],
) -> None:
    """Report header fields that are missing, extra or different in value.

    `are_tags_implied` returns whether both ETags follow from the bodies. It is called only if the ETags differ.
    """
    first, second = headers_to_compare(control), headers_to_compare(candidate)
    if are_bodies_unseen_by_clients(
        control, candidate
    ):  # which of several bodies it is says nothing then
        first.pop("vary", None)
        second.pop("vary", None)
    if content_codings_of(control) != content_codings_of(candidate):
        first, second = (
            _drop_effects_of_content_coding(first),
            _drop_effects_of_content_coding(second),
        )
    for name in first | second:  # the control's fields in order, then extra ones
        if name == "etag" and first.get(name) != second.get(name) and are_tags_implied():
            continue
        path = f"header:{escape_unprintable(name)}"
        if name not in second:
            findings.add_difference("header-missing", path, ", ".join(first[name]), ABSENT)
        elif name not in first:
            findings.add_difference("header-extra", path, ABSENT, ", ".join(second[name]))
        elif first[name] != second[name]:
            if name == "expires" and have_same_expiry(
                control, candidate, first[name][0], second[name][0]
            ):
                continue
            _compare_field_values(name, path, first[name], second[name], findings)


def _drop_effects_of_content_coding(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return header fields without the effects of the body's content coding."""
    kept = {name: values for name, values in fields.items() if name != "vary"}
    names = [each.strip() for each in ", ".join(fields.get("vary", [])).split(",")]
    if others := [each for each in names if each and each.lower() != "accept-encoding"]:
        kept["vary"] = [", ".join(others)]
    if "etag" in kept:  # a server that packs a body weakens its tag
        kept["etag"] = [each.removeprefix("W/") for each in kept["etag"]]
    return kept


def _compare_field_values(
    name: str, path: str, control: list[str], candidate: list[str], findings: Findings
) -> None:
    if name in POLICIES and try_compare_policies(path, control, candidate, findings):
        return
    first, second = (
        normalise_field_values(name, _resolve_references_in_values(name, values, findings.base))
        for values in (control, candidate)
    )
    if first != second:
        kind: Kind = "order" if sorted(control) == sorted(candidate) else "header-value"
        findings.add_difference(kind, path, ", ".join(control), ", ".join(candidate))


def _resolve_references_in_values(name: str, values: list[str], base: str) -> list[str]:
    return (
        [resolve_references_in_field(name, each, base) for each in values]
        if name in REFERRING
        else values
    )


def headers_to_compare(response: ResponseSnapshot) -> dict[str, list[str]]:
    """Return the header fields that this module compares, each with its values in order."""
    fields: dict[str, list[str]] = {}
    for key, value in response.headers:
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


def normalise_field_values(name: str, values: list[str]) -> list[str]:
    """Return a field's values in a normal form. Values of equal meaning have equal forms."""
    joined = ", ".join(values)  # RFC 9110 5.3: several lines are one list
    if name in TOKEN_SETS:
        return sorted({each.strip().lower() for each in joined.split(",")} - {""})
    if name in MEMBER_SETS:
        return sorted(each.strip() for each in _split_list_members(joined) if each.strip())
    return [joined]


def _split_list_members(joined: str) -> list[str]:
    """Return the members of a list. A comma in quotes or in <...> does not separate members."""
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


def media_type_and_parameters_of(response: ResponseSnapshot) -> tuple[str, dict[str, str]]:
    """Return (media type, parameters) of a response's body.

    The media type is in lower case; it is empty if there is none.
    """
    media, *pieces = (response.joined_header(b"content-type") or "").split(";")
    return media.strip().lower(), dict(
        _parse_media_type_parameter(each) for each in pieces if each.strip()
    )


def _parse_media_type_parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    key, value = name.strip().lower(), value.strip().strip('"')
    return key, value.lower() if key == "charset" else value


def _canonical_content_type(response: ResponseSnapshot) -> tuple[str, dict[str, str]]:
    """Return the media type and its parameters in a normal form. Types of equal meaning have equal forms."""
    media, parameters = media_type_and_parameters_of(response)
    if "charset" in parameters:
        parameters["charset"] = charset_of_label(parameters["charset"])
    is_json = media == "application/json" or media.endswith("+json")
    if is_json and parameters.get("charset") == "utf-8":
        del parameters["charset"]  # RFC 8259 11: there is no such parameter, and JSON is UTF-8
    return media, parameters


def content_codings_of(response: ResponseSnapshot) -> list[str]:
    """Return the content codings of a response in the order in which they were applied."""
    names = (response.joined_header(b"content-encoding") or "").lower().split(",")
    return [
        name.strip().removeprefix("x-") for name in names if name.strip() not in {"", "identity"}
    ]


# WHATWG Encoding 4.2: names of one charset. Browsers read Latin-1 as windows-1252.
_LABELS = {
    **dict.fromkeys(
        ("iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "l1", "cp1252", "x-cp1252"),
        "windows-1252",
    ),
    **dict.fromkeys(("utf8", "unicode-1-1-utf-8"), "utf-8"),
}


def charset_of_label(label: str) -> str:
    """Return the charset that a label names."""
    return _LABELS.get(label, label)


def compare_content_types(
    control: ResponseSnapshot,
    candidate: ResponseSnapshot,
    findings: Findings,
    are_ascii: Callable[[], bool],
) -> None:
    """Report different media types. If the media types are equal, report which parameters differ.

    `are_ascii` returns whether both bodies are plain ASCII, so that a charset of UTF-8 has no effect. It is
    called only if one side names UTF-8 and the other side names no charset.
    """
    path = "header:content-type"
    (media, first), (other_media, second) = (
        _canonical_content_type(control),
        _canonical_content_type(candidate),
    )
    if media != other_media:
        findings.add_difference("content-type", path, media or ABSENT, other_media or ABSENT)
        return
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            named = {first.get(name), second.get(name)}
            if name == "charset" and named == {None, "utf-8"} and are_ascii():
                continue
            # The difference shows them as they are written.
            one, other = (
                media_type_and_parameters_of(each)[1].get(name, ABSENT)
                for each in (control, candidate)
            )
            findings.add_difference(
                "content-type", f"{path};{escape_unprintable(name)}", one, other
            )
