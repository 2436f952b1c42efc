"""Who is asked now: what is due, by provider, and what becomes of it while it cannot be asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Final

from aws_lambda_powertools import Logger

from poller.answers import Answers, is_question
from poller.decision import is_given_up
from poller.metrics import Metrics
from poller.provider_memory import ProviderMemory, Standing
from poller.registry import ProviderRegistry
from poller.rounds import BEHIND_FROM_MS, Rounds
from poller.under_way import Group, Single, briefly
from poller.watchlist import Watched, Watchlist
from tunehook.providers import Provider

logger = Logger(child=True)

OLD_FROM_MS: Final = 180_000
"""The age beyond which few tasks are still at work (docs/provider-contracts.md, "Figures") and many that hang."""

QUEUED_MAX_MS: Final = 30_000
"""How long a task that has waited long enough beyond its deadline is queued for its question all the same."""


class Questions:
    """Asks the questions of one pass.

    Parameters
    ----------
    shard : int
    watchlist, answers, rounds : Watchlist, Answers, Rounds
        What is watched, who takes the answers, and whose turn it is.
    providers, memory : ProviderRegistry, ProviderMemory
    figures : Metrics
        Counts what the pass does.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        shard: int,
        watchlist: Watchlist,
        answers: Answers,
        rounds: Rounds,
        providers: ProviderRegistry,
        memory: ProviderMemory,
        figures: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._shard = shard
        self._watchlist = watchlist
        self._answers = answers
        self._rounds = rounds
        self._providers = providers
        self._memory = memory
        self._figures = figures
        self._clock = clock
        self._pauses: dict[str, float] = {}
        self._met: set[Provider] = set()
        self.asking = Group()
        """The calls that are under way."""

        self.loading_under_way = Group()
        self._loading: Single[None] = Single(self.loading_under_way)

    def finish(self) -> None:
        """Ask no more; what is under way may be answered."""
        for provider in self._met:
            provider.close()

    async def ask_due(self, *, is_configured: bool) -> float:
        """Ask about what is due; return for how many seconds this waited.

        Parameters
        ----------
        is_configured : bool
            Whether the configuration of the providers is known; nobody is asked without.
        """
        now_ms = self._clock()
        due = self._due(now_ms)
        if not is_configured:
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
                pending=len(self._watchlist.tasks),
                due={name: len(group) for name, group in due.items() if name not in held},
            )
        return waited_s

    def _due(self, now_ms: int) -> dict[str, list[Watched]]:
        """Return the tasks that are to be asked about now, by provider."""
        due: defaultdict[str, list[Watched]] = defaultdict(list)
        waiting: Counter[str] = Counter()
        waited_ms: dict[str, int] = {}
        unasked: set[str] = set()
        oldest_ms = now_ms
        for watched in self._watchlist.tasks.values():
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
                self._answers.give_up(watched, self._queued_because(watched), now_ms)
            elif not watched.is_late:
                due[name].append(watched)  # once more, and before all others
        self._figures.backlog(len(self._watchlist.tasks), now_ms - oldest_ms)
        self._rounds.observe(waited_ms, unasked)
        return {
            name: kept for name, group in due.items() if (kept := self._of_round(name, group, waiting[name]))
        }

    def _of_round(self, name: str, group: list[Watched], waiting: int) -> list[Watched]:
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
        return await briefly(self._loading.begin(lambda: self._load_all(unmet)))

    async def _load_all(self, providers: list[Provider]) -> None:
        for provider in await self._memory.load(providers):
            self._pauses[provider.name] = provider.paused_until  # counted when it began

    def _ask_soon(self, provider: Provider, group: list[Watched], now_ms: int) -> None:
        call = object()
        for watched in group:
            watched.call, watched.due_ms = call, now_ms
            watched.is_late = now_ms >= watched.task.deadline_ms
        self.asking.start(self._ask(provider, group, call))

    def _queued_because(self, watched: Watched) -> str:
        provider = self._providers.get(watched.task.key.provider)
        rate = provider and provider.config.requests_per_second
        return "it waits for its turn" + (f" (requests_per_second is {rate:g})" if rate else "")

    async def _ask(self, provider: Provider, group: list[Watched], call: object) -> None:
        self._met.add(provider)
        standing = self._memory.standing(provider)
        unanswered = {watched.task.key.task_id: watched for watched in group}
        overdue = [each.task.key.task_id for each in group if each.is_late]

        def is_wanted(task_id: str) -> bool:
            return task_id in unanswered and unanswered[task_id].call is call

        questions = provider.poll_many(
            tuple(unanswered), old=self._old(group), overdue=overdue, is_wanted=is_wanted
        )
        try:
            async with aclosing(questions) as answers:
                async for task_id, outcome in answers:
                    watched = unanswered.pop(task_id)
                    # One that is asked about once more, as overdue, may be answered here all the same.
                    if watched.call is call or (watched.call is not None and is_question(outcome)):
                        self._answers.take(watched, standing, outcome)
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

    def _old(self, group: list[Watched]) -> list[str]:
        old_since_ms = self._clock() - OLD_FROM_MS
        return [each.task.key.task_id for each in group if each.task.submitted_at_ms < old_since_ms]

    def _wait_for_pause(self, provider: Provider, group: list[Watched], now_ms: int) -> None:
        standing = self._memory.standing(provider)
        cause = standing.general_cause or standing.cause
        words = cause.words if cause else f"the provider is not asked for a while ({provider.pause_reason})"
        waiting = self._give_up_old(group, words, now_ms, standing.since_ms or None)
        if standing.general_cause is not None:
            self._answers.tell_all(waiting, standing.general_cause, now_ms)

    def _wait_for_provider(self, name: str, group: list[Watched], now_ms: int) -> None:
        # One that has come since may name a provider that was configured with it: that is read anew soon.
        known = [each for each in group if self._providers.read_since(min(each.task.since_ms, now_ms))]
        cause = self._providers.problem(name)
        waiting = self._give_up_old(known, cause.words, now_ms)
        for watched in waiting:
            self._watchlist.plan(watched, now_ms)
        self._answers.tell_all(waiting, cause, now_ms)

    def _give_up_old(
        self, group: Iterable[Watched], words: str, now_ms: int, since_ms: int | None = None
    ) -> list[Watched]:
        """End the tasks that have waited long enough for somebody to ask about them; return the others."""
        waiting = []
        for watched in group:
            if is_given_up(watched.task, now_ms):
                self._answers.give_up(watched, words, now_ms, since_ms)
            else:
                waiting.append(watched)
        return waiting

    def _wait_for_configuration(self, due: dict[str, list[Watched]], now_ms: int) -> None:
        for group in due.values():
            for watched in group:
                if is_given_up(watched.task, now_ms):
                    self._answers.give_up(watched, self._providers.fault, now_ms)
