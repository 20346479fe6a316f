"""`overgrow data check`: every problem of data.yaml, in file order."""

from __future__ import annotations

from collections.abc import Sequence

import click

from overgrow.cli.context import Invocation, shared_options
from overgrow.cli.data.declared import data_file, parse_data_file
from overgrow.cli.failures import AlreadyPrinted, InvalidTable
from overgrow.cli.output import echo_safe
from overgrow.data.declaration import DataDeclaration
from overgrow.text import count_text
from overgrow.yaml_file.problem import Problem


@click.command(short_help="Check data.yaml.")
@shared_options
def check(call: Invocation) -> None:
    """Report every problem of data.yaml, in file order. Exit 1 if there is one."""
    parsed = parse_data_file(call)
    _report(call, parsed.declaration, parsed.problems)


def _report(
    call: Invocation, declaration: DataDeclaration | None, problems: Sequence[Problem]
) -> None:
    file = data_file(call)
    if call.json:
        found = [problem.as_json() for problem in problems]
        call.print_result({"ok": not found, "problems": found}, "")
    if problems or declaration is None:
        failure = InvalidTable(file, problems)
        if call.json:
            raise AlreadyPrinted(failure.code, failure.message, failure.fix, failure.problems)
        raise failure
    if not call.json:
        echo_safe(f"{file}: ok, {count_text(len(declaration.tables), 'table')}")
