"""The Tasks table: every write of a task's life, each a single conditional update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import exactly_from_attributes, from_attributes, to_attributes
from tunehook.aws.task_items import (
    OF_A_RUN,
    PARKED,
    end_to_item,
    ended_task,
    metadata_of,
    note_to_item,
    parked_key,
    pending_task,
)
from tunehook.errors import InvalidInput
from tunehook.events import event_id_of
from tunehook.tasks import (
    ENDED_KEPT_S,
    USER_FIELDS,
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

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORK_INDEX: Final = "work"

OUTSIDE_THE_INDEX: Final = ("streaming_since_ms", "suspicion", "trouble")
"""What a pending task may have learnt that the work index does not show: what an index shows cannot be changed."""

LEARNT_MARK: Final = "empty_count"
"""What the work index shows of a task that has any of these; 0 where it counts nothing else."""

_KEYS_A_CALL: Final = 100
"""How many items BatchGetItem reads at most."""

_READS_MAX: Final = 3
"""How often what DynamoDB leaves unread is asked for."""

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

    def work(
        self,
        shard: int,
        since_ms: int = 0,
        is_known: Callable[[TaskKey, int], bool] = lambda _key, _since: False,
    ) -> Work:
        """Return what there is to do on the tasks of a shard.

        The work index is queried, and what it does not show of a few tasks is read from their items.

        Parameters
        ----------
        shard : int
        since_ms : int
            Tasks that were accepted before are left out.
        is_known : callable, optional
            Whether the caller knows a run, given its key and its `since_ms`, better than its item does: such items are
            not read.

        Returns
        -------
        Work
            A task whose item could not be read, as DynamoDB was too busy, is as the index shows it.
        """
        work = Work()
        for item in self._with_what_they_learnt(list(self._in_index(work_queue(shard), since_ms)), is_known):
            try:
                task = pending_task(item)
            except InvalidInput:
                work.unreadable.append(TaskKey(item["task_id"], item["provider"]))
            else:
                (work.pending if item.get("status") == Status.PENDING else work.unsent).append(task)
        return work

    def _with_what_they_learnt(
        self, entries: list[dict[str, Any]], is_known: Callable[[TaskKey, int], bool]
    ) -> list[dict[str, Any]]:
        marked = {
            TaskKey(entry["task_id"], entry["provider"]): entry
            for entry in entries
            if LEARNT_MARK in entry and entry.get("status") == Status.PENDING
        }
        unknown = [key for key, entry in marked.items() if not is_known(key, entry["since_ms"])]
        for item in self._learnt(unknown):
            entry = marked[TaskKey(item["task_id"], item["provider"])]
            if item.get("since_ms") == entry["since_ms"]:
                entry.update({name: item[name] for name in OUTSIDE_THE_INDEX if name in item})
        return entries

    def _learnt(self, keys: Sequence[TaskKey]) -> Iterator[dict[str, Any]]:
        names = {f"#{name}": name for name in ("task_id", "provider", "since_ms", *OUTSIDE_THE_INDEX)}
        for start in range(0, len(keys), _KEYS_A_CALL):
            request: Any = {
                self._name: {
                    "Keys": [_key(key) for key in keys[start : start + _KEYS_A_CALL]],
                    "ProjectionExpression": ", ".join(names),
                    "ExpressionAttributeNames": names,
                }
            }
            for _ in range(_READS_MAX):
                answer = self._client.batch_get_item(RequestItems=request)
                yield from map(from_attributes, answer["Responses"].get(self._name, ()))
                if not (request := answer.get("UnprocessedKeys")):
                    break

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
        """Return the items of a task id, one a provider, as plain Python values, as of all writes so far.

        Runs that are parked are left out.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            KeyConditionExpression="task_id = :task_id",
            ExpressionAttributeValues=to_attributes({":task_id": task_id}),
            ConsistentRead=True,
        )
        items = (from_attributes(attributes) for page in pages for attributes in page["Items"])
        return [item for item in items if PARKED not in item]

    def scan(self, attributes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the named attributes of every item, in no order, as of all writes so far; it reads the whole table.

        Runs that are parked are left out.
        """
        names = {f"#{name}": name for name in attributes}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._name,
            ProjectionExpression=", ".join(names),
            FilterExpression=f"attribute_not_exists(#{PARKED})",
            ExpressionAttributeNames=names | {f"#{PARKED}": PARKED},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield from_attributes(item)

    def new_items(
        self, after: TaskKey | None = None
    ) -> Iterator[tuple[list[dict[str, Any]], TaskKey | None]]:
        """Read the whole table for items without a status, as of all writes so far.

        Parameters
        ----------
        after : TaskKey, optional
            Where an earlier look stopped, to go on from there.

        Yields
        ------
        items : list of dict
            Those of about a megabyte of the table, mostly none, as `tunehook.aws.items.from_stream` gives them.
        stopped_at : TaskKey or None
            Where to go on after these; None after the last.
        """
        key = None if after is None else _key(after)
        while True:
            start: Any = {} if key is None else {"ExclusiveStartKey": key}
            answer = self._client.scan(
                TableName=self._name,
                FilterExpression="attribute_not_exists(#status)",
                ExpressionAttributeNames={"#status": "status"},
                ConsistentRead=True,
                **start,
            )
            key = answer.get("LastEvaluatedKey")
            stopped_at = None if key is None else TaskKey(**from_attributes(key))
            yield [exactly_from_attributes(item) for item in answer["Items"]], stopped_at
            if key is None:
                return

    def park(self, task: PendingTask, item: Mapping[str, Any]) -> bool:
        """Keep an ended run of a task, whose item another run has taken or its user deleted, for its event.

        It gets an item of its own, which is in the work index like the one before.

        Parameters
        ----------
        task : PendingTask
            The run.
        item : mapping
            The item as it was.

        Returns
        -------
        bool
            False if the run is parked already, or was.
        """
        values = {name: item[name] for name in OF_A_RUN if name in item} | {PARKED: True}
        parked = self._update(
            parked_key(task),
            values,
            remove=[],
            condition=f"attribute_not_exists(#{PARKED})",
            condition_names=(PARKED,),
            condition_values={},
        )
        return parked is not None

    def get_ended(self, task: PendingTask) -> EndedTask | None:
        """Return the ended run of a task that the work index showed, or None if it has left the index meanwhile.

        Raises
        ------
        InvalidInput
            If the item's attributes tell of no end.
        """
        for key in (task.key, parked_key(task)):
            item = self.get(key)
            if item is not None and item.get("queue") == task.queue and item.get("since_ms") == task.since_ms:
                return ended_task(task, item)
        return None

    def note(self, task: PendingTask, changes: Mapping[str, Any]) -> bool:
        """Set attributes of a task that is still pending, as `PendingTask` has them; one that is None is removed."""
        marked = dict(changes)
        if not changes.keys().isdisjoint((*OUTSIDE_THE_INDEX, LEARNT_MARK)):
            marked[LEARNT_MARK] = _mark(task, changes)
        item = self._update_run(
            task,
            {name: note_to_item(value) for name, value in marked.items() if value is not None},
            remove=[name for name, value in marked.items() if value is None],
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
        """Take an ended task whose event is on the bus out of the work index; one that is parked may go altogether."""
        if self._leave_index(task.key, task, {}):
            return True
        return self._leave_index(parked_key(task), task, {"expires_at": task.end.detected_at_ms // 1000})

    def _leave_index(self, key: TaskKey, task: EndedTask, values: Mapping[str, Any]) -> bool:
        item = self._update(
            key,
            values,
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


def _mark(task: PendingTask, changes: Mapping[str, Any]) -> int | None:
    """Return the count that marks a task of which the work index does not show everything, once it has changed."""
    trouble = task.trouble if task.trouble is not None and task.trouble.is_kept else None
    after = {
        "streaming_since_ms": task.streaming_since_ms,
        "suspicion": task.suspicion,
        "trouble": trouble,
        **changes,
    }
    count: int = changes.get(LEARNT_MARK, task.empty_count) or 0
    return count if count or any(after[name] is not None for name in OUTSIDE_THE_INDEX) else None


def _key(key: TaskKey) -> dict[str, Any]:
    return to_attributes({"task_id": key.task_id, "provider": key.provider})
