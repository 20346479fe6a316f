"""The cookies of two answers, by name and attribute.

Pure. Set-Cookie as RFC 6265 5.2 reads it: a name, a value, attributes in any order of which the last
of each name counts. Cookies of one name are told apart by domain and path where that is possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.lifetimes import EXPIRED, are_near, cookie_lifetimes, slack_of
from overgrow.shadow.compare.pairing import by_number, with_leftovers_paired
from overgrow.shadow.values.answer import Answer
from overgrow.shadow.values.difference import ABSENT, printable

# Words of which the case says nothing; all other values are compared as they are.
_LIFETIME = frozenset({"expires", "max-age"})
_CASELESS = frozenset({"domain", "samesite", "priority"})


class Cookie(NamedTuple):
    """One Set-Cookie line; an attribute without a value, like Secure, has an empty one."""

    name: str
    value: str
    attributes: dict[str, str]

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Where a browser keeps it: two cookies of one name and place are one cookie."""
        return self.attributes.get("domain"), self.attributes.get("path")


def cookie_of(line: str) -> Cookie:
    """Return the cookie that a Set-Cookie line sets; without `=` its name is empty."""
    pair, *rest = line.split(";")
    name, separator, value = pair.partition("=")
    if not separator:
        name, value = "", pair
    return Cookie(
        name.strip(), value.strip(), dict(_attribute(each) for each in rest if each.strip())
    )


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    key, value = name.strip().lower(), value.strip()
    if key == "domain":
        value = value.removeprefix(".")  # RFC 6265 5.2.3
    return key, value.lower() if key in _CASELESS else value


def cookies_of(answer: Answer) -> dict[str, list[Cookie]]:
    """Return the cookies an answer sets, by name."""
    cookies: dict[str, list[Cookie]] = {}
    for line in answer.values(b"set-cookie"):
        cookie = cookie_of(line)
        cookies.setdefault(cookie.name, []).append(cookie)
    return cookies


def compare_cookies(control: Answer, candidate: Answer, findings: Findings) -> None:
    """Find cookies that are missing, added, or differ in value or attributes."""
    first, second = cookies_of(control), cookies_of(candidate)
    for name in first | second:
        pairs = _paired(first.get(name, []), second.get(name, []))
        for at, (one, other) in enumerate(pairs):
            # A second cookie of the name is `cookie:name#2`: brackets stand in names of PHP's.
            path = f"cookie:{printable(name)}" + (f"#{at + 1}" if at else "")
            if one is None or other is None:
                _compare_pair(path, one, other, findings)
            else:
                _compare_pair(path, *_alike(control, candidate, one, other), findings)


def _alike(
    control: Answer, candidate: Answer, first: Cookie, second: Cookie
) -> tuple[Cookie, Cookie]:
    """Return two cookies without what they say in other words: how long they live, if that is the same.

    The value of a cookie that is deleted says nothing.
    """
    lifetimes = cookie_lifetimes(control, candidate, first.attributes, second.attributes)
    have_ages = all("max-age" in each.attributes for each in (first, second))
    slack_s = 0 if have_ages else slack_of(control, candidate)
    if lifetimes is None or not are_near(*lifetimes, slack_s):
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


def _paired(
    control: list[Cookie], candidate: list[Cookie]
) -> Iterator[tuple[Cookie | None, Cookie | None]]:
    """Pair cookies of one name: those of one place, then the others in order."""
    numbers = {place: at for at, place in enumerate({each.place for each in control + candidate})}
    places = [[numbers[each.place] for each in cookies] for cookies in (control, candidate)]
    found = with_leftovers_paired(by_number(*places))
    yield from ((control[one], candidate[other]) for one, other in found.pairs)
    yield from ((control[at], None) for at in found.missing)
    yield from ((None, candidate[at]) for at in found.extra)


def _compare_pair(
    path: str, control: Cookie | None, candidate: Cookie | None, findings: Findings
) -> None:
    if candidate is None:
        findings.add("cookie-missing", path, control.value if control else "", ABSENT)
    elif control is None:
        findings.add("cookie-extra", path, ABSENT, candidate.value)
    else:
        if control.value != candidate.value:
            findings.add("cookie-value", path, control.value, candidate.value)
        _compare_attributes(path, control.attributes, candidate.attributes, findings)


def _compare_attributes(
    path: str, control: dict[str, str], candidate: dict[str, str], findings: Findings
) -> None:
    for name in sorted(control.keys() | candidate.keys()):
        first, second = control.get(name), candidate.get(name)
        place = f"{path};{printable(name)}"
        if second is None:
            findings.add("cookie-attribute-missing", place, first or name, ABSENT)
        elif first is None:
            findings.add("cookie-attribute-extra", place, ABSENT, second or name)
        elif first != second:
            findings.add("cookie-attribute-value", place, first, second)
