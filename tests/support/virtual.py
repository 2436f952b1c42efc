"""A virtual clock: whatever sleeps wakes at once, and time says how long it has slept.

Calls that are given to threads (`asyncio.to_thread`) are made by the loop itself, at moments of that time: at once, or
when `Threads` says. So a test can show how calls that are under way at the same time interleave, and does it the same
way each time.
"""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

Result = TypeVar("Result")

SHORTEST_S: Final = 1e-6
"""How long a timer takes at least."""

FOR_EVER_S: Final = 1e9
"""How long a call takes that hangs."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course that one call in a thread takes.

    Attributes
    ----------
    before_s : float
        After how many seconds it is made: until then nobody sees what it does.
    after_s : float
        After how many seconds more its answer arrives.
    lost : Exception, optional
        What its caller gets in place of the answer, though the call was made.
    """

    before_s: float = 0.0
    after_s: float = 0.0
    lost: Exception | None = None


AT_ONCE: Final = Course()
HANGING: Final = Course(before_s=FOR_EVER_S)


class Threads(Protocol):
    """Decides on the course of each call that is given to a thread."""

    def __call__(self, name: str, args: tuple[Any, ...]) -> Course:
        """Return what becomes of a call.

        Parameters
        ----------
        name : str
            The function's qualified name, such as ``TasksTable.end``.
        args : tuple
            What it is called with, without a method's own object.
        """
        ...


class Scripted:
    """The courses that calls take, by the last part of the function's name, one a call; then they are made at once.

    Parameters
    ----------
    **courses : list of Course
        Such as ``end=[Course(after_s=2)]``.
    """

    def __init__(self, **courses: list[Course]) -> None:
        self._courses = courses
        self.made: list[str] = []

    def __call__(self, name: str, args: tuple[Any, ...]) -> Course:
        name = name.rsplit(".", 1)[-1]
        self.made.append(name)
        courses = self._courses.get(name)
        return courses.pop(0) if courses else AT_ONCE


class Seeded:
    """Calls that take random times, the same for the same seed.

    Parameters
    ----------
    seed : int
    longest_s : float
        How long a call takes at most until it is made, and as long again until its answer arrives.
    """

    def __init__(self, seed: int, longest_s: float) -> None:
        self._random = random.Random(seed)
        self._longest_s = longest_s

    def __call__(self, name: str, args: tuple[Any, ...]) -> Course:
        return Course(self._random.uniform(0, self._longest_s), self._random.uniform(0, self._longest_s))


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would wait.

    Parameters
    ----------
    passed_s : float
        The time at which it begins.
    threads : Threads, optional
        What becomes of calls that are given to threads; by default each runs at once, in no time. As with real
        threads, a call goes on when nobody waits for it any more; what is not made when the loop ends never is.
    """

    def __init__(self, passed_s: float = 0.0, threads: Threads | None = None) -> None:
        self.passed_s = passed_s
        self._threads = threads
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self.passed_s

    def call_at(self, when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        # A moment may be too near to change a float: whoever waits for it again and again would wait for ever.
        return super().call_at(max(when, self.passed_s + SHORTEST_S), *args, **options)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()
        course = AT_ONCE if self._threads is None else self._threads(*_called(func, args))
        work = functools.partial(self._make, future, functools.partial(func, *args), course)
        if course.before_s:
            self.call_later(course.before_s, work)
        else:
            work()
        return future

    async def shutdown_default_executor(self, *_: float | None) -> None:
        """Do nothing: no call was ever given to a thread, and asyncio's own way would wait for one in real time."""

    def _make(self, future: asyncio.Future[Any], call: Callable[[], Any], course: Course) -> None:
        try:
            answer = functools.partial(_answer, future, call())
        except Exception as error:  # noqa: BLE001 - the future is what carries it
            answer = functools.partial(_fail, future, error)
        if course.lost is not None:
            answer = functools.partial(_fail, future, course.lost)
        if course.after_s:
            self.call_later(course.after_s, answer)
        else:
            answer()


def _called(func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the name and the arguments of what `asyncio.to_thread` or `run_in_executor` was given."""
    while isinstance(func, functools.partial):
        func, args = func.func, (*func.args, *args)
        if getattr(func, "__name__", "") == "run" and args and callable(args[0]):
            func, args = args[0], args[1:]  # asyncio.to_thread runs it in a context
    return getattr(func, "__qualname__", type(func).__qualname__), args


def _answer(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class _Skipping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever wake this loop")
        self._loop.passed_s += max(0.0, timeout)
        return super().select(0)


class Clock:
    """The time of day in milliseconds; it passes while `run` runs, and only then.

    Parameters
    ----------
    start_ms : int
        When it begins, in milliseconds since 1970.
    threads : Threads, optional
        What becomes of calls that are given to threads; see `VirtualLoop`. May be set between two runs.
    """

    def __init__(self, start_ms: int, threads: Threads | None = None) -> None:
        self._start_ms = start_ms
        self.threads = threads
        self._passed_s = 0.0
        self._loop: VirtualLoop | None = None

    def __call__(self) -> int:
        passed_s = self._passed_s if self._loop is None else self._loop.passed_s
        return self._start_ms + round(passed_s * 1000)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in virtual time."""
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self._passed_s, self.threads)) as runner:
            self._loop = runner.get_loop()  # type: ignore[assignment]
            result = runner.run(work)
            self._passed_s = self._loop.passed_s
        self._loop = None
        return result
