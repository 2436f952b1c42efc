"""Steps are announced, and nobody waits longer than five seconds for a sign of life. All time is virtual."""

from __future__ import annotations

import io
import threading
from itertools import pairwise

import pytest
from rich.console import Console
from tests.support.patience import HANG_S

from tunehook_local.steps import Steps


class VirtualTime:
    """A clock that goes on only when somebody waits; the step's work takes until `work_s`."""

    def __init__(self, work_s: float) -> None:
        self.now = 0.0
        self._work_s = work_s
        self.is_over = threading.Event()

    def clock(self) -> float:
        return self.now

    def wait(self, is_done: threading.Event, seconds: float) -> bool:
        if self.now + seconds < self._work_s:
            self.now += seconds
            return False
        self.now = self._work_s
        self.is_over.set()
        return is_done.wait(HANG_S)


def test_a_line_at_the_start_signs_of_life_and_one_at_the_end() -> None:
    virtual = VirtualTime(work_s=21)
    printed: list[tuple[float, str]] = []
    steps = Steps(
        lambda line: printed.append((virtual.now, line)), count=3, clock=virtual.clock, wait=virtual.wait
    )

    with steps.step("deploying it", 15, lambda: "2 of 5 webhooks"):
        assert virtual.is_over.wait(HANG_S)

    assert printed[:2] == [(0, "1/3 deploying it (about 15 s)"), (4, "  ... 4 s, 2 of 5 webhooks")]
    assert printed[-1] == (21, "  done in 21.0 s")
    moments = [moment for moment, _ in printed]
    assert max(after - before for before, after in pairwise(moments)) <= 5


def test_a_step_that_fails_ends_its_signs_and_is_not_called_done() -> None:
    printed: list[str] = []
    with pytest.raises(ValueError, match="why"), Steps(printed.append).step("building", 3):
        raise ValueError("why")

    assert printed == ["building (about 3 s)"]
    assert "print_signs" not in {thread.name for thread in threading.enumerate()}


def test_without_signs_a_step_is_only_announced() -> None:
    virtual = VirtualTime(work_s=0)
    printed: list[str] = []
    with Steps(printed.append, signs=False, clock=virtual.clock).step("building", 3):
        virtual.now = 9.0

    assert printed == ["building (about 3 s)"]


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    steps = Steps(console.print, console)

    with steps.step("waiting", 20, lambda: "1 of 4 tasks ended"):
        pass

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "━" in shown
    assert "1 of 4 tasks ended" in shown
    assert "\x1b[2K" in shown
