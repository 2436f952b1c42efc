"""Reads what providers have called back about, and makes the tasks due.

A hint stays in its table until its task was asked about, so that a pass that dies loses none. Each read runs beside the
ticks, and no later one waits for one that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks, in_thread
from poller.scheduler import PollScheduler
from poller.take_in import TakeIn
from tunehook.aws.callback_hints import CallbackHintsTable, Hint
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.task_items import pending_task
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput
from tunehook.tasks import Status, TaskKey, work_queue

logger = Logger(child=True)

READS_MAX: Final = 4
"""How many reads of the hints run at most, where some of them hang."""

QUICK_S: Final = 0.25
"""How often the hints are read while the provider of a pending task calls back."""

HANGS_AFTER_MS: Final = 1_000
"""How long a read may take until another begins beside it."""

LOOK_AGAIN_MS: Final = 1_000
"""How often the item of a task that this pass does not know is looked at."""

UNACCEPTED_MS: Final = 60_000
"""How long a hint waits for intake to accept its task, which is asked about at once then in any case."""


@dataclass(slots=True)
class HintReader:
    """The hints of one shard; `wake` is set when one has made a task due.

    Nothing but reading is done until `begin`: only the pass that holds the lease asks.
    `writes` are the writes of the pass. `take_in` asks about tasks that are not in the Tasks table, and is None where
    they are left alone.
    """

    shard: int
    hints: CallbackHintsTable
    tasks: TasksTable
    scheduler: PollScheduler
    take_in: TakeIn | None
    writes: BackgroundTasks
    executor: Executor | None
    clock: Callable[[], int]
    reads: BackgroundTasks = field(default_factory=BackgroundTasks)
    questions: BackgroundTasks = field(default_factory=BackgroundTasks)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _is_begun: bool = False
    _waiting: dict[TaskKey, Hint] = field(default_factory=dict)
    _settled: dict[TaskKey, int] = field(default_factory=dict)
    _looked_at_ms: dict[TaskKey, int] = field(default_factory=dict)
    _callers: set[str] = field(default_factory=set)
    _read_began_ms: int = 0
    _shown_from_ms: int = -1

    @property
    def is_empty(self) -> bool:
        """Whether no hint waits for something that this pass does; one of a later moment is a later pass's."""
        now_ms = self.clock()
        return not self.questions and not any(_is_ripe(each, now_ms) for each in self._waiting.values())

    @property
    def is_known_empty(self) -> bool:
        """Whether the hints were read, and none waits for something that this pass does."""
        return self._shown_from_ms >= 0 and self.is_empty

    @property
    def is_quick(self) -> bool:
        """Whether the provider of a pending task calls back."""
        state_of = self.scheduler.health.state_of
        names = {key.provider for key in self.scheduler.tasks}
        return any(name in self._callers or state_of(name).ends_called_back for name in names)

    def start(self) -> None:
        """Begin another read, unless one is under way that does not hang."""
        now_ms = self.clock()
        is_under_way = self.reads and now_ms - self._read_began_ms < HANGS_AFTER_MS
        if not is_under_way and len(self.reads) < READS_MAX:
            self._read_began_ms = now_ms
            self.reads.start(self.fetch())

    async def wait(self, seconds: float) -> bool:
        """Wait until a hint has made a task due; return whether one has within this time."""
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True

    async def fetch(self) -> None:
        """Read the hints and apply them."""
        self.apply(*await self.read())

    async def read(self) -> tuple[int, list[Hint] | None]:
        """Return when a read of the hints began, and what it found, None where they cannot be read."""
        began_ms = self.clock()
        try:
            return began_ms, await in_thread(self.executor, self.hints.of_shard, self.shard)
        except AWS_FAULTS as error:
            logger.warning("hints_not_read", shard=self.shard, error=code_of(error))
            return began_ms, None

    def apply(self, began_ms: int, found: Collection[Hint] | None) -> None:
        """Make the tasks of hints due; deal with those whose task this pass does not know."""
        if found is None:
            return
        now_ms = self.clock()
        fresh = [each for each in found if not self._is_settled(each)]
        for hint in found:
            if self._is_settled(hint) and self._may_look(hint.key, now_ms):
                self.writes.start(self._delete(hint))
        if began_ms > self._shown_from_ms:
            self._shown_from_ms = began_ms
            self._waiting = {each.key: each for each in fresh}
        self._act(fresh)

    def begin(self) -> None:
        """Act on hints from now on, beginning with those that were read."""
        self._is_begun = True
        self._act(list(self._waiting.values()))

    def stop(self) -> None:
        """Go on reading only."""
        self._is_begun = False

    def _act(self, hints: Iterable[Hint]) -> None:
        now_ms = self.clock()
        for hint in hints:
            if hint.key in self.scheduler.tasks:
                self._make_due(hint)
            elif self._is_begun and _is_ripe(hint, now_ms) and self._may_look(hint.key, now_ms):
                self.questions.start(self._look(hint))

    def settle(self, hint: Hint) -> None:
        """Delete a hint whose task was asked about, or need not be; one that came later stays."""
        self._settled[hint.key] = hint.hinted_at_ms
        if self._waiting.get(hint.key) == hint:
            del self._waiting[hint.key]
        self.writes.start(self._delete(hint))

    def _is_settled(self, hint: Hint) -> bool:
        return self._settled.get(hint.key) == hint.hinted_at_ms

    def _may_look(self, key: TaskKey, now_ms: int) -> bool:
        if now_ms - self._looked_at_ms.get(key, 0) < LOOK_AGAIN_MS:
            return False
        self._looked_at_ms[key] = now_ms
        return True

    def _make_due(self, hint: Hint) -> None:
        self._callers.add(hint.key.provider)
        due_ms = self.scheduler.take_hint(hint)
        if due_ms is None:
            return
        if (wait_ms := due_ms - self.clock()) <= 0:
            self.wake.set()
        else:
            asyncio.get_running_loop().call_later(wait_ms / 1000, self.wake.set)

    async def _delete(self, hint: Hint) -> None:
        try:
            await in_thread(self.executor, self.hints.delete, hint)
        except AWS_FAULTS as error:
            logger.warning("hint_not_deleted", task_id=hint.key.task_id, error=code_of(error))

    async def _look(self, hint: Hint) -> None:
        """Look at the item of a task that this pass does not know."""
        try:
            item = await in_thread(self.executor, self.tasks.get, hint.key)
        except AWS_FAULTS as error:
            logger.warning("task_not_read", task_id=hint.key.task_id, error=code_of(error))
            return
        if item is None and hint.take_in_at_ms is not None and self.take_in is not None:
            if await self.take_in.ask(hint):
                self.settle(hint)
        elif item is not None and "status" not in item:
            if self.clock() - hint.hinted_at_ms >= UNACCEPTED_MS:
                self.settle(hint)
        elif item is None or not self._add(item, hint):
            self.settle(hint)

    def _add(self, item: dict[str, Any], hint: Hint) -> bool:
        """Add a task that the index does not show yet; return False for one on which this shard has nothing to do."""
        if item["status"] != Status.PENDING or item.get("queue") != work_queue(self.shard):
            return False
        try:
            self.scheduler.add(pending_task(item))
        except InvalidInput:
            return False  # the reader of the work index logs it
        # One that ended in this pass, or cannot be polled any more, is not added.
        if hint.key not in self.scheduler.tasks:
            return False
        self._make_due(hint)
        return True


def _is_ripe(hint: Hint, now_ms: int) -> bool:
    return hint.take_in_at_ms is None or hint.take_in_at_ms <= now_ms
