"""`tunehook submit`: a task to be polled."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunehook.errors import InvalidInput
from tunehook.operations import tasks
from tunehook.tasks import TIMEOUT_DEFAULT_S
from tunehook_cli.commands.options import AsJson, StackName, TaskId
from tunehook_cli.output import Output, printable
from tunehook_cli.stack import find_stack


def submit(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's name.")],
    task_id: TaskId,
    notify_hook: Annotated[
        str | None, typer.Option(help="A URL that gets a webhook when this task ends.")
    ] = None,
    notify_format: Annotated[
        str | None, typer.Option(help="Its body: standard, provider or cloudevents.", show_default="standard")
    ] = None,
    timeout_s: Annotated[
        int | None,
        typer.Option(
            "--timeout", help="Seconds after which the task has failed.", show_default=str(TIMEOUT_DEFAULT_S)
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE that comes back in events and webhooks.")
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Have a task watched. One that is submitted again begins anew."""
    out, found = Output(as_json), find_stack(stack)
    fields = {
        "task_id": task_id,
        "provider": provider,
        "notify_hook": notify_hook,
        "notify_format": notify_format,
        "timeout_s": timeout_s,
        "metadata": _pairs(metadata or []) or None,
    }
    submission = tasks.submit(found, {name: value for name, value in fields.items() if value is not None})
    secret, replaced = submission.signing_secret, submission.replaced_status
    out.json(submission)
    again = "" if replaced is None else f" again (it was {replaced})"
    out.line(f"Submitted {printable(task_id)} of {provider}{again}.")
    if secret is not None:
        out.line(f"Signing secret of its notify hook: {secret}")


def _pairs(texts: list[str]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput("metadata", "must be KEY=VALUE")
        pairs[key] = value
    return pairs
