"""The signals that ask a process to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

TERMINATIONS: Final = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
"""Ctrl-C, `kill`, and the end of the terminal, where the system has it."""


class Terminated(BaseException):
    """A signal asks the process to end, which is no error; `status` is the exit status that shells have for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def handled_signals() -> list[signal.Signals]:
    """Return those that the process does not ignore: under `nohup` it ignores the terminal's end."""
    return [number for number in TERMINATIONS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` where a signal comes, so that what was begun is cleared away; in the main thread alone."""

    def handle(number: int, _: FrameType | None) -> None:
        raise Terminated(number)

    before = {number: signal.signal(number, handle) for number in handled_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
