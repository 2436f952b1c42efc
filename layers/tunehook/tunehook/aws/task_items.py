"""Tasks to items of the Tasks table, and back."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tunehook.clips import Clip
from tunehook.errors import InvalidInput
from tunehook.events import event_id_of, size_of, task_ended
from tunehook.tasks import (
    ENDED_KEPT_S,
    EndedTask,
    Failure,
    FailureCode,
    ProgressTold,
    Status,
    Suspicion,
    TaskEnd,
    TaskKey,
    Trouble,
    WorkItem,
    check_metadata,
)
from tunehook.times import LATEST_MS, from_ms, to_ms
from tunehook.validation import first_problem, is_whole

_ITEM_TEXT_MAX_BYTES: Final = 350_000
"""Below DynamoDB's limit of 400 kB an item, with room for what is not text."""

_COUNT_MAX: Final = 1_000_000

PARKED: Final = "parked"
"""The attribute of an item beside that of the task itself: it has an earlier run, or the details of an end."""

TAKEN_IN: Final = "taken_in"
"""The attribute of a task that was taken in because its provider called back about it, until its user puts it too."""

PROGRESS: Final = "progress_told"
"""The attribute of a pending task that says what was told last of its progress."""

OF_DETAILS: Final = ("provider_object", "clips")
"""What is large of an end. It is on an item of its own, which is written once; up to 0.2 it was on the task's."""

DETAILS: Final = "details"
"""The attribute of an ended task that has details: the range key of their item. No provider's name has a ``#``."""

_DETAILS_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,64}#end#[0-9]{1,16}", re.ASCII)

_CONTENT: Final = "content"
"""The attribute of an item of details that has them: JSON, compressed by zlib."""

_CONTENT_MAX_BYTES: Final = 4_000_000
"""Of details as JSON: more than tunehook writes."""

_KEPT_LONGER_S: Final = 7 * 24 * 3600
"""So much longer than the task's item its details are kept: TTL removes expired items in no order."""

OF_AN_END: Final = (
    *("event_id", "submitted_at_ms", "finished_at_ms", "detected_at_ms", "expires_at"),
    *("truncated", "failure", "error", DETAILS, *OF_DETAILS),
)
"""The attributes that the end of a run is made of."""

OF_A_RUN: Final = ("status", "queue", "since_ms", "metadata", *OF_AN_END)
"""The attributes of a parked run: what its event is made of."""


def parked_key(task: WorkItem | EndedTask) -> TaskKey:
    """Return the key of the item of a parked run. No task has such a key: no provider's name has a ``#``."""
    return TaskKey(task.key.task_id, f"{task.key.provider}#{task.since_ms}")


def end_to_items(task: WorkItem, end: TaskEnd) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the attributes of the end of a run, without those that would be empty, and the item of its details.

    That is None where there are none.
    """
    clips = [_clip_to_item(clip) for clip in end.clips]
    if _size(json.dumps(clips, ensure_ascii=False)) + _size(end.provider_object) > _ITEM_TEXT_MAX_BYTES:
        clips = [{name: value for name, value in clip.items() if name != "prompt"} for clip in clips]
    given = {"provider_object": end.provider_object, "clips": clips}
    details = {name: value for name, value in given.items() if value}
    place = details_place(task.key, end.detected_at_ms)
    expires_at = end.detected_at_ms // 1000 + ENDED_KEPT_S
    values: dict[str, Any] = {
        "status": end.status.value,
        "event_id": event_id_of(task.key, end.status, task.since_ms),
        "submitted_at_ms": end.submitted_at_ms,
        "finished_at_ms": end.finished_at_ms,
        "detected_at_ms": end.detected_at_ms,
        "expires_at": expires_at,
        "truncated": end.truncated or None,
        "failure": end.failure and {"code": end.failure.code.value, "reason": end.failure.reason},
        DETAILS: place.provider if details else None,
    }
    values = {name: value for name, value in values.items() if value is not None}
    if not details:
        return values, None
    written = json.dumps(details, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return values, {
        "task_id": place.task_id,
        "provider": place.provider,
        # Intake takes an item without a status for a new task.
        "status": DETAILS,
        PARKED: True,
        _CONTENT: zlib.compress(written),
        "expires_at": expires_at + _KEPT_LONGER_S,
    }


def details_place(key: TaskKey, detected_at_ms: int) -> TaskKey:
    """Return the key of the details of an end. Two pollers' ends of one run have details of their own."""
    return TaskKey(key.task_id, f"{key.provider}#end#{detected_at_ms}")


def details_of(item: Mapping[str, Any]) -> TaskKey | None:
    """Return the key of the details of an ended task's item; None if they are on the item itself, or it has none."""
    key = item.get(DETAILS)
    return TaskKey(item["task_id"], key) if isinstance(key, str) and _DETAILS_KEY.fullmatch(key) else None


def with_details(item: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the item of a task as it would be with its details, from the item that was `found` under `details_of`.

    It is `truncated` where that is gone, or was changed by hand.
    """
    try:
        content = zlib.decompressobj().decompress((found or {})[_CONTENT], _CONTENT_MAX_BYTES)
        details = json.loads(content)
        return {**item, **{name: details[name] for name in OF_DETAILS if name in details}}
    except (KeyError, TypeError, ValueError, zlib.error):
        return {**item, "truncated": True}


def pending_task(item: Mapping[str, Any]) -> WorkItem:
    """Return the task of an item of the work index; raise `InvalidInput` for what tunehook never writes."""
    since_ms = _moment(item, "since_ms")
    return WorkItem(
        # That of the task itself, if the run is parked.
        key=TaskKey(item["task_id"], item["provider"].removesuffix(f"#{since_ms}")),
        queue=_of_type(str, item, "queue", ""),
        since_ms=since_ms,
        deadline_ms=_moment(item, "deadline_ms", since_ms),
        submitted_at_ms=_moment(item, "submitted_at_ms", since_ms),
        phase=_of_type(str, item, "phase"),
        last_error=_of_type(str, item, "last_error"),
        not_found_count=_count(item, "not_found_count"),
        empty_count=_count(item, "empty_count"),
        streaming_since_ms=_moment(item, "streaming_since_ms") if "streaming_since_ms" in item else None,
        suspicion=_suspicion(_of_type(dict, item, "suspicion")),
        trouble=_trouble(_of_type(dict, item, "trouble")),
    )


def note_to_item(value: Any) -> Any:
    """Return the value of an attribute of `WorkItem` as it is stored."""
    if not isinstance(value, Trouble | Suspicion):
        return value
    return {name: each for name, each in asdict(value).items() if each is not None and name != "is_kept"}


def progress_on(item: Mapping[str, Any]) -> ProgressTold | None:
    """Return what was told last of a task's progress; None if nothing was, or somebody has written it by hand."""
    told = item.get(PROGRESS)
    if not isinstance(told, Mapping):
        return None
    number, at_ms, phase = told.get("number"), told.get("at_ms"), told.get("phase")
    if not is_whole(number, 1, _COUNT_MAX) or not is_whole(at_ms, 0, LATEST_MS) or not isinstance(phase, str):
        return None
    return ProgressTold(number=number, at_ms=at_ms, phase=phase, has_clip=told.get("has_clip") is True)


def _trouble(noted: dict[str, Any] | None) -> Trouble | None:
    if noted is None:
        return None
    return Trouble(
        kind=_of_type(str, noted, "kind", ""),
        count=_count(noted, "count"),
        since_ms=_moment(noted, "since_ms"),
        told=_of_type(str, noted, "told"),
        is_kept=True,
    )


def _suspicion(noted: dict[str, Any] | None) -> Suspicion | None:
    if noted is None:
        return None
    since_ms = _moment(noted, "since_ms")
    return Suspicion(
        evidence=_of_type(str, noted, "evidence", ""),
        count=_count(noted, "count"),
        since_ms=since_ms,
        at_ms=_moment(noted, "at_ms", since_ms),
    )


def _moment(item: Mapping[str, Any], name: str, default: int | None = None) -> int:
    return _whole(item, name, default, LATEST_MS)


def _count(item: Mapping[str, Any], name: str) -> int:
    return _whole(item, name, 0, _COUNT_MAX)


def _whole(item: Mapping[str, Any], name: str, default: int | None, most: int) -> int:
    value = item.get(name, default)
    if not is_whole(value, 0, most):
        raise InvalidInput(name, f"is no whole number from 0 to {most}")
    return value


def _of_type(kind: type, item: Mapping[str, Any], name: str, default: Any = None) -> Any:
    value = item.get(name, default)
    if value is not default and type(value) is not kind:
        raise InvalidInput(name, f"is not of the type {kind.__name__}")
    return value


def ended_task(task: WorkItem, item: Mapping[str, Any]) -> EndedTask:
    """Return the ended run of `task` from its whole item; raise `InvalidInput` if no event can be made of it."""
    try:
        failure = item.get("failure")
        end = TaskEnd(
            status=Status(item["status"]),
            detected_at_ms=item["detected_at_ms"],
            submitted_at_ms=item["submitted_at_ms"],
            finished_at_ms=item.get("finished_at_ms"),
            failure=failure and Failure(FailureCode(failure["code"]), failure["reason"]),
            clips=tuple(_clip_from_item(clip) for clip in item.get("clips", ())),
            provider_object=item.get("provider_object"),
            truncated=item.get("truncated", False),
        )
        ended = EndedTask(
            key=task.key, queue=task.queue, since_ms=task.since_ms, metadata=metadata_of(item), end=end
        )
        # Events are emitted in batches: one that cannot be made must not fail the others.
        size_of(task_ended(ended))
    except ValidationError as error:
        raise InvalidInput("item", f"tells of no end: {first_problem(error, 'item')}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidInput("item", f"tells of no end: {type(error).__name__} {error}") from error
    return ended


def metadata_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an item; empty if it is not acceptable, as on a rejected item or one updated since."""
    try:
        return check_metadata(item.get("metadata"))
    except InvalidInput:
        return {}


def _clip_to_item(clip: Clip) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, value in asdict(clip).items():
        if isinstance(value, datetime):
            item[f"{name}_ms"] = to_ms(value)
        elif value is not None and (value or name not in ("inline", "is_output")):
            item[name] = value
    return item


def _clip_from_item(item: Mapping[str, Any]) -> Clip:
    fields: dict[str, Any] = dict.fromkeys(Clip.__slots__)
    fields["is_output"] = False
    fields |= {name: item[name] for name in fields if name in item}
    fields |= {
        name: from_ms(item[f"{name}_ms"]) for name in ("created_at", "expires_at") if f"{name}_ms" in item
    }
    return Clip(**fields | {name: tuple(item.get(name, ())) for name in ("tags", "inline")})


def _size(text: str | None) -> int:
    return len(text.encode()) if text else 0
