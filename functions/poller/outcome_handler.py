"""Does what the outcome of a poll means: reschedules the task, updates it, or ends it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks
from poller.decision import Decision, End, Wait, decide
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.poll_problems import PollProblem, record_problem
from poller.progress import ProgressTeller
from poller.provider_health import ProviderHealth
from poller.registry import ProviderRegistry
from poller.scheduler import PollScheduler, ScheduledTask
from tunehook.aws.callback_hints import Hint
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.tasks import TasksTable
from tunehook.providers.outcomes import Outcome, Pending, Throttled, Transient, Unauthorised
from tunehook.tasks import FailureCode, TaskEnd
from tunehook.times import to_ms

logger = Logger(child=True)

SELDOM_MS: Final = 20_000
"""The interval from which on a pass is too short to count three polls in a row."""

REPORTS_A_SECOND: Final = 100
"""How many tasks get a new `last_error` a second, in an outage that concerns them all."""

CALLBACK_WITHIN_MS: Final = 5_000
"""How long after an end its callback may still come, where a question at its usual moment was faster."""

_OUR_ENDS: Final = (FailureCode.TIMED_OUT, FailureCode.NOT_FOUND)
"""The ends that no provider can call back about."""

_REPORT: Final = {"last_error", "trouble"}


@dataclass(slots=True)
class OutcomeHandler:
    """Handles the outcomes of one pass; `writes` are the writes that run.

    `settle_hint` is told of a callback that a question has answered; `progress` of what each answer says of a task that
    goes on, unless it is None.
    """

    scheduler: PollScheduler
    tasks: TasksTable
    outbox: Outbox
    providers: ProviderRegistry
    metrics: Metrics
    clock: Callable[[], int]
    settle_hint: Callable[[Hint], None]
    progress: ProgressTeller | None = None
    writes: BackgroundTasks = field(default_factory=BackgroundTasks)
    _reported_at_ms: deque[int] = field(default_factory=lambda: deque(maxlen=REPORTS_A_SECOND))

    def handle_outcome(self, entry: ScheduledTask, health: ProviderHealth, outcome: Outcome) -> None:
        """Record the outcome of one poll, decide what it means, and apply that."""
        now_ms = self.clock()
        entry.poll = None
        was_polled = is_answer(outcome)
        problem = health.record_outcome(outcome, now_ms)
        is_answered = was_polled and not isinstance(outcome, Throttled | Transient | Unauthorised)
        if was_polled:
            entry.polled_at_ms = now_ms
            if entry.asked_for is not None:
                entry.led_at_ms = now_ms
            if is_answered:
                entry.answered_at_ms = now_ms
            self.metrics.polled(entry.task.key.provider, outcome.name)
            if outcome.name == "unauthorised" and health.is_no_longer_accepted:
                self.metrics.no_longer_accepted(entry.task.key.provider)
        if isinstance(outcome, Pending) and outcome.refreshed_at is not None:
            submitted_at_ms = None if outcome.submitted_at is None else to_ms(outcome.submitted_at)
            entry.refresh = health.rhythm.observe(
                entry.refresh, to_ms(outcome.refreshed_at), now_ms, submitted_at_ms
            )
        decision = decide(entry.task, outcome, now_ms, None if problem is None else problem.message)
        if is_answered and not isinstance(decision, End):
            self._settle(entry, entry.asked_for)
            if self.progress is not None:
                self.progress.observe(entry.task, outcome)
        if isinstance(decision, End):
            self.apply(entry, decision, now_ms)
        elif not was_polled:
            # An overdue task stays due, to be among the first after the pause.
            if now_ms < entry.task.deadline_ms:
                self.scheduler.reschedule(entry, now_ms)
        elif problem is not None:
            self.apply(entry, self._with_report(entry, problem, now_ms, decision), now_ms)
        else:
            if entry.task.trouble is not None and not entry.task.trouble.is_kept:
                entry.task = replace(entry.task, trouble=None)
            if decision.changes and decision.changes.keys() <= _REPORT and not self._may_report(now_ms):
                decision = Wait({})  # the next answer takes the report back
            self.apply(entry, decision, now_ms)

    def _settle(self, entry: ScheduledTask, hint: Hint | None) -> None:
        """Note that a hint has its answer; one that has come since its question waits for another."""
        if hint is not None:
            self.settle_hint(hint)
            if entry.hint == hint:
                entry.hint = None

    def _with_report(self, entry: ScheduledTask, problem: PollProblem, now_ms: int, decision: Wait) -> Wait:
        """Count a problem, and add its report to the decision when it is due."""
        task = replace(entry.task, trouble=None) if "trouble" in decision.changes else entry.task
        trouble, report = record_problem(task, problem, now_ms)
        if not report and trouble != entry.task.trouble and self._is_polled_seldom(entry, now_ms):
            report = {"trouble": replace(trouble, is_kept=True)}
        if report and self._may_report(now_ms):
            return Wait(decision.changes | report)
        entry.task = replace(entry.task, trouble=trouble)
        return decision

    def _is_polled_seldom(self, entry: ScheduledTask, now_ms: int) -> bool:
        task = entry.task
        provider = self.providers.get(task.key.provider)
        if provider is None:
            return False
        pace = self.scheduler.pace_of(entry, provider)
        return pace.interval_ms(now_ms - task.submitted_at_ms) >= SELDOM_MS

    def _may_report(self, now_ms: int) -> bool:
        """Count one report, unless `REPORTS_A_SECOND` were made within the last second."""
        if len(self._reported_at_ms) == REPORTS_A_SECOND and now_ms - self._reported_at_ms[0] < 1_000:
            return False
        self._reported_at_ms.append(now_ms)
        return True

    def report_to_all(self, waiting: Iterable[ScheduledTask], problem: PollProblem, now_ms: int) -> None:
        """Report a problem that every poll would meet on tasks that were not polled; they stay due."""

        async def write(entry: ScheduledTask, report: dict[str, Any]) -> None:
            try:
                await self._update(entry, report)
            finally:
                entry.is_writing = False

        for entry in waiting:
            if entry.task.trouble is None or entry.task.trouble.told != problem.kind:
                if not self._may_report(now_ms):
                    return
                _, report = record_problem(entry.task, problem, now_ms, was_polled=False)
                entry.is_writing = True
                self.writes.start(write(entry, report))

    def apply(self, entry: ScheduledTask, decision: Decision, now_ms: int) -> None:
        """Apply a decision in the background; the usual one changes nothing, and only reschedules the task."""
        if isinstance(decision, Wait) and not decision.changes:
            self.scheduler.reschedule(entry, now_ms)
            return
        entry.poll = None
        entry.is_writing = True
        self.writes.start(self._write(entry, decision, now_ms))

    async def _write(self, entry: ScheduledTask, decision: Decision, now_ms: int) -> None:
        try:
            if isinstance(decision, End):
                await self._end(entry, decision)
            else:
                await self._update(entry, decision.changes)
        finally:
            # After the write: the answer may have shown that the task is older.
            self.scheduler.reschedule(entry, now_ms)

    async def _end(self, entry: ScheduledTask, decision: End) -> None:
        key, end = entry.task.key, decision.end
        try:
            if await self.outbox.end(entry.task, end, decision.inline_files):
                self.metrics.ended(key.provider, end.status, end.detection_delay_ms)
                self._record_callback(entry, end)
        except AWS_FAULTS as error:
            logger.warning("task_not_ended", task_id=key.task_id, error=code_of(error))
        else:
            # Not before the end is written: if that fails, the next pass asks at once.
            self._settle(entry, entry.hint)
            self._remove(entry)

    def _remove(self, entry: ScheduledTask) -> None:
        self.scheduler.remove(entry)
        if self.progress is not None:
            self.progress.forget(entry.task)

    def _record_callback(self, entry: ScheduledTask, end: TaskEnd) -> None:
        """Note whether the provider called back about an end of its own."""
        if end.failure is not None and end.failure.code in _OUR_ENDS:
            return
        delay_ms = end.detection_delay_ms
        if entry.hint is None and delay_ms is not None and 0 <= delay_ms < CALLBACK_WITHIN_MS:
            return  # the callback may be under way
        provider = self.providers.get(entry.task.key.provider)
        if provider is None:
            return
        health = self.scheduler.health.of(provider)
        had_come = health.state.callbacks_come
        health.record_end(was_called_back=entry.hint is not None)
        if had_come and not health.state.callbacks_come:
            logger.info("callbacks_do_not_come", provider=provider.name)
            self.scheduler.hasten(provider.name)

    async def _update(self, entry: ScheduledTask, changes: dict[str, Any]) -> None:
        try:
            is_pending = await self.tasks.note_in_loop(entry.task, changes)
        except AWS_FAULTS as error:
            logger.warning("task_not_updated", task_id=entry.task.key.task_id, error=code_of(error))
            return
        if not is_pending:
            self._remove(entry)
            return
        counts = {name: changes[name] or 0 for name in changes.keys() & {"not_found_count", "empty_count"}}
        entry.task = replace(entry.task, **(changes | counts))


def is_answer(outcome: Outcome) -> bool:
    """Return whether a request was made, rather than refused by an open circuit breaker."""
    return not (isinstance(outcome, Throttled) and not outcome.asked)
