"""What becomes of an answer: the task waits on, is told why it does not go on, or ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from aws_lambda_powertools import Logger

from poller.decision import End, Verdict, Wait, judge, unasked
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.provider_memory import ProviderMemory, Standing
from poller.registry import ProviderRegistry
from poller.troubles import Cause, noted
from poller.under_way import Group
from poller.watchlist import Watched, Watchlist
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.providers import InlineFile, Outcome, Pending, Throttled, Transient, Unauthorised
from tunehook.tasks import TaskEnd, WorkItem
from tunehook.times import to_ms

logger = Logger(child=True)

SELDOM_MS: Final = 20_000
"""From which interval on a pass asks too seldom to count three questions in a row by itself."""

TOLD_A_SECOND: Final = 100
"""How many tasks a second are told why they do not go on, in an outage that concerns them all."""

_TELLING: Final = {"last_error", "trouble"}


class Answers:
    """Takes the answers of one pass.

    Parameters
    ----------
    watchlist, tasks, outbox : Watchlist, TasksTable, Outbox
        What is watched, where it is noted, and who ends it.
    providers, memory : ProviderRegistry, ProviderMemory
    figures : Metrics
        Counts what the pass does.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        tasks: TasksTable,
        outbox: Outbox,
        providers: ProviderRegistry,
        memory: ProviderMemory,
        figures: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._watchlist = watchlist
        self._tasks = tasks
        self._outbox = outbox
        self._providers = providers
        self._memory = memory
        self._figures = figures
        self._clock = clock
        self._told_at_ms: deque[int] = deque(maxlen=TOLD_A_SECOND)
        self.settling = Group()
        """What is being written."""

    def take(self, watched: Watched, standing: Standing, outcome: Outcome) -> None:
        """Take what a question came to."""
        now_ms = self._clock()
        watched.call = None
        was_asked = is_question(outcome)
        cause = self._memory.heard(standing, outcome, now_ms)
        if was_asked:
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
        elif not was_asked:
            self._stay_due(watched, now_ms)
        elif cause is not None:
            self._act(watched, self._told(watched, cause, now_ms, verdict), now_ms)
        else:
            if watched.task.trouble is not None and not watched.task.trouble.is_kept:
                watched.task = replace(watched.task, trouble=None)
            self._act(watched, self._within_bounds(verdict, now_ms), now_ms)

    def _stay_due(self, watched: Watched, now_ms: int) -> None:
        """Let a task wait that was not asked about; one that is overdue is to be among the first after the pause."""
        if now_ms < watched.task.deadline_ms:
            self._watchlist.plan(watched, now_ms)

    def _told(self, watched: Watched, cause: Cause, now_ms: int, verdict: Wait) -> Wait:
        """Count a question that came to nothing; add to its verdict what tells the task's user, when it is time."""
        task = replace(watched.task, trouble=None) if "trouble" in verdict.changes else watched.task
        trouble, telling = noted(task, cause, now_ms)
        if not telling and trouble != watched.task.trouble and self._is_asked_seldom(watched.task, now_ms):
            telling = {"trouble": replace(trouble, is_kept=True)}
        if telling and self._may_tell(now_ms):
            return Wait(verdict.changes | telling)
        watched.task = replace(watched.task, trouble=trouble)
        return verdict

    def tell_all(self, group: Iterable[Watched], cause: Cause, now_ms: int) -> None:
        """Tell tasks that were not asked about what everybody meets who asks; as many of them as may be told now."""
        for watched in group:
            if watched.task.trouble is None or watched.task.trouble.told != cause.kind:
                if not self._may_tell(now_ms):
                    return
                _, telling = noted(watched.task, cause, now_ms, is_question=False)
                watched.is_settling = True
                self.settling.start(self._tell(watched, telling))

    async def _tell(self, watched: Watched, telling: dict[str, Any]) -> None:
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

    def _is_asked_seldom(self, task: WorkItem, now_ms: int) -> bool:
        provider = self._providers.get(task.key.provider)
        if provider is None:
            return False
        return provider.pace.interval_ms(now_ms - task.submitted_at_ms) >= SELDOM_MS

    def give_up(self, watched: Watched, words: str, now_ms: int, since_ms: int | None = None) -> None:
        """End a task that has waited long enough for somebody to ask about it."""
        self._act(watched, End(unasked(watched.task, now_ms, words, since_ms)), now_ms)

    def _act(self, watched: Watched, verdict: Verdict, now_ms: int) -> None:
        """Do what a verdict wants; the usual one wants nothing, and costs no more than that."""
        if isinstance(verdict, Wait) and not verdict.changes:
            self._watchlist.plan(watched, now_ms)
        else:
            self._settle_soon(watched, verdict, now_ms)

    def _settle_soon(self, watched: Watched, verdict: Verdict, now_ms: int) -> None:
        watched.call = None
        watched.is_settling = True
        self.settling.start(self._settle(watched, verdict, now_ms))

    async def _settle(self, watched: Watched, verdict: Verdict, now_ms: int) -> None:
        try:
            if isinstance(verdict, End):
                await self._end(watched, verdict.end, verdict.inline_files)
            else:
                await self._note(watched, verdict.changes)
        finally:
            # Only now: the answer may have told that the task is older than it was known to be.
            self._watchlist.plan(watched, now_ms)

    async def _end(self, watched: Watched, end: TaskEnd, files: tuple[InlineFile, ...]) -> None:
        try:
            if await self._outbox.end(watched.task, end, files):
                self._figures.ended(watched.task.key.provider, end.status, end.detection_delay_ms)
        except AWS_FAULTS as error:
            logger.warning("task_not_ended", task_id=watched.task.key.task_id, error=code_of(error))
        else:
            self._watchlist.forget(watched)

    async def _note(self, watched: Watched, changes: dict[str, Any]) -> None:
        try:
            is_pending = await asyncio.to_thread(self._tasks.note, watched.task, changes)
        except AWS_FAULTS as error:
            logger.warning("change_not_noted", task_id=watched.task.key.task_id, error=code_of(error))
            return
        if not is_pending:
            self._watchlist.forget(watched)
            return
        counts = {name: 0 for name in ("not_found_count", "empty_count") if changes.get(name, 0) is None}
        watched.task = replace(watched.task, **(changes | counts))


def is_question(outcome: Outcome) -> bool:
    """Return whether the provider was asked, rather than left alone."""
    return not (isinstance(outcome, Throttled) and not outcome.asked)
