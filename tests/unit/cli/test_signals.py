"""A signal to end ends what it is meant to end, wherever in it it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from tests.support.dropped_signals import close_what_nobody_holds

from tunehook_cli.signals import Sleep, Terminated, raise_on_ctrl_c, raise_on_signals

Raising = Callable[[], AbstractContextManager[Sleep]]

RAISING: list[tuple[Raising, signal.Signals, type[BaseException]]] = [
    (raise_on_ctrl_c, signal.SIGINT, KeyboardInterrupt),
    (raise_on_signals, signal.SIGINT, Terminated),
    (raise_on_signals, signal.SIGTERM, Terminated),
    (raise_on_signals, signal.SIGHUP, Terminated),
]


def worked(raising: Raising, work: Callable[[], None], did: list[str]) -> None:
    """Work, and sleep; note what was done."""
    with raising() as sleep:
        work()
        did.append("work")
        sleep(0)
        did.append("slept")


@pytest.mark.parametrize(("raising", "number", "error"), RAISING)
class TestSignals:
    def test_it_is_raised_where_it_comes(
        self, raising: Raising, number: signal.Signals, error: type[BaseException]
    ) -> None:
        before, did = signal.getsignal(number), list[str]()
        with pytest.raises(error):
            worked(raising, lambda: os.kill(os.getpid(), number), did)
        assert did == []
        assert signal.getsignal(number) is before

    def test_what_python_drops_is_raised_by_the_next_sleep(
        self, raising: Raising, number: signal.Signals, error: type[BaseException]
    ) -> None:
        did: list[str] = []
        with pytest.raises(error):
            worked(raising, lambda: close_what_nobody_holds(number), did)
        assert did == ["work"]

    def test_what_python_drops_is_raised_in_the_end(
        self, raising: Raising, number: signal.Signals, error: type[BaseException]
    ) -> None:
        with pytest.raises(error), raising():
            close_what_nobody_holds(number)

    def test_without_a_signal_it_sleeps_and_ends(
        self, raising: Raising, number: signal.Signals, error: type[BaseException]
    ) -> None:
        did: list[str] = []
        worked(raising, lambda: None, did)
        assert did == ["work", "slept"]


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with raise_on_ctrl_c() as sleep:
            os.kill(os.getpid(), signal.SIGINT)
            sleep(0)
    finally:
        signal.signal(signal.SIGINT, before)
