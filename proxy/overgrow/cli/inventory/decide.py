"""`overgrow inventory confirm` and `ignore`: what people decide about endpoints goes before statistics."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.failures import Failed
from overgrow.cli.inventory.opened import load_inventory, open_inventory
from overgrow.inventory.endpoints import Inventory
from overgrow.store.inventory import InventoryDecision
from overgrow.table.state_dir import login_name
from overgrow.text import count_text, join_or

MAX_TEMPLATE = 300  # characters


@click.command(short_help="Confirm that templates are endpoints.")
@click.argument("templates", nargs=-1, required=True, metavar="TEMPLATE...")
@click.option("--why", metavar="TEXT", default="", help="A note for others.")
@click.option("--undo", is_flag=True, help="Back to review.")
@shared_options
def confirm(call: Invocation, templates: tuple[str, ...], why: str, undo: bool) -> None:  # noqa: FBT001  click's
    """Confirm endpoints. A template that is not listed is added, and takes the paths that fit it.

    So /blog/<slug> joins paths that statistics kept apart, and /blog/archive beside it stands for itself.
    """
    _decide(call, templates, "review" if undo else "confirmed", why)


@click.command(short_help="Leave endpoints out of lists.")
@click.argument("templates", nargs=-1, required=True, metavar="TEMPLATE...")
@click.option("--why", metavar="TEXT", default="", help="A note for others.")
@click.option("--undo", is_flag=True, help="Back to review.")
@shared_options
def ignore(call: Invocation, templates: tuple[str, ...], why: str, undo: bool) -> None:  # noqa: FBT001  click's
    """Leave endpoints out of lists. They are counted as before."""
    _decide(call, templates, "review" if undo else "ignored", why)


def _decide(call: Invocation, templates: Sequence[str], state: str, why: str) -> None:
    before, _ = load_inventory(call)
    for template in templates:
        _require_template(template)
        if state != "confirmed":
            _require_listed(before, template)
    now, who = time.time(), login_name()
    decisions = [InventoryDecision(each, state, who, why, now) for each in templates]
    with open_inventory(call) as store:
        store.save_decisions(decisions)
    after, _ = load_inventory(call)
    paths = {each.template: each.paths for each in after.endpoints}
    payload = [
        {"template": each, "state": state, "paths": paths.get(each, 0)} for each in templates
    ]
    lines = [
        f"{each}: {state}, {count_text(paths.get(each, 0), 'observed path')}" for each in templates
    ]
    call.print_result(payload, "\n".join(lines))


def _require_template(template: str) -> None:
    if template[:1] == "/" and len(template) <= MAX_TEMPLATE and template.isprintable():
        return
    what = f"{template[:MAX_TEMPLATE]!r} is not a template: it must begin with / and have at most {MAX_TEMPLATE} characters."
    raise Failed("unknown-endpoint", what, "Write it as /orders/<int:id>.")


def _require_listed(found: Inventory, template: str) -> None:
    names = [each.template for each in found.endpoints]
    if template in names:
        return
    near = difflib.get_close_matches(template, names, 3, cutoff=0.6)
    fix = f"Did you mean {join_or(near)}?" if near else "overgrow inventory list shows all."
    raise Failed("unknown-endpoint", f"The inventory has no endpoint {template}.", fix)
