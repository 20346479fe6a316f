"""The command `overgrow`: a group of commands, each in a module that is imported when it runs."""

from __future__ import annotations

import difflib
import gc
import importlib
import json
from typing import Any

import click

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


class Commands(click.Group):
    """A command group that imports only the module of the command that runs.

    For instance, `flip` does not import gunicorn.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the commands' names in the order in which a migration needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, 1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"There is no command {cmd_name!r}.{hint}")
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(module), name)
        return command  # type: ignore[no-any-return]

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
