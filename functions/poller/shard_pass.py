"""One pass of the poller over one shard: ticks of a second until nothing is left, or another poller took over."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from aws_lambda_powertools import Logger

from poller.directory import ProviderDirectory
from poller.figures import Figures
from poller.judge import STREAMING_MAX_MS, End, Verdict, Wait, is_given_up, judge, unasked
from poller.outbox import Outbox
from poller.provider_memory import ProviderMemory, Standing
from poller.troubles import Cause, noted
from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.leases import RENEW_EVERY_MS, Leases
from tunehook.aws.tasks import TasksTable
from tunehook.cadence import next_question_ms
from tunehook.providers import InlineFile, Outcome, Pending, Provider, Throttled
from tunehook.rhythm import Refresh
from tunehook.tasks import PendingTask, TaskEnd, TaskKey
from tunehook.times import to_ms

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

UNCONFIGURED_EVERY_MS: Final = 5_000

SELDOM_MS: Final = 20_000
"""From which interval on a pass asks too seldom to count three questions in a row by itself."""

TOLD_A_SECOND: Final = 100
"""How many tasks a second are told why they do not go on, in an outage that concerns them all."""

QUEUED_MAX_MS: Final = 30_000
"""How long a task that has waited long enough beyond its deadline is queued for its question all the same."""


_TELLING: Final = {"last_error", "trouble"}


class StopReason(StrEnum):
    """Why a pass ended."""

    NOTHING_PENDING = "nothing_pending"
    ALREADY_RUNNING = "already_running"
    TAKEN_OVER = "taken_over"
    OUT_OF_TIME = "out_of_time"


@dataclass(slots=True)
class _Watched:
    """A task, when it is due, whether it is with its provider or being written, and its gateway's last refresh."""

    task: PendingTask
    due_ms: int
    is_asked: bool = False
    is_settling: bool = False
    refresh: Refresh | None = None


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
    memory : ProviderMemory
        What earlier passes knew of them.
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
        memory: ProviderMemory,
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
        self._memory = memory
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
        self._told_at_ms: deque[int] = deque(maxlen=TOLD_A_SECOND)
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
            reason = await self._watch_in_time(take_over)
            self._save_memory(is_last=True)
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
        if not await self._look():
            return StopReason.NOTHING_PENDING
        await self._providers.refresh()
        if not await self._take_lease(take_over):
            return StopReason.ALREADY_RUNNING
        logger.info("pass_began", shard=self._shard, pending=len(self._watched))
        while True:
            await self._ask_due(is_configured=await self._providers.refresh())
            self._save_memory()
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
            watched.due_ms = self._first_due_ms(watched)
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
            work = await asyncio.to_thread(self._tasks.work, self._shard, since_ms, self._knows)
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

    def _knows(self, key: TaskKey, since_ms: int) -> bool:
        """Return whether a run, or a later one of the same task, is watched or was; any thread may ask."""
        known = self._watched.get(key)
        return (known is not None and known.task.since_ms >= since_ms) or self._gone.get(key, 0) >= since_ms

    def _watch(self, task: PendingTask) -> None:
        if self._knows(task.key, task.since_ms):
            return
        watched = self._watched[task.key] = _Watched(task, 0)
        watched.due_ms = self._first_due_ms(watched)

    def _first_due_ms(self, watched: _Watched) -> int:
        """A task is asked at once, unless the poller before this one has been asking it, and it is not overdue."""
        task = watched.task
        if task.since_ms > self._handed_over_at_ms - INDEX_LAG_MS or self._clock() >= task.deadline_ms:
            return 0
        return self._next_due_ms(watched, self._handed_over_at_ms)

    def _next_due_ms(self, watched: _Watched, after_ms: int) -> int:
        task = watched.task
        provider = self._providers.get(task.key.provider)
        if provider is None:
            due_ms = after_ms + UNCONFIGURED_EVERY_MS
        else:
            pace = provider.pace
            due_ms = next_question_ms(task.submitted_at_ms, after_ms, pace)
            if watched.refresh is not None:
                every_ms = pace.interval_ms(after_ms - task.submitted_at_ms)
                rhythm = self._memory.standing(provider).rhythm
                due_ms = rhythm.next_question_ms(due_ms, every_ms, after_ms, watched.refresh)
        if task.streaming_since_ms is not None and after_ms < task.streaming_since_ms + STREAMING_MAX_MS:
            due_ms = min(due_ms, task.streaming_since_ms + STREAMING_MAX_MS)
        return min(due_ms, task.deadline_ms) if after_ms < task.deadline_ms else due_ms

    async def _ask_due(self, *, is_configured: bool) -> None:
        now_ms = self._clock()
        oldest_ms = min((watched.task.since_ms for watched in self._watched.values()), default=now_ms)
        self._figures.backlog(len(self._watched), now_ms - oldest_ms)
        due: defaultdict[str, list[_Watched]] = defaultdict(list)
        for watched in self._watched.values():
            if watched.due_ms > now_ms or watched.is_settling:
                continue
            if not watched.is_asked:
                due[watched.task.key.provider].append(watched)
            elif now_ms - watched.due_ms >= QUEUED_MAX_MS and is_given_up(watched.task, now_ms):
                self._give_up(watched, self._queued_because(watched), now_ms)
        if not is_configured:
            self._wait_for_configuration(due, now_ms)
            return
        providers = {name: self._providers.get(name) for name in due}
        await self._load([provider for provider in providers.values() if provider is not None])
        held: set[str] = set()
        for name, group in due.items():
            if (provider := providers[name]) is None:
                self._wait_for_provider(name, group, now_ms)
            elif provider.is_paused():
                # They stay due, so that the first question after the pause can be one about a new task.
                self._wait_for_pause(provider, group, now_ms)
                held.add(name)
            else:
                for watched in group:
                    watched.is_asked = True
                    watched.due_ms = now_ms
                self._start(self._ask(provider, group), self._asking)
        if due.keys() > held:
            logger.info(
                "tick",
                shard=self._shard,
                pending=len(self._watched),
                due={name: len(group) for name, group in due.items() if name not in held},
            )

    async def _load(self, providers: list[Provider]) -> None:
        """Learn what is known of providers that are new to this pass; their pauses were counted when they began."""
        for provider in await self._memory.load(providers):
            self._pauses[provider.name] = provider.paused_until

    def _queued_because(self, watched: _Watched) -> str:
        provider = self._providers.get(watched.task.key.provider)
        rate = provider and provider.config.requests_per_second
        return "it waits for its turn" + (f" (requests_per_second is {rate:g})" if rate else "")

    async def _ask(self, provider: Provider, group: list[_Watched]) -> None:
        now_ms = self._clock()
        standing = self._memory.standing(provider)
        unanswered = {watched.task.key.task_id: watched for watched in group}
        overdue = [each.task.key.task_id for each in group if now_ms >= each.task.deadline_ms]
        questions = provider.ask_many(tuple(unanswered), old=self._old(group), overdue=overdue)
        try:
            async with aclosing(questions) as answers:
                async for task_id, outcome in answers:
                    self._take(unanswered.pop(task_id), standing, outcome)
        finally:
            for watched in unanswered.values():
                watched.is_asked = False
            self._count_pause(provider, standing)

    def _count_pause(self, provider: Provider, standing: Standing) -> None:
        """Count the provider's latest pause, once of all the questions that it refuses."""
        if provider.pause_reason is not None and provider.paused_until > self._pauses.get(provider.name, 0.0):
            self._pauses[provider.name] = provider.paused_until
            self._figures.paused(provider.name, provider.pause_reason)
            left_s = self._providers.pause_left_s(provider)
            self._memory.paused(standing, left_s, provider.pause_reason, self._clock())

    def _old(self, group: list[_Watched]) -> list[str]:
        old_since_ms = self._clock() - OLD_FROM_MS
        return [each.task.key.task_id for each in group if each.task.submitted_at_ms < old_since_ms]

    def _take(self, watched: _Watched, standing: Standing, outcome: Outcome) -> None:
        now_ms = self._clock()
        is_question = not (isinstance(outcome, Throttled) and not outcome.asked)
        cause = self._memory.heard(standing, outcome, now_ms)
        if is_question:
            self._figures.question(watched.task.key.provider, outcome.name)
            if outcome.name == "unauthorised" and standing.is_refused_after_acceptance:
                self._figures.no_longer_accepted(watched.task.key.provider)
        if isinstance(outcome, Pending) and outcome.refreshed_at is not None:
            watched.refresh = standing.rhythm.observe(
                watched.refresh,
                to_ms(outcome.refreshed_at),
                now_ms,
                None if outcome.submitted_at is None else to_ms(outcome.submitted_at),
            )
        verdict = judge(watched.task, outcome, now_ms, None if cause is None else cause.words)
        if isinstance(verdict, End):
            self._act(watched, verdict, now_ms)
        elif not is_question:
            self._stay_due(watched, now_ms)
        elif cause is not None:
            self._act(watched, self._told(watched, cause, now_ms, verdict), now_ms)
        else:
            if watched.task.trouble is not None and not watched.task.trouble.is_kept:
                watched.task = replace(watched.task, trouble=None)
            self._act(watched, self._within_bounds(verdict, now_ms), now_ms)

    def _stay_due(self, watched: _Watched, now_ms: int) -> None:
        """Let a task wait that was not asked about; one that is overdue is to be among the first after the pause."""
        if now_ms >= watched.task.deadline_ms:
            watched.is_asked = False
        else:
            self._plan(watched, now_ms)

    def _told(self, watched: _Watched, cause: Cause, now_ms: int, verdict: Wait) -> Wait:
        """Count a question that came to nothing; add to its verdict what tells the task's user, when it is time."""
        task = replace(watched.task, trouble=None) if "trouble" in verdict.changes else watched.task
        trouble, telling = noted(task, cause, now_ms)
        if not telling and trouble != watched.task.trouble and self._is_asked_seldom(watched.task, now_ms):
            telling = {"trouble": replace(trouble, is_kept=True)}
        if telling and self._may_tell(now_ms):
            return Wait(verdict.changes | telling)
        watched.task = replace(watched.task, trouble=trouble)
        return verdict

    def _tell_all(self, group: Iterable[_Watched], cause: Cause, now_ms: int) -> None:
        """Tell tasks that were not asked about what everybody meets who asks; as many of them as may be told now."""
        for watched in group:
            if watched.task.trouble is None or watched.task.trouble.told != cause.kind:
                if not self._may_tell(now_ms):
                    return
                _, telling = noted(watched.task, cause, now_ms, is_question=False)
                watched.is_settling = True
                self._start(self._tell(watched, telling), self._settling)

    async def _tell(self, watched: _Watched, telling: dict[str, Any]) -> None:
        """Tell a task that was not asked about; it stays due when it was."""
        try:
            await self._note(watched, telling)
        finally:
            watched.is_settling = False

    def _within_bounds(self, verdict: Wait, now_ms: int) -> Wait:
        """Leave what only tells that a trouble is over to the next answer, where there is too much of it at once."""
        changes = verdict.changes
        if changes and changes.keys() <= _TELLING and not self._may_tell(now_ms):
            return Wait({})
        return verdict

    def _may_tell(self, now_ms: int) -> bool:
        told_at_ms = self._told_at_ms
        if len(told_at_ms) == TOLD_A_SECOND and now_ms - told_at_ms[0] < 1_000:
            return False
        told_at_ms.append(now_ms)
        return True

    def _is_asked_seldom(self, task: PendingTask, now_ms: int) -> bool:
        provider = self._providers.get(task.key.provider)
        if provider is None:
            return False
        return provider.pace.interval_ms(now_ms - task.submitted_at_ms) >= SELDOM_MS

    def _wait_for_pause(self, provider: Provider, group: list[_Watched], now_ms: int) -> None:
        standing = self._memory.standing(provider)
        cause = standing.general_cause or standing.cause
        words = cause.words if cause else f"the provider is not asked for a while ({provider.pause_reason})"
        waiting = self._give_up_old(group, words, now_ms, standing.since_ms or None)
        if standing.general_cause is not None:
            self._tell_all(waiting, standing.general_cause, now_ms)

    def _wait_for_provider(self, name: str, group: list[_Watched], now_ms: int) -> None:
        # One that has come since may name a provider that was configured with it: that is read anew soon.
        known = [each for each in group if self._providers.read_since(min(each.task.since_ms, now_ms))]
        cause = Cause("unconfigured", self._providers.problem(name), is_certain=True)
        waiting = self._give_up_old(known, cause.words, now_ms)
        for watched in waiting:
            self._plan(watched, now_ms)
        self._tell_all(waiting, cause, now_ms)

    def _give_up_old(
        self, group: Iterable[_Watched], words: str, now_ms: int, since_ms: int | None = None
    ) -> list[_Watched]:
        """End the tasks that have waited long enough for somebody to ask about them; return the others."""
        waiting = []
        for watched in group:
            if is_given_up(watched.task, now_ms):
                self._give_up(watched, words, now_ms, since_ms)
            else:
                waiting.append(watched)
        return waiting

    def _wait_for_configuration(self, due: dict[str, list[_Watched]], now_ms: int) -> None:
        for group in due.values():
            for watched in group:
                if is_given_up(watched.task, now_ms):
                    self._give_up(watched, self._providers.fault, now_ms)

    def _give_up(self, watched: _Watched, words: str, now_ms: int, since_ms: int | None = None) -> None:
        self._act(watched, End(unasked(watched.task, now_ms, words, since_ms)), now_ms)

    def _act(self, watched: _Watched, verdict: Verdict, now_ms: int) -> None:
        """Do what a verdict wants; the usual one wants nothing, and costs no more than that."""
        if isinstance(verdict, Wait) and not verdict.changes:
            self._plan(watched, now_ms)
        else:
            self._settle_soon(watched, verdict, now_ms)

    def _settle_soon(self, watched: _Watched, verdict: Verdict, now_ms: int) -> None:
        watched.is_settling = True
        self._start(self._settle(watched, verdict, now_ms), self._settling)

    async def _settle(self, watched: _Watched, verdict: Verdict, now_ms: int) -> None:
        try:
            if isinstance(verdict, End):
                await self._end(watched, verdict.end, verdict.inline_files)
            else:
                await self._note(watched, verdict.changes)
        finally:
            # Only now: the answer may have told that the task is older than it was known to be.
            self._plan(watched, now_ms)

    def _plan(self, watched: _Watched, asked_at_ms: int) -> None:
        watched.due_ms = self._next_due_ms(watched, asked_at_ms)
        watched.is_asked = watched.is_settling = False

    async def _end(self, watched: _Watched, end: TaskEnd, files: tuple[InlineFile, ...]) -> None:
        try:
            if await self._outbox.end(watched.task, end, files):
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

    def _save_memory(self, *, is_last: bool = False) -> None:
        for standing in self._memory.unsaved(is_last=is_last):
            self._start(self._memory.save(standing), self._settling)

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
