"""Ends tasks and emits their events: the update first, then the event, then the way out of the work index.

A crash between two of these steps leaves the task where the next pass finds it (`docs/design.md`, "Data", work).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from aws_lambda_powertools import Logger

from tunehook.aws.bus import EventBus
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.events import event_id_of, task_ended
from tunehook.providers import InlineFile
from tunehook.tasks import EndedTask, Status, TaskEnd, TaskKey, WorkItem
from tunehook.times import now_ms

logger = Logger(child=True)

OWNERS_MS: Final = 10_000
"""How long the event of an end is its owner's to emit: whoever ended the task."""


@dataclass(slots=True)
class _LeftOver:
    """A task that was found ended: from when on it is nobody else's, and whether its item is being read."""

    task: WorkItem
    found_at_ms: int = 0
    from_ms: int = 0
    is_read: bool = False


_Run: TypeAlias = tuple[TaskKey, int]


class Outbox:
    """The ended tasks of one shard on their way to the bus.

    What fails on that way stays in memory, and `flush` tries it again; what is lost with the process, the next pass
    finds in the work index.

    Parameters
    ----------
    tasks : TasksTable
        Where tasks are ended.
    bus : EventBus
        Where their events go.
    keep : callable, optional
        Keeps a file that came inside a provider's answer, for the event that the identifier names; may block. See
        `poller.inline_files`.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        tasks: TasksTable,
        bus: EventBus,
        keep: Callable[[str, InlineFile], None] | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._tasks = tasks
        self._bus = bus
        self._keep = keep
        self._clock = clock
        self._to_emit: list[EndedTask] = []
        self._to_leave: list[EndedTask] = []
        self._known: set[_Run] = set()
        self._ending: set[_Run] = set()
        # Runs whose update failed, and may have been made all the same.
        self._unsure: set[_Run] = set()
        self._left: dict[_Run, _LeftOver] = {}
        self._flushing = asyncio.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether every task that the outbox knows of is through."""
        return not (self._to_emit or self._to_leave or self._left)

    async def end(self, task: WorkItem, end: TaskEnd, files: Sequence[InlineFile] = ()) -> bool:
        """End a pending task and emit its event.

        Parameters
        ----------
        task : WorkItem
        end : TaskEnd
        files : sequence of InlineFile
            What came inside the answer. They are kept first: once the task has ended, nobody asks for them again.

        Returns
        -------
        bool
            False if this run of the task was ended by somebody else.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If a file could not be kept, or the update failed; as far as is known the task is still pending then.
        """
        if files:
            await self._keep_all(event_id_of(task.key, end.status, task.since_ms), files)
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
        """Write the end, and put it with those to emit; no look at the index takes it for left over meanwhile."""
        run = (task.key, task.since_ms)
        self._ending.add(run)
        try:
            ended = await asyncio.to_thread(self._tasks.end, task, end)
            if ended is None and run in self._unsure:
                ended = await self._read_unsure(task)
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

    async def _read_unsure(self, task: WorkItem) -> EndedTask | None:
        try:
            return await asyncio.to_thread(self._tasks.get_ended, task)
        except InvalidInput:
            return None  # the work index will show it as what it is

    async def _keep_all(self, event_id: str, files: Sequence[InlineFile]) -> None:
        if self._keep is None:
            raise Misconfigured("there is no place for files that come inside an answer")
        for file in files:
            await asyncio.to_thread(self._keep, event_id, file)

    async def emit_left_over(self, left: Iterable[WorkItem] = ()) -> int:
        """Emit the events of tasks that were found ended, except those that this outbox knows of.

        Whoever ended a task emits its event: only when that has not happened within `OWNERS_MS` it counts as left
        over. Until then the task is remembered, for a later call. A rejected task's event has no other owner.

        Parameters
        ----------
        left : iterable of WorkItem
            What the work index shows as ended.

        Returns
        -------
        int
            How many of them another pass should have emitted.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If an item could not be read; the others are emitted, and that one is remembered.
        """
        self.found(left)
        present_ms = self._clock()
        ripe = [each for each in self._left.values() if not each.is_read and each.from_ms <= present_ms]
        try:
            found = await asyncio.gather(*map(self._left_over, ripe), return_exceptions=True)
        finally:
            await self.flush()
        for problem in found:
            if isinstance(problem, BaseException):
                raise problem
        return sum(map(bool, found))

    def found(self, ended: Iterable[WorkItem]) -> None:
        """Remember tasks that the work index shows as ended, unless this outbox has ended them or knows of them."""
        for task in ended:
            run = (task.key, task.since_ms)
            if run not in self._known and run not in self._ending:
                self._left.setdefault(run, _LeftOver(task))

    async def _left_over(self, left: _LeftOver) -> bool:
        """Put a task that was left over with those to emit; return whether another pass should have emitted it."""
        task = left.task
        run = (task.key, task.since_ms)
        left.is_read = True
        try:
            ended = await asyncio.to_thread(self._tasks.get_ended, task)
        except InvalidInput as error:
            self._known.add(run)
            del self._left[run]
            logger.error("item_unreadable", task_id=task.key.task_id, reason=error.reason)
            return False
        finally:
            left.is_read = False
        if ended is None or run in self._known or run in self._ending:
            del self._left[run]
            return False
        is_own = ended.end.status is Status.REJECTED or run in self._unsure
        present_ms = self._clock()
        left.found_at_ms = left.found_at_ms or present_ms
        # A clock that is ahead, or a user's hand, may have put the end into the future.
        owned_until_ms = min(ended.end.detected_at_ms, left.found_at_ms) + OWNERS_MS
        if not is_own and present_ms < owned_until_ms:
            left.from_ms = owned_until_ms
            return False
        del self._left[run]
        self._unsure.discard(run)
        self._add(ended)
        return not is_own

    def _add(self, task: EndedTask) -> None:
        self._known.add((task.key, task.since_ms))
        self._to_emit.append(task)

    async def flush(self) -> None:
        """Emit what waits for it, and take what was emitted out of the index."""
        # Whoever comes while a batch is under way finds a larger one waiting afterwards.
        async with self._flushing:
            batch, self._to_emit = _earlier_and_later(self._to_emit, self._left)
            if batch:
                self._to_leave += await self._emit(batch)
            leaving, self._to_leave = self._to_leave, []
            await asyncio.gather(*(self._leave(task) for task in leaving))

    async def _emit(self, batch: list[EndedTask]) -> list[EndedTask]:
        """Return those whose event is on the bus; the others wait again."""
        try:
            accepted = await asyncio.to_thread(self._bus.put, [task_ended(task) for task in batch])
        except AWS_FAULTS as error:
            logger.warning("events_not_emitted", count=len(batch), error=code_of(error))
            accepted = [False] * len(batch)
        except BaseException:
            self._to_emit += batch
            raise
        outcome = tuple(zip(batch, accepted, strict=True))
        self._to_emit += [task for task, is_accepted in outcome if not is_accepted]
        return [task for task, is_accepted in outcome if is_accepted]

    async def _leave(self, task: EndedTask) -> None:
        try:
            await asyncio.to_thread(self._tasks.mark_event_sent, task)
        except AWS_FAULTS as error:
            self._to_leave.append(task)
            logger.warning("index_not_left", task_id=task.key.task_id, error=code_of(error))


def _earlier_and_later(
    waiting: Iterable[EndedTask], left: Iterable[_Run]
) -> tuple[list[EndedTask], list[EndedTask]]:
    """Split runs into the first of each task, and those that wait until its event is on the bus.

    An earlier run may be one that was found ended, and is not to be emitted yet.
    """
    waiting = list(waiting)
    first: dict[TaskKey, int] = {}
    for key, since_ms in (*((task.key, task.since_ms) for task in waiting), *left):
        first[key] = min(since_ms, first.get(key, since_ms))
    return (
        [task for task in waiting if task.since_ms == first[task.key]],
        [task for task in waiting if task.since_ms > first[task.key]],
    )
