"""What a pass has begun and does not wait for: it goes on beside the ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, Generic, TypeVar

from aws_lambda_powertools import Logger

logger = Logger(child=True)

Answer = TypeVar("Answer")

BRIEFLY_S: Final = 0.25
"""How long a tick waits for what is known anew before it asks with what was known before."""


class Group:
    """Work of one kind that is under way, any number at a time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        """Begin something; what it raises is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_unexpected)
        return task

    async def wait(self, patience_s: float) -> bool:
        """Wait for all that is under way now, for so many seconds at most; return whether it has ended."""
        if not self._tasks:
            return True
        _, unfinished = await asyncio.wait(tuple(self._tasks), timeout=patience_s)
        return not unfinished

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel all that is under way, and return it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks


class Single(Generic[Answer]):
    """Work of which one is under way at a time.

    Parameters
    ----------
    group : Group
        What it belongs to.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._task: asyncio.Task[Answer] | None = None

    @property
    def task(self) -> asyncio.Task[Answer] | None:
        """What is under way, or None."""
        return self._task

    def begin(self, work: Callable[[], Coroutine[Any, Any, Answer]]) -> asyncio.Task[Answer]:
        """Return what is under way, begun now if nothing was."""
        if self._task is None:
            self._task = self._group.start(work())
            self._task.add_done_callback(self._ended)
        return self._task

    def _ended(self, _: asyncio.Task[Answer]) -> None:
        self._task = None


class Upkeep:
    """Calls of AWS in threads of their own, so that they wait for no others.

    Parameters
    ----------
    threads : Executor or None
        Those of the event loop if None.
    """

    def __init__(self, threads: Executor | None) -> None:
        self._threads = threads

    async def __call__(self, call: Callable[..., Answer], *args: Any) -> Answer:
        """Return what a call returns that may block."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


async def briefly(*work: asyncio.Task[Any] | None) -> float:
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


def _log_unexpected(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("unexpected_error", exc_info=error)
