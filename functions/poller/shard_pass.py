"""One pass of the poller over one shard: ticks of a second until nothing is left, or another poller took over."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from aws_lambda_powertools import Logger

from poller.directory import ProviderDirectory
from poller.figures import Figures
from poller.judge import End, Verdict, Wait, judge, timed_out
from poller.outbox import Outbox
from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.leases import RENEW_EVERY_MS, Leases
from tunehook.aws.tasks import TasksTable
from tunehook.cadence import next_question_ms
from tunehook.providers import Outcome, Provider, Throttled
from tunehook.tasks import PendingTask, TaskEnd, TaskKey

logger = Logger(child=True)

TICK_S: Final = 1.0
STOP_BEFORE_MS: Final = 15_000
"""How long before the invocation's end no more is asked, so that what is known can be settled."""

STUCK_BEFORE_MS: Final = 10_000
"""How long before the invocation's end even a call that hangs keeps it from stopping no longer."""

WIND_UP_MARGIN_S: Final = 3.0
"""What remains of the invocation when even settling is given up."""

INDEX_LAG_MS: Final = 10_000
"""How long the work index may hide a new item behind a newer one."""

OLD_FROM_MS: Final = 180_000
"""The age beyond which few tasks are still at work (docs/provider-contracts.md, "Figures") and many that hang."""

UNCONFIGURED_EVERY_S: Final = 5.0

UNREADABLE_CONFIGURATION_GRACE_MS: Final = 60_000
"""How long after its deadline a task ends unasked, while nobody can tell who its provider is."""


class StopReason(StrEnum):
    """Why a pass ended."""

    NOTHING_PENDING = "nothing_pending"
    ALREADY_RUNNING = "already_running"
    TAKEN_OVER = "taken_over"
    OUT_OF_TIME = "out_of_time"


@dataclass(slots=True)
class _Watched:
    task: PendingTask
    due_ms: int
    is_asked: bool = False


class ShardPass:
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
    providers : ProviderDirectory
        Whom to ask.
    figures : Figures
        Counts what the pass does.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    remaining_ms : callable
        Returns how long the invocation may still run, in milliseconds.
    """

    def __init__(
        self,
        *,
        shard: int,
        owner: str,
        tasks: TasksTable,
        leases: Leases,
        outbox: Outbox,
        providers: ProviderDirectory,
        figures: Figures,
        clock: Callable[[], int],
        remaining_ms: Callable[[], int],
    ) -> None:
        self._shard = shard
        self._owner = owner
        self._tasks = tasks
        self._leases = leases
        self._outbox = outbox
        self._providers = providers
        self._figures = figures
        self._clock = clock
        self._remaining_ms = remaining_ms
        self._watched: dict[TaskKey, _Watched] = {}
        self._gone: dict[TaskKey, int] = {}
        self._unreadable: set[TaskKey] = set()
        self._pauses: dict[str, float] = {}
        self._seen_until_ms = 0
        self._renewed_at_ms = 0
        self._handed_over_at_ms = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()

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
        try:
            async with asyncio.timeout((self._remaining_ms() - STUCK_BEFORE_MS) / 1000) as limit:
                return await self._watch_until_stopped(take_over)
        except TimeoutError:
            if not limit.expired():
                raise
            return StopReason.OUT_OF_TIME
        finally:
            await self._wind_up()

    async def _watch_until_stopped(self, take_over: bool) -> StopReason:
        if not await self._look():
            return StopReason.NOTHING_PENDING
        await self._providers.refresh()
        if not await self._take_lease(take_over):
            return StopReason.ALREADY_RUNNING
        logger.info("pass_began", shard=self._shard, pending=len(self._watched))
        while True:
            self._ask_due(is_configured=await self._providers.refresh())
            await asyncio.sleep(TICK_S)
            if self._remaining_ms() < STOP_BEFORE_MS:
                await self._give_up_lease()
                return StopReason.OUT_OF_TIME
            if not await self._hold_lease():
                return StopReason.TAKEN_OVER
            if await self._look() or self._asking or self._settling:
                continue
            # The lease goes first: a task put after this look finds no live lease, and its intake starts a poller.
            await self._give_up_lease()
            if not await self._look():
                return StopReason.NOTHING_PENDING
            if not await self._take_lease(take_over=False):
                return StopReason.TAKEN_OVER

    async def _take_lease(self, take_over: bool) -> bool:
        now_ms = self._clock()
        if take_over:
            was_held = await asyncio.to_thread(self._leases.take_over, self._shard, self._owner, now_ms)
            # The poller before goes on asking until it misses the lease: its tasks are looked after up to now.
            self._handed_over_at_ms = now_ms if was_held else 0
        elif not await asyncio.to_thread(self._leases.take_if_free, self._shard, self._owner, now_ms):
            return False
        self._renewed_at_ms = now_ms
        for watched in self._watched.values():
            watched.due_ms = self._first_due_ms(watched.task)
        return True

    async def _hold_lease(self) -> bool:
        now_ms = self._clock()
        if now_ms - self._renewed_at_ms < RENEW_EVERY_MS:
            return True
        self._renewed_at_ms = now_ms
        try:
            return await asyncio.to_thread(self._leases.renew, self._shard, self._owner, now_ms)
        except AWS_FAULTS as error:
            logger.warning("lease_not_renewed", shard=self._shard, error=code_of(error))
            return True

    async def _give_up_lease(self) -> None:
        try:
            await asyncio.to_thread(self._leases.give_up, self._shard, self._owner, self._clock())
        except AWS_FAULTS as error:
            # It ends by itself within seconds.
            logger.warning("lease_not_given_up", shard=self._shard, error=code_of(error))

    async def _look(self) -> bool:
        """Look into the work index for what is new; return whether there is anything to do."""
        since_ms = max(0, self._seen_until_ms - INDEX_LAG_MS)
        try:
            work = await asyncio.to_thread(self._tasks.work, self._shard, since_ms)
            for task in work.pending:
                self._watch(task)
            for key in set(work.unreadable) - self._unreadable:
                self._unreadable.add(key)
                logger.error("item_unreadable", task_id=key.task_id, provider=key.provider)
            self._figures.emitted_again(await self._outbox.emit_left_over(work.unsent))
        except AWS_FAULTS as error:
            logger.warning("look_failed", shard=self._shard, error=code_of(error))
            return True
        # Only now, when nothing of this look is lost; and no moment in the future hides what comes before it.
        self._seen_until_ms = max(self._seen_until_ms, min(work.seen_until_ms, self._clock()))
        return bool(self._watched) or not self._outbox.is_empty

    def _watch(self, task: PendingTask) -> None:
        known = self._watched.get(task.key)
        if (known and known.task.since_ms >= task.since_ms) or self._gone.get(task.key, 0) >= task.since_ms:
            return
        self._watched[task.key] = _Watched(task, self._first_due_ms(task))

    def _first_due_ms(self, task: PendingTask) -> int:
        """A task is asked at once, unless the poller before this one has been asking it."""
        if task.since_ms > self._handed_over_at_ms - INDEX_LAG_MS:
            return 0
        return self._next_due_ms(task, self._handed_over_at_ms)

    def _next_due_ms(self, task: PendingTask, after_ms: int) -> int:
        provider = self._providers.get(task.key.provider)
        every_s = provider.poll_every_s if provider else UNCONFIGURED_EVERY_S
        return min(
            next_question_ms(task.submitted_at_ms, after_ms, every_s), max(task.deadline_ms, after_ms + 1)
        )

    def _ask_due(self, *, is_configured: bool) -> None:
        now_ms = self._clock()
        oldest_ms = min((watched.task.since_ms for watched in self._watched.values()), default=now_ms)
        self._figures.backlog(len(self._watched), now_ms - oldest_ms)
        due: defaultdict[str, list[_Watched]] = defaultdict(list)
        for watched in self._watched.values():
            if watched.due_ms <= now_ms and not watched.is_asked:
                due[watched.task.key.provider].append(watched)
        held: set[str] = set()
        for name, group in due.items():
            if not is_configured:
                self._wait_for_configuration(group, now_ms)
            elif (provider := self._providers.get(name)) is None:
                self._wait_for_provider(name, group, now_ms)
            elif provider.is_paused():
                # They stay due, so that the first question after the pause can be one about a new task.
                self._end_overdue(group, now_ms)
                held.add(name)
            else:
                for watched in group:
                    watched.is_asked = True
                self._start(self._ask(provider, group), self._asking)
        if due.keys() > held:
            logger.info(
                "tick",
                shard=self._shard,
                pending=len(self._watched),
                due={name: len(group) for name, group in due.items() if name not in held},
            )

    async def _ask(self, provider: Provider, group: list[_Watched]) -> None:
        unanswered = {watched.task.key.task_id: watched for watched in group}
        try:
            async with aclosing(provider.ask_many(tuple(unanswered), old=self._old(group))) as answers:
                async for task_id, outcome in answers:
                    self._take(unanswered.pop(task_id), outcome)
        finally:
            for watched in unanswered.values():
                watched.is_asked = False
            self._count_pause(provider)

    def _count_pause(self, provider: Provider) -> None:
        """Count the provider's latest pause, once of all the questions that it refuses."""
        if provider.pause_reason is not None and provider.paused_until > self._pauses.get(provider.name, 0.0):
            self._pauses[provider.name] = provider.paused_until
            self._figures.paused(provider.name, provider.pause_reason)

    def _old(self, group: list[_Watched]) -> list[str]:
        old_since_ms = self._clock() - OLD_FROM_MS
        return [each.task.key.task_id for each in group if each.task.submitted_at_ms < old_since_ms]

    def _take(self, watched: _Watched, outcome: Outcome) -> None:
        now_ms = self._clock()
        if not (isinstance(outcome, Throttled) and not outcome.asked):
            self._figures.question(watched.task.key.provider, outcome.name)
        self._act(watched, judge(watched.task, outcome, now_ms), now_ms)

    def _wait_for_provider(self, name: str, group: list[_Watched], now_ms: int) -> None:
        error = f"the provider {name} is not configured"
        for watched in group:
            if now_ms >= watched.task.deadline_ms:
                self._act(watched, End(timed_out(watched.task, now_ms)), now_ms)
            else:
                news = {"last_error": error} if watched.task.last_error != error else {}
                self._act(watched, Wait(news), now_ms)

    def _end_overdue(self, group: list[_Watched], now_ms: int) -> None:
        for watched in group:
            if now_ms >= watched.task.deadline_ms:
                self._act(watched, End(timed_out(watched.task, now_ms)), now_ms)

    def _wait_for_configuration(self, group: list[_Watched], now_ms: int) -> None:
        for watched in group:
            if now_ms >= watched.task.deadline_ms + UNREADABLE_CONFIGURATION_GRACE_MS:
                self._act(watched, End(timed_out(watched.task, now_ms)), now_ms)

    def _act(self, watched: _Watched, verdict: Verdict, now_ms: int) -> None:
        """Do what a verdict wants; the usual one wants nothing, and costs no more than that."""
        if isinstance(verdict, Wait) and not verdict.changes:
            self._plan(watched, now_ms)
        else:
            watched.is_asked = True
            self._start(self._settle(watched, verdict, now_ms), self._settling)

    async def _settle(self, watched: _Watched, verdict: Verdict, now_ms: int) -> None:
        try:
            if isinstance(verdict, End):
                await self._end(watched, verdict.end)
            else:
                await self._note(watched, verdict.changes)
        finally:
            # Only now: the answer may have told that the task is older than it was known to be.
            self._plan(watched, now_ms)

    def _plan(self, watched: _Watched, asked_at_ms: int) -> None:
        watched.due_ms = self._next_due_ms(watched.task, asked_at_ms)
        watched.is_asked = False

    async def _end(self, watched: _Watched, end: TaskEnd) -> None:
        try:
            if await self._outbox.end(watched.task, end):
                self._figures.ended(watched.task.key.provider, end.status, end.detection_delay_ms)
        except AWS_FAULTS as error:
            logger.warning("task_not_ended", task_id=watched.task.key.task_id, error=code_of(error))
        else:
            self._forget(watched)

    async def _note(self, watched: _Watched, changes: dict[str, Any]) -> None:
        try:
            is_pending = await asyncio.to_thread(self._tasks.note, watched.task, changes)
        except AWS_FAULTS as error:
            logger.warning("change_not_noted", task_id=watched.task.key.task_id, error=code_of(error))
            return
        if not is_pending:
            self._forget(watched)
            return
        counts = {name: 0 for name in ("not_found_count", "empty_count") if changes.get(name, 0) is None}
        watched.task = replace(watched.task, **(changes | counts))

    def _forget(self, watched: _Watched) -> None:
        """Watch a run no longer; the work index may go on showing it for a while."""
        key = watched.task.key
        self._gone[key] = watched.task.since_ms
        if self._watched.get(key) is watched:
            del self._watched[key]

    def _start(self, work: Coroutine[Any, Any, None], under_way: set[asyncio.Task[None]]) -> None:
        def finish(task: asyncio.Task[None]) -> None:
            under_way.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("unexpected_error", exc_info=error)

        task = asyncio.create_task(work)
        under_way.add(task)
        task.add_done_callback(finish)

    async def _wind_up(self) -> None:
        """Stop asking, and settle what was answered while there is time."""
        for task in self._asking:
            task.cancel()
        patience_s = max(0.0, self._remaining_ms() / 1000 - WIND_UP_MARGIN_S)
        while self._settling and patience_s > 0:
            _, unsettled = await asyncio.wait(tuple(self._settling), timeout=patience_s)
            patience_s = 0.0 if unsettled else patience_s
        for task in (*self._asking, *self._settling):
            task.cancel()
        await asyncio.gather(*self._asking, *self._settling, return_exceptions=True)
