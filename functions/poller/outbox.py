"""Ends tasks and emits their events, as a transactional outbox: the update first, then the event, then the index.

A crash between two of these steps leaves the task where the next pass finds it (`docs/design.md`, "Data", work).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from aws_lambda_powertools import Logger

from tunehook.aws.bus import EventBus
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.events import event_id_of, task_ended
from tunehook.providers.outcomes import InlineFile
from tunehook.tasks import EndedTask, Status, TaskEnd, TaskKey, WorkItem
from tunehook.times import now_ms

logger = Logger(child=True)

OWNERS_MS: Final = 10_000
"""How long only the pass that ended a task emits its event."""


@dataclass(slots=True)
class _Found:
    """A task that was found ended, and from when on its event may be emitted here."""

    task: WorkItem
    found_at_ms: int = 0
    from_ms: int = 0
    is_read: bool = False


_Run: TypeAlias = tuple[TaskKey, int]


@dataclass(slots=True)
class Outbox:
    """The ended tasks of one shard whose events are not on the bus yet, or not marked as sent.

    What fails stays in memory until the next `flush`; what is lost with the process, the next pass finds in the index.
    `store_file` stores a file that came inside an answer, for the event of an id.
    """

    tasks: TasksTable
    bus: EventBus
    store_file: Callable[[str, InlineFile], None] | None = None
    clock: Callable[[], int] = now_ms
    _to_emit: list[EndedTask] = field(default_factory=list)
    _to_mark: list[EndedTask] = field(default_factory=list)
    _known: set[_Run] = field(default_factory=set)
    _ending: set[_Run] = field(default_factory=set)
    # Runs whose update failed, and may have been made all the same.
    _unsure: set[_Run] = field(default_factory=set)
    _found: dict[_Run, _Found] = field(default_factory=dict)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_empty(self) -> bool:
        """Whether every known task's event is on the bus and marked as sent."""
        return not (self._to_emit or self._to_mark or self._found)

    async def end(self, task: WorkItem, end: TaskEnd, files: Sequence[InlineFile] = ()) -> bool:
        """End a pending task and emit its event; return False if this run of it was ended by another pass.

        The files are stored first: once the task has ended, no poll brings them again. Raises boto3's errors if one
        could not be stored, or the update failed.
        """
        for file in files:
            if self.store_file is None:
                raise Misconfigured("there is no place for files that come inside an answer")
            event_id = event_id_of(task.key, end.status, task.since_ms)
            await asyncio.to_thread(self.store_file, event_id, file)
        ended = await self._end(task, end)
        if ended is None:
            return False
        logger.info(
            "task_ended",
            task_id=task.key.task_id,
            provider=task.key.provider,
            status=end.status.value,
            code=end.failure and end.failure.code.value,
            detection_delay_ms=end.detection_delay_ms,
        )
        await self.flush()
        return True

    async def _end(self, task: WorkItem, end: TaskEnd) -> EndedTask | None:
        """Write the end, and queue its event; meanwhile no read of the index takes the task for left over."""
        run = (task.key, task.since_ms)
        self._ending.add(run)
        try:
            ended = await self.tasks.end_in_loop(task, end)
            if ended is None and run in self._unsure:
                with suppress(InvalidInput):  # the work index will show it as what it is
                    ended = await asyncio.to_thread(self.tasks.get_ended, task)
            if ended is not None and run not in self._known:
                self._add(ended)
        except AWS_FAULTS:
            self._unsure.add(run)
            raise
        else:
            self._unsure.discard(run)
        finally:
            self._ending.discard(run)
        return ended

    def add_found(self, ended: Iterable[WorkItem]) -> None:
        """Remember tasks that the work index shows as ended, except those that this outbox ends or knows."""
        for task in ended:
            run = (task.key, task.since_ms)
            if run not in self._known and run not in self._ending:
                self._found.setdefault(run, _Found(task))

    async def emit_left_over(self) -> int:
        """Emit the events of found tasks; return how many of them another pass should have emitted.

        The pass that ended a task emits its event; after `OWNERS_MS` it counts as left over. A rejected task's event
        has no other owner. Raises boto3's errors if an item could not be read: that one is remembered.
        """
        present_ms = self.clock()
        ripe = [each for each in self._found.values() if not each.is_read and each.from_ms <= present_ms]
        try:
            left_over = await asyncio.gather(*map(self._take_found, ripe), return_exceptions=True)
        finally:
            await self.flush()
        for problem in left_over:
            if isinstance(problem, BaseException):
                raise problem
        return sum(map(bool, left_over))

    async def _take_found(self, found: _Found) -> bool:
        """Queue the event of a found task if it is due; return whether another pass should have emitted it."""
        task = found.task
        run = (task.key, task.since_ms)
        found.is_read = True
        try:
            ended = await asyncio.to_thread(self.tasks.get_ended, task)
        except InvalidInput as error:
            self._known.add(run)
            del self._found[run]
            logger.error("item_unreadable", task_id=task.key.task_id, reason=error.reason)
            return False
        finally:
            found.is_read = False
        if ended is None or run in self._known or run in self._ending:
            del self._found[run]
            return False
        is_own = ended.end.status is Status.REJECTED or run in self._unsure
        present_ms = self.clock()
        found.found_at_ms = found.found_at_ms or present_ms
        # A clock that is ahead, or a user's hand, may have put the end into the future.
        owned_until_ms = min(ended.end.detected_at_ms, found.found_at_ms) + OWNERS_MS
        if not is_own and present_ms < owned_until_ms:
            found.from_ms = owned_until_ms
            return False
        del self._found[run]
        self._unsure.discard(run)
        self._add(ended)
        return not is_own

    def _add(self, task: EndedTask) -> None:
        self._known.add((task.key, task.since_ms))
        self._to_emit.append(task)

    async def flush(self) -> None:
        """Emit the queued events, and mark those as sent that the bus has taken."""
        async with self._flushing:
            batch, self._to_emit = _earlier_and_later(self._to_emit, self._found)
            if batch:
                await self._emit(batch)
            emitted, self._to_mark = self._to_mark, []
            await asyncio.gather(*(self._mark_sent(task) for task in emitted))

    async def _emit(self, batch: list[EndedTask]) -> None:
        """Emit the events of a batch; queue again what the bus has not taken."""
        try:
            accepted = await self.bus.put_in_loop([task_ended(task) for task in batch])
        except AWS_FAULTS as error:
            logger.warning("events_not_emitted", count=len(batch), error=code_of(error))
            accepted = [False] * len(batch)
        except BaseException:
            self._to_emit += batch
            raise
        for task, is_accepted in zip(batch, accepted, strict=True):
            (self._to_mark if is_accepted else self._to_emit).append(task)

    async def _mark_sent(self, task: EndedTask) -> None:
        try:
            await self.tasks.mark_event_sent_in_loop(task)
        except AWS_FAULTS as error:
            self._to_mark.append(task)
            logger.warning("event_not_marked_sent", task_id=task.key.task_id, error=code_of(error))


def _earlier_and_later(
    waiting: Iterable[EndedTask], found: Iterable[_Run]
) -> tuple[list[EndedTask], list[EndedTask]]:
    """Split runs into the first of each task, found ones included, and those that wait for its event."""
    waiting = list(waiting)
    first: dict[TaskKey, int] = {}
    for key, since_ms in (*((task.key, task.since_ms) for task in waiting), *found):
        first[key] = min(since_ms, first.get(key, since_ms))
    return (
        [task for task in waiting if task.since_ms == first[task.key]],
        [task for task in waiting if task.since_ms > first[task.key]],
    )
