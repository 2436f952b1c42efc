"""The Tasks table: every write of a task's life, each a single conditional update."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.task_items import end_to_item, ended_task, metadata_of, note_to_item, pending_task
from tunehook.errors import InvalidInput
from tunehook.events import event_id_of
from tunehook.tasks import (
    ENDED_KEPT_S,
    USER_FIELDS,
    EndedRun,
    EndedTask,
    FailureCode,
    PendingTask,
    Status,
    TaskEnd,
    TaskKey,
    TaskRequest,
    Work,
    work_queue,
)
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORK_INDEX: Final = "work"
ENDED_INDEX: Final = "ended"

_ENDS: Final = (Status.COMPLETED, Status.FAILED, Status.REJECTED)

NOT_THE_USERS: Final = (
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
    "streaming_since_ms",
    "suspicion",
    "trouble",
    "expires_at",
)
"""What an earlier run of the task may have left on its item."""

_OF_PENDING_TASKS: Final = (
    "phase",
    "last_error",
    "not_found_count",
    "empty_count",
    "streaming_since_ms",
    "suspicion",
    "trouble",
)
"""What the item of an ended task holds no more."""


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
            # As nearly every task is found the first time it is asked about: one write less for each.
            "phase": "queued",
            "queue": work_queue(shard),
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
            "queue": work_queue(shard),
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
        stale = [name for name in NOT_THE_USERS if name not in values]
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

    def work(self, shard: int, since_ms: int = 0) -> Work:
        """Return what there is to do on the tasks of `shard` that were accepted at or after `since_ms`."""
        work = Work()
        for item in self._in_index(work_queue(shard), since_ms):
            try:
                task = pending_task(item)
            except InvalidInput:
                work.unreadable.append(TaskKey(item["task_id"], item["provider"]))
            else:
                (work.pending if item.get("status") == Status.PENDING else work.unsent).append(task)
        return work

    def _in_index(self, queue: str, since_ms: int) -> Iterator[dict[str, Any]]:
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
        """Return the ended run of a task that the work index showed, or None if it has left the index meanwhile.

        Raises
        ------
        InvalidInput
            If the item's attributes tell of no end.
        """
        item = self.get(task.key)
        if item is None or item.get("queue") != task.queue or item.get("since_ms") != task.since_ms:
            return None
        return ended_task(task, item)

    def note(self, task: PendingTask, changes: Mapping[str, Any]) -> bool:
        """Set attributes of a task that is still pending, as `PendingTask` has them; one that is None is removed."""
        item = self._update_run(
            task,
            {name: note_to_item(value) for name, value in changes.items() if value is not None},
            remove=[name for name, value in changes.items() if value is None],
        )
        return item is not None

    def end(self, task: PendingTask, end: TaskEnd) -> EndedTask | None:
        """End a pending task in one conditional update; it stays in the work index for its event.

        Returns
        -------
        EndedTask or None
            The ended run; None if it is not pending any more: somebody else has ended it.
        """
        item = self._update_run(
            task,
            end_to_item(task, end),
            remove=list(_OF_PENDING_TASKS),
        )
        if item is None:
            return None
        return EndedTask(
            key=task.key, queue=task.queue, since_ms=task.since_ms, end=end, metadata=metadata_of(item)
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
        self,
        key: TaskKey,
        event_id: str,
        assets: list[dict[str, Any]],
        archived_at_ms: int | None,
        *,
        truncated: bool = False,
        without: tuple[str, ...] = (),
    ) -> bool:
        """Set the kept files of the run that `event_id` names.

        Parameters
        ----------
        key, event_id : TaskKey, str
            The task, and the event of the run.
        assets : list of dict
            The files.
        archived_at_ms : int or None
            When all was kept that can be; None while some of it is waited for.
        truncated : bool
            Whether to say that the item lacks what the manifest has.
        without : tuple of str
            Attributes to remove, so that the item is not too long.

        Returns
        -------
        bool
            False if the task was put again meanwhile, or is gone.
        """
        values: dict[str, Any] = {
            "assets": assets,
            "archived_at_ms": archived_at_ms,
            "truncated": truncated or None,
        }
        item = self._update(
            key,
            {name: value for name, value in values.items() if value is not None},
            remove=list(without),
            condition="#event_id = :is_event_id",
            condition_names=("event_id",),
            condition_values={":is_event_id": event_id},
        )
        return item is not None

    def ended(self, since_ms: int, providers: Collection[str] = ()) -> Iterator[EndedRun]:
        """Yield the latest run of each task that was found ended at or after `since_ms`, of each provider oldest first.

        One that ended within the last second may be missing.

        Parameters
        ----------
        since_ms : int
            From when on, in milliseconds since 1970.
        providers : collection of str
            At which providers. Without any, at all that there are: this reads the whole index, which has a hundred
            bytes or two of each ended task.
        """
        for item in self._ended(since_ms, providers):
            # What a user has put there with attributes that are tunehook's is none; intake takes them off it.
            if not is_whole(item["detected_at_ms"], 0, LATEST_MS):
                continue
            if item.get("status") in _ENDS and isinstance(item.get("event_id"), str):
                yield EndedRun(
                    key=TaskKey(item["task_id"], item["provider"]),
                    status=Status(item["status"]),
                    event_id=item["event_id"],
                    detected_at_ms=item["detected_at_ms"],
                )

    def _ended(self, since_ms: int, providers: Collection[str]) -> Iterator[dict[str, Any]]:
        of_index: Any = {"TableName": self._name, "IndexName": ENDED_INDEX}
        if not providers:
            pages = self._client.get_paginator("scan").paginate(
                **of_index,
                FilterExpression="detected_at_ms >= :since_ms",
                ExpressionAttributeValues=to_attributes({":since_ms": since_ms}),
            )
            yield from (from_attributes(each) for page in pages for each in page["Items"])
        for provider in sorted(providers):
            pages = self._client.get_paginator("query").paginate(
                **of_index,
                KeyConditionExpression="#provider = :provider AND detected_at_ms >= :since_ms",
                ExpressionAttributeNames={"#provider": "provider"},
                ExpressionAttributeValues=to_attributes({":provider": provider, ":since_ms": since_ms}),
            )
            yield from (from_attributes(each) for page in pages for each in page["Items"])

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
