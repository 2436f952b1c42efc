"""Polls the tasks that are due, and handles those whose provider cannot be polled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks, wait_briefly
from poller.decision import given_up, should_give_up
from poller.metrics import Metrics
from poller.outcome_handler import OutcomeHandler, is_answer
from poller.provider_health import ProviderHealth, ProviderHealthStore
from poller.registry import ProviderRegistry
from poller.scheduler import BEHIND_FROM_MS, PollScheduler, ScheduledTask
from tunehook.providers.client import Provider

logger = Logger(child=True)

OLD_FROM_MS: Final = 180_000
"""The age beyond which most pending tasks hang (docs/provider-contracts.md, "Figures")."""

QUEUED_MAX_MS: Final = 30_000
"""How long a task that is to be given up still waits in its provider's queue for a poll."""


@dataclass(slots=True)
class PollDispatcher:
    """Begins the polls of one pass; `polls` are those that run, `loads` the reads of the providers' health."""

    shard: int
    scheduler: PollScheduler
    outcomes: OutcomeHandler
    providers: ProviderRegistry
    health: ProviderHealthStore
    metrics: Metrics
    clock: Callable[[], int]
    polls: BackgroundTasks = field(default_factory=BackgroundTasks)
    loads: BackgroundTasks = field(default_factory=BackgroundTasks)
    _polled: set[Provider] = field(default_factory=set)

    def finish(self) -> None:
        """Begin no more requests; those that run may be answered."""
        for provider in self._polled:
            provider.close()

    async def poll_due(self, *, is_configured: bool) -> float:
        """Begin polls of all tasks that are due, and return for how many seconds this waited."""
        now_ms = self.clock()
        due = self._due(now_ms)
        if not is_configured:
            for group in due.values():
                self._give_up_old(group, self.providers.fault, now_ms)
            return 0.0
        providers = {name: self.providers.get(name) for name in due}
        unloaded = [
            each for each in providers.values() if each is not None and not self.health.is_loaded(each)
        ]
        if unloaded and not self.loads:
            self.loads.start(self.health.load(unloaded))
        waited_s = await wait_briefly(*self.loads) if unloaded else 0.0
        if unloaded:
            # What a pass before has learnt of a provider says when its tasks are due.
            self.scheduler.resume_loaded()
            due = {
                name: [each for each in group if each.due_ms <= now_ms or each.poll is not None]
                for name, group in due.items()
            }
        skipped: set[str] = set()
        for name, group in due.items():
            if (provider := providers[name]) is None:
                self._wait_for_configuration(name, group, now_ms)
            elif not self.health.is_loaded(provider):
                skipped.add(name)
            elif provider.is_paused():
                # They stay due, so that the first poll after the pause can be of a new task.
                self._wait_for_pause(provider, group, now_ms)
                skipped.add(name)
            else:
                self._start_polls(provider, group, now_ms)
        if handled := {name: len(group) for name, group in due.items() if name not in skipped}:
            # Where no provider is polled, nothing has happened that was not known before.
            write = logger.info if any(providers[name] for name in handled) else logger.debug
            write("tick", shard=self.shard, pending=len(self.scheduler.tasks), due=handled)
        return waited_s

    def _due(self, now_ms: int) -> dict[str, list[ScheduledTask]]:
        """Return the tasks to poll now, by provider; note which providers are behind."""
        due: defaultdict[str, list[ScheduledTask]] = defaultdict(list)
        queued: Counter[str] = Counter()
        waited_ms: dict[str, int] = {}
        unpolled: set[str] = set()
        oldest_ms = now_ms
        for entry in self.scheduler.tasks.values():
            name = entry.task.key.provider
            oldest_ms = min(oldest_ms, entry.task.since_ms)
            if not entry.polled_at_ms:
                unpolled.add(name)
            if entry.due_ms > now_ms or entry.is_writing:
                continue
            if entry.poll is None:
                due[name].append(entry)
                continue
            queued[name] += 1
            queued_ms = now_ms - entry.due_ms
            waited_ms[name] = max(waited_ms.get(name, 0), queued_ms)
            if now_ms < entry.task.deadline_ms or queued_ms < BEHIND_FROM_MS:
                continue
            if should_give_up(entry.task, now_ms) and queued_ms >= QUEUED_MAX_MS:
                self.outcomes.apply(entry, given_up(entry.task, now_ms, self._queued_because(name)), now_ms)
            elif not entry.is_overdue_poll:
                due[name].append(entry)  # once more, and before all others
        self.metrics.backlog(len(self.scheduler.tasks), now_ms - oldest_ms)
        self.scheduler.round_robin.observe(waited_ms, unpolled)
        ordered = {name: self._in_order(name, group, queued[name], now_ms) for name, group in due.items()}
        return {name: group for name, group in ordered.items() if group}

    def _in_order(
        self, name: str, group: list[ScheduledTask], queued: int, now_ms: int
    ) -> list[ScheduledTask]:
        """Order what is due by round-robin; what was polled already waits while enough is queued."""
        provider = self.providers.get(name)
        if provider is None or not self.scheduler.round_robin.is_behind(name):
            return group
        if queued > provider.tasks_at_a_time:
            group = [each for each in group if not each.polled_at_ms or now_ms >= each.task.deadline_ms]
        return sorted(group, key=partial(self.scheduler.round_robin.order, name))

    def _queued_because(self, name: str) -> str:
        provider = self.providers.get(name)
        rate = provider and provider.config.requests_per_second
        return "it waits for its turn" + (f" (requests_per_second is {rate:g})" if rate else "")

    def _start_polls(self, provider: Provider, group: list[ScheduledTask], now_ms: int) -> None:
        poll = object()
        for entry in group:
            entry.poll, entry.due_ms, entry.asked_for = poll, now_ms, entry.hint
            if entry.hint is not None:
                entry.led_at_ms = now_ms
            entry.is_overdue_poll = now_ms >= entry.task.deadline_ms
        self.polls.start(self._poll(provider, group, poll))

    async def _poll(self, provider: Provider, group: list[ScheduledTask], poll: object) -> None:
        self._polled.add(provider)
        health = self.health.of(provider)
        unanswered = {entry.task.key.task_id: entry for entry in group}
        overdue = [each.task.key.task_id for each in group if each.is_overdue_poll]
        old_since_ms = self.clock() - OLD_FROM_MS
        old = [each.task.key.task_id for each in group if each.task.submitted_at_ms < old_since_ms]

        def is_wanted(task_id: str) -> bool:
            return task_id in unanswered and unanswered[task_id].poll is poll

        polls = provider.poll_many(tuple(unanswered), old=old, overdue=overdue, is_wanted=is_wanted)
        try:
            async with aclosing(polls) as outcomes:
                async for task_id, outcome in outcomes:
                    entry = unanswered.pop(task_id)
                    # One that is polled once more, as overdue, may be answered here all the same.
                    if entry.poll is poll or (entry.poll is not None and is_answer(outcome)):
                        self.outcomes.handle_outcome(entry, health, outcome)
        finally:
            for entry in unanswered.values():
                if entry.poll is poll:
                    entry.poll = None
            self._record_pause(provider, health)

    def _record_pause(self, provider: Provider, health: ProviderHealth) -> None:
        """Record the provider's latest pause, once for all the polls that it refuses."""
        reason = provider.pause_reason
        if reason is not None and provider.paused_until > health.paused_until:
            health.paused_until = provider.paused_until
            self.metrics.paused(provider.name, reason)
            health.record_pause(self.providers.pause_left_s(provider), reason, self.clock())

    def _wait_for_pause(self, provider: Provider, group: list[ScheduledTask], now_ms: int) -> None:
        health = self.health.of(provider)
        problem = health.shared_problem or health.problem
        pause = f"the provider is not asked for a while ({provider.pause_reason})"
        message = problem.message if problem else pause
        waiting = self._give_up_old(group, message, now_ms, health.since_ms or None)
        if health.shared_problem is not None:
            self.outcomes.report_to_all(waiting, health.shared_problem, now_ms)

    def _wait_for_configuration(self, name: str, group: list[ScheduledTask], now_ms: int) -> None:
        # A newer task may name a provider that was configured with it: the secret is read again soon.
        known = [each for each in group if self.providers.read_at_ms >= min(each.task.since_ms, now_ms)]
        problem = self.providers.problem(name)
        for entry in (waiting := self._give_up_old(known, problem.message, now_ms)):
            self.scheduler.reschedule(entry, now_ms)
        self.outcomes.report_to_all(waiting, problem, now_ms)

    def _give_up_old(
        self, group: Iterable[ScheduledTask], problem: str, now_ms: int, since_ms: int | None = None
    ) -> list[ScheduledTask]:
        """Give up the tasks that have waited long enough for an answer; return the others."""
        waiting = []
        for entry in group:
            if should_give_up(entry.task, now_ms):
                self.outcomes.apply(entry, given_up(entry.task, now_ms, problem, since_ms), now_ms)
            else:
                waiting.append(entry)
        return waiting
