"""Imports the team's app, for commands that need its rules. The import is slow and may fail.

What the app prints goes to standard error, so that --json stays JSON. If the app exits during the
import, the command ends with that reason.
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
    """Import the app that OVERGROW_APP names, or else `app:` of the table.

    If that fails, `why` of the result says why.
    """
    from overgrow.app import import_team  # noqa: PLC0415  imports Flask and the team's app

    with redirect_stdout(sys.stderr):
        return import_team(settings)


def rules_of(settings: Settings, consequence: str) -> list[AppRule]:
    """Return the app's URL rules. If the import fails, exit 1 with the reason and with the text `consequence`."""
    from overgrow.app import app_rules  # noqa: PLC0415  as above

    team = import_app(settings)
    rules = app_rules(team)
    if rules is None:
        raise Failed("app-import", f"{team.why}.", consequence)
    return rules
