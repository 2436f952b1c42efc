"""What event and item say of the archived files, within what they can hold; the manifest has all of it."""

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
    again_ms: int | None,
) -> TaskArchived:
    """Return a task's TaskArchived, at most `DETAIL_MAX_BYTES` of JSON long.

    What is too long goes without the links, or without the files; ``truncated`` says so. A request at `again_ms` to
    archive the task again makes it another event.
    """
    detail = TaskArchived(
        event_id=archived_event_id(event.event_id, again_ms),
        task_event_id=event.event_id,
        task_id=event.task_id,
        provider=event.provider,
        archived_at=from_ms(archived_at_ms),
        archive=archived_part(assets),
        manifest=manifest,
        assets=tuple(assets),
    )
    if size_of(detail) > DETAIL_MAX_BYTES:
        shorter = tuple(asset.model_copy(update=dict.fromkeys(_SHORT)) for asset in assets)
        detail = detail.model_copy(update={"assets": shorter, "truncated": True})
    if size_of(detail) > DETAIL_MAX_BYTES:
        detail = detail.model_copy(update={"assets": ()})
    return detail


async def record_assets(
    tasks: TasksTable, key: TaskKey, event_id: str, assets: Sequence[KnownAsset], archived_at_ms: int | None
) -> bool:
    """Write on a task's item what is archived of it, as far as DynamoDB's 400 kB an item allow; raise its other errors.

    `archived_at_ms` is None while some files are pending. Returns False if the run that ended with `event_id` was
    replaced, or is gone.
    """
    whole = [asset.model_dump(exclude_none=True) for asset in assets]
    short = [{name: value for name, value in asset.items() if name not in _SHORT} for asset in whole]
    forms: tuple[list[dict[str, Any]], ...] = (whole, short, [])
    for form in forms:
        try:
            return await tasks.record_assets(key, event_id, form, archived_at_ms, truncated=form is not whole)
        except ClientError as error:
            if not is_oversized(error):
                raise
    return await tasks.record_assets(
        key, event_id, [], archived_at_ms, truncated=True, without=("clips", "provider_object")
    )
