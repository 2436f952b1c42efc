"""A question on the terminal before something is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not prompt. Without a terminal there is no prompt.")
]


def is_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty()


def confirm(question: Callable[[], str], *, yes: bool = False) -> None:
    """Ask on the terminal, and stop the command unless the answer is yes; where nobody sits at one, go on.

    The question is made only where it is asked: it may have to count first.
    """
    if yes or not is_terminal():
        return
    typer.confirm(question(), abort=True, err=True)
