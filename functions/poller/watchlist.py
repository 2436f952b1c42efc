"""What a pass watches: which tasks, and when each of them is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from poller.decision import STREAMING_MAX_MS, UNASKED_MAX_MS
from poller.provider_memory import ProviderMemory
from poller.registry import ProviderRegistry
from poller.rounds import Rounds
from tunehook.cadence import next_question_ms
from tunehook.rhythm import Refresh
from tunehook.tasks import TaskKey, WorkItem

INDEX_LAG_MS: Final = 10_000
"""How long the work index may hide a new item behind a newer one: each look begins that long before the last one."""

UNCONFIGURED_EVERY_MS: Final = 5_000

RESTS_FROM_MS: Final = 600_000
"""The age from which on a task may wait for the schedule's next start while no poller runs."""


@dataclass(slots=True)
class Watched:
    """A task, and how it stands.

    Attributes
    ----------
    task : WorkItem
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
        When the last one came that told how it stands; 0 before the first.
    refresh : Refresh or None
        Its gateway's last refresh.
    """

    task: WorkItem
    due_ms: int
    call: object | None = None
    is_settling: bool = False
    is_late: bool = False
    asked_at_ms: int = 0
    answered_at_ms: int = 0
    refresh: Refresh | None = None


class Watchlist:
    """The tasks of a pass.

    Parameters
    ----------
    providers, memory, rounds : ProviderRegistry, ProviderMemory, Rounds
        What tells when a task is due, beside its age.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        providers: ProviderRegistry,
        memory: ProviderMemory,
        rounds: Rounds,
        clock: Callable[[], int],
    ) -> None:
        self._providers = providers
        self._memory = memory
        self._rounds = rounds
        self._clock = clock
        self._gone: dict[TaskKey, int] = {}
        self._handed_over_at_ms = 0
        self.tasks: dict[TaskKey, Watched] = {}
        self.found = 0
        """How many runs were added so far."""

    def knows(self, key: TaskKey, since_ms: int) -> bool:
        """Return whether a run, or a later one of the same task, is watched or was; any thread may ask."""
        known = self.tasks.get(key)
        return (known is not None and known.task.since_ms >= since_ms) or self._gone.get(key, 0) >= since_ms

    def add(self, task: WorkItem) -> None:
        """Watch a run, unless it is known."""
        if self.knows(task.key, task.since_ms):
            return
        self.found += 1
        watched = self.tasks[task.key] = Watched(task, 0)
        watched.due_ms = self._first_due_ms(watched)

    def forget(self, watched: Watched) -> None:
        """Watch a run no longer; the work index may go on showing it for a while."""
        key = watched.task.key
        self._gone[key] = watched.task.since_ms
        if self.tasks.get(key) is watched:
            del self.tasks[key]

    def begin(self, handed_over_at_ms: int) -> None:
        """Say up to when the poller before this one has looked after its tasks; 0 if there was none."""
        self._handed_over_at_ms = handed_over_at_ms
        for watched in self.tasks.values():
            if not watched.asked_at_ms:
                watched.due_ms = self._first_due_ms(watched)

    def plan(self, watched: Watched, asked_at_ms: int) -> None:
        """Let a task wait until it is due after a question at this moment."""
        watched.due_ms = self._next_due_ms(watched, asked_at_ms)
        watched.is_settling = False

    def rest(self, until_ms: int) -> bool:
        """Return whether whoever asks about all tasks at `until_ms` comes in time for each of them."""
        now_ms = self._clock()
        return now_ms < until_ms and all(self._rests(each, now_ms, until_ms) for each in self.tasks.values())

    def _rests(self, watched: Watched, now_ms: int, until_ms: int) -> bool:
        """Return whether a task need not be asked about before a moment, and nothing else becomes of it by then."""
        task = watched.task
        if now_ms - task.submitted_at_ms < RESTS_FROM_MS:
            return False
        ends_ms = [task.deadline_ms + (UNASKED_MAX_MS if now_ms >= task.deadline_ms else 0)]
        if task.streaming_since_ms is not None:
            ends_ms.append(task.streaming_since_ms + STREAMING_MAX_MS)
        if any(now_ms <= each < until_ms for each in ends_ms):
            return False
        provider = self._providers.get(task.key.provider)
        if provider is None or self._providers.pause_left_s(provider) * 1000 >= until_ms - now_ms:
            return True  # nobody could ask
        every_ms = provider.pace.interval_ms(now_ms - task.submitted_at_ms)
        return watched.due_ms >= until_ms or (
            now_ms < watched.due_ms and until_ms <= watched.answered_at_ms + every_ms
        )

    def _first_due_ms(self, watched: Watched) -> int:
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

    def _next_due_ms(self, watched: Watched, after_ms: int) -> int:
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
