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
class Process:
    """A process of this machine. `started` is as the system prints it; id and start together name one process only."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this id now, or None. One that has ended has it until its parent waits for it."""
        started, _ = _read_state(pid)
        return None if started is None else cls(pid, started)

    @property
    def exists(self) -> bool:
        """Whether this very process still has its id, alive or not."""
        return _read_state(self.pid)[0] == self.started

    @property
    def is_alive(self) -> bool:
        return _read_state(self.pid) == (self.started, False)

    @property
    def is_replaced(self) -> bool:
        """Whether another process has its id now."""
        return _read_state(self.pid)[0] not in (None, self.started)


def _read_state(pid: int) -> tuple[str | None, bool]:
    """Return when the process of this id was started, None if there is none, and whether it has ended."""
    if pid <= 0:
        return None, True
    return _from_proc(pid) if _BOOT_ID.is_file() else _from_ps(pid)


def _from_proc(pid: int) -> tuple[str | None, bool]:
    """Read Linux's files: the start is the id of the boot and the ticks since then."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None, True
    # The second field is the program's name in parentheses, which may hold anything; the 3rd is the state, the 22nd
    # the start.
    fields = stat.rpartition(b")")[2].decode("ascii").split()
    return f"{_BOOT_ID.read_text().strip()} {fields[19]}", fields[0] in _ENDED


def _from_ps(pid: int) -> tuple[str | None, bool]:
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
        return None, True
    state, _, started = finished.stdout.strip().partition(" ")
    return started.strip() or None, state.startswith(_ENDED)
