"""The Tasks table: every write of a task's life, each a single conditional update."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.clips import Clip
from tunehook.errors import InvalidInput
from tunehook.events import event_id_of
from tunehook.tasks import (
    ENDED_KEPT_S,
    USER_FIELDS,
    EndedTask,
    Failure,
    FailureCode,
    PendingTask,
    Status,
    TaskEnd,
    TaskKey,
    TaskRequest,
    check_metadata,
    emit_queue,
    pending_queue,
)
from tunehook.times import from_ms, to_ms

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORK_INDEX: Final = "work"

_NOT_THE_USERS: Final = (
    "phase",
    "submitted_at_ms",
    "deadline_ms",
    "finished_at_ms",
    "detected_at_ms",
    "clips",
    "failure",
    "assets",
    "archived_at_ms",
    "provider_object",
    "truncated",
    "event_id",
    "error",
    "last_error",
    "not_found_count",
    "empty_count",
    "expires_at",
)
"""What an earlier run of the task may have left on its item."""

_ITEM_TEXT_MAX_BYTES: Final = 350_000
"""Below DynamoDB's limit of 400 kB an item, with room for what is not text."""


class TasksTable:
    """The Tasks table.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put an item as a user does, which begins a new run of its task; return the item that it replaces, or None."""
        answer = self._client.put_item(TableName=self._name, Item=to_attributes(item), ReturnValues="ALL_OLD")
        return from_attributes(answer["Attributes"]) if "Attributes" in answer else None

    def accept(self, request: TaskRequest, item: Mapping[str, Any], shard: int, now_ms: int) -> bool:
        """Make a new item a pending task of `shard`.

        Parameters
        ----------
        request : TaskRequest
            The checked request.
        item : mapping
            The item that was checked; if its user's fields have changed since, nothing happens.
        shard : int
            The shard of the work index.
        now_ms : int
            The present moment, which names the run.

        Returns
        -------
        bool
            False if the item has a status already, is gone, or was put again meanwhile.
        """
        values = {
            "status": Status.PENDING.value,
            "queue": pending_queue(shard),
            "since_ms": now_ms,
            "submitted_at_ms": now_ms,
            "deadline_ms": now_ms + request.timeout_s * 1000,
        }
        return self._update_new(request.key, item, values)

    def reject(
        self, key: TaskKey, item: Mapping[str, Any], error: InvalidInput, shard: int, now_ms: int
    ) -> bool:
        """End a new item as rejected, with an `error` that names the field; its event goes out like any other.

        Parameters and result are those of `accept`.
        """
        values = {
            "status": Status.REJECTED.value,
            "error": str(error),
            "event_id": event_id_of(key, Status.REJECTED, now_ms),
            "failure": {"code": FailureCode.INVALID.value, "reason": str(error)},
            "queue": emit_queue(shard),
            "since_ms": now_ms,
            "submitted_at_ms": now_ms,
            "detected_at_ms": now_ms,
            "expires_at": now_ms // 1000 + ENDED_KEPT_S,
        }
        return self._update_new(key, item, values)

    def _update_new(self, key: TaskKey, item: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        given = {name: item[name] for name in USER_FIELDS if name in item}
        unchanged = [
            f"#{name} = :given_{name}" if name in given else f"attribute_not_exists(#{name})"
            for name in USER_FIELDS
        ]
        stale = [name for name in _NOT_THE_USERS if name not in values]
        item_now = self._update(
            key,
            values,
            remove=stale,
            condition=" AND ".join(
                ["attribute_exists(#task_id)", "attribute_not_exists(#status)", *unchanged]
            ),
            condition_names=("task_id", "status", *USER_FIELDS),
            condition_values={f":given_{name}": value for name, value in given.items()},
        )
        return item_now is not None

    def pending(self, shard: int, since_ms: int = 0) -> list[PendingTask]:
        """Return the pending tasks of `shard` that were accepted at or after `since_ms`, oldest first."""
        return [_pending_task(item) for item in self._work(pending_queue(shard), since_ms)]

    def unsent(self, shard: int) -> list[PendingTask]:
        """Return the ended tasks of `shard` whose event is not known to be on the bus, oldest first."""
        return [_pending_task(item) for item in self._work(emit_queue(shard), 0)]

    def _work(self, queue: str, since_ms: int) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=WORK_INDEX,
            KeyConditionExpression="#queue = :queue AND #since_ms >= :since_ms",
            ExpressionAttributeNames={"#queue": "queue", "#since_ms": "since_ms"},
            ExpressionAttributeValues=to_attributes({":queue": queue, ":since_ms": since_ms}),
        )
        for page in pages:
            for attributes in page["Items"]:
                yield from_attributes(attributes)

    def get(self, key: TaskKey) -> dict[str, Any] | None:
        """Return the item of a task as plain Python values, as of all writes so far, or None."""
        answer = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def of_id(self, task_id: str) -> list[dict[str, Any]]:
        """Return the items of a task id, one a provider, as plain Python values, as of all writes so far."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            KeyConditionExpression="task_id = :task_id",
            ExpressionAttributeValues=to_attributes({":task_id": task_id}),
            ConsistentRead=True,
        )
        return [from_attributes(attributes) for page in pages for attributes in page["Items"]]

    def scan(self, attributes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the named attributes of every item, in no order, as of all writes so far; it reads the whole table."""
        names = {f"#{name}": name for name in attributes}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._name,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield from_attributes(item)

    def get_ended(self, task: PendingTask) -> EndedTask | None:
        """Return the run of a task that `unsent` showed, or None if it has left the index meanwhile."""
        item = self.get(task.key)
        if item is None or item.get("queue") != task.queue or item.get("since_ms") != task.since_ms:
            return None
        return _ended_task(task, item)

    def note(self, task: PendingTask, changes: Mapping[str, Any]) -> bool:
        """Set attributes of a task that is still pending; one whose value is None is removed."""
        item = self._update_run(
            task,
            {name: value for name, value in changes.items() if value is not None},
            remove=[name for name, value in changes.items() if value is None],
        )
        return item is not None

    def end(self, task: PendingTask, end: TaskEnd, shard: int) -> EndedTask | None:
        """End a pending task and enter it for its event, in one conditional update.

        Returns
        -------
        EndedTask or None
            The ended run; None if it is not pending any more: somebody else has ended it.
        """
        values: dict[str, Any] = {
            "status": end.status.value,
            "queue": emit_queue(shard),
            "event_id": event_id_of(task.key, end.status, task.since_ms),
            "submitted_at_ms": end.submitted_at_ms,
            "finished_at_ms": end.finished_at_ms,
            "detected_at_ms": end.detected_at_ms,
            "expires_at": end.detected_at_ms // 1000 + ENDED_KEPT_S,
            "provider_object": end.provider_object,
            "truncated": end.truncated or None,
            "failure": end.failure and {"code": end.failure.code.value, "reason": end.failure.reason},
            "clips": _clips_to_item(end.clips, room=_ITEM_TEXT_MAX_BYTES - _size(end.provider_object)),
        }
        item = self._update_run(
            task,
            {name: value for name, value in values.items() if value is not None},
            remove=["phase", "last_error", "not_found_count", "empty_count"],
        )
        if item is None:
            return None
        return EndedTask(
            key=task.key, queue=item["queue"], since_ms=task.since_ms, end=end, metadata=metadata_of(item)
        )

    def leave_index(self, task: EndedTask) -> bool:
        """Take an ended task whose event is on the bus out of the work index."""
        item = self._update(
            task.key,
            {},
            remove=["queue", "since_ms"],
            condition="#queue = :is_queue AND #since_ms = :is_since_ms",
            condition_names=("queue", "since_ms"),
            condition_values={":is_queue": task.queue, ":is_since_ms": task.since_ms},
        )
        return item is not None

    def record_assets(
        self, key: TaskKey, event_id: str, assets: list[dict[str, Any]], archived_at_ms: int
    ) -> bool:
        """Set the kept files of the run that `event_id` names; False if the task was put again meanwhile."""
        item = self._update(
            key,
            {"assets": assets, "archived_at_ms": archived_at_ms},
            remove=[],
            condition="#event_id = :is_event_id",
            condition_names=("event_id",),
            condition_values={":is_event_id": event_id},
        )
        return item is not None

    def _update_run(
        self, task: PendingTask, values: Mapping[str, Any], remove: list[str]
    ) -> dict[str, Any] | None:
        return self._update(
            task.key,
            values,
            remove=remove,
            condition="#status = :is_status AND #since_ms = :is_since_ms",
            condition_names=("status", "since_ms"),
            condition_values={":is_status": Status.PENDING.value, ":is_since_ms": task.since_ms},
        )

    def _update(
        self,
        key: TaskKey,
        values: Mapping[str, Any],
        *,
        remove: list[str],
        condition: str,
        condition_names: tuple[str, ...],
        condition_values: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        """Update one item and return it whole; None if the condition does not hold."""
        set_clause = "SET " + ", ".join(f"#{name} = :{name}" for name in values) if values else ""
        remove_clause = "REMOVE " + ", ".join(f"#{name}" for name in remove) if remove else ""
        attribute_values = {f":{name}": value for name, value in values.items()} | dict(condition_values)
        try:
            answer = self._client.update_item(
                TableName=self._name,
                Key=_key(key),
                UpdateExpression=f"{set_clause} {remove_clause}".strip(),
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in (*values, *remove, *condition_names)},
                ExpressionAttributeValues=to_attributes(attribute_values),
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if is_condition_failure(error):
                return None
            raise
        return from_attributes(answer["Attributes"])


def _key(key: TaskKey) -> dict[str, Any]:
    return to_attributes({"task_id": key.task_id, "provider": key.provider})


def _pending_task(item: Mapping[str, Any]) -> PendingTask:
    since_ms = item["since_ms"]
    return PendingTask(
        key=TaskKey(item["task_id"], item["provider"]),
        queue=item["queue"],
        since_ms=since_ms,
        deadline_ms=item.get("deadline_ms", since_ms),
        submitted_at_ms=item.get("submitted_at_ms", since_ms),
        phase=item.get("phase"),
        last_error=item.get("last_error"),
        not_found_count=item.get("not_found_count", 0),
        empty_count=item.get("empty_count", 0),
    )


def _ended_task(task: PendingTask, item: Mapping[str, Any]) -> EndedTask:
    failure = item.get("failure")
    return EndedTask(
        key=task.key,
        queue=task.queue,
        since_ms=task.since_ms,
        metadata=metadata_of(item),
        end=TaskEnd(
            status=Status(item["status"]),
            detected_at_ms=item["detected_at_ms"],
            submitted_at_ms=item["submitted_at_ms"],
            finished_at_ms=item.get("finished_at_ms"),
            failure=failure and Failure(FailureCode(failure["code"]), failure["reason"]),
            clips=tuple(_clip_from_item(clip) for clip in item.get("clips", ())),
            provider_object=item.get("provider_object"),
            truncated=item.get("truncated", False),
        ),
    )


def metadata_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an item, or nothing where it holds something that is not acceptable as such.

    A rejected item may hold anything, and so may one that its user has updated since it was accepted.
    """
    try:
        return check_metadata(item.get("metadata"))
    except InvalidInput:
        return {}


def _clips_to_item(clips: tuple[Clip, ...], room: int) -> list[dict[str, Any]]:
    items = [_clip_to_item(clip) for clip in clips]
    if _size(json.dumps(items, ensure_ascii=False)) > room:
        items = [{name: value for name, value in item.items() if name != "prompt"} for item in items]
    return items


def _clip_to_item(clip: Clip) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, value in asdict(clip).items():
        if isinstance(value, datetime):
            item[f"{name}_ms"] = to_ms(value)
        elif value is not None:
            item[name] = value
    return item


def _clip_from_item(item: Mapping[str, Any]) -> Clip:
    fields: dict[str, Any] = dict.fromkeys(Clip.__slots__)
    fields |= {name: item[name] for name in fields if name in item}
    fields |= {
        name: from_ms(item[f"{name}_ms"]) for name in ("created_at", "expires_at") if f"{name}_ms" in item
    }
    return Clip(**fields | {"tags": tuple(item.get("tags", ()))})


def _size(text: str | None) -> int:
    return len(text.encode()) if text else 0
