"""A virtual clock: whatever sleeps wakes at once, and time says how long it has slept."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

SHORTEST_S: Final = 1e-6
"""How long a timer takes at least."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would wait.

    What it is given to run in a thread (`asyncio.to_thread`) runs at once, in no time.
    """

    def __init__(self, passed_s: float = 0.0) -> None:
        self.passed_s = passed_s
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self.passed_s

    def call_at(self, when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        # A moment may be too near to change a float: whoever waits for it again and again would wait for ever.
        return super().call_at(max(when, self.passed_s + SHORTEST_S), *args, **options)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the future is what carries it
            future.set_exception(error)
        return future


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
    """The time of day in milliseconds; it passes while `run` runs, and only then."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._passed_s = 0.0
        self._loop: VirtualLoop | None = None

    def __call__(self) -> int:
        passed_s = self._passed_s if self._loop is None else self._loop.passed_s
        return self._start_ms + round(passed_s * 1000)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in virtual time."""
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self._passed_s)) as runner:
            self._loop = runner.get_loop()  # type: ignore[assignment]
            result = runner.run(work)
            self._passed_s = self._loop.passed_s
        self._loop = None
        return result
