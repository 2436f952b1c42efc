"""Ends tasks and emits their events: the update first, then the event, then the way out of the work index.

A crash between two of these steps leaves the task where the next pass finds it (`docs/design.md`, "Data", work).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from aws_lambda_powertools import Logger

from tunehook.aws.bus import EventBus
from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.events import event_id_of, task_ended
from tunehook.providers import InlineFile
from tunehook.tasks import EndedTask, PendingTask, Status, TaskEnd, TaskKey

logger = Logger(child=True)


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
    """

    def __init__(
        self, tasks: TasksTable, bus: EventBus, keep: Callable[[str, InlineFile], None] | None = None
    ) -> None:
        self._tasks = tasks
        self._bus = bus
        self._keep = keep
        self._to_emit: list[EndedTask] = []
        self._to_leave: list[EndedTask] = []
        self._known: set[tuple[TaskKey, int]] = set()
        self._flushing = asyncio.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether every task that the outbox knows of is through."""
        return not (self._to_emit or self._to_leave)

    async def end(self, task: PendingTask, end: TaskEnd, files: Sequence[InlineFile] = ()) -> bool:
        """End a pending task and emit its event.

        Parameters
        ----------
        task : PendingTask
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
            If a file could not be kept, or the update failed; the task is still pending then.
        """
        if files:
            await self._keep_all(event_id_of(task.key, end.status, task.since_ms), files)
        ended = await asyncio.to_thread(self._tasks.end, task, end)
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
        self._add(ended)
        await self.flush()
        return True

    async def _keep_all(self, event_id: str, files: Sequence[InlineFile]) -> None:
        if self._keep is None:
            raise Misconfigured("there is no place for files that come inside an answer")
        for file in files:
            await asyncio.to_thread(self._keep, event_id, file)

    async def emit_left_over(self, left: Iterable[PendingTask]) -> int:
        """Emit the events of tasks that the work index shows as ended, except those that this outbox knows of.

        Returns
        -------
        int
            How many of them another pass should have emitted; a rejected task's event is this pass's to emit.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If an item could not be read; the others are emitted.
        """
        unknown = [task for task in left if (task.key, task.since_ms) not in self._known]
        try:
            found = await asyncio.gather(*(self._left_over(task) for task in unknown))
        finally:
            await self.flush()
        return sum(ended is not None and ended.end.status is not Status.REJECTED for ended in found)

    async def _left_over(self, task: PendingTask) -> EndedTask | None:
        try:
            ended = await asyncio.to_thread(self._tasks.get_ended, task)
        except InvalidInput as error:
            self._known.add((task.key, task.since_ms))
            logger.error("item_unreadable", task_id=task.key.task_id, reason=error.reason)
            return None
        if ended is not None:
            self._add(ended)
        return ended

    def _add(self, task: EndedTask) -> None:
        self._known.add((task.key, task.since_ms))
        self._to_emit.append(task)

    async def flush(self) -> None:
        """Emit what waits for it, and take what was emitted out of the index."""
        # Whoever comes while a batch is under way finds a larger one waiting afterwards.
        async with self._flushing:
            batch, self._to_emit = _earlier_and_later(self._to_emit)
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
            await asyncio.to_thread(self._tasks.leave_index, task)
        except AWS_FAULTS as error:
            self._to_leave.append(task)
            logger.warning("index_not_left", task_id=task.key.task_id, error=code_of(error))


def _earlier_and_later(waiting: list[EndedTask]) -> tuple[list[EndedTask], list[EndedTask]]:
    """Split runs into the first of each task, and those that wait until its event is on the bus."""
    first: dict[TaskKey, int] = {}
    for task in waiting:
        first[task.key] = min(task.since_ms, first.get(task.key, task.since_ms))
    return (
        [task for task in waiting if task.since_ms == first[task.key]],
        [task for task in waiting if task.since_ms > first[task.key]],
    )
