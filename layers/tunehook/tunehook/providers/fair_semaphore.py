"""A semaphore that serves the waiters of several keys in turn, by priority; and a pool of workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from enum import IntEnum
from itertools import chain
from typing import TypeAlias

Job: TypeAlias = Callable[[], Awaitable[None]]
_Waiter: TypeAlias = "asyncio.Future[bool]"


class Priority(IntEnum):
    """What is known of a waiter: OVERDUE goes before all, NEW before those that come again and again.

    KNOWN held its slot for a short time before; DOUBTED did not, or may well not.
    """

    OVERDUE = 0
    NEW = 1
    KNOWN = 2
    DOUBTED = 3


_KNOWN_BEFORE_DOUBTED = (Priority.OVERDUE, Priority.NEW, Priority.KNOWN, Priority.DOUBTED)
_DOUBTED_BEFORE_KNOWN = (Priority.OVERDUE, Priority.NEW, Priority.DOUBTED, Priority.KNOWN)
_MAY_HANG = frozenset({Priority.OVERDUE, Priority.DOUBTED})


class FairSemaphore:
    """A semaphore that is fair to keys, however many wait for one of them, and to those who hold it briefly.

    The overdue go first, then the new, key by key in turn; then the known and the doubted, in turn as well. A quarter
    of the slots, and at least one of several, is never given to the overdue and the doubted, which may well hang.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._free_for_doubted = slots if slots == 1 else slots - max(1, slots // 4)
        self._waiting: dict[Priority, dict[Hashable, deque[_Waiter]]] = {each: {} for each in Priority}
        self._last = Priority.DOUBTED
        self.is_closed = False

    async def acquire(self, key: Hashable, priority: Priority) -> bool:
        """Take a slot, waiting with the others of `key` if there is none; return False once it is closed."""
        if self.is_closed:
            return False
        if self._has_slot(priority) and self._next_priority() is None:
            self._take(priority)
            return True
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting[priority].setdefault(key, deque()).append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():  # it got the slot just before
                self.release(priority)
            raise

    def close(self) -> None:
        """Give no more slots; whoever waits gets False at once."""
        self.is_closed = True
        for keys in self._waiting.values():
            for waiter in chain.from_iterable(keys.values()):
                if not waiter.done():
                    waiter.set_result(False)
            keys.clear()

    def release(self, priority: Priority) -> None:
        self._free += 1
        self._free_for_doubted += priority in _MAY_HANG
        # A moment later: whoever releases it may well come again at once, and be the one to go first.
        asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        while (priority := self._next_priority()) is not None:
            keys = self._waiting[priority]
            key = next(iter(keys))
            waiters = keys.pop(key)
            waiter = waiters.popleft()
            if waiters:
                keys[key] = waiters  # behind the other keys
            if not waiter.done():
                self._take(priority)
                waiter.set_result(True)

    def _next_priority(self) -> Priority | None:
        if not any(self._waiting.values()):
            return None
        order = _DOUBTED_BEFORE_KNOWN if self._last is Priority.KNOWN else _KNOWN_BEFORE_DOUBTED
        return next((each for each in order if self._waiting[each] and self._has_slot(each)), None)

    def _has_slot(self, priority: Priority) -> bool:
        return self._free > 0 and (priority not in _MAY_HANG or self._free_for_doubted > 0)

    def _take(self, priority: Priority) -> None:
        self._free -= 1
        self._free_for_doubted -= priority in _MAY_HANG
        if priority in (Priority.KNOWN, Priority.DOUBTED):
            self._last = priority


class WorkerPool:
    """Run jobs with at most `size` tasks of a group, which is cheaper than a task a job. Jobs may submit more."""

    def __init__(self, group: asyncio.TaskGroup, size: int) -> None:
        self._group = group
        self._idle = size
        self._jobs: deque[Job] = deque()

    def submit(self, jobs: Iterable[Job]) -> None:
        """Run jobs, in this order, as soon as a worker is free for them."""
        self._jobs.extend(jobs)
        for _ in range(min(self._idle, len(self._jobs))):
            self._idle -= 1
            self._group.create_task(self._work())

    async def _work(self) -> None:
        while self._jobs:
            await self._jobs.popleft()()
        self._idle += 1
