"""Reduces an event to the parts that may be sent to Sentry. Pure.

Rule: only parts that a list here names stay. In these parts, values of the request and texts that look like
credentials are replaced. Local variables of frames, headers, cookies, bodies and the user are always removed.
If some values of a request are unknown, texts of exceptions are removed too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from overgrow.telemetry.sentry.request_values import RequestValues

HIDDEN = "[Filtered]"

_AS_IT_IS = frozenset(
    {
        *("dist", "environment", "event_id", "level", "platform", "release", "sdk"),
        *("server_name", "start_timestamp", "timestamp", "type"),
    }
)
_FRAME = frozenset(
    {
        *("abs_path", "context_line", "filename", "function", "in_app", "lineno", "module"),
        *("post_context", "pre_context"),
    }
)
_TRACE = frozenset({"op", "origin", "parent_span_id", "span_id", "status", "trace_id"})
_SPAN = _TRACE | {"start_timestamp", "timestamp", "same_process_as_parent"}
_SPAN_DATA = frozenset({"db.system", "http.response.status_code", "thread.id", "thread.name"})
_BREADCRUMB = frozenset({"category", "level", "timestamp", "type"})
_MECHANISM = frozenset({"exception_id", "handled", "is_exception_group", "parent_id", "type"})
# user:password@ in an address; a name that says what it is, with its value; a bearer token.
_PATTERNS = (
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"(?i)((?:api.?key|authorization|cookie|credential|passw(?:or)?d|pwd|secret|session.?id|token)"
            r"[\"']?\s*[=:]\s*[\"']?(?:basic |bearer )?)[^\s\"',;&)}\]]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic) [a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
)
_SQL_VALUE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"(?=\s*[,)])|\b\d+(?:\.\d+)?\b")


class EventRedactor:
    """Redacts events in the context of one request.

    `known` are the values of the request, `secrets` those of the front door.
    """

    def __init__(self, known: RequestValues, secrets: Iterable[str] = ()) -> None:
        self._shows_messages = known.are_all
        self._values = known.values | {each for each in secrets if each}
        forms = {form.lower() for value in self._values for form in _written_forms(value)}
        self._forms = tuple(forms)

    def redact(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of an event that may be sent, in the form in which the SDK serializes it."""
        readers: dict[str, Callable[[Any], Any]] = {
            "breadcrumbs": lambda each: {"values": list(map(self._breadcrumb, _values(each)))},
            "contexts": self._contexts,
            "exception": lambda each: {"values": list(map(self._exception, _values(each)))},
            "extra": self._deep,
            "fingerprint": self._deep,
            "logentry": self._log_entry,
            "logger": self._message,
            "message": self._message,
            "spans": lambda each: list(map(self._span, each)),
            "tags": self._deep,
            "threads": lambda each: {"values": list(map(self._thread, _values(each)))},
        }
        sent = {name: value for name, value in event.items() if name in _AS_IT_IS}
        sent |= {name: read(event[name]) for name, read in readers.items() if event.get(name)}
        return sent

    def text(self, text: str) -> str:
        """Return a text without values of the request and without texts that look like credentials."""
        text = hide(text, self._forms)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def _message(self, text: str) -> str:
        """Return a text that an app composed, perhaps of values of the request."""
        return self.text(text) if self._shows_messages else HIDDEN

    def _deep(self, value: Any) -> Any:
        match value:
            case str():
                return self._message(value)
            case Mapping():
                return {self._message(str(name)): self._deep(each) for name, each in value.items()}
            case list() | tuple():
                return [self._deep(each) for each in value]
            case bool() | None:
                return value
        return HIDDEN if str(value) in self._values else value

    def _log_entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        texts = {name: entry.get(name) for name in ("message", "formatted")}
        return {name: self._message(str(text)) for name, text in texts.items() if text}

    def _exception(self, exception: Mapping[str, Any]) -> dict[str, Any]:
        sent = _pick(exception, {"module", "thread_id", "type"})
        if exception.get("value") is not None:
            sent["value"] = self._message(str(exception["value"]))
        if exception.get("mechanism"):
            sent["mechanism"] = _pick(exception["mechanism"], _MECHANISM)
        return sent | _stack(exception)

    def _thread(self, thread: Mapping[str, Any]) -> dict[str, Any]:
        sent = _pick(thread, {"crashed", "current", "id"}) | _stack(thread)
        return sent | {"name": self._message(thread["name"])} if thread.get("name") else sent

    def _breadcrumb(self, crumb: Mapping[str, Any]) -> dict[str, Any]:
        sent = _pick(crumb, _BREADCRUMB)
        if sent.get("category"):
            sent["category"] = self._message(sent["category"])
        if crumb.get("message"):
            text = str(crumb["message"])
            is_sql = crumb.get("category") == "query"
            sent["message"] = self._message(without_sql_values(text) if is_sql else text)
        return sent

    def _contexts(self, contexts: Mapping[str, Any]) -> dict[str, Any]:
        sent = {name: self._deep(each) for name, each in contexts.items() if name != "trace"}
        if "trace" in contexts:
            sent["trace"] = _pick(contexts["trace"], _TRACE)
        return sent

    def _span(self, span: Mapping[str, Any]) -> dict[str, Any]:
        sent = _pick(span, _SPAN)
        sent["description"] = self._span_description(
            str(span.get("op") or ""), span.get("description") or ""
        )
        sent["data"] = data = _pick(span.get("data") or {}, _SPAN_DATA)
        if data.get("thread.name"):
            data["thread.name"] = self._message(data["thread.name"])
        if span.get("tags"):
            sent["tags"] = self._deep(span["tags"])
        return sent

    def _span_description(self, op: str, text: str) -> str:
        if op.startswith("db"):
            text = without_sql_values(text)
        if op.startswith("http"):  # METHOD and an address
            text = text.partition("?")[0].partition("#")[0]
        return self._message(text)


def hide(text: str, forms: Iterable[str]) -> str:
    """Return a text in which each occurrence of a form, in any case, is replaced.

    Values come from clients, and there may be many: `find` passes over a long text faster than one pattern of all forms.
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter such as İ has two in lower case
        text = lowered
    places = sorted(place for form in forms for place in _occurrences(lowered, form))
    if not places:
        return text
    pieces: list[str] = []
    end = 0
    for begins, ends in places:
        if begins > end or not pieces:
            pieces += [text[end:begins], HIDDEN]
        end = max(end, ends)
    return "".join([*pieces, text[end:]])


def _occurrences(text: str, form: str) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of each place of a form in a text."""
    begins = text.find(form)
    while begins >= 0:
        yield begins, begins + len(form)
        begins = text.find(form, begins + len(form))


def without_sql_values(sql: str) -> str:
    """Return an SQL statement with a placeholder for each text and number."""
    return _SQL_VALUE.sub("?", sql)


def _pick(values: Any, names: Iterable[str]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {}
    return {name: values[name] for name in names if name in values}


def _values(interface: Any) -> list[Any]:
    """Return the values of an interface. Sentry's protocol permits a list and {"values": [...]}."""
    found = interface.get("values") if isinstance(interface, Mapping) else interface
    return [each for each in found or () if isinstance(each, Mapping)]


def _stack(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stack of an exception or a thread, without the local variables of its frames."""
    frames = (holder.get("stacktrace") or {}).get("frames")
    return {"stacktrace": {"frames": [_pick(each, _FRAME) for each in frames]}} if frames else {}


def _written_forms(value: str) -> Iterable[str]:
    """Return the forms in which texts may contain a value: unchanged, escaped, and quoted for an address."""
    escaped = (repr(value)[1:-1], json.dumps(value)[1:-1])
    return {value, *escaped, quote(value, safe=""), quote(value), quote_plus(value)}
