"""Parses the text of one scalar into the value of its field, or raises FieldError with code, reason and fix.

Pure. It does not know nodes, routes or files. `label` is the field's name in a message.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from overgrow import durations
from overgrow.routing.model import Allowance, plain_network
from overgrow.yaml_file.scalars import (
    FieldError,
    name_and_value,
    nearest_word,
)

MAX_DURATION_S = 86_400.0
RESERVED_NAME = "default"
MAX_SIZE_BYTES = 1000**4
MAX_ANSWER_BYTES = 4 * 1024 * 1024
TARGETS = ("legacy", "migrated", "gone")
LENIENCIES = (
    "bare-lf",
    "obs-fold",
    "duplicate-content-length",
    "space-before-colon",
    "chunked-http-1.0",
    "chunk-size-spaces",
    "missing-close-notify",
)  # those of proxy/overgrow/forwarding, compared by a test: parts do not import each other
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_ALL_METHODS = ("*", "ANY", "ALL")  # elsewhere they mean all; a route for them takes no request
_SIZE = re.compile(r"([0-9]{1,9})(kB|MB|GB|KiB|MiB|GiB)")
_UNIT_BYTES = {
    "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_PERCENT = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,2}))?%")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_APP = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_ALLOWANCE = re.compile(r"([a-z0-9][a-z0-9._-]*)@([0-9a-f]{12})")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_URL = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


def parse_word(text: str, label: str, words: tuple[str, ...]) -> str:
    """Return the text if it is one of the words."""
    if text in words:
        return text
    listed = f"{', '.join(words[:-1])} or {words[-1]}"
    close = nearest_word(text, words)
    fix = f"Write {close}." if close else f"Write {listed}."
    raise FieldError("unknown-word", f"{name_and_value(label, text)}; it can be {listed}", fix)


def parse_target(text: str, label: str) -> str:
    """Return a route's target. A percentage is valid only for `overgrow flip`: its fix names the field `canary`."""
    share = re.fullmatch(r"([0-9.]+)\s*%", text)
    if share is None:
        return parse_word(text, label, TARGETS)
    is_all = re.fullmatch(r"0*100(\.0*)?", share[1])
    fix = "Write migrated." if is_all else f"Write target: legacy, and canary: {share[1]}%."
    what = f"{label} is {text}; it can be legacy, migrated or gone, and canary is the share of migrated"
    raise FieldError("unknown-word", what, fix)


def parse_duration_s(text: str, label: str) -> float:
    """Return a duration such as 500ms, 2s, 1m or 1h in seconds. It must be above zero and at most a day."""
    value = durations.parse_duration_s(text, "ms", "s", "m", "h")
    if value is None:
        raise FieldError(
            "duration-syntax",
            f"{name_and_value(label, text)}; a duration is a whole number with a unit",
            _duration_fix(text),
        )
    if not 0 < value <= MAX_DURATION_S:
        what = f"{label} is {text}; it must lie between 1ms and 24h"
        raise FieldError("number-out-of-range", what, "Write a duration between 1ms and 24h.")
    return value


def _duration_fix(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"Write {int(text)}s."
    if re.fullmatch(r"[0-9]+\.[0-9]{1,3}s", text):
        return f"Write {round(float(text[:-1]) * 1000)}ms: whole numbers only."
    if re.fullmatch(r"[0-9]{1,4}:[0-9]{2}", text):
        minutes, rest = text.split(":")
        return (
            f"Write {int(minutes) * 60 + int(rest)}s; YAML 1.1 reads this as a number in base 60."
        )
    return "Write a whole number with ms, s, m or h, such as 500ms or 30s."


def parse_size_bytes(text: str, label: str) -> int:
    """Return a size such as 50MB (of 1000s) or 64KiB (of 1024s) in bytes. It must be above zero and at most 1000GB."""
    match = _SIZE.fullmatch(text)
    if match is None:
        what = f"{name_and_value(label, text)}; a size is a whole number with a unit"
        raise FieldError("size-syntax", what, _size_fix(text))
    value = int(match[1]) * _UNIT_BYTES[match[2]]
    if not 0 < value <= MAX_SIZE_BYTES:
        what = f"{label} is {text}; it must lie between 1kB and 1000GB"
        raise FieldError("number-out-of-range", what, "Write a size between 1kB and 1000GB.")
    return value


def parse_answer_bytes(text: str, label: str) -> int:
    """Return a size of at most 4 MiB, because larger responses are not compared by structure."""
    value = parse_size_bytes(text, label)
    if value > MAX_ANSWER_BYTES:
        what = f"{label} is {text}; the maximum is 4MiB"
        raise FieldError("number-out-of-range", what, "Write 4MiB, or less.")
    return value


def _size_fix(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,9})\s*([kmg]i?)b?", text, re.IGNORECASE)
    if match is None:
        return "Write a whole number with kB, MB, GB, KiB, MiB or GiB, such as 50MB."
    unit = f"{match[2]}B".lower()
    return f"Write {match[1]}{next(known for known in _UNIT_BYTES if known.lower() == unit)}."


@lru_cache(maxsize=1024)  # a pure memo: thousands of routes say the same few
def parse_hundredths(text: str, label: str, code: str = "percent-out-of-range") -> int:
    """Return a percentage such as 10% or 0.25% in hundredths of a percent.

    `code` is the error code for more than 100%.
    """
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise FieldError("percent-syntax", *_percent_reason(text, label))
    value = int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))
    if value > 10_000:
        what = f"{label} is {text}; the maximum is 100%"
        raise FieldError(code, what, "Write 100% or remove the line.")
    return value


def _percent_reason(text: str, label: str) -> tuple[str, str]:
    number = text.removesuffix("%").strip()
    if re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,2})?", number):
        return f"{label} is {text}; a percentage is written with the sign %", f"Write {number}%."
    if re.fullmatch(r"[0-9]{1,6}\.[0-9]{3,}", number):
        short = f"{float(number):.2f}".rstrip("0").rstrip(".")
        return f"{label} is {text}; a percentage has two decimals at most", f"Write {short}%."
    return (
        f"{name_and_value(label, text)}, which is not a percentage",
        "Write a percentage such as 10% or 0.25%.",
    )


def parse_whole_number(text: str, label: str, minimum: int, maximum: int) -> int:
    """Return a whole number in decimal digits between two bounds, both included."""
    if not _WHOLE.fullmatch(text):
        what = f"{name_and_value(label, text)}; it must be a whole number"
        raise FieldError("number-expected", what, "Write decimal digits, such as 10.")
    if not minimum <= int(text) <= maximum:
        what = f"{label} is {text}; it must lie between {minimum} and {maximum}"
        raise FieldError(
            "number-out-of-range", what, f"Write a number between {minimum} and {maximum}."
        )
    return int(text)


def parse_boolean(text: str, label: str) -> bool:
    """Return True or False. YAML 1.1's other words for these are refused."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    what = f"{name_and_value(label, text)}; it must be true or false"
    raise FieldError("boolean-expected", what, f"Write {meant_boolean(text)}.")


def meant_boolean(text: str) -> str:
    """Return `true` or `false` for another word with that meaning, such as `yes`.

    For other words, return "true or false".
    """
    return _MEANT_BOOLEANS.get(text.lower(), "true or false")


_MEANT_BOOLEANS = {
    **dict.fromkeys(("true", "on", "yes", "y"), "true"),
    **dict.fromkeys(("false", "off", "no", "n"), "false"),
}


def parse_route_name(text: str, label: str) -> str:
    """Return a route's name, as metrics, logs and commands use it."""
    if text == RESERVED_NAME:
        raise reserved_name_error(label)
    return parse_name(text, label)


def reserved_name_error(label: str) -> FieldError:
    """Return the error of a route named `default`: this name stands for requests that no route takes."""
    what = f"{label} is {RESERVED_NAME}, which stands for the requests that no route takes"
    return FieldError("name-reserved", what, "Write another name: for this route.")


def parse_cookie_name(text: str, label: str) -> str:
    """Return the name of a cookie (RFC 6265 4.1.1)."""
    if TOKEN.fullmatch(text):
        return text
    what = f"{name_and_value(label, text)}, which is not a cookie name"
    raise FieldError("name-syntax", what, "Write the name as the app sets it, such as sessionid.")


def parse_name(text: str, label: str) -> str:
    """Return the name of a route, group or file: a-z, 0-9, dot, underscore and hyphen."""
    if _NAME.fullmatch(text):
        return text
    made = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    what = f"{name_and_value(label, text)}; a name consists of a-z, 0-9, dot, underscore and hyphen"
    raise FieldError(
        "name-syntax", what, f"Write {made}." if made else "Write a name of these characters."
    )


def parse_allowance(text: str, label: str) -> Allowance:
    """Return the allowance that NAME@REVISION stands for: the route may take fewer requests than in that revision."""
    found = _ALLOWANCE.fullmatch(text)
    if found:
        return Allowance(found[1], found[2])
    fix = "Write NAME@REVISION as overgrow check prints it, such as users@3f1c0a9e7b42."
    raise FieldError(
        "allow-syntax",
        f"{name_and_value(f'a name in {label}', text)}; it must be NAME@REVISION",
        fix,
    )


def parse_app_name(text: str, label: str) -> str:
    """Return the name of an app, MODULE:FACTORY."""
    if _APP.fullmatch(text):
        return text
    bare = text.removesuffix("()")
    fix = f"Write {bare}." if _APP.fullmatch(bare) else "Write it as in migrated:create_app."
    raise FieldError("app-syntax", f"{name_and_value(label, text)}; it must be MODULE:FACTORY", fix)


def parse_command(text: str, label: str) -> str:
    """Read a shell command of one line."""
    if text.strip() and "\n" not in text:
        return text.strip()
    what = f"{label} is not a command of one line"
    raise FieldError("text-expected", what, "Write it as you type it, as in npm start.")


def parse_method(text: str, label: str) -> str:
    """Return an HTTP method in upper case."""
    if text.upper() in _ALL_METHODS:
        what = f"{label} contains {text}, which is not an HTTP method"
        raise FieldError(
            "method-syntax", what, "Remove the line: without it a route takes all methods."
        )
    if not TOKEN.fullmatch(text):
        what = f"{label} contains {text!r}, which is not an HTTP method"
        raise FieldError("method-syntax", what, "Write names such as GET or POST.")
    if text != text.upper():
        what = f"{label} contains {text}; methods are case-sensitive and written in upper case"
        raise FieldError("method-syntax", what, f"Write {text.upper()}.")
    return text


def parse_host_pattern(text: str, label: str) -> str:
    """Return a host pattern in lower case: an exact name or address, or *.DOMAIN."""
    low = text.lower()
    if _HOST.fullmatch(low.removeprefix("*.")) or (low[:1] == "[" and _is_ipv6(low[1:-1])):
        return low
    bare = re.sub(r"^https?://|:[0-9]*$|/.*$|\.$", "", low)
    known = _HOST.fullmatch(bare)
    fix = f"Write {bare}." if known and bare != low else "Write a name or *.example.com."
    what = f"{name_and_value(label, text)}; it must be a host name or *.DOMAIN without port or path"
    raise FieldError("host-syntax", what, fix)


def parse_tls_name(text: str, label: str) -> str:
    """Return the name in a certificate, in lower case: a host name or address, without port or wildcard."""
    low = text.lower()
    if _HOST.fullmatch(low) or _is_ipv6(low):
        return low
    bare = re.sub(r"^https?://|^\*\.|^\[|\](:[0-9]*)?$|:[0-9]*$|/.*$|\.$", "", low)
    fix = f"Write {bare}." if _HOST.fullmatch(bare) else "Write a name that the certificate has."
    what = f"{name_and_value(label, text)}; it must be one host name or address, without port or wildcard"
    raise FieldError("tls-name", what, fix)


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text)) or True
    except ValueError:
        return False


def parse_legacy_url(text: str, label: str) -> str:
    """Return the address of the legacy app, with scheme and host in lower case. Nothing may follow the port.

    There is one exception: a slash at the end, as browsers write it, is accepted and dropped.
    """
    if text.startswith("unix:"):
        if re.fullmatch(r"unix:/[^/\s][^\s]*", text):
            return text
        raise FieldError(
            "legacy-url",
            f"{label} is {text}; the path of a socket must be absolute",
            "Write unix:/path/to/the.sock.",
        )
    match = _URL.fullmatch(text.removesuffix("/"))
    if match and _is_host_and_port(match[2].lower(), match[3]):
        return match[0].lower()
    raise FieldError("legacy-url", *_url_reason(text, label))


def _is_host_and_port(host: str, port: str | None) -> bool:
    named = _is_ipv6(host[1:-1]) if host[0] == "[" else bool(_HOST.fullmatch(host))
    return named and (port is None or 1 <= int(port) <= 65535)


def _is_url(text: str) -> bool:
    match = _URL.fullmatch(text)
    return match is not None and _is_host_and_port(match[2].lower(), match[3])


def _host_fix(scheme: str, host: str) -> str:
    """Return the fix for an invalid host. If it has letters beyond ASCII, the fix names its ASCII form."""
    with suppress(UnicodeError):
        ascii_url = scheme + host.encode("idna").decode("ascii")
        if not host.isascii() and _is_url(ascii_url):
            return f"Write {ascii_url}, the host in ASCII."
    return "Write http://HOST:PORT."


def _url_reason(text: str, label: str) -> tuple[str, str]:
    match = re.match(r"(https?://)(?:[^@/?#]*@)?([^@/?#\s]+)(.*)", text, re.IGNORECASE)
    if match is None:
        fix = "Write http://HOST:PORT, https://HOST:PORT or unix:/PATH."
        if re.search(r":\d+/?$", text) and _is_url(guess := f"http://{text.removesuffix('/')}"):
            fix = f"Write {guess}, or https:// where it speaks TLS."
        return f"{label} is not an address of the form http://HOST:PORT", fix
    if re.search(r"\s", match[3]):
        return f"{label} contains a blank", "Write http://HOST:PORT without blanks."
    bare = match[1] + match[2]
    if not _is_url(bare):
        return f"{label} names no valid host and port", _host_fix(match[1], match[2])
    # With an @ behind a slash, what seems to be the host may be half of a password.
    fix = "Write http://HOST:PORT." if "@" in match[3] else f"Write {bare}."
    if "@" in text.partition("://")[2].partition("/")[0]:
        return f"{label} contains credentials, which cannot be sent on", fix
    return f"{label} has a path or query; each request is sent with its own", fix


def parse_network(text: str, label: str) -> IPv4Network | IPv6Network:
    """Return a trusted proxy's network. A single address is a network with one address."""
    try:
        return plain_network(ip_network(text))
    except ValueError:
        pass
    try:
        fix = f"Write {ip_network(text, strict=False)}."
    except ValueError:
        fix = "Write a network such as 10.0.0.0/8, an address, or unix."
    raise FieldError("trusted-proxy", f"{label} contains {text}, which is not a network", fix)


def parse_cohort_source(text: str, label: str) -> str:
    """Return a cohort source: cookie:NAME, header:NAME (in lower case), ip or identity."""
    kind, _, name = text.partition(":")
    if text in {"ip", "identity"} or (kind in ("cookie", "header") and TOKEN.fullmatch(name)):
        return text if kind == "cookie" else text.lower()
    fix = "Write cookie:NAME, header:NAME, ip or identity."
    raise FieldError("cohort-source", f"{label} contains {text}, which identifies no client", fix)


_PROBE_PATH = re.compile(r"/[!-\"$-~]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
MAX_PROBE_LENGTH = 2000  # far below the 8 KB of a request line that common servers accept


def parse_probe_path(text: str, label: str) -> str:
    """Return the target of a probe: a path, with a query if there is one, as in a request line."""
    fix = "Write a path that is cheap to answer, such as /health."
    if len(text) > MAX_PROBE_LENGTH:
        what = f"{label} has {len(text)} characters; the most is {MAX_PROBE_LENGTH}"
        raise FieldError("probe-path", what, fix)
    if not _PROBE_PATH.fullmatch(text):
        what = f"{name_and_value(label, text)}; it must be a path, percent-encoded, or false"
        raise FieldError("probe-path", what, fix)
    if escape := _BAD_ESCAPE.search(text):
        what = f"{name_and_value(label, text)}; {escape[0]} is not two hexadecimal digits after %"
        raise FieldError("probe-path", what, "Write a percent sign of the path itself as %25.")
    return text


def parse_via_name(text: str, label: str) -> str:
    """Return the pseudonym for Via: a token of RFC 9110 5.6.2."""
    if TOKEN.fullmatch(text):
        return text
    what = f"{name_and_value(label, text)}; it must be an HTTP token"
    raise FieldError("via-syntax", what, "Use letters, digits, dots and hyphens.")
