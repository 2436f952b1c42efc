"""Being told to end, by a signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ENDINGS: Final = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
"""Ctrl-C, `kill`, and the end of the terminal, where the system has it."""


class ToldToEnd(BaseException):
    """The process was told to end; as `KeyboardInterrupt`, it is no error.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number
        """The exit status of a process that such a signal ends, as shells have it."""


def wanted_signals() -> list[signal.Signals]:
    """Return those of `ENDINGS` that this process listens to: `nohup`, for one, has it ignore the terminal's end."""
    return [number for number in ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def told_by_signals() -> Iterator[None]:
    """Raise `ToldToEnd` where a signal comes, so that what was begun is cleared away; in the main thread alone."""

    def tell(number: int, _: FrameType | None) -> None:
        raise ToldToEnd(number)

    before = {number: signal.signal(number, tell) for number in wanted_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
