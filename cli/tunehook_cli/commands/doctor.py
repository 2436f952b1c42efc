"""`tunehook doctor`: what is wrong with a deployed stack, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import typer
from rich.table import Table
from rich.text import Text

from tunehook.operations import checks
from tunehook.operations.checks import Finding
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.stack import find_account

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: AsJson = False, stack: StackName = None) -> None:
    """Examine the stack and all that it rests on, and say what to do; exit with 1 if something must be mended.

    Each provider is asked once, from this machine.
    """
    account = find_account()
    findings = list(checks.examine(account.open_client, stack or account.stack_name, output.note))
    output.Output(as_json).json(findings)
    if not as_json:
        output.console().print(_table(findings))
        wrong = {state: sum(each.state == state for each in findings) for state in ("fail", "warn")}
        output.note(
            ", ".join(f"{count} {state}" for state, count in wrong.items() if count) or "All is well."
        )
    if any(each.state == "fail" for each in findings):
        raise typer.Exit(1)


def _table(findings: Iterable[Finding]) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for no_wrap in (True, True, False):
        grid.add_column(no_wrap=no_wrap, overflow="fold")
    named = ""
    for each in findings:
        # The first finding of a check names it.
        name = "" if each.check == named else each.check
        named = each.check
        state = Text(each.state.value, style=_STYLES[each.state])
        grid.add_row(state, Text(name), output.printable(each.words))
        if each.advice:
            grid.add_row("", "", Text(f"-> {output.printable(each.advice)}"))
    return grid
