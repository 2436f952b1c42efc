"""Looks into the work index: what is new in it, though it shows some things late and some looks hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from aws_lambda_powertools import Logger

from poller.outbox import Outbox
from poller.under_way import Group, Upkeep
from poller.watchlist import INDEX_LAG_MS, Watchlist
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.tasks import TaskKey

logger = Logger(child=True)

LOOKS_MAX: Final = 6
"""How many looks into the work index are under way at most, where some of them hang."""

LATE_MS: Final = 60_000
LOOK_BACK_EVERY_MS: Final = 15_000
"""An item whose update was repeated carries an older moment. boto3 gives up within `LATE_MS`, so some looks begin
that long before the last one."""


class Looks:
    """The looks of one pass; what they find goes to its watchlist and its outbox.

    Parameters
    ----------
    shard : int
        Which part of the work index.
    tasks, watchlist, outbox : TasksTable, Watchlist, Outbox
    upkeep : Upkeep
        Makes the calls.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        shard: int,
        tasks: TasksTable,
        watchlist: Watchlist,
        outbox: Outbox,
        upkeep: Upkeep,
        clock: Callable[[], int],
    ) -> None:
        self._shard = shard
        self._tasks = tasks
        self._watchlist = watchlist
        self._outbox = outbox
        self._upkeep = upkeep
        self._clock = clock
        self._unreadable: set[TaskKey] = set()
        self._seen_until_ms = 0
        self._looked_back_at_ms = 0
        self._read_from_ms = 0
        self.under_way = Group()

    @property
    def read_from_ms(self) -> int:
        """When the last look began that could be read, in milliseconds since 1970; 0 before the first."""
        return self._read_from_ms

    def begin(self) -> asyncio.Task[bool] | None:
        """Begin another look, whether or not the ones before it have ended."""
        return None if len(self.under_way) >= LOOKS_MAX else self.under_way.start(self.look())

    async def again(self, after_s: Iterable[float]) -> bool:
        """Look some times, seconds apart, until there is something new; return whether there is, or may be."""
        found = self._watchlist.found
        for each_s in after_s:
            await asyncio.sleep(each_s)
            if not await self.look() or self._watchlist.found > found or not self._outbox.is_empty:
                return True
        return False

    async def look(self) -> bool:
        """Look into the work index for what is new; return whether that could be read."""
        now_ms = self._clock()
        is_back = now_ms - self._looked_back_at_ms >= LOOK_BACK_EVERY_MS
        since_ms = max(0, self._seen_until_ms - (LATE_MS if is_back else INDEX_LAG_MS))
        try:
            work = await self._upkeep(self._tasks.work, self._shard, since_ms, self._watchlist.knows)
        except AWS_FAULTS as error:
            logger.warning("look_failed", shard=self._shard, error=code_of(error))
            return False
        for task in work.pending:
            self._watchlist.add(task)
        for key in set(work.unreadable) - self._unreadable:
            self._unreadable.add(key)
            logger.error("item_unreadable", task_id=key.task_id, provider=key.provider)
        self._outbox.found(work.event_pending)
        # Only now, when nothing of this look is lost; and no moment in the future hides what comes before it.
        self._seen_until_ms = max(self._seen_until_ms, min(work.seen_until_ms, self._clock()))
        self._read_from_ms = max(self._read_from_ms, now_ms)
        if is_back:
            self._looked_back_at_ms = max(self._looked_back_at_ms, now_ms)
        return True
