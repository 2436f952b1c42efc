"""One pass of the poller over one shard: ticks of a second until nothing is left, or another poller took over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from enum import StrEnum
from typing import Final

from aws_lambda_powertools import Logger

from poller.answers import Answers
from poller.lease_holder import LeaseHolder
from poller.looks import Looks
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.provider_memory import ProviderMemory
from poller.questions import Questions
from poller.registry import ProviderRegistry
from poller.rounds import Rounds
from poller.under_way import Group, Single, Upkeep, briefly
from poller.watchlist import Watchlist
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import Leases
from tunehook.aws.tasks import TasksTable

logger = Logger(child=True)

TICK_S: Final = 1.0

STOP_BEFORE_MS: Final = 15_000
"""How long before the invocation's end no more is asked, so that what is known can be settled."""

STUCK_BEFORE_MS: Final = 10_000
"""How long before the invocation's end even a call that hangs keeps it from stopping no longer."""

WIND_UP_MARGIN_S: Final = 3.0
"""What remains of the invocation when even settling is given up."""

LOOK_AGAIN_AFTER_S: Final = (0.0, 1.0, 2.0)
"""When a pass that found nothing looks again, in case the index has not shown yet what its intake has accepted."""

FINISH_WITHIN_S: Final = 10.0
"""How long the requests under way are waited for by a pass that was taken over: as long as one may take."""

MINUTE_MS: Final = 60_000
"""How far apart the schedule's starts are."""


class StopReason(StrEnum):
    """Why a pass ended."""

    NOTHING_PENDING = "nothing_pending"
    NOTHING_DUE = "nothing_due"
    ALREADY_RUNNING = "already_running"
    TAKEN_OVER = "taken_over"
    OUT_OF_TIME = "out_of_time"


class PollLoop:
    """Watches the pending tasks of a shard.

    Parameters
    ----------
    shard : int
        Which part of the work index.
    owner : str
        Who holds the lease: the invocation's request id.
    tasks, leases : TasksTable, Leases
        The tables.
    outbox : Outbox
        Ends tasks and emits their events.
    providers : ProviderRegistry
        Whom to ask.
    memory : ProviderMemory
        What earlier passes knew of them.
    figures : Metrics
        Counts what the pass does.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    remaining_ms : callable
        Returns how long the invocation may still run, in milliseconds.
    upkeep : Executor, optional
        The threads that look into the work index and hold the lease, so that these wait for no other call; those of
        the event loop by default.
    """

    def __init__(
        self,
        *,
        shard: int,
        owner: str,
        tasks: TasksTable,
        leases: Leases,
        outbox: Outbox,
        providers: ProviderRegistry,
        memory: ProviderMemory,
        figures: Metrics,
        clock: Callable[[], int],
        remaining_ms: Callable[[], int],
        upkeep: Executor | None = None,
    ) -> None:
        self._shard = shard
        self._tasks = tasks
        self._outbox = outbox
        self._providers = providers
        self._memory = memory
        self._figures = figures
        self._clock = clock
        self._remaining_ms = remaining_ms
        in_upkeep = Upkeep(upkeep)
        self._rounds = Rounds()
        self._watchlist = Watchlist(providers, memory, self._rounds, clock)
        self._looks = Looks(shard, tasks, self._watchlist, outbox, in_upkeep, clock)
        self._hold = LeaseHolder(shard, owner, leases, in_upkeep, clock)
        self._answers = Answers(self._watchlist, tasks, outbox, providers, memory, figures, clock)
        self._questions = Questions(
            shard, self._watchlist, self._answers, self._rounds, providers, memory, figures, clock
        )
        self._settling = self._answers.settling
        self._emitting: Single[None] = Single(self._settling)
        self._reading = Group()
        self._refreshing: Single[bool] = Single(self._reading)
        self._is_configured = False
        self._began_at_ms = 0

    async def run(self, *, take_over: bool) -> StopReason:
        """Watch the shard until there is a reason to stop.

        Parameters
        ----------
        take_over : bool
            Whether to take the lease from a poller that holds it (the schedule's way), or to leave the work to it.

        Returns
        -------
        StopReason
            Why the pass ended. What it did not finish, the next one finds in the work index.
        """
        self._began_at_ms = self._clock()
        try:
            reason = await self._watch_in_time(take_over)
            self._save_memory(is_last=True)
            if reason is StopReason.TAKEN_OVER:
                await self._finish_asking()
            return reason
        finally:
            await self._wind_up()

    async def _watch_in_time(self, take_over: bool) -> StopReason:
        try:
            async with asyncio.timeout((self._remaining_ms() - STUCK_BEFORE_MS) / 1000) as limit:
                return await self._watch_until_stopped(take_over)
        except TimeoutError:
            if not limit.expired():
                raise
            return StopReason.OUT_OF_TIME

    async def _watch_until_stopped(self, take_over: bool) -> StopReason:
        # Intake starts a poller because there is something, whether the index shows it yet or not.
        if not await self._looks.again(LOOK_AGAIN_AFTER_S[:1] if take_over else LOOK_AGAIN_AFTER_S):
            return StopReason.NOTHING_PENDING
        self._is_configured = await self._providers.refresh()
        if not await self._take_lease(take_over=take_over):
            return StopReason.ALREADY_RUNNING
        logger.info("pass_began", shard=self._shard, pending=len(self._watchlist.tasks))
        waited_s = 0.0
        idle_from_ms: int | None = None
        while True:
            waited_s += await self._questions.ask_due(is_configured=self._is_configured)
            self._emit_left_over()
            self._save_memory()
            self._hold.leave(lambda: self._rounds.noted(self._watchlist.tasks.values()), self._settling)
            await asyncio.sleep(TICK_S - waited_s)
            if self._remaining_ms() < STOP_BEFORE_MS:
                await self._hold.give_up()
                return StopReason.OUT_OF_TIME
            idle_from_ms = (idle_from_ms or self._clock()) if self._is_idle() else None
            look = self._looks.begin()
            self._hold.renew()
            # Follow the configuration; while it is being read, the last one is good.
            waited_s = await briefly(look, self._hold.renewing.task, self._refreshing.begin(self._refresh))
            if self._hold.is_lost:
                return StopReason.TAKEN_OVER
            # Looks may take longer than a tick: one that began since then has to have found nothing.
            is_over = (
                idle_from_ms is not None and self._looks.read_from_ms >= idle_from_ms and self._is_idle()
            )
            if not is_over and not self._may_rest():
                continue
            # The lease goes first: a task put after this look finds no live lease, and its intake starts a poller.
            await self._hold.give_up()
            if not await self._looks.again(LOOK_AGAIN_AFTER_S):
                return StopReason.NOTHING_DUE if self._watchlist.tasks else StopReason.NOTHING_PENDING
            if not await self._take_lease(take_over=False):
                return StopReason.TAKEN_OVER

    def _is_idle(self) -> bool:
        return not self._watchlist.tasks and self._is_through()

    def _is_through(self) -> bool:
        """Return whether nothing is under way, and the lease may be given up without being taken back by a renewal."""
        return (
            self._outbox.is_empty
            and not (self._questions.asking or self._settling)
            and self._hold.renewing.task is None
        )

    def _may_rest(self) -> bool:
        """Return whether the schedule's next poller, which asks about every task at once, comes in time for all."""
        return (
            self._hold.is_in_time
            and self._is_configured
            and self._is_through()
            and self._watchlist.rest(self._began_at_ms + MINUTE_MS)
        )

    async def _take_lease(self, *, take_over: bool) -> bool:
        if not await self._hold.take(take_over=take_over):
            return False
        behind = await self._hold.left(take_over=take_over)
        if behind is not None:
            self._rounds.resume(behind)
        self._watchlist.begin(self._hold.handed_over_at_ms)
        return True

    async def _refresh(self) -> bool:
        self._is_configured = await self._providers.refresh()
        return self._is_configured

    def _emit_left_over(self) -> None:
        """Emit the events that another pass left: only who holds the lease does, or many would at the same time."""

        async def emit() -> None:
            try:
                self._figures.emitted_again(await self._outbox.emit_left_over())
            except AWS_FAULTS as error:
                logger.warning("left_over_not_read", shard=self._shard, error=code_of(error))

        if not self._outbox.is_empty:
            self._emitting.begin(emit)

    def _save_memory(self, *, is_last: bool = False) -> None:
        for standing in self._memory.unsaved(is_last=is_last):
            self._settling.start(self._memory.save(standing))

    async def _finish_asking(self) -> None:
        """Ask no more, and take the answers that are under way: the next poller counts these tasks as asked."""
        self._questions.finish()
        patience_s = min(FINISH_WITHIN_S, (self._remaining_ms() - STUCK_BEFORE_MS) / 1000)
        if patience_s > 0:
            await self._questions.asking.wait(patience_s)

    async def _wind_up(self) -> None:
        """Stop asking, and settle what was answered while there is time."""
        beside = (
            self._questions.asking,
            self._questions.loading_under_way,
            self._reading,
            self._hold.under_way,
            self._looks.under_way,
        )
        cancelled = [task for group in beside for task in group.cancel()]
        patience_s = max(0.0, self._remaining_ms() / 1000 - WIND_UP_MARGIN_S)
        while self._settling and patience_s > 0:
            patience_s = patience_s if await self._settling.wait(patience_s) else 0.0
        await asyncio.gather(*cancelled, *self._settling.cancel(), return_exceptions=True)
