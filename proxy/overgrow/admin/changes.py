"""Changes through the admin listener: flips, rollbacks, the kill switch, breakers.

Both the page and the API use this module. As with the command line, the file is edited and workers follow. Only
the command line may overrule a closed gate. A flip forward takes clients away from legacy: it needs a reason,
and proof of who asks. A flip back is allowed without reason and proof.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from overgrow.admin.alerts import revision_on_disk
from overgrow.admin.api.errors import ApiError
from overgrow.admin.view import AdminView, history_of
from overgrow.data.beside import refused_routes
from overgrow.files import ANSWER_S, within
from overgrow.resilience.reset_files import request_reset
from overgrow.shadow.review.gate_report import (
    GateQuestion,
    GateReport,
    gate_figures,
    judge_gate_without_store,
)
from overgrow.table.editing import flip as edit
from overgrow.table.editing import kill_switch
from overgrow.table.editing.history import find_undoable
from overgrow.table.reading.gc_pause import gc_paused
from overgrow.table.reading.problems import EditRefused
from overgrow.yaml_file.scalars import nearest_word

LOCK_S = 2.0  # short: the admin pages have few threads
GATE_S = 5.0  # for the store
ASKS_S = 15.0  # for whom a flip forward asks: the store, the workers, and then it waits for the locks again


@dataclass(frozen=True, slots=True)
class ChangeOrder:
    """Who asks for a change, why, and of which table.

    `is_proven` is False if anybody on this machine could be the author. `expected_revision` is the
    revision of the table that the author saw.
    """

    who: str
    why: str | None = None
    expected_revision: str | None = None
    is_proven: bool = False


def flip(view: AdminView, name: str, to: str, order: ChangeOrder) -> edit.FlipResult:
    """Flip a route, or group:NAME. Raise EditRefused or ApiError if that is not allowed."""
    actor = edit.Actor(
        os.environ,
        order.who,
        gate=partial(_require_open_gate, view),
        why=order.why,
        wait_s=LOCK_S,
        ask=view.ask_workers,
        expected_revision=order.expected_revision,
        may_go_forward=partial(_require_permission, order),
        stages=partial(refused_routes, view.config),
    )
    asks_s = 0.0 if to == "legacy" else ASKS_S
    return _edit_table(view, partial(edit.flip, view.config, view.state, name, to, actor), asks_s)


def rollback(
    view: AdminView, name: str | None, order: ChangeOrder, *, shown: str | None = None
) -> edit.FlipResult:
    """Undo the latest flip of a route or group, or of all routes.

    `shown` is the key of the flip that the author saw as the latest.
    """
    if shown is not None:
        latest = find_undoable(history_of(view).entries, name)
        if latest is None or latest.key != shown:
            what = "somebody else flipped or undid something after this page was loaded"
            raise EditRefused("changed-meanwhile", what, "Nothing was changed. Refresh the page.")
        name = latest.route
    actor = edit.Actor(
        os.environ,
        order.who,
        wait_s=LOCK_S,
        ask=view.ask_workers,
        expected_revision=order.expected_revision,
        stages=partial(refused_routes, view.config),
    )
    back = partial(edit.rollback, view.config, view.state, name, actor)
    return _edit_table(view, back, ASKS_S)


def kill(view: AdminView, order: ChangeOrder) -> Path:
    """Make the kill file, which sends everything to legacy; return its path. `expected_revision` is not checked."""
    return kill_switch.kill_and_report(view.config, view.state, who=order.who, why=order.why).path


def resume(view: AdminView, order: ChangeOrder) -> tuple[Path, ...]:
    """Remove the kill files, so that workers follow the table again; return the paths of the removed files."""
    _refuse_stale(view, order)
    return kill_switch.resume_and_report(
        view.config, view.state, who=order.who, why=order.why
    ).removed


def close_breakers(view: AdminView, route: str, order: ChangeOrder) -> None:
    """Ask every worker to close the breakers of a route."""
    _refuse_stale(view, order)
    names = [each.name for each in view.table.routes] if view.table else []
    if route not in names:
        near = nearest_word(route, names)
        fix = f"Did you mean {near}?" if near else "overgrow routes lists them."
        raise EditRefused("unknown-route", f"{view.config} has no route named {route}", fix)
    within(LOCK_S, view.state, partial(request_reset, view.state, route))


def _refuse_stale(view: AdminView, order: ChangeOrder) -> None:
    """Refuse a change of something other than the table, if its author saw another revision of the table."""
    revision = revision_on_disk(view)
    if order.expected_revision not in (None, revision):
        what = f"the table is {revision or 'unreadable'} now, not {order.expected_revision}"
        fix = "Nothing was changed. Look at the table as it is now, then decide again."
        raise EditRefused("stale-revision", what, fix)


def _edit_table(
    view: AdminView, edit_table: Callable[[], edit.FlipResult], asks_s: float
) -> edit.FlipResult:
    """Edit the table. If another process holds the lock, or the file system hangs, this thread waits only for a short time.

    `asks_s` limits how long the edit waits for the store and the workers to answer.
    """

    def work() -> edit.FlipResult:
        with gc_paused():  # the table is read in a thread beside a busy loop, as at a reload
            return edit_table()

    return within(LOCK_S * 2 + asks_s + ANSWER_S, view.config, work)


def _require_permission(order: ChangeOrder) -> None:
    """Refuse a flip forward without a reason, and a flip forward without proof of who asks."""
    if not order.is_proven:
        what = "A flip forward needs a token, even on this machine."
        fix = "Start the front door with OVERGROW_ADMIN_TOKEN and send that token, or use overgrow flip."
        raise ApiError("forward-needs-token", what, fix)
    if not (order.why or "").strip():
        what = "A flip forward needs a reason, which the history keeps."
        raise ApiError("reason-needed", what, "Give a reason.")


def _require_open_gate(view: AdminView, name: str, clean: int) -> edit.Readiness:
    report = _ask_gate(view, GateQuestion(name, clean))
    if report.is_ready:
        return edit.Readiness((), gate_figures(report))
    what = f"{name} is not ready to be flipped to migrated. {' '.join(report.reasons)}"
    fix = "Nothing was changed. Only the command line can overrule the gate."
    forced = f"overgrow flip {name} migrated --force --reason TEXT"
    raise EditRefused(
        "gate-closed", what.removesuffix("."), fix, next_commands=[f"overgrow gate {name}", forced]
    )


def _ask_gate(view: AdminView, question: GateQuestion) -> GateReport:
    """Ask the gate, for at most GATE_S.

    After that time the client is told that the flip failed, so that it must not happen later.
    """
    try:
        return within(GATE_S, view.state / "store", partial(view.ask_gate, question))
    except OSError as error:
        why = f"The evidence cannot be read: {error.strerror or error}."
        return judge_gate_without_store(question, why, time.time())
