"""Compares the present state with the state that the webhook knows, and makes one event for each change.

Pure. The known state is a plain mapping, which is stored in a file. The present state comes from the board and
the history. If a worker is killed before it finds a change, another worker finds the change. Each change is
found once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overgrow.notify.event import WebhookEvent
from overgrow.observe.upstream import upstream_json
from overgrow.table.editing.history import HistoryEntry

Worker = Mapping[str, Any]
MAX_ENTRIES = 100  # of the history, at once: older ones are not told

_KINDS = {
    "flip": "route.flipped",
    "rollback": "route.rolled_back",
    "kill": "kill",
    "resume": "resume",
    "accept": "rule.accepted",
    "restarted": "evidence.restarted",
}


@dataclass(frozen=True, slots=True)
class FrontDoorState:
    """The present state: what the living workers publish, and the entries of the history."""

    living: Sequence[Worker]
    entries: Sequence[HistoryEntry]
    at: str  # RFC 3339
    began_s: float = 0.0  # when the front door started, as unix time

    def as_known(self, *, was_legacy_up: bool) -> dict[str, Any]:
        """Return the values to remember for the next comparison.

        If there is no evidence of legacy, `was_legacy_up` stays.
        """
        legacy = upstream_json(self.living)
        is_unknown = legacy["up"] and legacy["since"] is None
        return {
            "history": self.entries[-1].key if self.entries else None,
            "is_legacy_up": was_legacy_up if is_unknown else legacy["up"],
            "rejected": _rejected_digest(self.living),
            "breakers": sorted(map(list, _open_breakers(self.living))),
            "gates": _gates(self.living),
        }


def find_events(
    known: Mapping[str, Any] | None, state: FrontDoorState
) -> tuple[list[WebhookEvent], dict[str, Any]]:
    """Return (events for the changes, state that is known from now on).

    At the first start `known` is None. In this case there are events for present problems only, and none for
    the history.
    """
    if not state.living:  # a board that nobody wrote yet says nothing about legacy or breakers
        return [], dict(known or {})
    before = {"is_legacy_up": True, "rejected": None, "breakers": []} | dict(known or {})
    now = state.as_known(was_legacy_up=before["is_legacy_up"])
    events = [
        *_history_events(before.get("history", _last_key_before_start(state)), state.entries),
        *(_legacy_events(state) if now["is_legacy_up"] != before["is_legacy_up"] else ()),
        *_table_events(before["rejected"], state),
        *_breaker_events(before["breakers"], state),
        *_gate_events(before.get("gates", {}), state),
    ]
    now["gates"] = now["gates"] or before.get("gates", {})  # a new worker has judged none yet
    return events, now


def _last_key_before_start(state: FrontDoorState) -> str | None:
    """Return the key of the last entry from before the front door's start; None if there is no such entry."""
    old = (e.key for e in reversed(state.entries) if _unix_time(e.at) < state.began_s)
    return next(old, None)


def _unix_time(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _history_events(
    last_key: str | None, entries: Sequence[HistoryEntry]
) -> Iterator[WebhookEvent]:
    keys = [entry.key for entry in entries]
    if last_key is not None and last_key not in keys:  # the history was removed or cut: begin anew
        return
    new = entries[keys.index(last_key) + 1 :] if last_key is not None else entries
    for entry in new[-MAX_ENTRIES:]:
        if kind := _KINDS.get(entry.action):
            names = ("route", "from", "to", "who", "why", "before", "after")
            values = (entry.route, entry.from_, entry.to, entry.who, entry.why)
            facts = dict(zip(names, (*values, entry.before, entry.after), strict=True))
            told = {name: value for name, value in facts.items() if value is not None}
            yield WebhookEvent(f"evt_{entry.key[:24]}", kind, entry.at, _sentence_of(entry), told)


def _sentence_of(entry: HistoryEntry) -> str:
    route, by = entry.route or "", f"by {entry.who}"
    match entry.action:
        case "flip":
            said = f"{route} was flipped from {entry.from_} to {entry.to} {by}"
        case "rollback":
            said = f"{route} was rolled back from {entry.from_} to {entry.to} {by}"
        case "kill":
            said = f"everything goes to legacy, whatever the table says. Killed {by}"
        case "resume":
            said = f"the table decides again. Resumed {by}"
        case "accept":
            said = f"a rule was accepted for {route} {by}"
        case _:
            said = f"the evidence of {route} was restarted {by}" if route else f"the history {by}"
    return f"{said}: {entry.why}" if entry.why else f"{said}."


def _legacy_events(state: FrontDoorState) -> Iterator[WebhookEvent]:
    found = upstream_json(state.living)
    at = found["since"] or state.at
    if found["up"]:
        yield _event("legacy.up", at, "legacy answers again.", {})
    else:
        said = f"legacy does not answer ({found['error']}). Migrated routes keep working."
        yield _event("legacy.down", at, said, {"error": found["error"]})


def _table_events(before: str | None, state: FrontDoorState) -> Iterator[WebhookEvent]:
    error = _reload_error(state.living)
    if _rejected_digest(state.living) == before:
        return
    if error is None:
        yield _event("table.accepted", state.at, "the table on disk is in effect again.", {})
        return
    problems = error["problems"]
    first = problems[0] if problems else {}
    place = f"{first.get('file')}:{first.get('line')}"
    said = f"the table was rejected, and the former one stays in effect: {place}: {first.get('message')}."
    facts = {"problems": len(problems), "code": first.get("code"), "line": first.get("line")}
    yield _event("table.rejected", error["at"], said, facts)


def _breaker_events(
    before: Sequence[Sequence[str]], state: FrontDoorState
) -> Iterator[WebhookEvent]:
    known, now = {(route, side) for route, side in before}, _open_breakers(state.living)
    for route, side in sorted(now - known):
        said = (
            f"the breaker of {route} is open for {side}: too many of its requests fail or are slow."
        )
        yield _event("breaker.opened", state.at, said, {"route": route, "side": side})
    for route, side in sorted(known - now):
        said = f"the breaker of {route} is closed again for {side}."
        yield _event("breaker.closed", state.at, said, {"route": route, "side": side})


def _gate_events(before: Mapping[str, bool], state: FrontDoorState) -> Iterator[WebhookEvent]:
    for route, is_open in _gates(state.living).items():
        if is_open and before.get(route) is False:
            said = f"the gate of {route} is open: it may be flipped."
            yield _event("gate.opened", state.at, said, {"route": route})
        if not is_open and before.get(route) is True:
            said = f"the gate of {route} is closed again: see overgrow gate {route}."
            yield _event("gate.closed", state.at, said, {"route": route})


def _gates(living: Sequence[Worker]) -> dict[str, bool]:
    """Return {route: whether its gate is open}, as the worker that judges the gates published it."""
    published = (one.get("gates") or {} for one in living)
    return {route: bool(gate["is_open"]) for gates in published for route, gate in gates.items()}


def _open_breakers(living: Sequence[Worker]) -> set[tuple[str, str]]:
    """Return (route, side) of the breakers that are open or half-open in any worker."""
    return {(each["route"], each["side"]) for one in living for each in one.get("breakers") or ()}


def _reload_error(living: Sequence[Worker]) -> Mapping[str, Any] | None:
    return next((one["reload_error"] for one in living if one.get("reload_error")), None)


def _rejected_digest(living: Sequence[Worker]) -> str | None:
    error = _reload_error(living)
    return None if error is None else _digest(error["problems"])


def _event(kind: str, at: str, sentence: str, facts: dict[str, Any]) -> WebhookEvent:
    """Return an event. Its id does not depend on the worker that finds the change."""
    return WebhookEvent(f"evt_{_digest([kind, at, facts])}", kind, at, sentence, facts)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]
