"""Telling a process from every other one that had its id before, or will have it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys" / "kernel" / "random" / "boot_id"

_ENDED: Final = ("Z", "X")
"""States of a process that has ended and that its parent has not waited for yet."""


@dataclass(frozen=True, slots=True)
class _State:
    ended: bool
    started: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine. `started` is as the system prints it; id and start together name one process only."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this id now, or None. One that has ended has it until its parent waits for it."""
        state = _read_state(pid)
        return None if state is None else cls(pid, state.started)

    @property
    def exists(self) -> bool:
        """Whether this very process still has its id, alive or not."""
        state = _read_state(self.pid)
        return state is not None and state.started == self.started

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs."""
        state = _read_state(self.pid)
        return state is not None and state.started == self.started and not state.ended

    @property
    def is_replaced(self) -> bool:
        """Whether another process has its id now."""
        state = _read_state(self.pid)
        return state is not None and state.started != self.started


def _read_state(pid: int) -> _State | None:
    if pid <= 0:
        return None
    return _from_proc(pid) if _BOOT_ID.is_file() else _from_ps(pid)


def _from_proc(pid: int) -> _State | None:
    """Read Linux's files: the start is the id of the boot and the ticks since then."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may hold anything; the 3rd is the state, the 22nd
    # the start.
    fields = stat.rpartition(b")")[2].decode("ascii").split()
    return _State(fields[0] in _ENDED, f"{_BOOT_ID.read_text().strip()} {fields[19]}")


def _from_ps(pid: int) -> _State | None:
    """Run the command that macOS has: the start is a date and time in seconds."""
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
