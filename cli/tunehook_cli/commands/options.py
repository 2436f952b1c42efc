"""Options that several commands share, and the names under which options are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tunehook.errors import InvalidInput

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        envvar="TUNEHOOK_STACK",
        show_default="tunehook",
        help="The CloudFormation stack to work with.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ProviderName = Annotated[str | None, typer.Option("--provider", help="The provider's name.")]


@contextmanager
def refused_as(**names: str) -> Iterator[None]:
    """Let an `InvalidInput` name the option that a field came from.

    Parameters
    ----------
    **names
        For each field, what the user typed: ``notify_hook="--notify-hook"``.
    """
    try:
        yield
    except InvalidInput as error:
        field = error.field.split(".")[0]
        raise InvalidInput(names.get(field, error.field), error.reason) from None
