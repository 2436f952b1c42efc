"""`tunehook trigger`: send a sample event to a receiver, as a real signed webhook."""

from __future__ import annotations

from typing import Annotated

import typer

from tunehook.operations import subscriptions
from tunehook.subscriptions import SUBSCRIBABLE
from tunehook_cli.commands.options import AsJson, BodyFormat, StackName
from tunehook_cli.commands.subscriptions import print_answer
from tunehook_cli.output import Output
from tunehook_cli.stack import find_stack


def trigger(
    event: Annotated[str, typer.Argument(metavar="EVENT", help=f"{', '.join(SUBSCRIBABLE)}.")],
    to: Annotated[
        str,
        typer.Option(metavar="SUBSCRIPTION|URL", help="A subscription, or a URL, as a task's notify hook."),
    ],
    format: BodyFormat = None,  # noqa: A002 - the name of the field
    wait: Annotated[
        float, typer.Option(min=0, max=300, help="Seconds to wait for the receiver's response.")
    ] = 30,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Send a sample event to a receiver as a real signed webhook; exit with 1 if it is not accepted in time.

    The sample is a song of two clips with audio, cover, lyrics and metadata, or an operational event, marked
    `data.sample: true`. Its links lead to no file. A subscription gets it in its own format, whatever events it
    names; `--format` is for a URL.
    """
    out, found = Output(as_json), find_stack(stack)
    url, delivery = subscriptions.send_sample(found, event, to, format)
    delivery = subscriptions.await_attempt(found, delivery, wait)
    print_answer(out, found, delivery, url)
    if wait and delivery.status.value != "delivered":
        raise typer.Exit(1)
