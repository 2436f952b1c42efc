"""Background work of a poll loop: begun in one tick, and not awaited by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from aws_lambda_powertools import Logger

logger = Logger(child=True)

T = TypeVar("T")

WAIT_BRIEFLY_S: Final = 0.25
"""How long a tick waits for news before it goes on with what was known before."""


class BackgroundTasks:
    """A set of asyncio tasks that run beside the loop; what one raises is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_log_unexpected)
        return task

    async def wait(self, timeout_s: float) -> bool:
        """Wait for all that runs now; return whether it ended in time."""
        if not self._running:
            return True
        _, unfinished = await asyncio.wait(tuple(self._running), timeout=timeout_s)
        return not unfinished

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel all that runs, and return it."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        return tasks


@dataclass(slots=True)
class SingleFlight(Generic[T]):
    """Background work of which one task runs at a time; a start meanwhile returns that task."""

    tasks: BackgroundTasks
    running: asyncio.Task[T] | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the running task, begun now if there was none."""
        if self.running is None:
            self.running = self.tasks.start(work())
            self.running.add_done_callback(self._clear)
        return self.running

    def _clear(self, _: asyncio.Task[T]) -> None:
        self.running = None


async def in_thread(executor: Executor | None, call: Callable[..., T], *args: Any) -> T:
    """Return what a blocking call returns that runs in a thread of `executor`, the event loop's own if None."""
    return await asyncio.get_running_loop().run_in_executor(executor, call, *args)


async def wait_briefly(*tasks: asyncio.Task[Any] | None) -> float:
    """Wait for tasks for `WAIT_BRIEFLY_S` at most, and return for how many seconds; unfinished ones go on."""
    running = [task for task in tasks if task is not None]
    if not running:
        return 0.0
    time = asyncio.get_running_loop().time
    began_s = time()
    done, _ = await asyncio.wait(running, timeout=WAIT_BRIEFLY_S)
    for task in done:
        task.result()
    return min(time() - began_s, WAIT_BRIEFLY_S)


def _log_unexpected(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("unexpected_error", exc_info=error)
