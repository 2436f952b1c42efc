"""A question on the terminal before something is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from tunehook_cli import output

Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not prompt. Without a terminal there is no prompt.")
]


def is_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty()


def confirm(question: Callable[[], str], *, yes: bool = False) -> None:
    """Ask on the terminal, and end the command with status 1 if the answer is no; without a terminal, go on.

    The question is made only where it is asked: it may have to count first.
    """
    if yes or not is_terminal() or typer.confirm(output.printable(question()), err=True):
        return
    output.note("Nothing was changed.")
    raise typer.Exit(1)
