"""What is told of the kept files, within what an event and an item can hold; the manifest has all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.errors import is_oversized
from tunehook.aws.tasks import TasksTable
from tunehook.events import (
    DETAIL_MAX_BYTES,
    ArchivedAsset,
    KnownAsset,
    ManifestLocation,
    TaskArchived,
    TaskEnded,
    archived_event_id,
    archived_part,
    size_of,
)
from tunehook.tasks import TaskKey
from tunehook.times import from_ms

_SHORT: Final = {"source_url", "content_type"}
"""What is left out first: the manifest has it, and nobody needs it to find a file."""


def archived_event(
    event: TaskEnded,
    assets: Sequence[ArchivedAsset],
    manifest: ManifestLocation,
    archived_at_ms: int,
    again_ms: int | None = None,
) -> TaskArchived:
    """Return the event that tells what is kept of a task, at most `DETAIL_MAX_BYTES` of JSON long.

    Parameters
    ----------
    event : TaskEnded
        How the task ended.
    assets : sequence of ArchivedAsset
        Its files.
    manifest : ManifestLocation
        What has all of it.
    archived_at_ms : int
        When that was done.
    again_ms : int, optional
        When somebody asked to have it done again: it is another event then.

    Returns
    -------
    TaskArchived
        Where it would be too long, without the links, or without the files; ``truncated`` says so.
    """
    told = TaskArchived(
        event_id=archived_event_id(event.event_id, again_ms),
        task_event_id=event.event_id,
        task_id=event.task_id,
        provider=event.provider,
        archived_at=from_ms(archived_at_ms),
        archive=archived_part(assets),
        manifest=manifest,
        assets=tuple(assets),
    )
    if size_of(told) > DETAIL_MAX_BYTES:
        shorter = tuple(asset.model_copy(update=dict.fromkeys(_SHORT)) for asset in assets)
        told = told.model_copy(update={"assets": shorter, "truncated": True})
    if size_of(told) > DETAIL_MAX_BYTES:
        told = told.model_copy(update={"assets": ()})
    return told


def record_assets(
    tasks: TasksTable,
    key: TaskKey,
    event_id: str,
    assets: Sequence[KnownAsset],
    archived_at_ms: int | None,
) -> bool:
    """Write on a task's item what is kept of it, as far as DynamoDB's 400 kB an item allow.

    Parameters
    ----------
    tasks : TasksTable
        Where the item is.
    key, event_id : TaskKey, str
        The task, and the event of the run that this is about.
    assets : sequence of KnownAsset
        Its files.
    archived_at_ms : int or None
        When they were kept; None while some are waited for.

    Returns
    -------
    bool
        False if the task was put again meanwhile, or is gone.

    Raises
    ------
    botocore.exceptions.ClientError
        If DynamoDB does not take even the shortest form.
    """
    whole = [asset.model_dump(mode="json", exclude_none=True) for asset in assets]
    short = [{name: value for name, value in asset.items() if name not in _SHORT} for asset in whole]
    forms: tuple[list[dict[str, Any]], ...] = (whole, short, [])
    for form in forms:
        try:
            return tasks.record_assets(key, event_id, form, archived_at_ms, truncated=form is not whole)
        except ClientError as error:
            if not is_oversized(error):
                raise
    return tasks.record_assets(
        key, event_id, [], archived_at_ms, truncated=True, without=("clips", "provider_object")
    )
