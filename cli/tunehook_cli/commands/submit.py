"""`tunehook submit`: a task to be watched."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunehook.errors import InvalidInput
from tunehook.tasks import TIMEOUT_DEFAULT_S, check_request
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName, refused_as
from tunehook_cli.stack import find_stack


def submit(
    provider: Annotated[
        str, typer.Argument(metavar="PROVIDER", help="The provider's name.", show_default=False)
    ],
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="The task's id at the provider.", show_default=False)
    ],
    notify_hook: Annotated[
        str | None, typer.Option(help="A URL that gets a webhook when this task ends.", show_default=False)
    ] = None,
    notify_format: Annotated[
        str | None,
        typer.Option(help="Its body: standard, provider or cloudevents.", show_default="standard"),
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(help="Seconds after which the task has failed.", show_default=str(TIMEOUT_DEFAULT_S)),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE that comes back in events and webhooks.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Have a task watched. One that is submitted again begins anew."""
    found = find_stack(stack)
    fields = {
        "task_id": task_id,
        "provider": provider,
        "notify_hook": notify_hook,
        "notify_format": notify_format,
        "timeout_s": timeout,
        "metadata": _pairs(metadata or []) or None,
    }
    item = {name: value for name, value in fields.items() if value is not None}
    with refused_as(
        task_id="TASK_ID",
        provider="PROVIDER",
        notify_hook="--notify-hook",
        notify_format="--notify-format",
        timeout_s="--timeout",
        metadata="--metadata",
    ):
        check_request(item, found.network_policy)
    # Before the task is put: whoever may not read the secret gets to know it while nothing has happened yet.
    secret = _hook_secret(found.master_secret(), notify_hook) if notify_hook else None
    replaced = found.tasks.put(item)
    if as_json:
        output.print_json(item | ({} if secret is None else {"signing_secret": secret}))
        return
    again = "" if replaced is None else f" again (it was {replaced.get('status', 'new')})"
    print(f"Submitted {output.printable(task_id)} of {provider}{again}.")
    if secret is not None:
        print(f"Signing secret of its notify hook: {secret}")


def _hook_secret(master_secret: str, url: str) -> str:
    from tunehook.signatures import derive_secret, notify_hook_subscription_id

    return derive_secret(master_secret, notify_hook_subscription_id(url), 1)


def _pairs(texts: list[str]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput("--metadata", "must be KEY=VALUE")
        pairs[key] = value
    return pairs
