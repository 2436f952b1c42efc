"""Steps of something that takes a while: each is announced, goes on visibly, and says how long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

PrintLine = Callable[[str], None]
Status = Callable[[], str]

SIGN_EVERY_S: Final = 4.0
"""Without a terminal: nobody waits longer than five seconds for a sign of life, and a log does not fill up."""


class Steps:
    """Prints with `print_line`; with a `console` that is a terminal, a bar moves while a step runs.

    With `count` the steps are numbered. Without `signs` each step is only announced: a picture
    shows no time that depends on the machine.
    """

    def __init__(
        self,
        print_line: PrintLine,
        console: Console | None = None,
        *,
        count: int | None = None,
        signs: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._print_line, self._clock, self._wait = print_line, clock, wait
        self._console = console if signs and console is not None and console.is_terminal else None
        self._number, self._count = 0, count
        self._has_signs = signs and self._console is None

    @contextmanager
    def step(self, what: str, takes_s: int, status: Status | None = None) -> Iterator[None]:
        """Announce a step and how long it usually takes; show `status`, or the time gone by, until it is done."""
        started = self._clock()
        self._number += 1
        number = f"{self._number}/{self._count} " if self._count else ""
        self._print_line(f"{number}{what} (about {takes_s} s)")
        with self._sign_of_life(started, takes_s, status):
            yield
        if self._console is not None or self._has_signs:
            self._print_line(f"  done in {self._clock() - started:.1f} s")

    def _sign_of_life(
        self, started: float, takes_s: int, status: Status | None
    ) -> AbstractContextManager[None]:
        if self._console is not None:
            return _bar(self._console, takes_s, status)
        return self._lines(started, status) if self._has_signs else nullcontext()

    @contextmanager
    def _lines(self, started: float, status: Status | None) -> Iterator[None]:
        is_done = threading.Event()

        def print_signs() -> None:
            while not self._wait(is_done, SIGN_EVERY_S):
                text = f", {status()}" if status else ""
                self._print_line(f"  ... {self._clock() - started:.0f} s{text}")

        thread = threading.Thread(target=print_signs, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_done.set()
            thread.join()


@contextmanager
def _bar(console: Console, takes_s: int, status: Status | None) -> Iterator[None]:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Elapsing(BarColumn):
        """The part of the usual time that has gone by: what runs is another program, which does not say."""

        def render(self, task: Task) -> object:  # type: ignore[override]
            task.completed = min(task.elapsed or 0.0, 0.98 * takes_s)
            return super().render(task)

    class Words(ProgressColumn):
        def render(self, _: Task) -> Text:
            return Text(status() if status else "")

    columns = (TextColumn(" "), Elapsing(bar_width=24), TimeElapsedColumn(), Words())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task("", total=takes_s)
        yield
