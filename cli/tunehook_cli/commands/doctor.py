"""`tunehook doctor`: what is wrong with a deployed stack, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import typer

from tunehook.operations import checks
from tunehook.operations.checks import Finding
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.layout import GAP, Cell, Line, Lines, hanging
from tunehook_cli.stack import find_account

_STATE_WIDTH: Final = 6
_WORDS_MIN: Final = 40
"""What the words of a finding need beside its check's name."""

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: AsJson = False, stack: StackName = None) -> None:
    """Check the stack and everything that it depends on, and suggest fixes; exit with 1 if something is broken.

    Each provider gets one request, from this machine.
    """
    account = find_account()
    findings = list(checks.examine(account.open_client, stack or account.stack_name, output.note))
    output.Output(as_json).json(findings)
    if not as_json:
        output.print_lines(_lines(findings, output.width()))
        wrong = {state: sum(each.state == state for each in findings) for state in ("fail", "warn")}
        output.note(
            ", ".join(f"{count} {state}" for state, count in wrong.items() if count) or "All is well."
        )
    if any(each.state == "fail" for each in findings):
        raise typer.Exit(1)


def _lines(findings: Sequence[Finding], width: int | None) -> Lines:
    lines: list[Line] = []
    checks = max((len(each.check) for each in findings), default=0)
    named = ""
    for each in findings:
        state = Cell(f"{each.state.value:<{_STATE_WIDTH}}", _STYLES[each.state])
        # The first finding of a check names it.
        name = "" if each.check == named else each.check
        named = each.check
        label, words = Cell(f"{name:<{checks + GAP}}"), Cell(output.printable(each.words))
        beside = Cell(" " * (state.width + label.width))
        if width is not None and width - beside.width < _WORDS_MIN:
            beside = Cell(" " * GAP)
            lines += [(state, Cell(each.check)), *hanging(beside, words, width)]
        else:
            (_, first), *others = hanging(beside, words, width)
            lines += [(state, label, first), *others]
        if each.advice:
            lines += hanging(beside, Cell(f"-> {output.printable(each.advice)}"), width)
    return Lines(tuple(lines))
