"""The signals that ask a process to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

TERMINATIONS: Final = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
"""Ctrl-C, `kill`, and the end of the terminal, where the system has it."""


Sleep = Callable[[float], None]
"""Lets so many seconds pass."""


class Terminated(BaseException):
    """A signal asks the process to end, which is no error; `status` is the exit status that shells have for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def handled_signals() -> list[signal.Signals]:
    """Return those that the process does not ignore: under `nohup` it ignores the terminal's end."""
    return [number for number in TERMINATIONS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def raise_on_signals() -> Iterator[Sleep]:
    """Raise `Terminated` where a signal comes, so that what was begun is cleared away; as `_raising` does."""
    with _raising(handled_signals(), Terminated) as sleep:
        yield sleep


@contextmanager
def raise_on_ctrl_c() -> Iterator[Sleep]:
    """Raise `KeyboardInterrupt` where Ctrl-C comes, as Python does without this; as `_raising` does."""
    numbers = [each for each in handled_signals() if each is signal.SIGINT]
    with _raising(numbers, lambda _: KeyboardInterrupt()) as sleep:
        yield sleep


@contextmanager
def _raising(numbers: Iterable[signal.Signals], error: Callable[[int], BaseException]) -> Iterator[Sleep]:
    """Raise an error where one of these signals comes; in the main thread alone.

    Python drops what is raised while it closes a file that nobody holds any more, as it does after every answer of AWS
    (`iobase_finalize`). So a signal is remembered: the sleep that is given raises its error too, and so does the end.
    """
    came: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise error(number)

    def check() -> None:
        if came:
            raise error(came[0])

    def sleep(seconds: float) -> None:
        check()
        time.sleep(seconds)

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield sleep
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
