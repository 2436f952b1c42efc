"""Reads new work from the work index of a shard, though it shows some items late and some reads hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks, in_thread
from poller.outbox import Outbox
from poller.scheduler import INDEX_LAG_MS, PollScheduler
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.tasks import TaskKey

logger = Logger(child=True)

READS_MAX: Final = 6
"""How many reads of the work index run at most, where some of them hang."""

LATE_MS: Final = 60_000
LATE_READ_EVERY_MS: Final = 15_000
"""An item whose update was repeated carries an older moment. boto3 gives up within `LATE_MS`, so some reads begin
that long before the last one."""


@dataclass(slots=True)
class WorkReader:
    """Gives pending tasks to the scheduler, and ended ones to the outbox.

    `read_from_ms` is when the last completed read began; 0 before the first.
    """

    shard: int
    tasks: TasksTable
    scheduler: PollScheduler
    outbox: Outbox
    executor: Executor | None
    clock: Callable[[], int]
    read_from_ms: int = 0
    reads: BackgroundTasks = field(default_factory=BackgroundTasks)
    _unreadable: set[TaskKey] = field(default_factory=set)
    _seen_until_ms: int = 0
    _late_read_at_ms: int = 0

    def start(self) -> list[asyncio.Task[bool]]:
        """Begin another read unless `READS_MAX` run; return it."""
        return [] if len(self.reads) >= READS_MAX else [self.reads.start(self.fetch_new_work())]

    async def fetch_until_found(self, delays_s: Iterable[float]) -> bool:
        """Read after each delay until there is new work; return whether there is, or may be."""
        added = self.scheduler.added
        for delay_s in delays_s:
            await asyncio.sleep(delay_s)
            could_read = await self.fetch_new_work()
            if not could_read or self.scheduler.added > added or not self.outbox.is_empty:
                return True
        return False

    async def fetch_new_work(self) -> bool:
        """Read what is new in the work index; return whether it could be read."""
        now_ms = self.clock()
        is_late_read = now_ms - self._late_read_at_ms >= LATE_READ_EVERY_MS
        since_ms = max(0, self._seen_until_ms - (LATE_MS if is_late_read else INDEX_LAG_MS))
        try:
            work = await in_thread(self.executor, self.tasks.work, self.shard, since_ms, self.scheduler.knows)
        except AWS_FAULTS as error:
            logger.warning("work_not_read", shard=self.shard, error=code_of(error))
            return False
        for task in work.pending:
            self.scheduler.add(task)
        for key in set(work.unreadable) - self._unreadable:
            self._unreadable.add(key)
            logger.error("item_unreadable", task_id=key.task_id, provider=key.provider)
        self.outbox.add_found(work.event_pending)
        # Now that nothing of this read is lost; a moment in the future must not hide what comes before it.
        self._seen_until_ms = max(self._seen_until_ms, min(work.seen_until_ms, self.clock()))
        self.read_from_ms = max(self.read_from_ms, now_ms)
        if is_late_read:
            self._late_read_at_ms = max(self._late_read_at_ms, now_ms)
        return True
