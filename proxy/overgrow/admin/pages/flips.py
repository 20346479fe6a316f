"""The page of the history of flips, kills and resumes: who moved what, when and why, and which entry undid it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView, history_of
from overgrow.files import ANSWER_S, within
from overgrow.table.editing.history_list import WAITING, HistoryRow, list_history
from overgrow.table.editing.unrecorded import ACTIONS, FOLDER, waiting_notes

MOST = 100  # entries on the page


def flips_data(view: AdminView, _now_s: float, query: Query) -> PageData:
    """Return the data of the page."""
    route = query.get("route", "").strip() or None
    history = history_of(view)
    read_notes = partial(waiting_notes, view.config, view.state)
    notes = within(ANSWER_S, view.state / FOLDER, read_notes)
    rows = list_history(history, notes, route, with_kills=True)
    names = [each.name for each in view.table.routes] if view.table else []
    return {
        "route": route or "",
        "is_unknown": bool(route) and route not in names and not any(r.entry.route for r in rows),
        "changes": [_change_json(row) for row in rows[:MOST]],
        "no_changes": not rows,
        "more": f"The latest {MOST} of {len(rows):,} are shown." if len(rows) > MOST else "",
        "broken": [{"text": sentence} for sentence in history.broken],
        "is_broken": bool(history.broken),
    }


def _change_json(row: HistoryRow) -> dict[str, Any]:
    entry = row.entry
    return {
        "id": entry.key,
        "at": entry.at,
        "who": entry.who,
        "action": entry.action,
        "tone": {"kill": "bad", "resume": "good"}.get(entry.action, ""),
        "is_mark": entry.action in ACTIONS,
        "route": entry.route,
        "from": entry.from_,
        "to": entry.to,
        "why": entry.why,
        "facts": [{"text": fact} for fact in _facts_of(row)],
    }


def _facts_of(row: HistoryRow) -> list[str]:
    """Return sentences about a flip: its evidence, what it overruled, and whether it was undone."""
    evidence = row.entry.evidence
    facts = [_gate_text(*each) for each in evidence.items()] if evidence else []
    facts += [f"Flipped although: {sentence}" for sentence in row.entry.overruled]
    if row.is_abandoned:
        facts.append(f"Given up at {row.undone_at}: it did not take effect.")
    elif row.undone_at:
        facts.append(f"Undone at {row.undone_at} by {row.undone_by}.")
    return facts if row.is_recorded else [*facts, f"{WAITING[0].upper()}{WAITING[1:]}."]


def _gate_text(route: str, figures: object) -> str:
    """Return the evidence that the gate found at the flip; leave out what an earlier version did not record."""
    known = figures if isinstance(figures, Mapping) else {}
    parts = [f"{known.get('compared', '?')} compared, {known.get('mismatched', '?')} mismatched"]
    bound, allowed = known.get("rate_bound"), known.get("allowed_rate")
    if isinstance(bound, int | float) and isinstance(allowed, int | float):
        parts.append(f"at most {100 * bound:.3g}% differ, {100 * allowed:.3g}% are allowed")
    return f"Gate of {route}: {'; '.join(parts)}."


PAGE = Page("/flips", "flips.html", flips_data, ("route",))
