"""The Tasks table: every write of a task's life, each a single conditional update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import Enum, auto
from functools import reduce
from operator import and_
from typing import Any, Final, TypeAlias

from boto3.dynamodb.conditions import Attr, Key

from tunehook.aws.items import exactly_from_attributes, from_attributes, to_attributes
from tunehook.aws.pages import DAY_MS, Period, Position, in_order, periods
from tunehook.aws.table import (
    KEYS_A_CALL,
    BuiltCondition,
    Parameter,
    PreparedCondition,
    TableGateway,
    ValueOf,
    Write,
)
from tunehook.aws.task_items import (
    DETAILS,
    OF_A_RUN,
    OF_AN_END,
    OF_DETAILS,
    PARKED,
    PROGRESS,
    TAKEN_IN,
    details_of,
    details_place,
    end_to_items,
    ended_task,
    metadata_of,
    note_to_item,
    parked_key,
    pending_task,
    progress_on,
    with_details,
)
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import event_id_of, progress_event_id
from tunehook.ids import shard_of
from tunehook.tasks import (
    ENDED_KEPT_S,
    PROVIDER_MAX_LENGTH,
    TIMEOUT_DEFAULT_S,
    TIMEOUT_MAX_S,
    USER_FIELDS,
    EndedRun,
    EndedTask,
    FailureCode,
    ProgressTold,
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

WORK_INDEX: Final = "work"
ENDED_INDEX: Final = "ended"
LISTED_INDEX: Final = "listed"

LISTED_PERIOD_MS: Final = 7 * DAY_MS
"""How long tasks are listed in the same partitions of the index of all tasks. They begin on Thursdays, as 1970 did."""

_LISTS: Final = 4
"""In how many partitions those of a period are: one alone takes a thousand writes a second."""

_LISTED_MS: Final = (ENDED_KEPT_S + TIMEOUT_MAX_S) * 1000
"""How long after it was accepted a task may still be there."""

_LISTED_AT_ONCE: Final = 100
_SPARE: Final = 10
"""So many more than a fourth of what is wanted one call reads of a partition, as tasks are not spread quite evenly."""

_ENDS: Final = (Status.COMPLETED, Status.FAILED, Status.REJECTED)
"""The ends that have an event."""

_ADOPT_TRIES: Final = 5

UNPROJECTED: Final = ("streaming_since_ms", "suspicion", "trouble")
"""Attributes of a pending task that the work index does not project: the projection of an index cannot be changed."""

UNPROJECTED_MARK: Final = "empty_count"
"""The projected attribute that a task with any of these has; 0 if it counts nothing else."""

_OF_PENDING_TASKS: Final = (
    "phase",
    "last_error",
    "not_found_count",
    UNPROJECTED_MARK,
    *UNPROJECTED,
    PROGRESS,
)
"""Attributes that are removed when a task ends."""

OF_EARLIER_RUNS: Final = (*_OF_PENDING_TASKS, *OF_AN_END, "deadline_ms", "assets", "archived_at_ms")
"""Attributes that an earlier run of the task may have left on its item."""


class Start(Enum):
    """The result of starting a run for a new item.

    ``BEGUN``: it is a run of its task now. ``BEGUN_BEFORE``: it was one already, and is still in the work index, as
    after the process died. ``SUPERSEDED``: it was put again meanwhile, has ended, or is gone.
    """

    BEGUN = auto()
    BEGUN_BEFORE = auto()
    SUPERSEDED = auto()


KnownDetails: TypeAlias = dict[TaskKey, dict[str, Any] | None]
"""The items of details that were read, by their keys; None of one that is gone."""


class TasksTable(TableGateway):
    """The Tasks table."""

    def put(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put an item as a user does, which begins a new run of its task; return the item that it replaces, or None."""
        return self._table.put(item)

    def take_in(self, key: TaskKey) -> bool:
        """Put a task that its provider has called back about and nobody has put; return False if it is there by now.

        The attribute `TAKEN_IN` marks it, until a user puts it too.
        """
        # An update, not a put: the poller's role may put nothing in this table.
        write = self._table.update(
            _key(key),
            set={TAKEN_IN: True},
            condition=Attr("task_id").not_exists(),
            mine=lambda found: TAKEN_IN in found,
        )
        return write.done

    def create(self, item: Mapping[str, Any], now_ms: int) -> Write:
        """Put an item as a user does, unless the task is there; the result has the item that is, if it was not put.

        Of two that put the same, one has done it. An item whose put has lost its answer at `now_ms` or later is known
        by the user's fields, and by its run, which intake may have begun meanwhile.
        """
        wanted = from_attributes(to_attributes(item))

        def is_ours(found: dict[str, Any]) -> bool:
            asked = {name: value for name, value in found.items() if name in wanted or name in USER_FIELDS}
            return asked == wanted and found.get("since_ms", now_ms) >= now_ms

        return self._table.create(_key(TaskKey(item["task_id"], item["provider"])), item, mine=is_ours)

    def adopt(self, request: TaskRequest, now_ms: int) -> dict[str, Any] | None:
        """Give the run of a task that was taken in what its user wants: metadata, hook, timeout; return its item.

        The run goes on, or stays ended. Raises `Unavailable` if it kept changing. None says that the task is not there,
        or that a user has put it: it has its user's fields already.
        """
        given = {
            "notify_hook": request.notify_hook,
            "notify_format": request.notify_format.value if request.notify_hook else None,
            "metadata": dict(request.metadata) or None,
            "timeout_s": request.timeout_s if request.timeout_s != TIMEOUT_DEFAULT_S else None,
        }
        wanted = {name: value for name, value in given.items() if value is not None}
        for _ in range(_ADOPT_TRIES):
            item = self.get(request.key)
            if item is None or TAKEN_IN not in item:
                return None
            is_pending = item.get("status") == Status.PENDING
            status = Attr("status").eq(item["status"]) if "status" in item else Attr("status").not_exists()
            write = self._table.update(
                _key(request.key),
                set=wanted | ({"deadline_ms": now_ms + request.timeout_s * 1000} if is_pending else {}),
                remove=[TAKEN_IN, *(name for name in USER_FIELDS if name not in wanted)],
                condition=Attr(TAKEN_IN).exists() & status,
                mine=lambda found: (
                    TAKEN_IN not in found
                    and wanted == {name: found[name] for name in USER_FIELDS if name in found}
                ),
                only_in_doubt=True,
                read=True,
            )
            if write.done:
                return write.item
        raise Unavailable(f"the task {request.key.task_id} has changed each time: try again")

    def restore(
        self, key: TaskKey, item: Mapping[str, Any], ended: Mapping[str, Any], error: InvalidInput | None
    ) -> Start:
        """Make a new item the run that it has replaced, which has `ended`; `error` names an unacceptable field.

        What the user has put stays, and of the run all but that. The rest is as for `accept`.
        """
        values = {
            name: value
            for name, value in ended.items()
            if name not in ("task_id", "provider", *USER_FIELDS, TAKEN_IN)
        }
        values |= {} if error is None else {"error": str(error)}
        return self._update_new(
            key, item, values, mine=lambda found: found.get("event_id") == ended["event_id"]
        )

    def accept(
        self,
        request: TaskRequest,
        item: Mapping[str, Any],
        shard: int,
        now_ms: int,
        *,
        submitted_at_ms: int | None = None,
        error: InvalidInput | None = None,
    ) -> Start:
        """Make a new item a pending task of `shard`; `now_ms` names the run.

        `item` is the one that was checked: if the user's fields have changed since, nothing happens. If it goes on with
        a run that was taken in, the provider took the task at `submitted_at_ms`, and an `error` may name an
        unacceptable field.
        """
        values = {
            "status": Status.PENDING.value,
            # What the first poll finds for nearly every task: one write less for each.
            "phase": "queued",
            "queue": work_queue(shard),
            "since_ms": now_ms,
            "submitted_at_ms": now_ms if submitted_at_ms is None else min(submitted_at_ms, now_ms),
            "deadline_ms": now_ms + request.timeout_s * 1000,
            **listed_attributes(request.key.task_id, now_ms),
        }
        values |= {} if error is None else {"error": str(error)}
        return self._update_new(request.key, item, values)

    def reject(
        self, key: TaskKey, item: Mapping[str, Any], error: InvalidInput, shard: int, now_ms: int
    ) -> Start:
        """End a new item as rejected, with an `error` that names the field; parameters and result as for `accept`."""
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
            **listed_attributes(key.task_id, now_ms),
        }
        return self._update_new(key, item, values)

    def _update_new(
        self,
        key: TaskKey,
        item: Mapping[str, Any],
        values: Mapping[str, Any],
        mine: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Start:
        unchanged = [
            Attr(name).eq(item[name]) if name in item else Attr(name).not_exists() for name in USER_FIELDS
        ]
        write = self._table.update(
            _key(key),
            set=values,
            remove=[name for name in OF_EARLIER_RUNS if name not in values],
            condition=reduce(and_, [Attr("task_id").exists(), Attr("status").not_exists(), *unchanged]),
            mine=mine or (lambda found: found.get("since_ms") == values["since_ms"]),
        )
        if write.done:
            return Start.BEGUN
        return Start.BEGUN_BEFORE if "queue" in write.found else Start.SUPERSEDED

    def work(
        self,
        shard: int,
        since_ms: int = 0,
        is_known: Callable[[TaskKey, int], bool] = lambda _key, _since: False,
    ) -> Work:
        """Return what there is to do on the tasks of a shard.

        The work index is queried, from `since_ms` on. What it does not project is read from the items of the few tasks
        that have it, but for runs (key, `since_ms`) that `is_known` says the caller knows better than their items. A
        task whose item could not be read, as DynamoDB was too busy, is returned as the index shows it.
        """
        work = Work()
        condition = Key("queue").eq(work_queue(shard)) & Key("since_ms").gte(since_ms)
        entries = list(self._table.query(condition, index=WORK_INDEX))
        self._add_unprojected(entries, is_known)
        for item in entries:
            try:
                task = pending_task(item)
            except InvalidInput:
                work.unreadable.append(TaskKey(item["task_id"], item["provider"]))
            else:
                (work.pending if item.get("status") == Status.PENDING else work.event_pending).append(task)
        return work

    def _add_unprojected(
        self, entries: list[dict[str, Any]], is_known: Callable[[TaskKey, int], bool]
    ) -> None:
        marked = {
            TaskKey(entry["task_id"], entry["provider"]): entry
            for entry in entries
            if UNPROJECTED_MARK in entry and entry.get("status") == Status.PENDING
        }
        keys = [_key(key) for key, entry in marked.items() if not is_known(key, entry["since_ms"])]
        wanted = ("task_id", "provider", "since_ms", *UNPROJECTED)
        for start in range(0, len(keys), KEYS_A_CALL):
            batch = keys[start : start + KEYS_A_CALL]
            try:
                found = self._table.get_many(batch, attributes=wanted, consistent=False)
            except Unavailable:
                continue  # it only saves time: without it, the poller learns it again
            for item in found:
                entry = marked[TaskKey(item["task_id"], item["provider"])]
                if item.get("since_ms") == entry["since_ms"]:
                    entry.update({name: item[name] for name in UNPROJECTED if name in item})

    def get(self, key: TaskKey) -> dict[str, Any] | None:
        """Return the item of a task as plain Python values (strongly consistent), without its details, or None."""
        return self._table.get(_key(key))

    def get_whole(self, key: TaskKey) -> dict[str, Any] | None:
        """Return the item of a task with its details (strongly consistent), or None."""
        item = self.get(key)
        return None if item is None else self.with_details(item)

    def with_details(self, item: dict[str, Any], known: KnownDetails | None = None) -> dict[str, Any]:
        """Return the item of a task with its details, which are read if they are on an item of their own.

        What is read is kept in `known`, and is not read again: details never change.
        """
        key = details_of(item)
        if key is None:
            return item
        known = {} if known is None else known
        if key not in known:
            known[key] = self.get(key)
        return with_details(item, known[key])

    def get_run(self, key: TaskKey, detected_at_ms: int) -> dict[str, Any] | None:
        """Return what `get_whole` does, in one call if the item is of the run whose end was detected then."""
        if len(key.provider) > PROVIDER_MAX_LENGTH:
            # It was rejected, and has no details, whose key might be longer than DynamoDB takes.
            return self.get_whole(key)
        read = self._table.get_many([_key(key), _key(details_place(key, detected_at_ms))])
        found = {TaskKey(item["task_id"], item["provider"]): item for item in read}
        if (item := found.get(key)) is None or (place := details_of(item)) is None:
            return item
        return with_details(item, found[place] if place in found else self.get(place))

    def statuses(self, keys: Sequence[TaskKey]) -> dict[TaskKey, str | None]:
        """Return the statuses of those of the tasks that exist (strongly consistent); None of one not accepted yet."""
        names = ("task_id", "provider", "status")
        found = self._table.get_many([_key(key) for key in keys], attributes=names)
        return {TaskKey(item["task_id"], item["provider"]): item.get("status") for item in found}

    def of_id(self, task_id: str) -> list[dict[str, Any]]:
        """Return the items of a task id with their details, one a provider (strongly consistent)."""
        found = {
            item["provider"]: item for item in self._table.query(Key("task_id").eq(task_id), consistent=True)
        }
        tasks = []
        for item in found.values():
            if PARKED not in item:
                key = details_of(item)
                tasks.append(item if key is None else with_details(item, found.get(key.provider)))
        return tasks

    def scan(self, attributes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Scan the whole table for the named attributes of tasks' items (strongly consistent), without details."""
        return self._table.scan(attributes=attributes, where=Attr(PARKED).not_exists())

    def listed(
        self,
        now_ms: int,
        *,
        since_ms: int = 0,
        after: Position | None = None,
        at_once: int = _LISTED_AT_ONCE,
    ) -> Iterator[tuple[Position, TaskKey]]:
        """Yield the tasks that were accepted or rejected at or after `since_ms`, newest first, from a position on.

        Those that were so within the 97 days that a task may be there, week by week; one of the last second may be
        missing. This reads an index whose every item is a hundred bytes or two, as far as it is asked to; `at_once` is
        about how many entries are read together.
        """
        for week in periods(LISTED_PERIOD_MS, now_ms, _LISTED_MS, since_ms, after):
            moment = week.up_to(after, "listed_at_ms")
            partitions = [Key("listed").eq(_list(week, number)) for number in range(_LISTS)]
            lists = [
                self._table.query(
                    each if moment is None else each & moment,
                    index=LISTED_INDEX,
                    newest_first=True,
                    paging={"PageSize": at_once // _LISTS + _SPARE},
                )
                for each in partitions
            ]
            for position, item in in_order(lists, "listed_at_ms", ("task_id", "provider"), after, week):
                if position.at_ms < since_ms:
                    return
                yield position, TaskKey(item["task_id"], item["provider"])

    def listed_by_scan(self, since_ms: int, after: Position | None) -> Iterator[tuple[Position, TaskKey]]:
        """Yield tasks as `listed` does, where there is no such index: this reads the whole table.

        Those of versions without the index are among them, by the moment at which they were submitted.
        """
        found = []
        for item in self.scan(("task_id", "provider", "listed_at_ms", "submitted_at_ms")):
            moment = item.get("listed_at_ms", item.get("submitted_at_ms"))
            if is_whole(moment, since_ms, LATEST_MS):
                found.append(item | {"listed_at_ms": moment})
        found.sort(key=lambda item: int(item["listed_at_ms"]), reverse=True)
        for position, each in in_order([found], "listed_at_ms", ("task_id", "provider"), after):
            yield position, TaskKey(each["task_id"], each["provider"])

    def get_many(
        self, keys: Sequence[TaskKey], attributes: Sequence[str], *, consistent: bool = True
    ) -> dict[TaskKey, dict[str, Any]]:
        """Return the named attributes of those tasks that are there (strongly consistent, unless told otherwise)."""
        has_details = not set(OF_DETAILS).isdisjoint(attributes)
        found = self._get_many(keys, (*attributes, DETAILS) if has_details else attributes, consistent)
        if not has_details:
            return found
        places = {key: place for key, item in found.items() if (place := details_of(item)) is not None}
        details = self._get_many(list(places.values()), (), consistent)
        for key, place in places.items():
            whole = with_details(found[key], details.get(place))
            found[key] = {name: value for name, value in whole.items() if name in (*attributes, DETAILS)}
        return found

    def _get_many(
        self, keys: Sequence[TaskKey], attributes: Sequence[str], consistent: bool
    ) -> dict[TaskKey, dict[str, Any]]:
        found = self._table.get_many(
            [_key(key) for key in keys], attributes=attributes, consistent=consistent
        )
        return {TaskKey(item["task_id"], item["provider"]): item for item in found}

    def new_items(
        self, after: TaskKey | None = None
    ) -> Iterator[tuple[list[dict[str, Any]], TaskKey | None]]:
        """Scan the table (strongly consistent) for items without a status, from the task `after` on.

        Yields the items of each megabyte or so, as `tunehook.aws.items.from_stream` gives them, and the task to go on
        after, None after the last.
        """
        start = None if after is None else _key(after)
        for items, key in self._table.pages(start, where=Attr("status").not_exists()):
            yield [exactly_from_attributes(item) for item in items], None if key is None else TaskKey(**key)

    def park(self, task: WorkItem, item: Mapping[str, Any]) -> bool:
        """Park the `item` of an ended run until its event is sent: the task's own item was put again or deleted.

        The run gets an item of its own, which is in the work index like the one before. Return False if it was parked
        before, and its event sent.
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
        """Return the ended run of a task in the work index, None if it has left; raise `InvalidInput` if malformed."""
        for key in (task.key, parked_key(task)):
            item = self.get(key)
            if item is not None and item.get("queue") == task.queue and item.get("since_ms") == task.since_ms:
                return ended_task(task, self.with_details(item))
        return None

    def note(self, task: WorkItem, changes: Mapping[str, Any]) -> bool:
        """Set attributes of a task that is still pending, as `WorkItem` has them; one that is None is removed."""
        return self._table.update(**_note(task, changes)).done

    async def note_in_loop(self, task: WorkItem, changes: Mapping[str, Any]) -> bool:
        """Set attributes as `note` does, from the event loop."""
        return (await self._table.update_in_loop(**_note(task, changes))).done

    def tell_progress(self, task: WorkItem, told: ProgressTold, before: ProgressTold | None) -> Write:
        """Note that the progress of a pending task is told, if what was told last is still `before`.

        Whoever succeeds tells it, once. The write has the item that refused it.
        """
        noted = asdict(told)
        is_as_before = (
            Attr(PROGRESS).not_exists() if before is None else Attr(f"{PROGRESS}.number").eq(before.number)
        )
        return self._table.update(
            _key(task.key),
            set={PROGRESS: noted},
            condition=Attr("status").eq(Status.PENDING.value)
            & Attr("since_ms").eq(task.since_ms)
            & is_as_before,
            mine=lambda item: item.get(PROGRESS) == noted and item.get("since_ms") == task.since_ms,
            # Two pollers may tell the same in the same millisecond.
            only_in_doubt=True,
        )

    def end(self, task: WorkItem, end: TaskEnd) -> EndedTask | None:
        """End a pending task, which stays in the work index for its event; return None if it is not pending.

        Its details are written first: what is left of an end that was refused, nobody looks for, and TTL removes.
        """
        details, update = _end(task, end)
        if details is not None:
            self._table.update(**details)
        write = self._table.update(**update)
        if not write.done:
            return None
        item = write.found
        return self._ended_before(task, end, item) or _ended_now(task, end, item)

    async def end_in_loop(self, task: WorkItem, end: TaskEnd) -> EndedTask | None:
        """End a task as `end` does, from the event loop."""
        details, update = _end(task, end)
        if details is not None:
            await self._table.update_in_loop(**details)
        write = await self._table.update_in_loop(**update)
        if not write.done:
            return None
        before = None
        if _is_of_another_call(end, item := write.found):
            before = await asyncio.to_thread(self._ended_before, task, end, item)
        return before or _ended_now(task, end, item)

    def _ended_before(self, task: WorkItem, end: TaskEnd, item: dict[str, Any]) -> EndedTask | None:
        """Return the task as an earlier call has ended it, None if that was this one."""
        return ended_task(task, self.with_details(item)) if _is_of_another_call(end, item) else None

    def cancel(self, key: TaskKey, now_ms: int) -> Write:
        """End a pending task, or a new item, as cancelled: it leaves the work index at once, and has no event.

        The write has the item as it is after it, or as it refused it, and None if there is none.
        """
        values: dict[str, Any] = {
            "status": Status.CANCELLED.value,
            # A new item has none yet.
            "submitted_at_ms": ValueOf("submitted_at_ms", now_ms),
            "detected_at_ms": now_ms,
            "expires_at": now_ms // 1000 + ENDED_KEPT_S,
            # One that intake has not accepted is not listed yet.
            **{name: ValueOf(name, value) for name, value in listed_attributes(key.task_id, now_ms).items()},
        }
        # The deadline stays, as on any ended task.
        gone = {"queue", "since_ms", *OF_EARLIER_RUNS} - {"deadline_ms", *values}
        status = Attr("status")
        is_open = status.eq(Status.PENDING.value) | status.not_exists() | status.eq(None)
        return self._table.update(
            _key(key),
            set=values,
            remove=sorted(gone),
            condition=Attr("task_id").exists() & is_open,
            mine=lambda item: item.get("status") == values["status"] and item.get("detected_at_ms") == now_ms,
            # Another may cancel it in the same millisecond.
            only_in_doubt=True,
            read=True,
        )

    def mark_event_sent(self, task: EndedTask) -> bool:
        """Take an ended task out of the work index and let a parked item expire; return whether it is out."""
        return any(self._table.update(**each).done for each in _departures(task))

    async def mark_event_sent_in_loop(self, task: EndedTask) -> bool:
        """Take a task out of the work index as `mark_event_sent` does, from the event loop."""
        for each in _departures(task):
            if (await self._table.update_in_loop(**each)).done:
                return True
        return False

    async def record_assets(
        self,
        key: TaskKey,
        event_id: str,
        assets: list[dict[str, Any]],
        archived_at_ms: int | None,
        *,
        truncated: bool = False,
        without: tuple[str, ...] = (),
    ) -> bool:
        """Set the archived files of the run that `event_id` names; return False if the task was put again or is gone.

        `archived_at_ms` is None while some files are waited for. `truncated` marks that the item lacks what the
        manifest has; False leaves the mark as it is. The attributes `without` are removed, so that the item is not too
        long.
        """
        values: dict[str, Any] = {"assets": assets}
        remove = list(without)
        if archived_at_ms is None:
            remove.append("archived_at_ms")
        else:
            values["archived_at_ms"] = archived_at_ms
        if truncated:
            values["truncated"] = True
        is_run = _IS_RUN.given(event_id=event_id)
        write = await self._table.update_in_loop(_key(key), set=values, remove=remove, condition=is_run)
        return write.done

    def ended(
        self,
        since_ms: int,
        providers: Collection[str] = (),
        *,
        until_ms: int = LATEST_MS,
        after: tuple[TaskKey, int] | None = None,
    ) -> Iterator[EndedRun]:
        """Yield the latest run of each task that was found ended from `since_ms` to before `until_ms`.

        One that ended within the last second may be missing. With `providers` it is the oldest first by provider;
        without, this reads the whole index, a hundred bytes or two for each ended task, in an order of its own. `after`
        is the key of the run that those to come follow, and when it was found ended.
        """
        for item in self._ended(since_ms, until_ms, providers, after):
            # Users may have put items with tunehook's attributes, until intake removes them. Parked runs are no task's.
            if not is_whole(item["detected_at_ms"], since_ms, until_ms - 1) or "#" in item["provider"]:
                continue
            if item.get("status") in _ENDS and isinstance(item.get("event_id"), str):
                yield EndedRun(
                    key=TaskKey(item["task_id"], item["provider"]),
                    status=Status(item["status"]),
                    event_id=item["event_id"],
                    detected_at_ms=item["detected_at_ms"],
                )

    def _ended(
        self, since_ms: int, until_ms: int, providers: Collection[str], after: tuple[TaskKey, int] | None
    ) -> Iterator[dict[str, Any]]:
        begin = None if after is None else {**_key(after[0]), "detected_at_ms": after[1]}
        within = Attr("detected_at_ms").between(since_ms, until_ms - 1)
        if not providers:
            yield from self._table.scan(index=ENDED_INDEX, where=within, consistent=False, after=begin)
        for provider in sorted(providers):
            if after is not None and provider < after[0].provider:
                continue
            moments = Key("detected_at_ms").between(since_ms, until_ms - 1)
            goes_on = begin if after is not None and provider == after[0].provider else None
            condition = Key("provider").eq(provider) & moments
            yield from self._table.query(condition, index=ENDED_INDEX, after=goes_on)


def listed_attributes(task_id: str, now_ms: int) -> dict[str, Any]:
    """Return what puts a task into the index of all tasks: written once for each run, with its first status.

    >>> listed_attributes("task-1", 1_795_939_317_000)
    {'listed': 'tasks#2026-11-26#2', 'listed_at_ms': 1795939317000}
    """
    week = Period.of(now_ms, LISTED_PERIOD_MS)
    return {"listed": _list(week, shard_of(task_id, _LISTS)), "listed_at_ms": now_ms}


def _list(week: Period, number: int) -> str:
    return f"tasks#{week.day}#{number}"


def is_told_last(key: TaskKey, item: Mapping[str, Any], event_id: str) -> bool:
    """Return whether a task's item is pending, and `event_id` names what was told last of its progress."""
    told, since_ms = progress_on(item), item.get("since_ms")
    if told is None or not isinstance(since_ms, int) or item.get("status") != Status.PENDING:
        return False
    return progress_event_id(key, since_ms, told.number) == event_id


def _note(task: WorkItem, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the update that sets attributes of a pending task, as `Table.update` takes it."""
    marked = dict(changes)
    if not changes.keys().isdisjoint((*UNPROJECTED, UNPROJECTED_MARK)):
        marked[UNPROJECTED_MARK] = _mark(task, changes)
    return {
        "key": _key(task.key),
        "set": {name: note_to_item(value) for name, value in marked.items() if value is not None},
        "remove": [name for name, value in marked.items() if value is None],
        "condition": _is_pending(task),
    }


def _end(task: WorkItem, end: TaskEnd) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the updates that end a pending task, as `Table.update` takes them: first that of its details, or None."""
    values, details = end_to_items(task, end)
    beside = None
    if details is not None:
        # An update, not a put: the poller's role may put nothing in this table.
        beside = {"key": {name: details.pop(name) for name in ("task_id", "provider")}, "set": details}
    return beside, {
        "key": _key(task.key),
        "set": values,
        "remove": _OF_PENDING_TASKS,
        "condition": _is_pending(task),
        "mine": lambda item: item.get("event_id") == values["event_id"] and "queue" in item,
        # Two pollers may end a task in the same way, even in the same millisecond; one of them emits its event.
        "only_in_doubt": True,
        "read": True,
    }


def _is_of_another_call(end: TaskEnd, item: Mapping[str, Any]) -> bool:
    """Return whether an earlier call has ended a task: what that wrote counts."""
    return bool(item.get("detected_at_ms", end.detected_at_ms) != end.detected_at_ms)


def _ended_now(task: WorkItem, end: TaskEnd, item: dict[str, Any]) -> EndedTask:
    metadata = metadata_of(item)
    return EndedTask(key=task.key, queue=task.queue, since_ms=task.since_ms, end=end, metadata=metadata)


def _departures(task: EndedTask) -> Iterator[dict[str, Any]]:
    """Yield the updates that may take an ended task out of the work index: of its own item, and of a parked one."""
    event_id = event_id_of(task.key, task.end.status, task.since_ms)
    parked = {"expires_at": task.end.detected_at_ms // 1000}
    for key, values in ((task.key, {}), (parked_key(task), parked)):
        yield {
            "key": _key(key),
            "set": values,
            "remove": ["queue", "since_ms"],
            "condition": _IS_IN_INDEX.given(queue=task.queue, since_ms=task.since_ms),
            "mine": lambda item: item.get("event_id") == event_id and "queue" not in item,
        }


_IS_PENDING: Final = PreparedCondition(
    Attr("status").eq(Status.PENDING.value) & Attr("since_ms").eq(Parameter("since_ms"))
)
_IS_RUN: Final = PreparedCondition(Attr("event_id").eq(Parameter("event_id")))
_IS_IN_INDEX: Final = PreparedCondition(
    Attr("queue").eq(Parameter("queue")) & Attr("since_ms").eq(Parameter("since_ms"))
)


def _is_pending(task: WorkItem) -> BuiltCondition:
    return _IS_PENDING.given(since_ms=task.since_ms)


def _mark(task: WorkItem, changes: Mapping[str, Any]) -> int | None:
    """Return the mark that a task has after the changes, or None if there is nothing that is not projected."""
    known = {name: getattr(task, name) for name in UNPROJECTED}
    if task.trouble is not None and not task.trouble.is_kept:
        known["trouble"] = None
    count: int = changes.get(UNPROJECTED_MARK, task.empty_count) or 0
    after = known | dict(changes)
    return count if count or any(after[name] is not None for name in UNPROJECTED) else None


def _key(key: TaskKey) -> dict[str, Any]:
    return {"task_id": key.task_id, "provider": key.provider}
