"""Ends tasks and emits their events: the update first, then the event, then the way out of the work index.

A crash between two of these steps leaves the task where the next pass finds it (`docs/design.md`, "Data", work).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aws_lambda_powertools import Logger

from tunehook.aws.bus import EventBus
from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.events import task_ended
from tunehook.tasks import EndedTask, PendingTask, Status, TaskEnd, TaskKey

logger = Logger(child=True)


class Outbox:
    """The ended tasks of one shard on their way to the bus.

    Parameters
    ----------
    tasks : TasksTable
        Where tasks are ended.
    bus : EventBus
        Where their events go.
    shard : int
        The shard of the work index.
    """

    def __init__(self, tasks: TasksTable, bus: EventBus, shard: int) -> None:
        self._tasks = tasks
        self._bus = bus
        self._shard = shard
        self._waiting: list[EndedTask] = []
        self._in_hand: set[tuple[TaskKey, int]] = set()
        self._flushing = asyncio.Lock()

    async def end(self, task: PendingTask, end: TaskEnd) -> bool:
        """End a pending task and emit its event.

        Returns
        -------
        bool
            False if this run of the task was ended by somebody else.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If the update failed; the task is still pending then.
        """
        ended = await asyncio.to_thread(self._tasks.end, task, end, self._shard)
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
        await self._flush()
        return True

    async def emit_left_over(self, left: Iterable[PendingTask]) -> int:
        """Emit the events of tasks that the work index shows as ended, except those that this outbox knows of.

        Returns
        -------
        int
            How many of them another pass should have emitted; a rejected task's event is this pass's to emit.
        """
        left_by_others = 0
        for task in left:
            if (task.key, task.since_ms) in self._in_hand:
                continue
            ended = await asyncio.to_thread(self._tasks.get_ended, task)
            if ended is not None:
                self._add(ended)
                left_by_others += ended.end.status is not Status.REJECTED
        await self._flush()
        return left_by_others

    def _add(self, task: EndedTask) -> None:
        self._in_hand.add((task.key, task.since_ms))
        self._waiting.append(task)

    async def _flush(self) -> None:
        # Whoever comes while a batch is under way finds a larger one waiting afterwards.
        async with self._flushing:
            batch, self._waiting = self._waiting, []
            if batch:
                await self._emit(batch)

    async def _emit(self, batch: list[EndedTask]) -> None:
        try:
            accepted = await asyncio.to_thread(self._bus.put, [task_ended(task) for task in batch])
        except AWS_FAULTS as error:
            logger.warning("events_not_emitted", count=len(batch), error=code_of(error))
            accepted = [False] * len(batch)
        for task, is_accepted in zip(batch, accepted, strict=True):
            if not is_accepted:
                self._in_hand.discard((task.key, task.since_ms))
        await asyncio.gather(
            *(self._leave(task) for task, is_accepted in zip(batch, accepted, strict=True) if is_accepted)
        )

    async def _leave(self, task: EndedTask) -> None:
        try:
            await asyncio.to_thread(self._tasks.leave_index, task)
        except AWS_FAULTS as error:
            # The event goes out once more, with the same id.
            self._in_hand.discard((task.key, task.since_ms))
            logger.warning("index_not_left", task_id=task.key.task_id, error=code_of(error))
