"""The question before something is taken away that does not come back."""

from __future__ import annotations

import sys

import typer

from tunehook_cli import output


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless `yes` says so already; end the command with status 1 if the answer is no.

    Without a terminal nobody can answer, and nothing is asked.
    """
    if yes or not is_interactive() or typer.confirm(output.printable(question), err=True):
        return
    output.note("Nothing was changed.")
    raise typer.Exit(1)


def is_interactive() -> bool:
    return sys.stdin.isatty()
