"""The team's app, imported where a command needs its rules: the slow and fragile step.

Its own output goes to standard error, so that --json stays JSON; an app that ends the process at
import ends the command with a reason instead.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from overgrow.cli.failures import Failed
from overgrow.settings import Settings
from overgrow.table.reading.parse import AppRule

if TYPE_CHECKING:
    from overgrow.app_loader.loader import TeamApp


def import_app(settings: Settings) -> TeamApp:
    """The app, or why there is none: OVERGROW_APP, else `app:` of the table, else the default."""
    from overgrow.app import team_of  # noqa: PLC0415  imports Flask and the team's app

    with redirect_stdout(sys.stderr):
        return team_of(settings)


def rules_of(settings: Settings, consequence: str) -> list[AppRule]:
    """The app's URL rules; exit 1 with the reason and its consequence if it cannot be imported."""
    from overgrow.app import app_rules  # noqa: PLC0415  as above

    team = import_app(settings)
    rules = app_rules(team)
    if rules is None:
        raise Failed("app-import", f"{team.why}.", consequence)
    return rules
