"""`tunehook archive`: what is missing of a task's files is copied again."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from tunehook.errors import InvalidInput, Unavailable
from tunehook.times import now_ms
from tunehook_cli import output
from tunehook_cli.commands.options import ProviderName, StackName
from tunehook_cli.commands.results import print_files
from tunehook_cli.commands.tasks import task_item
from tunehook_cli.stack import find_stack

WAIT_S: Final = 300.0
"""Longer than an invocation of the function."""

_LOOK_EVERY_S: Final = 1.0


def archive(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="The task's id at the provider.", show_default=False)
    ],
    provider: ProviderName = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the outcome; 1 is the exit status if files are missing.")
    ] = True,
    stack: StackName = None,
) -> None:
    """Copy again what is missing of the files of a task that has ended. Nobody who was told is told again."""
    from tunehook.archiving import ArchiveRequest  # heavy: pydantic

    found = find_stack(stack)
    item = task_item(found, task_id, provider)
    if "event_id" not in item:
        raise InvalidInput("TASK_ID", f"{task_id} has not ended (its status is {item.get('status', 'new')})")
    before = item.get("archived_at_ms", 0)
    found.ask_to_archive(
        ArchiveRequest(
            task_id=task_id,
            provider=item["provider"],
            # Later than the last time, whatever this machine's clock says.
            requested_at_ms=max(now_ms(), before + 1),
        )
    )
    if not wait:
        print("Asked for.")
        return
    until_s = time.monotonic() + WAIT_S
    while item.get("archived_at_ms", 0) <= before:
        if time.monotonic() > until_s:
            raise Unavailable(f"no outcome within {WAIT_S:.0f} s; `tunehook results {task_id}` will show it")
        time.sleep(_LOOK_EVERY_S)
        item = task_item(found, task_id, item["provider"])
    kept = found.kept_files
    assets = kept.of(item["provider"], task_id) or []
    if not assets:
        output.note("The provider named no file.")
        return
    print_files(assets, item, {asset.key: f"s3://{kept.bucket}/{asset.key}" for asset in assets})
    if any(asset.key is None for asset in assets):
        raise typer.Exit(1)
