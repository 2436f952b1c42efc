"""The Tasks table: every write of a task's life, each a single conditional update."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr, Key

from tunehook.aws.items import exactly_from_attributes
from tunehook.aws.table import KEYS_A_CALL, TableGateway
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
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import event_id_of
from tunehook.tasks import (
    ENDED_KEPT_S,
    USER_FIELDS,
    EndedRun,
    EndedTask,
    FailureCode,
    Status,
    TaskEnd,
    TaskKey,
    TaskRequest,
    Work,
    WorkItem,
    work_queue,
)
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase

WORK_INDEX: Final = "work"
ENDED_INDEX: Final = "ended"

_ENDS: Final = (Status.COMPLETED, Status.FAILED, Status.REJECTED)

OUTSIDE_THE_INDEX: Final = ("streaming_since_ms", "suspicion", "trouble")
"""What a pending task may have learnt that the work index does not show: what an index shows cannot be changed."""

LEARNT_MARK: Final = "empty_count"
"""What the work index shows of a task that has any of these; 0 where it counts nothing else."""

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


class Start(Enum):
    """What became of a new item.

    ``BEGUN``: it is a run of its task now. ``BEGUN_BEFORE``: it was one already, and is still in the work index, as
    where the process died before it could say so. ``SUPERSEDED``: it was put again meanwhile, has ended, or is gone.
    """

    BEGUN = auto()
    BEGUN_BEFORE = auto()
    SUPERSEDED = auto()


class TasksTable(TableGateway):
    """The Tasks table."""

    def put(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put an item as a user does, which begins a new run of its task; return the item that it replaces, or None."""
        return self._table.put(item)

    def accept(self, request: TaskRequest, item: Mapping[str, Any], shard: int, now_ms: int) -> Start:
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
        Start
            What became of it.
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
    ) -> Start:
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

    def _update_new(self, key: TaskKey, item: Mapping[str, Any], values: Mapping[str, Any]) -> Start:
        unchanged = [
            Attr(name).eq(item[name]) if name in item else Attr(name).not_exists() for name in USER_FIELDS
        ]
        write = self._table.update(
            _key(key),
            set=values,
            remove=[name for name in NOT_THE_USERS if name not in values],
            condition=reduce(and_, [Attr("task_id").exists(), Attr("status").not_exists(), *unchanged]),
            mine=lambda found: found.get("since_ms") == values["since_ms"],
        )
        if write.done:
            return Start.BEGUN
        return Start.BEGUN_BEFORE if "queue" in (write.item or {}) else Start.SUPERSEDED

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
                (work.pending if item.get("status") == Status.PENDING else work.event_pending).append(task)
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
        wanted = ("task_id", "provider", "since_ms", *OUTSIDE_THE_INDEX)
        for start in range(0, len(keys), KEYS_A_CALL):
            batch = [_key(key) for key in keys[start : start + KEYS_A_CALL]]
            try:
                yield from self._table.get_many(batch, attributes=wanted, consistent=False)
            except Unavailable:
                continue  # what a task has learnt saves time: without it, it learns it again

    def _in_index(self, queue: str, since_ms: int) -> Iterator[dict[str, Any]]:
        return self._table.query(Key("queue").eq(queue) & Key("since_ms").gte(since_ms), index=WORK_INDEX)

    def get(self, key: TaskKey) -> dict[str, Any] | None:
        """Return the item of a task as plain Python values (strongly consistent), or None."""
        return self._table.get(_key(key))

    def of_id(self, task_id: str) -> list[dict[str, Any]]:
        """Return the items of a task id, one a provider, as plain Python values (strongly consistent).

        Runs that are parked are left out.
        """
        found = self._table.query(
            Key("task_id").eq(task_id), where=Attr(PARKED).not_exists(), consistent=True
        )
        return list(found)

    def scan(self, attributes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the named attributes of every item, in no order (strongly consistent); it reads the whole table.

        Runs that are parked are left out.
        """
        return self._table.scan(attributes=attributes, where=Attr(PARKED).not_exists())

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
        start = None if after is None else _key(after)
        for items, key in self._table.pages(start, where=Attr("status").not_exists()):
            yield [exactly_from_attributes(item) for item in items], None if key is None else TaskKey(**key)

    def park(self, task: WorkItem, item: Mapping[str, Any]) -> bool:
        """Keep an ended run of a task, whose item another run has taken or its user deleted, for its event.

        It gets an item of its own, which is in the work index like the one before.

        Parameters
        ----------
        task : WorkItem
            The run.
        item : mapping
            The item as it was.

        Returns
        -------
        bool
            False if it was parked before, and told of.
        """
        # An update, not a put: intake's role may put nothing in this table.
        write = self._table.update(
            _key(parked_key(task)),
            set={name: item[name] for name in OF_A_RUN if name in item} | {PARKED: True},
            condition=Attr(PARKED).not_exists(),
            mine=lambda found: "queue" in found,
        )
        return write.done

    def get_ended(self, task: WorkItem) -> EndedTask | None:
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

    def note(self, task: WorkItem, changes: Mapping[str, Any]) -> bool:
        """Set attributes of a task that is still pending, as `WorkItem` has them; one that is None is removed."""
        marked = dict(changes)
        if not changes.keys().isdisjoint((*OUTSIDE_THE_INDEX, LEARNT_MARK)):
            marked[LEARNT_MARK] = _mark(task, changes)
        write = self._table.update(
            _key(task.key),
            set={name: note_to_item(value) for name, value in marked.items() if value is not None},
            remove=[name for name, value in marked.items() if value is None],
            condition=_is_pending(task),
        )
        return write.done

    def end(self, task: WorkItem, end: TaskEnd) -> EndedTask | None:
        """End a pending task in one conditional update; it stays in the work index for its event.

        Returns
        -------
        EndedTask or None
            The ended run; None if it is not pending any more: somebody else has ended it.
        """
        values = end_to_item(task, end)
        write = self._table.update(
            _key(task.key),
            set=values,
            remove=_OF_PENDING_TASKS,
            condition=_is_pending(task),
            mine=lambda item: item.get("event_id") == values["event_id"] and "queue" in item,
            # Two pollers may end a task in the same way, even in the same millisecond; one of them emits its event.
            only_in_doubt=True,
            read=True,
        )
        if not write.done:
            return None
        item = write.item or {}
        if item.get("detected_at_ms", end.detected_at_ms) != end.detected_at_ms:
            # A call before this one has ended it: what is on the item is what counts.
            return ended_task(task, item)
        metadata = metadata_of(item)
        return EndedTask(key=task.key, queue=task.queue, since_ms=task.since_ms, end=end, metadata=metadata)

    def mark_event_sent(self, task: EndedTask) -> bool:
        """Take an ended task whose event is on the bus out of the work index; one that is parked may go altogether.

        Returns
        -------
        bool
            Whether it is out of it.
        """
        parked = {"expires_at": task.end.detected_at_ms // 1000}
        return self._leave_index(task.key, task, {}) or self._leave_index(parked_key(task), task, parked)

    def _leave_index(self, key: TaskKey, task: EndedTask, values: Mapping[str, Any]) -> bool:
        event_id = event_id_of(task.key, task.end.status, task.since_ms)
        write = self._table.update(
            _key(key),
            set=values,
            remove=["queue", "since_ms"],
            condition=Attr("queue").eq(task.queue) & Attr("since_ms").eq(task.since_ms),
            mine=lambda item: item.get("event_id") == event_id and "queue" not in item,
        )
        return write.done

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
            Whether to say that the item lacks what the manifest has; otherwise what is said of that stays.
        without : tuple of str
            Attributes to remove, so that the item is not too long.

        Returns
        -------
        bool
            False if the task was put again meanwhile, or is gone.
        """
        values: dict[str, Any] = {"assets": assets}
        remove = list(without)
        if archived_at_ms is None:
            remove.append("archived_at_ms")
        else:
            values["archived_at_ms"] = archived_at_ms
        if truncated:
            values["truncated"] = True
        return self._table.update(
            _key(key), set=values, remove=remove, condition=Attr("event_id").eq(event_id)
        ).done

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
            # What a user has put there with attributes that are tunehook's is none; intake takes them off it. A run
            # that is parked is on no item of a task any more.
            if not is_whole(item["detected_at_ms"], 0, LATEST_MS) or "#" in item["provider"]:
                continue
            if item.get("status") in _ENDS and isinstance(item.get("event_id"), str):
                yield EndedRun(
                    key=TaskKey(item["task_id"], item["provider"]),
                    status=Status(item["status"]),
                    event_id=item["event_id"],
                    detected_at_ms=item["detected_at_ms"],
                )

    def _ended(self, since_ms: int, providers: Collection[str]) -> Iterator[dict[str, Any]]:
        if not providers:
            is_late = Attr("detected_at_ms").gte(since_ms)
            yield from self._table.scan(index=ENDED_INDEX, where=is_late, consistent=False)
        for provider in sorted(providers):
            condition = Key("provider").eq(provider) & Key("detected_at_ms").gte(since_ms)
            yield from self._table.query(condition, index=ENDED_INDEX)


def _is_pending(task: WorkItem) -> ConditionBase:
    return Attr("status").eq(Status.PENDING.value) & Attr("since_ms").eq(task.since_ms)


def _mark(task: WorkItem, changes: Mapping[str, Any]) -> int | None:
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
    return {"task_id": key.task_id, "provider": key.provider}
