"""Makes flips and rollbacks: it decides what may change, and what the history records.

A flip reads the file, edits it in memory, validates the result, and replaces the file (transaction.py). Routes
of one group move together: by one rename of the file, and with one line in the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.routing.model import FULL_CANARY, RouteTable
from overgrow.table.editing.history import (
    WAIT_S,
    FieldChange,
    HistoryEntry,
    find_undoable,
    read_history,
)
from overgrow.table.editing.judge_edit import judge_beside_last_good
from overgrow.table.editing.rewrite import (
    apply_changes,
    changes_for,
    has_states,
    is_same_state,
    lines_to_change,
    parse_goal,
    require_safe_edit,
    share_of,
    state_of,
    state_of_all,
    written_text,
)
from overgrow.table.editing.transaction import BOM, EditTransaction, locked_for_edit, replace_table
from overgrow.table.judging import Rules
from overgrow.table.live import utc_now
from overgrow.table.reading.parse import parse, revision_of
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.routes import Draft, parse_drafts
from overgrow.table.reading.settling import STANDS_S
from overgrow.table.reading.table_file import decode_text
from overgrow.table.state_dir import login_name
from overgrow.text import printable
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import nearest_word
from overgrow.yaml_file.tree import YamlSyntaxError

GROUP = "group:"
MOST_ATTEMPTS = 5


class FlipResult(NamedTuple):
    """A flip that was made: the state of the route before and after the flip, and the file's revision."""

    route: str
    from_: str
    to: str
    revision: str
    changes: tuple[FieldChange, ...] = ()  # empty: the file said so already, nothing was written


class Readiness(NamedTuple):
    """The gate's answer for one route: the reasons against a flip (none if the route is ready), and the evidence."""

    reasons: tuple[str, ...]
    evidence: Mapping[str, Any]


Gate = Callable[[str, int], Readiness]  # of a route's name, and the clean comparisons it requires
Ask = Callable[[bytes], None]  # whether the running workers would take a text


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of an edit, its time and reason, and its sources: the environment, the app's rules, workers, a gate.

    `rules` and `ask` are called only if a flip sends more clients to migrated, so that flips towards legacy
    work even if the app cannot be imported. `rules` returns the app's rules, or None to skip the check against
    the app. `ask` is called without a lock, with the text to write. If the running workers would reject this
    text, it raises EditRefused. If there is no gate, a route that requires evidence can be flipped only with a
    reason (`why`).

    If the file has another revision than `expected_revision`, the edit is refused. `may_go_forward` is called
    before a flip that sends more clients to migrated or makes a route gone. If this author may not do so, it
    raises an exception.
    """

    env: Mapping[str, str]
    who: str = field(default_factory=login_name)
    rules: Callable[[], Rules] | None = None
    now: Callable[[], str] = utc_now
    gate: Gate | None = None
    why: str | None = None
    wait_s: float = WAIT_S  # for whoever else edits the table
    ask: Ask | None = None
    approved: bytes | None = None  # the text that the workers would take
    expected_revision: str | None = None  # of the file, as the author saw it
    may_go_forward: Callable[[], None] | None = None
    stages: Callable[[RouteTable], Sequence[Problem]] | None = None


class _AskFirst(Exception):
    """Raised if the workers must be asked about a text before it is written.

    The exception ends the block that holds the locks.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


def _with_approval(
    config: Path, actor: Actor, attempt: Callable[[Actor], FlipResult]
) -> FlipResult:
    """Attempt an edit. If the running workers must approve it, ask them without a lock, then attempt the edit again."""
    for _ in range(MOST_ATTEMPTS):
        try:
            return attempt(actor)
        except _AskFirst as first:
            if actor.ask is not None:
                actor.ask(first.data)
            actor = replace(actor, approved=first.data)
    what = f"somebody else changes {config} again and again"
    raise EditRefused(
        "changed-meanwhile", what, "Nothing was written. Look at it, then flip again."
    )


def flip(config: Path, state: Path, name: str, to: str, actor: Actor) -> FlipResult:
    """Set the state of the route, or of group:NAME, to `to`: legacy, migrated, gone or N%.

    If EditRefused is raised, nothing has changed. If there is a reason (`actor.why`), a route is flipped even
    if its gate is closed. The history stores the reason.
    """
    parse_goal(to)

    def attempt(actor: Actor) -> FlipResult:
        with locked_for_edit(config, state, actor.env, actor.wait_s) as transaction:
            return _flip_once(transaction, actor, name, to)

    return _with_approval(config, actor, attempt)


def _flip_once(transaction: EditTransaction, actor: Actor, name: str, to: str) -> FlipResult:
    goal = parse_goal(to)
    _refuse_stale(transaction, actor)
    members = find_members(transaction, name, f"flip {{}} {to}")
    refuse_irreversible(members, str(goal))
    changes = tuple(change for draft in members for change in changes_for(draft, goal))
    plan = EditPlan("flip", name, state_of_all(members), str(goal), changes)
    if not changes:
        return FlipResult(name, plan.from_, plan.to, revision_of(transaction.data))
    if actor.may_go_forward is not None and goes_forward(members, plan.to):
        actor.may_go_forward()
    return _apply_plan(
        transaction, actor, members, plan, _check_gates(transaction, actor, members, plan)
    )


def rollback(config: Path, state: Path, name: str | None, actor: Actor) -> FlipResult:
    """Undo the latest flip that is not undone yet: of `name` (a route or group:NAME), or of all routes if it is None.

    A second call undoes the flip before that. A group moves as a whole. The gate is not consulted, because the
    route returns to a state that it has been in before.
    """

    def attempt(actor: Actor) -> FlipResult:
        with locked_for_edit(config, state, actor.env, actor.wait_s) as transaction:
            return _rollback_once(transaction, actor, name)

    return _with_approval(config, actor, attempt)


def _rollback_once(transaction: EditTransaction, actor: Actor, name: str | None) -> FlipResult:
    _refuse_stale(transaction, actor)
    if name is not None:
        find_members(transaction, name, "rollback {}")
    entry = find_undoable(read_history(transaction.state).entries, name)
    if entry is None:
        raise _nothing_to_undo_refusal(transaction, name)
    members = _require_as_written(transaction, entry)
    refuse_irreversible(members, str(entry.from_))
    back = tuple(
        FieldChange(c.field, c.after, c.before, _route_of_change(c, entry)) for c in entry.changes
    )
    plan = EditPlan("rollback", str(entry.route), str(entry.to), str(entry.from_), back, entry.key)
    return _apply_plan(transaction, actor, members, plan)


# --- the routes of a flip -------------------------------------------------------------------------


class EditPlan(NamedTuple):
    """What to write into the file, and what the history records about it."""

    action: str
    name: str  # a route's, or group:NAME
    from_: str
    to: str
    changes: tuple[FieldChange, ...]
    undoes: str | None = None


def find_members(transaction: EditTransaction, name: str, command: str) -> list[Draft]:
    """Return the route with this name, or all members of group:NAME.

    A single member of a group is refused, because a group moves together. The fix names `command`, such as
    `flip {} migrated`, with the group in place of {}.
    """
    if name.startswith(GROUP):
        return _find_group_members(transaction, name.removeprefix(GROUP))
    found = next((draft for draft in transaction.drafts if draft.name == name), None)
    if found is None:
        names = [draft.name for draft in transaction.drafts if draft.name]
        close = nearest_word(name, names)
        fix = f"Did you mean {close}?" if close else "overgrow routes lists them."
        raise EditRefused("unknown-route", f"{transaction.config} has no route named {name}", fix)
    if found.group is not None:
        names = [str(draft.name) for draft in _find_group_members(transaction, found.group)]
        what = f"{name} is in group {found.group}, which moves together: {', '.join(names)}"
        fix = f"Run overgrow {command.format(GROUP + found.group)}."
        raise EditRefused("group-member", what, fix)
    return [found]


def _find_group_members(transaction: EditTransaction, group: str) -> list[Draft]:
    found = [draft for draft in transaction.drafts if draft.group == group and draft.name]
    if not found:
        close = nearest_word(group, {draft.group for draft in transaction.drafts if draft.group})
        fix = f"Did you mean {GROUP}{close}?" if close else "Write group: NAME into its routes."
        raise EditRefused(
            "unknown-group", f"{transaction.config} has no route in group {group}", fix
        )
    return found


def _refuse_stale(transaction: EditTransaction, actor: Actor) -> None:
    """Refuse an edit if its author saw another revision of the file."""
    revision = revision_of(transaction.data)
    if actor.expected_revision not in (None, revision):
        what = f"the table is {revision} now, not {actor.expected_revision}"
        fix = "Nothing was changed. Look at the table as it is now, then decide again."
        raise EditRefused("stale-revision", what, fix)


def refuse_irreversible(members: Sequence[Draft], to: str) -> None:
    """If the data of a route has left legacy, refuse to send the route back to legacy."""
    for draft in members:
        if draft.fields.values.get("reversible") is False and to not in ("migrated", "gone"):
            line = draft.fields.nodes["reversible"].line
            what = f"{draft.name} has reversible: false (line {line}): its data has left legacy"
            raise EditRefused("irreversible", what, "It can be flipped to migrated or gone only.")


MAX_NAMED = 6  # routes named in one message


def _nothing_to_undo_refusal(transaction: EditTransaction, name: str | None) -> EditRefused:
    named = [one for one in transaction.drafts if one.name]
    wanted = [one for one in named if name in (None, one.name, f"{GROUP}{one.group or ''}")]
    described = [f"{draft.name} is {state_of(draft)}" for draft in wanted[:MAX_NAMED]]
    rest = len(wanted) - len(described)
    now = "; ".join([*described, *([f"and {rest} more (overgrow routes)"] if rest else [])])
    what = f"no flip{f' of {name}' if name else ''} is left to undo"
    return EditRefused("nothing-to-undo", what, f"The file says: {now or 'no routes'}.")


def _route_of_change(change: FieldChange, entry: HistoryEntry) -> str:
    return change.route or str(entry.route)


def _printable_name(entry: HistoryEntry) -> str:
    return printable(entry.who, keep="")


def _require_as_written(transaction: EditTransaction, entry: HistoryEntry) -> list[Draft]:
    """Return the routes that the flip `entry` changed. If one of them was edited after that flip, raise EditRefused."""
    if entry.from_ == "split":
        what = f"before the flip by {_printable_name(entry)} at {entry.at} the members of {entry.route} differed"
        raise EditRefused(
            "would-be-invalid", what, f"Run overgrow flip {entry.route} legacy instead."
        )
    names = dict.fromkeys(_route_of_change(change, entry) for change in entry.changes)
    return [_require_one_as_written(transaction, entry, name) for name in names]


def _require_one_as_written(transaction: EditTransaction, entry: HistoryEntry, name: str) -> Draft:
    draft = next((one for one in transaction.drafts if one.name == name), None)
    is_state = draft is not None and is_same_state(state_of(draft), str(entry.to))
    own = [change for change in entry.changes if _route_of_change(change, entry) == name]
    if draft and is_state and all(written_text(draft, one.field) == one.after for one in own):
        return draft
    says = f"{name} is {state_of(draft)}" if draft else f"nothing of {name}"
    if draft and is_state:
        says += ", written otherwise"
    what = f"the flip of {entry.route} by {_printable_name(entry)} at {entry.at} wrote {entry.to}; the file says {says}"
    fix = f"To get {entry.from_} back: overgrow flip {entry.route} {entry.from_}."
    raise EditRefused("not-as-written", what, fix)


def keeps_flip(data: bytes, flipped: FlipResult, env: Mapping[str, str]) -> bool:
    """Return whether the flipped routes in a text of the table are still as the flip wrote them.

    If two people flip at once, workers may load the second flip without the first.
    """
    try:
        states = {draft.name: state_of(draft) for draft in parse_drafts(decode_text(data), env)}
    except YamlSyntaxError:
        return False
    names = {change.route for change in flipped.changes} or {flipped.route}
    return all(is_same_state(states.get(name, "gone from the file"), flipped.to) for name in names)


# --- writing the table --------------------------------------------------------------------------------------


def _check_gates(
    transaction: EditTransaction, actor: Actor, members: Sequence[Draft], plan: EditPlan
) -> dict[str, Any]:
    """Return what the history will record about the gates.

    If a gate is closed and there is no reason, raise EditRefused.
    """
    evidence, closed = {}, []
    for draft in members if share_of(plan.to) == FULL_CANARY else ():
        clean = draft.fields.values.get("require", 0)
        if clean and actor.gate is not None:
            ready = actor.gate(str(draft.name), clean)
            evidence[str(draft.name)] = dict(ready.evidence)
            closed += [f"{draft.name}: {reason}" for reason in ready.reasons]
        elif clean:
            closed.append(f"{draft.name} requires {clean} clean comparisons, and none were counted")
    if closed and not actor.why:
        fix = "Shadow it until there are enough, or give a reason to flip it anyway."
        raise EditRefused("gate-closed", f"{transaction.config}: {'; '.join(closed)}", fix)
    facts = {"why": actor.why, "evidence": evidence, "overruled": closed}
    return {name: value for name, value in facts.items() if value}


def goes_forward(members: Sequence[Draft], to: str) -> bool:
    """Return whether a change to `to` takes clients away from legacy."""
    return to == "gone" or _sends_more_to_migrated(members, to)


def _sends_more_to_migrated(members: Sequence[Draft], to: str) -> bool:
    """Return whether a change of the routes to `to` sends more clients to migrated than now.

    Only then is the app needed.
    """
    states = [state_of(draft) for draft in members]
    return any(one == "nothing valid" or share_of(to) > share_of(one) for one in states)


def _apply_plan(
    transaction: EditTransaction,
    actor: Actor,
    members: Sequence[Draft],
    plan: EditPlan,
    more: Mapping[str, Any] | None = None,
) -> FlipResult:
    """Edit the text, check the result, and replace the file. `more` has further facts for the history."""
    after, by_hand = rewrite_text(transaction, members, plan)
    data = (BOM if transaction.data.startswith(BOM) else b"") + after.encode()
    _require_valid(transaction, actor, members, plan, data)
    facts = {
        "at": actor.now(),
        "who": actor.who,
        "action": plan.action,
        "route": plan.name,
        "from": plan.from_,
        "to": plan.to,
        "before": revision_of(transaction.data),
        "after": revision_of(data),
        "changes": plan.changes,
        **({"undoes": plan.undoes} if plan.undoes else {}),
        **(more or {}),
    }
    replace_table(transaction, data, facts, by_hand)
    return FlipResult(plan.name, plan.from_, plan.to, revision_of(data), plan.changes)


def _require_valid(
    transaction: EditTransaction,
    actor: Actor,
    members: Sequence[Draft],
    plan: EditPlan,
    data: bytes,
) -> None:
    """Check that the edited text is a valid table in which only the flipped routes differ, as asked.

    Else raise EditRefused. If the running workers still have to approve the text, raise _AskFirst.
    """
    names = [str(draft.name) for draft in members]
    grows = _sends_more_to_migrated(members, plan.to)
    rules = actor.rules() if actor.rules is not None and grows else None
    loaded = parse(data, file=str(transaction.config), env=actor.env, rules=rules)
    if loaded.table is None or not has_states(loaded.table, transaction.drafts, names, plan.to):
        require_safe_edit(transaction.drafts, decode_text(data), names, plan.to, actor.env)
    loaded, _, lost = judge_beside_last_good(loaded, transaction, actor.env)
    if lost is not None:
        raise _half_written_refusal(transaction.config, lost)
    if loaded.problems:
        what = f"{transaction.config} would not be valid with {plan.name} at {plan.to}"
        fix = "Nothing was changed. Fix this first"
        fix += (
            "" if share_of(plan.to) else ", or send everything to legacy: overgrow rollback --all"
        )
        raise EditRefused("would-be-invalid", what, f"{fix}.", loaded.problems)
    _refuse_by_stage(actor, loaded.table, names, is_forward=grows)
    if actor.ask is not None and grows and data != actor.approved:
        raise _AskFirst(data)


def _refuse_by_stage(
    actor: Actor, table: RouteTable | None, names: Sequence[str], *, is_forward: bool
) -> None:
    """Refuse a flip to where the data is not: to migrated before its table is filled, to legacy after it is complete."""
    if actor.stages is None or table is None:
        return
    found = [one for one in actor.stages(table) if one.route in names]
    found = [one for one in found if is_forward or one.code == "stage-late"]
    if found:
        what = "; ".join(f"{one.route}: {one.message}" for one in found)
        raise EditRefused("stage-refused", what, found[0].fix, found)


def _half_written_refusal(config: Path, lost: str) -> EditRefused:
    what = (
        f"somebody may still be writing {config}: it was written in place a moment ago and {lost}"
    )
    return EditRefused(
        "changed-meanwhile", what, f"Nothing was changed. Try again in {STANDS_S:g} s."
    )


def rewrite_text(
    transaction: EditTransaction, members: Sequence[Draft], plan: EditPlan
) -> tuple[str, str]:
    """Return (new text, changed lines). The lines are for a person who has to make the edit by hand."""
    text = transaction.text
    by_hand: list[str] = []
    # From last to first, so that positions and line numbers before an edit stay valid.
    for draft in sorted(members, key=lambda one: one.node.start, reverse=True):
        own = [change for change in plan.changes if change.route == draft.name]
        changed = apply_changes(text, draft, own, file=str(transaction.config))
        if own:
            by_hand.insert(0, lines_to_change(text, changed))
        text = changed
    return text, "; ".join(by_hand)
