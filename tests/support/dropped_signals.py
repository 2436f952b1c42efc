"""Signals whose handler raises where Python drops what is raised."""

from __future__ import annotations

import io
import os
import signal


class Told(io.RawIOBase):
    """A file during whose closing a signal comes."""

    def __init__(self, number: signal.Signals) -> None:
        self.number: signal.Signals | None = number

    def close(self) -> None:
        number, self.number = self.number, None
        if number is not None:
            os.kill(os.getpid(), number)
        super().close()


def close_what_nobody_holds(number: signal.Signals) -> None:
    """Have Python drop what the signal's handler raises."""
    file = Told(number)
    del file
