"""Background work of a poll loop: begun in one tick, and not awaited by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from aws_lambda_powertools import Logger

logger = Logger(child=True)

T = TypeVar("T")

WAIT_BRIEFLY_S: Final = 0.25
"""How long a tick waits for news before it goes on with what was known before."""


class BackgroundTasks(set[asyncio.Task[Any]]):
    """The asyncio tasks of one kind that run beside the loop; what one raises is logged."""

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something."""
        task = asyncio.create_task(work)
        self.add(task)
        task.add_done_callback(self.discard)
        task.add_done_callback(_log_unexpected)
        return task

    async def wait(self, timeout_s: float) -> bool:
        """Wait for all that runs now; return whether it ended in time."""
        if not self:
            return True
        _, unfinished = await asyncio.wait(tuple(self), timeout=timeout_s)
        return not unfinished

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel all that runs, and return it."""
        tasks = list(self)
        for task in tasks:
            task.cancel()
        return tasks


async def in_thread(executor: Executor | None, call: Callable[..., T], *args: Any) -> T:
    """Return what a blocking call returns that runs in a thread of `executor`, the event loop's own if None."""
    return await asyncio.get_running_loop().run_in_executor(executor, call, *args)


async def wait_briefly(*tasks: asyncio.Task[Any]) -> float:
    """Wait for tasks for `WAIT_BRIEFLY_S` at most, and return for how many seconds; unfinished ones go on."""
    if not tasks:
        return 0.0
    time = asyncio.get_running_loop().time
    began_s = time()
    done, _ = await asyncio.wait(tasks, timeout=WAIT_BRIEFLY_S)
    for task in done:
        task.result()
    return min(time() - began_s, WAIT_BRIEFLY_S)


def _log_unexpected(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("unexpected_error", exc_info=error)
