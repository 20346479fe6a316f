"""Compares the cookies of two responses by name and attribute.

Pure. Set-Cookie is read by RFC 6265 5.2: a name, a value, and attributes in any order. If an attribute occurs
twice, the last one counts. Cookies with the same name are distinguished by domain and path if possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.lifetimes import (
    EXPIRED,
    are_lifetimes_near,
    cookie_lifetimes_s,
    lifetime_slack_s,
)
from overgrow.shadow.compare.pairing import pair_equal, pair_leftovers
from overgrow.shadow.values.difference import ABSENT, escape_unprintable
from overgrow.shadow.values.snapshot import ResponseSnapshot

# Attributes whose values ignore case; all other values are compared as they are.
_LIFETIME = frozenset({"expires", "max-age"})
_CASELESS = frozenset({"domain", "samesite", "priority"})


class Cookie(NamedTuple):
    """One Set-Cookie line. An attribute without a value, such as Secure, has an empty value here."""

    name: str
    value: str
    attributes: dict[str, str]

    @property
    def storage_key(self) -> tuple[str | None, str | None]:
        """The domain and path under which a browser stores the cookie; a browser keeps one cookie per name and key."""
        return self.attributes.get("domain"), self.attributes.get("path")


def parse_set_cookie(line: str) -> Cookie:
    """Return the cookie that a Set-Cookie line sets; its name is empty if the line has no `=`."""
    pair, *rest = line.split(";")
    name, separator, value = pair.partition("=")
    if not separator:
        name, value = "", pair
    return Cookie(
        name.strip(),
        value.strip(),
        dict(_parse_cookie_attribute(each) for each in rest if each.strip()),
    )


def _parse_cookie_attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    key, value = name.strip().lower(), value.strip()
    if key == "domain":
        value = value.removeprefix(".")  # RFC 6265 5.2.3
    return key, value.lower() if key in _CASELESS else value


def cookies_of(response: ResponseSnapshot) -> dict[str, list[Cookie]]:
    """Return the cookies that a response sets, by name."""
    cookies: dict[str, list[Cookie]] = {}
    for line in response.header_values(b"set-cookie"):
        cookie = parse_set_cookie(line)
        cookies.setdefault(cookie.name, []).append(cookie)
    return cookies


def compare_cookies(
    control: ResponseSnapshot, candidate: ResponseSnapshot, findings: Findings
) -> None:
    """Report cookies that are missing or extra, or differ in value or attributes."""
    first, second = cookies_of(control), cookies_of(candidate)
    for name in first | second:
        pairs = _pair_cookies(first.get(name, []), second.get(name, []))
        for at, (one, other) in enumerate(pairs):
            # A second cookie of the name is `cookie:name#2`: PHP uses brackets in names of cookies.
            path = f"cookie:{escape_unprintable(name)}" + (f"#{at + 1}" if at else "")
            if one is None or other is None:
                _compare_two_cookies(path, one, other, findings)
            else:
                _compare_two_cookies(
                    path, *_drop_equal_lifetimes(control, candidate, one, other), findings
                )


def _drop_equal_lifetimes(
    control: ResponseSnapshot, candidate: ResponseSnapshot, first: Cookie, second: Cookie
) -> tuple[Cookie, Cookie]:
    """Return (first, second). If their lifetimes are equal, in any notation, leave both lifetimes out.

    The value of a deleted cookie is left out too, because nobody will see it.
    """
    lifetimes = cookie_lifetimes_s(control, candidate, first.attributes, second.attributes)
    have_ages = all("max-age" in each.attributes for each in (first, second))
    slack_s = 0 if have_ages else lifetime_slack_s(control, candidate)
    if lifetimes is None or not are_lifetimes_near(*lifetimes, slack_s):
        return first, second
    both = [
        each._replace(
            attributes={
                name: value for name, value in each.attributes.items() if name not in _LIFETIME
            }
        )
        for each in (first, second)
    ]
    if lifetimes[0] == EXPIRED:
        both = [each._replace(value="") for each in both]
    return both[0], both[1]


def _pair_cookies(
    control: list[Cookie], candidate: list[Cookie]
) -> Iterator[tuple[Cookie | None, Cookie | None]]:
    """Yield (control, candidate) for cookies with the same name: first pair equal storage keys, then the rest in order.

    If a cookie has no partner, the other element is None.
    """
    numbers = {
        storage_key: at
        for at, storage_key in enumerate({each.storage_key for each in control + candidate})
    }
    places = [[numbers[each.storage_key] for each in cookies] for cookies in (control, candidate)]
    found = pair_leftovers(pair_equal(*places))
    yield from ((control[one], candidate[other]) for one, other in found.pairs)
    yield from ((control[at], None) for at in found.missing)
    yield from ((None, candidate[at]) for at in found.extra)


def _compare_two_cookies(
    path: str, control: Cookie | None, candidate: Cookie | None, findings: Findings
) -> None:
    if candidate is None:
        findings.add_difference("cookie-missing", path, control.value if control else "", ABSENT)
    elif control is None:
        findings.add_difference("cookie-extra", path, ABSENT, candidate.value)
    else:
        if control.value != candidate.value:
            findings.add_difference("cookie-value", path, control.value, candidate.value)
        _compare_cookie_attributes(path, control.attributes, candidate.attributes, findings)


def _compare_cookie_attributes(
    path: str, control: dict[str, str], candidate: dict[str, str], findings: Findings
) -> None:
    for name in sorted(control.keys() | candidate.keys()):
        first, second = control.get(name), candidate.get(name)
        storage_key = f"{path};{escape_unprintable(name)}"
        if second is None:
            findings.add_difference("cookie-attribute-missing", storage_key, first or name, ABSENT)
        elif first is None:
            findings.add_difference("cookie-attribute-extra", storage_key, ABSENT, second or name)
        elif first != second:
            findings.add_difference("cookie-attribute-value", storage_key, first, second)
