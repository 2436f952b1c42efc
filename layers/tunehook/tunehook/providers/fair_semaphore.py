"""Who goes next: a bounded number at a time, those who wait in several lines in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from enum import IntEnum
from typing import TypeAlias

Job: TypeAlias = Callable[[], Awaitable[None]]


class Priority(IntEnum):
    """What is known of who waits."""

    OVERDUE = 0
    """It waits for an answer that ends it one way or the other, and goes before all others."""

    NEW = 1
    """Nothing yet: it goes before those who come again and again, so that they do not keep it out."""

    KNOWN = 2
    """It gave its place back soon the last time."""

    DOUBTED = 3
    """It did not, or may well not: some places are kept from its like."""


_KNOWN_BEFORE_DOUBTED = (Priority.OVERDUE, Priority.NEW, Priority.KNOWN, Priority.DOUBTED)
_DOUBTED_BEFORE_KNOWN = (Priority.OVERDUE, Priority.NEW, Priority.DOUBTED, Priority.KNOWN)
_MAY_HANG = frozenset({Priority.OVERDUE, Priority.DOUBTED})


class FairSemaphore:
    """A semaphore that is fair to lines, however long one of them is, and to those who do not stay long.

    The overdue go first, then the new, line by line in turn; then the known and the doubted, in turn as well. A quarter
    of the places, and at least one of several, is never given to the overdue and the doubted, which may well hang.

    Parameters
    ----------
    places : int
        How many may be in at a time.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._free_for_doubted = places if places == 1 else places - max(1, places // 4)
        self._lines: dict[Priority, dict[Hashable, deque[asyncio.Future[bool]]]] = {
            rank: {} for rank in Priority
        }
        self._last = Priority.DOUBTED
        self._is_choosing = False
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether no more places are given."""
        return self._is_closed

    async def take(self, line: Hashable, rank: Priority) -> bool:
        """Take a place, waiting in `line` for a turn if there is none; return False if no more are given."""
        if self._is_closed:
            return False
        if self._is_open(rank) and self._next_rank() is None:
            self._give(rank)
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lines[rank].setdefault(line, deque()).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():  # the place was given just before
                self.give_back(rank)
            raise

    def close(self) -> None:
        """Give no more places; those who wait learn it at once."""
        self._is_closed = True
        for lines in self._lines.values():
            for waiting in lines.values():
                for turn in waiting:
                    if not turn.done():
                        turn.set_result(False)
            lines.clear()

    def give_back(self, rank: Priority) -> None:
        """Give up a place taken with this rank to the one whose turn it is."""
        self._free += 1
        self._free_for_doubted += rank in _MAY_HANG
        if not self._is_choosing and self._next_rank() is not None:
            # A moment later: who gives it back may well come again at once, and be the one to go first.
            self._is_choosing = True
            asyncio.get_running_loop().call_soon(self._choose)

    def _choose(self) -> None:
        self._is_choosing = False
        while (rank := self._next_rank()) is not None:
            lines = self._lines[rank]
            line = next(iter(lines))
            waiting = lines.pop(line)
            turn = waiting.popleft()
            if waiting:
                lines[line] = waiting  # behind the other lines
            if not turn.done():
                self._give(rank)
                turn.set_result(True)

    def _next_rank(self) -> Priority | None:
        if not any(self._lines.values()):
            return None
        order = _DOUBTED_BEFORE_KNOWN if self._last is Priority.KNOWN else _KNOWN_BEFORE_DOUBTED
        return next((rank for rank in order if self._lines[rank] and self._is_open(rank)), None)

    def _is_open(self, rank: Priority) -> bool:
        return self._free > 0 and (rank not in _MAY_HANG or self._free_for_doubted > 0)

    def _give(self, rank: Priority) -> None:
        self._free -= 1
        self._free_for_doubted -= rank in _MAY_HANG
        if rank in (Priority.KNOWN, Priority.DOUBTED):
            self._last = rank


class WorkerPool:
    """Does jobs with a bounded number of tasks, which is cheaper than a task a job. Jobs may bring further jobs.

    Parameters
    ----------
    group : asyncio.TaskGroup
        What the tasks belong to.
    size : int
        How many tasks at most.
    """

    def __init__(self, group: asyncio.TaskGroup, size: int) -> None:
        self._group = group
        self._vacancies = size
        self._jobs: deque[Job] = deque()

    def add(self, jobs: Iterable[Job]) -> None:
        """Have jobs done, in this order, as soon as a task is free for them."""
        self._jobs.extend(jobs)
        for _ in range(min(self._vacancies, len(self._jobs))):
            self._vacancies -= 1
            self._group.create_task(self._work())

    async def _work(self) -> None:
        while self._jobs:
            await self._jobs.popleft()()
        self._vacancies += 1
