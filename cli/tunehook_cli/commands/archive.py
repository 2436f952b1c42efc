"""`tunehook archive`: what is missing of a task's files is copied again."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from tunehook.errors import InvalidInput, Unavailable
from tunehook.times import LATEST_MS, now_ms
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, ProviderName, StackName
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
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Copy again what is missing of the files of a task that has ended. Nobody who was told is told again."""
    from tunehook.archive_request import ArchiveRequest  # heavy: pydantic
    from tunehook_cli.task_view import TaskView

    found = find_stack(stack)
    task = TaskView.of(task_item(found, task_id, provider))
    if not task.has_event:
        raise InvalidInput("TASK_ID", f"{task_id} has not ended (its status is {task.status})")
    before = task.archived_at_ms or 0
    if before >= LATEST_MS:
        raise InvalidInput("archived_at_ms", f"the item's is no moment: {before}")
    found.ask_to_archive(
        ArchiveRequest(
            task_id=task_id,
            provider=task.provider,
            # Later than the last time, whatever this machine's clock says.
            requested_at_ms=max(now_ms(), before + 1),
        )
    )
    if not wait:
        if as_json:
            output.print_json({"task_id": task_id, "provider": task.provider, "assets": None})
        else:
            print("Asked for.")
        return
    until_s = time.monotonic() + WAIT_S
    while (task.archived_at_ms or 0) <= before:
        if time.monotonic() > until_s:
            raise Unavailable(f"no outcome within {WAIT_S:.0f} s; `tunehook results {task_id}` will show it")
        time.sleep(_LOOK_EVERY_S)
        task = TaskView.of(task_item(found, task_id, task.provider))
    kept = found.kept_files
    assets = kept.of(task.provider, task_id) or []
    if as_json:
        told = [asset.model_dump(mode="json", exclude_none=True) for asset in assets]
        output.print_json({"task_id": task_id, "provider": task.provider, "assets": told})
    elif assets:
        print_files(
            assets, task, {asset.key: f"s3://{kept.bucket}/{asset.key}" for asset in assets if asset.key}
        )
    else:
        output.note("The provider named no file.")
    if any(asset.key is None for asset in assets):
        raise typer.Exit(1)
