"""Which pending tasks a pass knows, when each is due, and in which order where more are due than can be polled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from poller.decision import GIVE_UP_AFTER_MS, STREAMING_MAX_MS
from poller.provider_health import ProviderHealthStore
from poller.registry import ProviderRegistry
from tunehook.aws.callback_hints import Hint
from tunehook.aws.leases import Position
from tunehook.cadence import Pace, next_poll_ms
from tunehook.providers.client import Provider
from tunehook.rhythm import Refresh
from tunehook.tasks import TaskKey, WorkItem

INDEX_LAG_MS: Final = 10_000
"""How long the work index may hide a new item behind a newer one: each read begins that long before the last one."""

UNCONFIGURED_EVERY_MS: Final = 5_000

RESTS_FROM_MS: Final = 600_000
"""The age from which on a task may wait for the schedule's next start while no poller runs."""

HINTED_APART_MS: Final = 5_000
"""How long after a question that a callback led to the next one may be, however often a provider calls back."""

PUNCTUAL_MAX: Final = 5
"""So few tasks are asked about at their moments rather than at the next tick. That makes no more requests than ticks
do: each task has one in five seconds at most."""

BEHIND_FROM_MS: Final = 12_000
"""How long a task waits for its poll until its provider is behind: longer than any one request takes."""


@dataclass(slots=True)
class ScheduledTask:
    """A pending task of this pass; while a poll of it runs, `due_ms` is since when it was due.

    `poll` identifies the group of tasks that are polled together, which `is_overdue_poll` if that began after the
    deadline. The last outcome came at `polled_at_ms`, the last one that says how the task stands at `answered_at_ms`;
    both are 0 before the first of this pass. `hint` is the provider's
    callback that waits for a question, or for the answer of one that began when `asked_for` was the hint; the last
    question to which one led was at `led_at_ms`.
    """

    task: WorkItem
    due_ms: int
    poll: object | None = None
    is_writing: bool = False
    is_overdue_poll: bool = False
    polled_at_ms: int = 0
    answered_at_ms: int = 0
    refresh: Refresh | None = None
    led_at_ms: int = 0
    hint: Hint | None = None
    asked_for: Hint | None = None


@dataclass(slots=True)
class RoundRobin:
    """Orders the tasks of a provider that is behind: the least recently polled first, over passes.

    A pass does not know when the passes before polled a task. So each goes round in one order (by `Position`), and
    saves with the lease where the next one goes on, while a provider is behind.
    """

    _next: dict[str, Position] = field(default_factory=dict)

    def resume(self, positions: Mapping[str, Position]) -> None:
        """Go on where the pass before stopped."""
        self._next = dict(positions)

    def is_behind(self, provider: str) -> bool:
        """Return whether a provider has more tasks due than it can be polled for."""
        return provider in self._next

    def order(self, provider: str, task: ScheduledTask) -> tuple[int, bool, Position]:
        """Return the sort key of a provider's task."""
        position = Position(task.task.since_ms, task.task.key.task_id)
        return task.polled_at_ms, position < self._next.get(provider, position), position

    def observe(self, waited_ms: Mapping[str, int], unpolled: Iterable[str]) -> None:
        """Determine which providers are behind, by how long their polls have waited at most.

        A provider stays behind while it is `unpolled`: it has tasks that this pass has not polled yet.
        """
        late = {name for name, each_ms in waited_ms.items() if each_ms >= BEHIND_FROM_MS}
        behind = late | (self._next.keys() & set(unpolled))
        self._next = {name: self._next.get(name, Position(0, "")) for name in behind}

    def positions(self, tasks: Iterable[ScheduledTask]) -> dict[str, Position]:
        """Return where the next pass goes on, by the names of the providers that are behind."""
        if not self._next:
            return {}
        first: dict[str, tuple[int, bool, Position]] = {}
        for each in tasks:
            name = each.task.key.provider
            if name in self._next:
                order = self.order(name, each)
                first[name] = min(first.get(name, order), order)
        return {name: position for name, (_, _, position) in first.items()}


@dataclass(slots=True)
class PollScheduler:
    """The pending tasks of a pass, each with the moment of its next poll; `added` counts them."""

    providers: ProviderRegistry
    health: ProviderHealthStore
    clock: Callable[[], int]
    round_robin: RoundRobin = field(default_factory=RoundRobin)
    tasks: dict[TaskKey, ScheduledTask] = field(default_factory=dict)
    added: int = 0
    _removed: dict[TaskKey, int] = field(default_factory=dict)
    _handed_over_at_ms: int = 0

    def count_of(self, provider: str) -> int:
        """Return how many pending tasks of a provider are known."""
        return sum(key.provider == provider for key in self.tasks)

    def knows(self, key: TaskKey, since_ms: int) -> bool:
        """Return whether a run, or a later one of the same task, is or was known; safe in any thread."""
        known = self.tasks.get(key)
        is_pending = known is not None and known.task.since_ms >= since_ms
        return is_pending or self._removed.get(key, 0) >= since_ms

    def add(self, task: WorkItem) -> None:
        """Schedule a run, unless it is known."""
        if self.knows(task.key, task.since_ms):
            return
        self.added += 1
        entry = self.tasks[task.key] = ScheduledTask(task, 0)
        entry.due_ms = self._first_due_ms(entry)

    def remove(self, entry: ScheduledTask) -> None:
        """Schedule a run no longer; the work index may go on showing it for a while."""
        key = entry.task.key
        self._removed[key] = entry.task.since_ms
        if self.tasks.get(key) is entry:
            del self.tasks[key]

    def resume(self, handed_over_at_ms: int) -> None:
        """Go on after the poller before, which polled its tasks until that moment; 0 if there was none."""
        self._handed_over_at_ms = handed_over_at_ms
        self.resume_loaded()

    def resume_loaded(self) -> None:
        """Schedule what was not polled yet by what is known now of its provider."""
        for entry in self.tasks.values():
            if not entry.polled_at_ms and entry.poll is None:
                entry.due_ms = self._first_due_ms(entry)

    def reschedule(self, entry: ScheduledTask, polled_at_ms: int) -> None:
        """Make a task due again after a poll at this moment."""
        entry.due_ms = self._next_due_ms(entry, polled_at_ms)
        entry.is_writing = False

    def take_hint(self, hint: Hint) -> int | None:
        """Make a known task due that its provider called back about; return when.

        None says that there is nothing to do yet: its moment was known, or a poll runs; the next question follows it.
        """
        entry = self.tasks[hint.key]
        is_known, entry.hint = hint == entry.hint, hint
        if entry.poll is not None or entry.is_writing or (is_known and entry.due_ms > self.clock()):
            return None
        entry.due_ms = min(entry.due_ms, self._hinted_due_ms(entry))
        return entry.due_ms

    def hasten(self, provider: str) -> None:
        """Let the tasks of a provider wait no longer than its pace has it, as its callbacks no longer come."""
        now_ms = self.clock()
        for entry in self.tasks.values():
            if entry.task.key.provider == provider and entry.poll is None:
                entry.due_ms = min(entry.due_ms, self._next_due_ms(entry, now_ms))

    def pace_of(self, entry: ScheduledTask, provider: Provider) -> Pace:
        """Return how often a task is polled: seldom while its provider's callbacks come and its answers are usual."""
        task = entry.task
        is_usual = not (task.empty_count or task.not_found_count or task.suspicion or task.streaming_since_ms)
        if is_usual and self.health.state_of(provider.name).callbacks_come:
            return provider.pace.with_callbacks()
        return provider.pace

    def punctual_in_s(self) -> float:
        """Return in how many seconds the next task is due; infinite where so many are pending that ticks count."""
        if len(self.tasks) > PUNCTUAL_MAX:
            return inf
        now_ms = self.clock()
        return min(
            (
                (each.due_ms - now_ms) / 1000
                for each in self.tasks.values()
                if each.poll is None and not each.is_writing and each.due_ms > now_ms
            ),
            default=inf,
        )

    def catch_up(self) -> None:
        """Note that no provider is behind any more whose tasks have all been polled."""
        waiting = {each.task.key.provider for each in self.tasks.values() if not each.polled_at_ms}
        self.round_robin.observe({}, waiting)

    def can_rest(self, until_ms: int) -> bool:
        """Return whether a poller that polls all tasks at `until_ms` comes in time for each of them."""
        now_ms = self.clock()
        return now_ms < until_ms and all(self._rests(each, now_ms, until_ms) for each in self.tasks.values())

    def may_rest(self, until_ms: int) -> bool:
        """Return whether a pass that polls all tasks now may rest until then, if their answers bring nothing new."""
        now_ms = self.clock()
        return all(self._is_quiet(each, now_ms, until_ms) for each in self.tasks.values())

    def _is_quiet(self, entry: ScheduledTask, now_ms: int, until_ms: int) -> bool:
        """Return whether a task is old, and nothing happens to it before a moment that is not an answer's doing."""
        task = entry.task
        if now_ms - task.submitted_at_ms < RESTS_FROM_MS or entry.hint is not None:
            return False
        ends_ms = [task.deadline_ms + (GIVE_UP_AFTER_MS if now_ms >= task.deadline_ms else 0)]
        if task.streaming_since_ms is not None:
            ends_ms.append(task.streaming_since_ms + STREAMING_MAX_MS)
        return not any(now_ms <= each < until_ms for each in ends_ms)

    def _rests(self, entry: ScheduledTask, now_ms: int, until_ms: int) -> bool:
        """Return whether nothing happens to a task before a moment, and no poll of it is due."""
        task = entry.task
        if not self._is_quiet(entry, now_ms, until_ms):
            return False
        provider = self.providers.get(task.key.provider)
        if provider is None or self.providers.pause_left_s(provider) * 1000 >= until_ms - now_ms:
            return True  # no poll is possible
        every_ms = provider.pace.interval_ms(now_ms - task.submitted_at_ms)
        return entry.due_ms >= until_ms or (
            now_ms < entry.due_ms and until_ms <= entry.answered_at_ms + every_ms
        )

    def _first_due_ms(self, entry: ScheduledTask) -> int:
        """A task is due at once if it is new, overdue or called back about, or the poller before was behind with it."""
        task = entry.task
        if (
            entry.hint is not None
            or task.since_ms > self._handed_over_at_ms - INDEX_LAG_MS
            or self.clock() >= task.deadline_ms
            or self.round_robin.is_behind(task.key.provider)
        ):
            return 0
        return self._next_due_ms(entry, self._handed_over_at_ms)

    def _next_due_ms(self, entry: ScheduledTask, after_ms: int) -> int:
        task = entry.task
        provider = self.providers.get(task.key.provider)
        if provider is None:
            due_ms = after_ms + UNCONFIGURED_EVERY_MS
        else:
            pace = self.pace_of(entry, provider)
            due_ms = next_poll_ms(task.submitted_at_ms, after_ms, pace)
            # Whoever calls back tells of a refresh by that.
            if entry.refresh is not None and pace is provider.pace:
                every_ms = pace.interval_ms(after_ms - task.submitted_at_ms)
                rhythm = self.health.of(provider).rhythm
                due_ms = rhythm.next_poll_ms(due_ms, every_ms, after_ms, entry.refresh)
        if task.streaming_since_ms is not None and after_ms < task.streaming_since_ms + STREAMING_MAX_MS:
            due_ms = min(due_ms, task.streaming_since_ms + STREAMING_MAX_MS)
        if entry.led_at_ms:
            # A flood of callbacks makes no more questions together than one in five seconds.
            due_ms = max(due_ms, entry.led_at_ms + HINTED_APART_MS)
        if entry.hint is not None:
            due_ms = min(due_ms, self._hinted_due_ms(entry))
        return min(due_ms, task.deadline_ms) if after_ms < task.deadline_ms else due_ms

    @staticmethod
    def _hinted_due_ms(entry: ScheduledTask) -> int:
        return entry.led_at_ms + HINTED_APART_MS if entry.led_at_ms else 0
