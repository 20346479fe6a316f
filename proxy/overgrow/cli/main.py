"""The command `overgrow`: a group of commands, each in a module that is imported when it runs."""

from __future__ import annotations

import gc
import json
from typing import Any

import click

from overgrow.cli.lazy_group import LazyGroup
from overgrow.cli.output import echo_safe
from overgrow.cli.process_end import end_process

# New objects between two garbage collections. Imports create a hundred thousand objects that stay, and with Python's 700
# a sixth of the time of a start goes into collections. A worker sets its own (server/gc_schedule.py).
GC_THRESHOLD = 200_000

# command -> module and function; in the order of --help.
COMMANDS = {
    "init": "overgrow.cli.init:init",
    "dev": "overgrow.cli.dev:dev",
    "serve": "overgrow.cli.serve.command:serve",
    "reload": "overgrow.cli.reload:reload_app",
    "check": "overgrow.cli.table:check",
    "routes": "overgrow.cli.table:routes",
    "explain": "overgrow.cli.explain:explain",
    "shadow": "overgrow.cli.evidence.shadow:shadow",
    "diff": "overgrow.cli.evidence.diff:diff",
    "gate": "overgrow.cli.evidence.gate:gate",
    "flip": "overgrow.cli.flips:flip",
    "rollback": "overgrow.cli.flips:rollback",
    "resume": "overgrow.cli.flips:resume",
    "history": "overgrow.cli.history:history",
    "status": "overgrow.cli.status:status",
    "tail": "overgrow.cli.tail:tail",
    "report": "overgrow.cli.report:report",
    "config": "overgrow.cli.config:config",
    "breaker": "overgrow.cli.breaker:breaker",
    "data": "overgrow.cli.data.group:data",
    "inventory": "overgrow.cli.inventory.group:inventory",
    "override": "overgrow.cli.override:override",
}


class Commands(LazyGroup):
    """All commands. With --json, bad usage is printed as JSON too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember whether --json was given: bad usage may be found before the command itself reads its options."""
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. With --json, print bad usage as JSON too."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.meta["json"]:
                problem = {
                    "code": "usage",
                    "message": error.format_message(),
                    "fix": "",
                    "problems": [],
                    "next": ["overgrow --help"],
                }
                echo_safe(json.dumps({"error": problem}, indent=2))
            raise


@click.group(
    cls=Commands,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit: 0 done; 1 problem found or refused; 2 bad usage. Docs: docs/cli.md",
)
@click.version_option(package_name="overgrow", prog_name="overgrow")
def main() -> None:
    """Move a legacy web app to Flask, one endpoint at a time.

    The route table (routes.yaml) says who serves what; everything it does not name goes to the
    legacy app.
    """


def run_command() -> None:
    """Run a command and end the process with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        main(prog_name="overgrow")
    except SystemExit as end:
        end_process(end.code)


if __name__ == "__main__":
    run_command()
