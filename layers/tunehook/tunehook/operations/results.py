"""The archived files of a task: what its manifest says, links, byte ranges, and archiving what is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel

from tunehook.aws.errors import code_of
from tunehook.aws.links import LINK_LIFE_S, link
from tunehook.errors import Conflict, InvalidInput, NotFound, Unavailable
from tunehook.events import ArchivedAsset
from tunehook.fulfillment_requests import ArchiveRequest
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import get_task
from tunehook.result_keys import manifest_key, task_prefix
from tunehook.times import LATEST_MS, now_ms, to_ms

_READ_EVERY_S = 1.0
_CHUNK_BYTES = 256 * 1024
_LISTED_AT_MOST = 1_000


class Link(BaseModel, frozen=True):
    """A download link, and when it expires at the latest."""

    url: str
    expires_at_ms: int


def get_files(stack: Stack, task: TaskView) -> list[ArchivedAsset]:
    """Return the files that the manifest of a task names.

    Raises `NotFound` if there is no manifest; `Unavailable` if it is not one.

    >>> [each.status for each in get_files(stack, get_task(stack, "task-1"))]
    ['archived']
    """
    return files_of(task, get_manifest(stack, task))


def get_manifest(stack: Stack, task: TaskView) -> Any:
    """Return the manifest of a task as it is stored: JSON, whatever is in it.

    Raises `NotFound` if there is none; `Unavailable` if it is no JSON.

    >>> sorted(get_manifest(stack, get_task(stack, "task-1")))
    ['assets']
    """
    key = manifest_key(task.provider, task.task_id)
    try:
        answer = stack.s3.get_object(Bucket=stack.output("ResultsBucket"), Key=key)
    except ClientError as error:
        if code_of(error) != "NoSuchKey":
            raise
        reason = f"no files are kept of {task.task_id} (status {task.status})"
        raise NotFound("task_id", reason) from None
    try:
        return json.loads(answer["Body"].read())
    except ValueError as error:
        raise _unreadable(task, error) from None


def files_of(task: TaskView, manifest: Any) -> list[ArchivedAsset]:
    """Return the files that a manifest of a task names; raise `Unavailable` if it is not one.

    >>> files_of(get_task(stack, "task-1"), {"assets": []})
    []
    """
    try:
        return [ArchivedAsset.model_validate(asset) for asset in manifest["assets"]]
    except (ValueError, TypeError, KeyError) as error:
        raise _unreadable(task, error) from None


def _unreadable(task: TaskView, error: Exception) -> Unavailable:
    return Unavailable(
        f"the manifest of {task.task_id} cannot be read ({type(error).__name__}): "
        f"`tunehook archive {task.task_id}` creates it again"
    )


def stored_at(stack: Stack, task: TaskView) -> dict[str, int]:
    """Return when each kept file of a task was stored last, by its key, in milliseconds since 1970.

    >>> list(stored_at(stack, get_task(stack, "task-1")))
    ['results/suno/task-1/c/audio.mp3', 'results/suno/task-1/manifest.json']
    """
    prefix = task_prefix(task.provider, task.task_id)
    pages = stack.s3.get_paginator("list_objects_v2").paginate(
        Bucket=stack.output("ResultsBucket"), Prefix=prefix, PaginationConfig={"MaxItems": _LISTED_AT_MOST}
    )
    return {each["Key"]: to_ms(each["LastModified"]) for page in pages for each in page.get("Contents", ())}


def get_link(stack: Stack, key: str) -> Link:
    """Return a download link of an archived file.

    >>> get_link(stack, "results/suno/task-1/c/audio.mp3").url[:8]
    'https://'
    """
    url = link(stack.s3, stack.output("ResultsBucket"), key)
    return Link(url=url, expires_at_ms=now_ms() + LINK_LIFE_S * 1000)


def read_file(stack: Stack, key: str, start: int) -> Iterator[bytes]:
    """Yield the bytes of an archived file from `start` on; nothing if it ends before.

    >>> b"".join(read_file(stack, "results/suno/task-1/c/audio.mp3", 3))
    b'-bytes'
    """
    rest = {"Range": f"bytes={start}-"} if start else {}
    try:
        body = stack.s3.get_object(Bucket=stack.output("ResultsBucket"), Key=key, **rest)["Body"]
    except ClientError as error:
        if rest and code_of(error) == "InvalidRange":
            return
        raise
    yield from body.iter_chunks(_CHUNK_BYTES)


def request_archive(stack: Stack, task_id: str, provider: str | None = None) -> TaskView:
    """Have the missing files of a task that has ended archived; return the task as it was before.

    Raises what `get_task` does; `Conflict` if it has not ended; `InvalidInput` if ``archived_at_ms`` is no moment.

    >>> request_archive(stack, "task-1").status
    'completed'
    """
    task = get_task(stack, task_id, provider)
    if task.is_cancelled:
        raise Conflict("task_id", f"{task_id} was cancelled, so it has no files")
    if not task.has_event:
        raise Conflict("task_id", f"{task_id} has not ended (its status is {task.status})")
    before = task.archived_at_ms or 0
    if before >= LATEST_MS:
        raise InvalidInput("archived_at_ms", f"is not a valid time: {before}")
    # Later than the last time, whatever this machine's clock says.
    at_ms = max(now_ms(), before + 1)
    request = ArchiveRequest(task_id=task_id, provider=task.provider, requested_at_ms=at_ms)
    stack.request_fulfillment([request])
    return task


def await_archive(stack: Stack, before: TaskView, wait_s: float) -> TaskView:
    """Return a task as it is once it was archived again; `before` is what `request_archive` returned.

    Raises `Unavailable` if that takes longer than `wait_s`.

    >>> task = get_task(stack, "task-1")
    >>> await_archive(stack, task.model_copy(update={"archived_at_ms": None}), 0).archived_at_ms
    Traceback (most recent call last):
    tunehook.errors.Unavailable: no outcome within 0 s; `tunehook results task-1` will show it
    """
    task, until_s = before, time.monotonic() + wait_s
    while (task.archived_at_ms or 0) <= (before.archived_at_ms or 0):
        if time.monotonic() > until_s:
            raise Unavailable(
                f"no outcome within {wait_s:.0f} s; `tunehook results {task.task_id}` will show it"
            )
        time.sleep(_READ_EVERY_S)
        task = get_task(stack, task.task_id, task.provider)
    return task
