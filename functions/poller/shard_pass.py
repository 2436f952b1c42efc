"""One pass of the poller over one shard: ticks of a second until nothing is left, or another poller took over."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from aws_lambda_powertools import Logger

from poller.directory import ProviderDirectory
from poller.figures import Figures
from poller.judge import (
    STREAMING_MAX_MS,
    UNASKED_MAX_MS,
    End,
    Verdict,
    Wait,
    is_given_up,
    judge,
    unasked,
)
from poller.outbox import Outbox
from poller.provider_memory import ProviderMemory, Standing
from poller.rounds import BEHIND_FROM_MS, Rounds
from poller.troubles import Cause, noted
from tunehook.aws.faults import AWS_FAULTS, code_of
from tunehook.aws.leases import RENEW_EVERY_MS, Leases, Left, Place
from tunehook.aws.tasks import TasksTable
from tunehook.cadence import next_question_ms
from tunehook.providers import InlineFile, Outcome, Pending, Provider, Throttled, Transient, Unauthorised
from tunehook.rhythm import Refresh
from tunehook.tasks import PendingTask, TaskEnd, TaskKey
from tunehook.times import to_ms

logger = Logger(child=True)

Answer = TypeVar("Answer")

TICK_S: Final = 1.0
BRIEFLY_S: Final = 0.25
"""How long a tick waits for what is known anew before it asks with what was known before."""

LOOKS_MAX: Final = 6
"""How many looks into the work index are under way at most, where some of them hang."""

STOP_BEFORE_MS: Final = 15_000
"""How long before the invocation's end no more is asked, so that what is known can be settled."""

STUCK_BEFORE_MS: Final = 10_000
"""How long before the invocation's end even a call that hangs keeps it from stopping no longer."""

WIND_UP_MARGIN_S: Final = 3.0
"""What remains of the invocation when even settling is given up."""

INDEX_LAG_MS: Final = 10_000
"""How long the work index may hide a new item behind a newer one: each look begins that long before the last one."""

LATE_MS: Final = 60_000
LOOK_BACK_EVERY_MS: Final = 15_000
"""An item whose update was repeated carries an older moment. boto3 gives up within `LATE_MS`, so some looks begin
that long before the last one."""

LOOK_AGAIN_AFTER_S: Final = (0.0, 1.0, 2.0)
"""When a pass that found nothing looks again, in case the index has not shown yet what its intake has accepted."""

FINISH_WITHIN_S: Final = 10.0
"""How long the requests under way are waited for by a pass that was taken over: as long as one may take."""

LEFT_WITHIN_S: Final = 2.0
"""How long a pass waits to learn what the one before it has left."""

OLD_FROM_MS: Final = 180_000
"""The age beyond which few tasks are still at work (docs/provider-contracts.md, "Figures") and many that hang."""

UNCONFIGURED_EVERY_MS: Final = 5_000

SELDOM_MS: Final = 20_000
"""From which interval on a pass asks too seldom to count three questions in a row by itself."""

TOLD_A_SECOND: Final = 100
"""How many tasks a second are told why they do not go on, in an outage that concerns them all."""

MINUTE_MS: Final = 60_000
"""How far apart the schedule's starts are."""

RESTS_FROM_MS: Final = 600_000
"""The age from which on a task may wait for the schedule's next start while no poller runs."""

MISSED_AFTER_MS: Final = 90_000
"""How long nobody has held the lease if the schedule's last start came to nothing."""

QUEUED_MAX_MS: Final = 30_000
"""How long a task that has waited long enough beyond its deadline is queued for its question all the same."""


_TELLING: Final = {"last_error", "trouble"}


class StopReason(StrEnum):
    """Why a pass ended."""

    NOTHING_PENDING = "nothing_pending"
    NOTHING_DUE = "nothing_due"
    ALREADY_RUNNING = "already_running"
    TAKEN_OVER = "taken_over"
    OUT_OF_TIME = "out_of_time"


@dataclass(slots=True)
class _Watched:
    """A task, and how it stands.

    Attributes
    ----------
    task : PendingTask
    due_ms : int
        When it is due; while it is with its provider, since when.
    call : object or None
        The call that it is asked about in.
    is_settling : bool
        Whether something of it is being written.
    is_late : bool
        Whether it is asked about as an overdue task.
    asked_at_ms : int
        When this pass had its last answer about it; 0 before the first.
    answered_at_ms : int
        When that answer told how it stands; 0 before the first.
    refresh : Refresh or None
        Its gateway's last refresh.
    """

    task: PendingTask
    due_ms: int
    call: object | None = None
    is_settling: bool = False
    is_late: bool = False
    asked_at_ms: int = 0
    answered_at_ms: int = 0
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
        providers: ProviderDirectory,
        memory: ProviderMemory,
        figures: Figures,
        clock: Callable[[], int],
        remaining_ms: Callable[[], int],
        upkeep: Executor | None = None,
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
        self._threads = upkeep
        self._watched: dict[TaskKey, _Watched] = {}
        self._gone: dict[TaskKey, int] = {}
        self._unreadable: set[TaskKey] = set()
        self._pauses: dict[str, float] = {}
        self._rounds = Rounds()
        self._noted: dict[str, Place] = {}
        self._noted_at_ms = 0
        self._seen_until_ms = 0
        self._looked_back_at_ms = 0
        self._read_from_ms = 0
        self._renewed_at_ms = 0
        self._handed_over_at_ms = 0
        self._began_at_ms = 0
        self._next_start_ms: int | None = None
        self._found = 0
        self._is_configured = False
        self._is_taken_over = False
        self._met: set[Provider] = set()
        self._told_at_ms: deque[int] = deque(maxlen=TOLD_A_SECOND)
        self._asking: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._looking: set[asyncio.Task[bool]] = set()
        self._refreshing: asyncio.Task[bool] | None = None
        self._renewing: asyncio.Task[bool] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._emitting: asyncio.Task[None] | None = None

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
        if not await self._look_again(LOOK_AGAIN_AFTER_S[:1] if take_over else LOOK_AGAIN_AFTER_S):
            return StopReason.NOTHING_PENDING
        self._is_configured = await self._providers.refresh()
        if not await self._take_lease(take_over):
            return StopReason.ALREADY_RUNNING
        logger.info("pass_began", shard=self._shard, pending=len(self._watched))
        waited_s = 0.0
        idle_from_ms: int | None = None
        while True:
            waited_s += await self._ask_due()
            self._emit_left_over()
            self._save_memory()
            self._note_behind()
            await asyncio.sleep(TICK_S - waited_s)
            if self._remaining_ms() < STOP_BEFORE_MS:
                await self._give_up_lease()
                return StopReason.OUT_OF_TIME
            idle_from_ms = (idle_from_ms or self._clock()) if self._is_idle() else None
            look = self._begin_look()
            self._renew_lease()
            self._refresh()
            waited_s = await self._briefly(look, self._renewing, self._refreshing)
            if self._is_taken_over:
                return StopReason.TAKEN_OVER
            # Looks may take longer than a tick: one that began since then has to have found nothing.
            is_over = idle_from_ms is not None and self._read_from_ms >= idle_from_ms and self._is_idle()
            if not is_over and not self._may_rest():
                continue
            # The lease goes first: a task put after this look finds no live lease, and its intake starts a poller.
            await self._give_up_lease()
            if not await self._look_again(LOOK_AGAIN_AFTER_S):
                return StopReason.NOTHING_DUE if self._watched else StopReason.NOTHING_PENDING
            if not await self._take_lease(take_over=False):
                return StopReason.TAKEN_OVER

    def _is_idle(self) -> bool:
        return not self._watched and self._is_through()

    def _is_through(self) -> bool:
        """Return whether nothing is under way, and the lease may be given up without being taken back by a renewal."""
        return self._outbox.is_empty and not (self._asking or self._settling) and self._renewing is None

    def _may_rest(self) -> bool:
        """Return whether the schedule's next poller, which asks about every task at once, comes in time for all."""
        if self._next_start_ms is None or not self._is_configured:
            return False
        now_ms = self._clock()
        return (
            now_ms < self._next_start_ms
            and self._is_through()
            and all(self._rests(watched, now_ms, self._next_start_ms) for watched in self._watched.values())
        )

    def _rests(self, watched: _Watched, now_ms: int, until_ms: int) -> bool:
        """Return whether a task need not be asked about before a moment, and nothing else becomes of it by then."""
        task = watched.task
        ends_ms = [task.deadline_ms + (UNASKED_MAX_MS if now_ms >= task.deadline_ms else 0)]
        if task.streaming_since_ms is not None:
            ends_ms.append(task.streaming_since_ms + STREAMING_MAX_MS)
        if now_ms - task.submitted_at_ms < RESTS_FROM_MS or any(
            now_ms <= each < until_ms for each in ends_ms
        ):
            return False
        provider = self._providers.get(task.key.provider)
        if provider is None or self._providers.pause_left_s(provider) * 1000 >= until_ms - now_ms:
            return True  # nobody could ask
        every_ms = provider.pace.interval_ms(now_ms - task.submitted_at_ms)
        return watched.due_ms >= until_ms or (
            now_ms < watched.due_ms and until_ms <= watched.answered_at_ms + every_ms
        )

    async def _briefly(self, *work: asyncio.Task[Any] | None) -> float:
        """Wait a moment for what was begun, and return for how many seconds; what hangs goes on by itself."""
        under_way = [each for each in work if each is not None]
        if not under_way:
            return 0.0
        time = asyncio.get_running_loop().time
        began_s = time()
        done, _ = await asyncio.wait(under_way, timeout=BRIEFLY_S)
        for each in done:
            each.result()
        return min(time() - began_s, BRIEFLY_S)

    def _refresh(self) -> None:
        """Follow the configuration; while it is being read, the last one is good."""

        async def refresh() -> bool:
            self._is_configured = await self._providers.refresh()
            return self._is_configured

        if self._refreshing is None:
            self._refreshing = self._begin(refresh(), "_refreshing")

    async def _take_lease(self, take_over: bool) -> bool:
        now_ms = self._clock()
        if take_over:
            was_held = await self._in_upkeep(self._leases.take_over, self._shard, self._owner, now_ms)
            # The poller before goes on asking until it misses the lease: its tasks are looked after up to now.
            self._handed_over_at_ms = now_ms if was_held else 0
        elif not await self._in_upkeep(self._leases.take_if_free, self._shard, self._owner, now_ms):
            return False
        self._renewed_at_ms = now_ms
        left = await self._left()
        self._noted = left.behind
        self._rounds.resume(left.behind)
        # Whoever took over from nobody for so long cannot rely on the schedule, and stays until it starts the next one.
        if take_over and now_ms - left.until_ms <= MISSED_AFTER_MS:
            self._next_start_ms = self._began_at_ms + MINUTE_MS
        for watched in self._watched.values():
            if not watched.asked_at_ms:
                watched.due_ms = self._first_due_ms(watched)
        return True

    async def _left(self) -> Left:
        try:
            async with asyncio.timeout(LEFT_WITHIN_S):
                return await self._in_upkeep(self._leases.left, self._shard)
        except (*AWS_FAULTS, TimeoutError) as error:
            logger.warning("lease_not_read", shard=self._shard, error=code_of(error))
            return Left(0, {})

    def _renew_lease(self) -> None:
        """Hold the lease; who took it over becomes known with the answer."""
        now_ms = self._clock()
        if self._renewing is None and now_ms - self._renewed_at_ms >= RENEW_EVERY_MS:
            self._renewed_at_ms = now_ms
            self._renewing = self._begin(self._renew(now_ms), "_renewing")

    async def _renew(self, now_ms: int) -> bool:
        try:
            is_ours = await self._in_upkeep(self._leases.renew, self._shard, self._owner, now_ms)
        except AWS_FAULTS as error:
            logger.warning("lease_not_renewed", shard=self._shard, error=code_of(error))
            return True
        self._is_taken_over |= not is_ours
        return is_ours

    def _note_behind(self) -> None:
        """Leave to the next pass with whom to go on, where a provider has more tasks due than turns."""
        now_ms = self._clock()
        if now_ms - self._noted_at_ms < RENEW_EVERY_MS:
            return
        self._noted_at_ms = now_ms
        if (behind := self._rounds.noted(self._watched.values())) != self._noted:
            self._noted = behind
            self._start(self._save_behind(behind), self._settling)

    async def _save_behind(self, behind: dict[str, Place]) -> None:
        try:
            await self._in_upkeep(self._leases.note_behind, self._shard, self._owner, behind)
        except AWS_FAULTS as error:
            logger.warning("behind_not_noted", shard=self._shard, error=code_of(error))

    async def _in_upkeep(self, call: Callable[..., Answer], *args: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def _give_up_lease(self) -> None:
        try:
            await self._in_upkeep(self._leases.give_up, self._shard, self._owner, self._clock())
        except AWS_FAULTS as error:
            # It ends by itself within seconds.
            logger.warning("lease_not_given_up", shard=self._shard, error=code_of(error))

    async def _look_again(self, after_s: Iterable[float]) -> bool:
        """Look some times, seconds apart, until there is something new; return whether there is, or may be."""
        found = self._found
        for each_s in after_s:
            await asyncio.sleep(each_s)
            if not await self._look() or self._found > found or not self._outbox.is_empty:
                return True
        return False

    def _begin_look(self) -> asyncio.Task[bool] | None:
        """Begin another look, whether or not the ones before it have ended."""
        if len(self._looking) >= LOOKS_MAX:
            return None
        look = asyncio.create_task(self._look())
        self._looking.add(look)
        look.add_done_callback(self._looking.discard)
        look.add_done_callback(_log_unexpected)
        return look

    async def _look(self) -> bool:
        """Look into the work index for what is new; return whether that could be read."""
        now_ms = self._clock()
        is_back = now_ms - self._looked_back_at_ms >= LOOK_BACK_EVERY_MS
        since_ms = max(0, self._seen_until_ms - (LATE_MS if is_back else INDEX_LAG_MS))
        try:
            work = await self._in_upkeep(self._tasks.work, self._shard, since_ms, self._knows)
        except AWS_FAULTS as error:
            logger.warning("look_failed", shard=self._shard, error=code_of(error))
            return False
        for task in work.pending:
            self._watch(task)
        for key in set(work.unreadable) - self._unreadable:
            self._unreadable.add(key)
            logger.error("item_unreadable", task_id=key.task_id, provider=key.provider)
        self._outbox.found(work.unsent)
        # Only now, when nothing of this look is lost; and no moment in the future hides what comes before it.
        self._seen_until_ms = max(self._seen_until_ms, min(work.seen_until_ms, self._clock()))
        self._read_from_ms = max(self._read_from_ms, now_ms)
        if is_back:
            self._looked_back_at_ms = max(self._looked_back_at_ms, now_ms)
        return True

    def _emit_left_over(self) -> None:
        """Emit the events that another pass left: only who holds the lease does, or many would at the same time."""

        async def emit() -> None:
            try:
                self._figures.emitted_again(await self._outbox.emit_left_over())
            except AWS_FAULTS as error:
                logger.warning("left_over_not_read", shard=self._shard, error=code_of(error))

        if self._emitting is None and not self._outbox.is_empty:
            self._emitting = self._start(emit(), self._settling)
            self._emitting.add_done_callback(self._emitted)

    def _emitted(self, _: asyncio.Task[None]) -> None:
        self._emitting = None

    def _knows(self, key: TaskKey, since_ms: int) -> bool:
        """Return whether a run, or a later one of the same task, is watched or was; any thread may ask."""
        known = self._watched.get(key)
        return (known is not None and known.task.since_ms >= since_ms) or self._gone.get(key, 0) >= since_ms

    def _watch(self, task: PendingTask) -> None:
        if self._knows(task.key, task.since_ms):
            return
        self._found += 1
        watched = self._watched[task.key] = _Watched(task, 0)
        watched.due_ms = self._first_due_ms(watched)

    def _first_due_ms(self, watched: _Watched) -> int:
        """A task is asked at once, unless the poller before this one has been asking it, and it is not overdue.

        Where that one had more tasks due than turns, nobody knows whom it has asked when: the round goes on.
        """
        task = watched.task
        if (
            task.since_ms > self._handed_over_at_ms - INDEX_LAG_MS
            or self._clock() >= task.deadline_ms
            or self._rounds.is_behind(task.key.provider)
        ):
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

    async def _ask_due(self) -> float:
        """Ask about what is due; return for how many seconds this waited."""
        now_ms = self._clock()
        due = self._due(now_ms)
        if not self._is_configured:
            self._wait_for_configuration(due, now_ms)
            return 0.0
        providers = {name: self._providers.get(name) for name in due}
        waited_s = await self._load([provider for provider in providers.values() if provider is not None])
        held: set[str] = set()
        for name, group in due.items():
            if (provider := providers[name]) is None:
                self._wait_for_provider(name, group, now_ms)
            elif not self._memory.is_met(provider):
                held.add(name)
            elif provider.is_paused():
                # They stay due, so that the first question after the pause can be one about a new task.
                self._wait_for_pause(provider, group, now_ms)
                held.add(name)
            else:
                self._ask_soon(provider, group, now_ms)
        if due.keys() > held:
            logger.info(
                "tick",
                shard=self._shard,
                pending=len(self._watched),
                due={name: len(group) for name, group in due.items() if name not in held},
            )
        return waited_s

    def _due(self, now_ms: int) -> dict[str, list[_Watched]]:
        """Return the tasks that are to be asked about now, by provider."""
        due: defaultdict[str, list[_Watched]] = defaultdict(list)
        waiting: Counter[str] = Counter()
        waited_ms: dict[str, int] = {}
        unasked: set[str] = set()
        oldest_ms = now_ms
        for watched in self._watched.values():
            name = watched.task.key.provider
            oldest_ms = min(oldest_ms, watched.task.since_ms)
            if not watched.asked_at_ms:
                unasked.add(name)
            if watched.due_ms > now_ms or watched.is_settling:
                continue
            if watched.call is None:
                due[name].append(watched)
                continue
            waiting[name] += 1
            waited_ms[name] = max(waited_ms.get(name, 0), now_ms - watched.due_ms)
            if now_ms < watched.task.deadline_ms or now_ms - watched.due_ms < BEHIND_FROM_MS:
                continue
            if is_given_up(watched.task, now_ms) and now_ms - watched.due_ms >= QUEUED_MAX_MS:
                self._give_up(watched, self._queued_because(watched), now_ms)
            elif not watched.is_late:
                due[name].append(watched)  # once more, and before all others
        self._figures.backlog(len(self._watched), now_ms - oldest_ms)
        self._rounds.observe(waited_ms, unasked)
        return {
            name: kept for name, group in due.items() if (kept := self._of_round(name, group, waiting[name]))
        }

    def _of_round(self, name: str, group: list[_Watched], waiting: int) -> list[_Watched]:
        """Return whom to ask of those that are due; who was asked lately goes when all others had their turn."""
        provider = self._providers.get(name)
        if provider is None or not self._rounds.is_behind(name):
            return group
        if waiting > provider.tasks_at_a_time:
            now_ms = self._clock()
            group = [each for each in group if not each.asked_at_ms or now_ms >= each.task.deadline_ms]
        return sorted(group, key=partial(self._rounds.turn, name))

    async def _load(self, providers: list[Provider]) -> float:
        """Learn what is known of providers that are new to this pass; return for how many seconds this waited."""
        unmet = [provider for provider in providers if not self._memory.is_met(provider)]
        if not unmet:
            return 0.0
        if self._loading is None:
            self._loading = self._begin(self._load_all(unmet), "_loading")
        return await self._briefly(self._loading)

    async def _load_all(self, providers: list[Provider]) -> None:
        for provider in await self._memory.load(providers):
            self._pauses[provider.name] = provider.paused_until  # counted when it began

    def _ask_soon(self, provider: Provider, group: list[_Watched], now_ms: int) -> None:
        call = object()
        for watched in group:
            watched.call, watched.due_ms = call, now_ms
            watched.is_late = now_ms >= watched.task.deadline_ms
        self._start(self._ask(provider, group, call), self._asking)

    def _queued_because(self, watched: _Watched) -> str:
        provider = self._providers.get(watched.task.key.provider)
        rate = provider and provider.config.requests_per_second
        return "it waits for its turn" + (f" (requests_per_second is {rate:g})" if rate else "")

    async def _ask(self, provider: Provider, group: list[_Watched], call: object) -> None:
        self._met.add(provider)
        standing = self._memory.standing(provider)
        unanswered = {watched.task.key.task_id: watched for watched in group}
        overdue = [each.task.key.task_id for each in group if each.is_late]

        def is_wanted(task_id: str) -> bool:
            return task_id in unanswered and unanswered[task_id].call is call

        questions = provider.ask_many(
            tuple(unanswered), old=self._old(group), overdue=overdue, is_wanted=is_wanted
        )
        try:
            async with aclosing(questions) as answers:
                async for task_id, outcome in answers:
                    watched = unanswered.pop(task_id)
                    # One that is asked about once more, as overdue, may be answered here all the same.
                    if watched.call is call or (watched.call is not None and _is_question(outcome)):
                        self._take(watched, standing, outcome)
        finally:
            for watched in unanswered.values():
                if watched.call is call:
                    watched.call = None
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
        watched.call = None
        is_question = _is_question(outcome)
        cause = self._memory.heard(standing, outcome, now_ms)
        if is_question:
            watched.asked_at_ms = now_ms
            if not isinstance(outcome, Throttled | Transient | Unauthorised):
                watched.answered_at_ms = now_ms
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
        if now_ms < watched.task.deadline_ms:
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
        cause = self._providers.problem(name)
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
        watched.call = None
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
        watched.is_settling = False

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

    def _start(
        self, work: Coroutine[Any, Any, None], under_way: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        task.add_done_callback(_log_unexpected)
        return task

    def _begin(self, work: Coroutine[Any, Any, Answer], name: str) -> asyncio.Task[Answer]:
        """Do something beside the ticks; the attribute of that name is None again when it is done."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: setattr(self, name, None))
        task.add_done_callback(_log_unexpected)
        return task

    async def _finish_asking(self) -> None:
        """Ask no more, and take the answers that are under way: the next poller counts these tasks as asked."""
        for provider in self._met:
            provider.finish()
        patience_s = min(FINISH_WITHIN_S, (self._remaining_ms() - STUCK_BEFORE_MS) / 1000)
        if self._asking and patience_s > 0:
            await asyncio.wait(tuple(self._asking), timeout=patience_s)

    async def _wind_up(self) -> None:
        """Stop asking, and settle what was answered while there is time."""
        upkeep = (self._refreshing, self._renewing, self._loading, *self._looking)
        beside = [task for task in upkeep if task is not None]
        for task in (*self._asking, *beside):
            task.cancel()
        patience_s = max(0.0, self._remaining_ms() / 1000 - WIND_UP_MARGIN_S)
        while self._settling and patience_s > 0:
            _, unsettled = await asyncio.wait(tuple(self._settling), timeout=patience_s)
            patience_s = 0.0 if unsettled else patience_s
        for task in (*self._asking, *self._settling):
            task.cancel()
        await asyncio.gather(*self._asking, *self._settling, *beside, return_exceptions=True)


def _is_question(outcome: Outcome) -> bool:
    """Return whether the provider was asked, rather than left alone."""
    return not (isinstance(outcome, Throttled) and not outcome.asked)


def _log_unexpected(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("unexpected_error", exc_info=error)
