"""Polls one shard in ticks of a second, until nothing is left or another poller takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks, wait_briefly
from poller.dispatcher import PollDispatcher
from poller.hint_reader import QUICK_S, HintReader
from poller.lease_holder import LeaseHolder
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.outcome_handler import OutcomeHandler
from poller.progress import ProgressChannel, ProgressTeller
from poller.provider_alerts import ProviderAlerts
from poller.provider_health import ProviderHealthStore
from poller.registry import ProviderRegistry
from poller.scheduler import PollScheduler
from poller.take_in import TakeIn
from poller.work_reader import WorkReader
from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.leases import Leases, Position
from tunehook.aws.tasks import TasksTable

logger = Logger(child=True)

TICK_S: Final = 1.0

STOP_BEFORE_MS: Final = 15_000
"""How long before the invocation's end polling stops, so that its outcomes can be written."""

STUCK_BEFORE_MS: Final = 10_000
"""How long before the invocation's end the loop is cancelled, whatever call hangs."""

WIND_UP_MARGIN_S: Final = 3.0
"""What remains of the invocation when writes that hang are cancelled."""

FETCH_DELAYS_S: Final = (0.0, 1.0, 2.0)
"""The delays before each read of a pass that finds nothing, as the index may not show yet what intake has accepted."""

POLLS_WITHOUT_LEASE_S: Final = 2.0
"""How long a pass that holds no lease waits for its answers; then it takes the lease and goes on."""

POLLED_WITHOUT_LEASE_MAX: Final = 100
"""How many tasks a pass that holds no lease polls at most: another pass may poll them at the same time."""

FINISH_WITHIN_S: Final = 10.0
"""How long a pass that was taken over waits for its requests: as long as one may take."""

MINUTE_MS: Final = 60_000
"""How far apart the schedule's starts are."""


class StopReason(StrEnum):
    """Why a pass ended."""

    NOTHING_PENDING = "nothing_pending"
    NOTHING_DUE = "nothing_due"
    ALREADY_RUNNING = "already_running"
    TAKEN_OVER = "taken_over"
    OUT_OF_TIME = "out_of_time"


@dataclass(kw_only=True)
class PollLoop:
    """One pass over a shard.

    `owner`, the invocation's request id, holds the lease; `remaining_ms` returns how long the invocation may still run.
    The work index and the `hints` are read and the lease renewed in `reserved_threads`, so that these wait for no other
    call. `takes_in` says whether a task that nobody has put is taken in when its provider calls back about it;
    `progress` by what the progress of tasks is told, which it is not without one.
    """

    shard: int
    owner: str
    tasks: TasksTable
    leases: Leases
    hints: CallbackHintsTable
    outbox: Outbox
    providers: ProviderRegistry
    health: ProviderHealthStore
    metrics: Metrics
    clock: Callable[[], int]
    remaining_ms: Callable[[], int]
    reserved_threads: Executor | None = None
    takes_in: bool = True
    progress: ProgressChannel | None = None

    def __post_init__(self) -> None:
        self._scheduler = PollScheduler(self.providers, self.health, self.clock)
        self._work = WorkReader(
            self.shard, self.tasks, self._scheduler, self.outbox, self.reserved_threads, self.clock
        )
        self._lease = LeaseHolder(self.shard, self.owner, self.leases, self.reserved_threads, self.clock)
        self._writes = BackgroundTasks()
        take_in = TakeIn(self.hints, self.tasks, self.providers, self.metrics, self.clock)
        self._hints = HintReader(
            self.shard,
            self.hints,
            self.tasks,
            self._scheduler,
            take_in if self.takes_in else None,
            self._writes,
            self.reserved_threads,
            self.clock,
        )
        outcomes = OutcomeHandler(
            self._scheduler,
            self.tasks,
            self.outbox,
            self.providers,
            self.metrics,
            self.clock,
            settle_hint=self._hints.settle,
            progress=None
            if self.progress is None
            else ProgressTeller(self.tasks, self.progress, self.metrics, self.clock, self._writes),
            writes=self._writes,
        )
        self._dispatcher = PollDispatcher(
            self.shard, self._scheduler, outcomes, self.providers, self.health, self.metrics, self.clock
        )
        self._alerts = ProviderAlerts(
            self.health.states, self.outbox.bus, self._scheduler.count_of, self.clock
        )
        self._refreshes = BackgroundTasks()
        self._emitting: asyncio.Task[None] | None = None
        self._is_configured = False

    async def run(self, *, take_over: bool) -> StopReason:
        """Poll the shard until there is a reason to stop; the next pass finds in the index what is unfinished then.

        `take_over` takes the lease from a poller that holds it, as the schedule does; else the work is left to that.
        """
        self._began_at_ms = self.clock()
        try:
            try:
                async with asyncio.timeout((self.remaining_ms() - STUCK_BEFORE_MS) / 1000) as limit:
                    reason = await self._run(take_over)
            except TimeoutError:
                if not limit.expired():
                    raise
                reason = StopReason.OUT_OF_TIME
            self._save_health(is_last=True)
            if reason is StopReason.TAKEN_OVER:
                # For the answers that are still to come: the next poller counts these tasks as polled.
                self._dispatcher.finish()
                timeout_s = min(FINISH_WITHIN_S, (self.remaining_ms() - STUCK_BEFORE_MS) / 1000)
                await self._dispatcher.polls.wait(max(timeout_s, 0.0))
            return reason
        finally:
            await self._wind_up()

    async def _run(self, take_over: bool) -> StopReason:
        # Intake starts a poller because there is something, whether the index shows it yet or not.
        if not await self._fetch_until_found(FETCH_DELAYS_S[:1] if take_over else FETCH_DELAYS_S):
            return StopReason.NOTHING_PENDING
        await self._refresh()
        if take_over and (reason := await self._poll_without_lease()) is not None:
            return reason
        if not await self._take_lease(take_over=take_over):
            return StopReason.ALREADY_RUNNING
        logger.info("pass_began", shard=self.shard, pending=len(self._scheduler.tasks))
        waited_s = 0.0
        idle_from_ms: int | None = None
        while True:
            waited_s += await self._dispatcher.poll_due(is_configured=self._is_configured)
            self._emit_left_over()
            self._save_health(is_last=False)
            self._lease.save_positions_when_due(self._positions, self._writes)
            await self._sleep(TICK_S - waited_s)
            if self.remaining_ms() < STOP_BEFORE_MS:
                await self._lease.release()
                return StopReason.OUT_OF_TIME
            idle_from_ms = (idle_from_ms or self.clock()) if self._is_idle() else None
            reads = self._work.start()
            self._hints.start()
            self._lease.renew_when_due()
            # Follow the configuration; while it is being read, the last one is good.
            if not self._refreshes:
                self._refreshes.start(self._refresh())
            waited_s = await wait_briefly(*reads, *self._lease.renewals, *self._refreshes)
            if self._lease.is_lost:
                return StopReason.TAKEN_OVER
            # Reads may take longer than a tick: one that began since then has to have found nothing.
            is_over = idle_from_ms is not None and self._work.read_from_ms >= idle_from_ms and self._is_idle()
            if not is_over and not self._can_rest():
                continue
            self._hints.stop()
            self._scheduler.catch_up()
            await self._lease.save_positions(self._positions())
            # Before the last read: a task put after that finds no live lease, and its intake starts a poller.
            await self._lease.release()
            if not await self._fetch_until_found(FETCH_DELAYS_S):
                return StopReason.NOTHING_DUE if self._scheduler.tasks else StopReason.NOTHING_PENDING
            if not await self._take_lease(take_over=False):
                return StopReason.TAKEN_OVER

    async def _poll_without_lease(self) -> StopReason | None:
        """Poll old tasks once, of which nothing else is to be expected in this minute; return None to go on as ever.

        Nobody holds the lease meanwhile, so a task that comes starts a poller of its own: that this pass polls beside
        it is of no harm, and it need not look for what came while it held the lease.
        """
        until_ms = self._began_at_ms + MINUTE_MS
        is_quiet = self._is_configured and self._is_through() and self._hints.is_known_empty
        if not is_quiet or not 0 < len(self._scheduler.tasks) <= POLLED_WITHOUT_LEASE_MAX:
            return None
        if not self._scheduler.may_rest(until_ms) or not await self._lease.note_start():
            return None
        logger.info("pass_began", shard=self.shard, pending=len(self._scheduler.tasks), lease="free")
        time = asyncio.get_running_loop().time
        until_s = time() + POLLS_WITHOUT_LEASE_S
        while (left_s := until_s - time()) > 0:
            await self._dispatcher.poll_due(is_configured=True)
            for running in (self._dispatcher.loads, self._dispatcher.polls, self._writes):
                await running.wait(max(until_s - time(), 0.0))
            if self._is_through() and self._scheduler.can_rest(until_ms):
                return StopReason.NOTHING_DUE if self._scheduler.tasks else StopReason.NOTHING_PENDING
            await asyncio.sleep(min(left_s, TICK_S / 4))
        return None

    async def _fetch_until_found(self, delays_s: Iterable[float]) -> bool:
        """Read work and hints after each delay until there are some; return whether there are, or may be."""
        for delay_s in delays_s:
            hints = asyncio.create_task(self._hints.read())
            is_found = await self._work.fetch_until_found([delay_s])
            # After the work: a hint of a task that the index shows needs no look at its item.
            self._hints.apply(*await hints)
            if is_found or not self._hints.is_empty:
                return True
        return False

    async def _sleep(self, seconds: float) -> None:
        """Sleep until the next tick; poll meanwhile what a provider calls back about, and a few tasks when due."""
        time = asyncio.get_running_loop().time
        until_s = time() + seconds
        while (left_s := until_s - time()) > 0:
            is_quick = self._hints.is_quick
            due_in_s = self._scheduler.punctual_in_s()
            wait_s = min(left_s, due_in_s, QUICK_S if is_quick else left_s)
            if await self._hints.wait(wait_s) or due_in_s == wait_s < left_s:
                await self._dispatcher.poll_due(is_configured=self._is_configured)
            elif is_quick and left_s > QUICK_S:
                self._hints.start()

    async def _take_lease(self, *, take_over: bool) -> bool:
        if not await self._lease.take(take_over=take_over):
            return False
        if (positions := await self._lease.read_positions(take_over=take_over)) is not None:
            self._scheduler.round_robin.resume(positions)
        self._scheduler.resume(self._lease.handed_over_at_ms)
        self._hints.begin()
        return True

    def _positions(self) -> dict[str, Position]:
        return self._scheduler.round_robin.positions(self._scheduler.tasks.values())

    async def _refresh(self) -> None:
        self._is_configured = await self.providers.refresh()

    def _is_idle(self) -> bool:
        return not self._scheduler.tasks and self._hints.is_empty and self._is_through()

    def _is_through(self) -> bool:
        """Return whether nothing runs, and no renewal takes back a lease that is released now."""
        return (
            self.outbox.is_empty and not (self._dispatcher.polls or self._writes) and not self._lease.renewals
        )

    def _can_rest(self) -> bool:
        """Return whether the schedule's next poller, which polls all tasks at once, comes in time."""
        return (
            self._lease.is_on_schedule
            and self._is_configured
            and self._is_through()
            and self._hints.is_empty
            and self._scheduler.can_rest(self._began_at_ms + MINUTE_MS)
        )

    def _emit_left_over(self) -> None:
        """Emit the events that another pass left over; only the pass that holds the lease does so."""
        if not self.outbox.is_empty and (self._emitting is None or self._emitting.done()):
            self._emitting = self._writes.start(self._emit())

    async def _emit(self) -> None:
        try:
            self.metrics.emitted_again(await self.outbox.emit_left_over())
        except AWS_FAULTS as error:
            logger.warning("ended_tasks_not_read", shard=self.shard, error=code_of(error))

    def _save_health(self, *, is_last: bool) -> None:
        for health in self.health.unsaved(is_last=is_last):
            self._writes.start(self.health.save(health))
        for health in self.health:
            self._alerts.follow(health, self._writes)

    async def _wind_up(self) -> None:
        """Cancel the polls and reads, and finish the writes while there is time."""
        polls = (*self._dispatcher.polls.cancel(), *self._dispatcher.loads.cancel())
        reads = (*self._refreshes.cancel(), *self._lease.renewals.cancel(), *self._work.reads.cancel())
        hints = (*self._hints.reads.cancel(), *self._hints.questions.cancel())
        timeout_s = max(0.0, self.remaining_ms() / 1000 - WIND_UP_MARGIN_S)
        while self._writes and timeout_s > 0:
            timeout_s = timeout_s if await self._writes.wait(timeout_s) else 0.0
        await asyncio.gather(*polls, *reads, *hints, *self._writes.cancel(), return_exceptions=True)
