"""Telling a process from all others that had its id before, or will have it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys" / "kernel" / "random" / "boot_id"

_ENDED: Final = ("Z", "X")
"""States of a process that has ended and that its parent has not asked for yet."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine.

    Attributes
    ----------
    pid : int
        Its id, which another process may have after it.
    started : str
        When it was started, in the system's own words. With the id this names one process, for ever.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this id now, or None. One that has ended has it until its parent asks for it."""
        state = _look(pid)
        return None if state is None else cls(pid, state.started)

    @property
    def is_there(self) -> bool:
        """Whether this very process has its id still, alive or not."""
        state = _look(self.pid)
        return state is not None and state.started == self.started

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs."""
        state = _look(self.pid)
        return state is not None and state.started == self.started and not state.ended

    @property
    def is_replaced(self) -> bool:
        """Whether another process has its id now."""
        state = _look(self.pid)
        return state is not None and state.started != self.started


@dataclass(frozen=True, slots=True)
class _State:
    ended: bool
    started: str


def _look(pid: int) -> _State | None:
    if pid <= 0:
        return None
    return _from_proc(pid) if _BOOT_ID.is_file() else _from_ps(pid)


def _from_proc(pid: int) -> _State | None:
    """Look as Linux shows it: the start is the boot and the ticks since then."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may hold anything; the 3rd is the state, the 22nd
    # the start.
    fields = stat.rpartition(b")")[2].decode("ascii").split()
    return _State(fields[0] in _ENDED, f"{_BOOT_ID.read_text().strip()} {fields[19]}")


def _from_ps(pid: int) -> _State | None:
    """Look by the command that macOS has: the start is a second of the calendar."""
    try:
        finished = subprocess.run(
            ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
            env=os.environ | {"LC_ALL": "C", "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    state, _, started = finished.stdout.strip().partition(" ")
    return _State(state.startswith(_ENDED), started.strip()) if started else None
