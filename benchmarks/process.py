"""The memory, the processor time and the children of a process, as the system counts them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def peak_memory_mb(pid: int | None = None) -> float:
    """Return the largest resident size that a process has had, in MB.

    From ``/proc``: what `resource.getrusage` says can be that of the process that started this one.

    Parameters
    ----------
    pid : int, optional
        A process that runs; this one by default.

    Raises
    ------
    RuntimeError
        If this system does not tell.
    """
    status = Path("/proc", "self" if pid is None else str(pid), "status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("this system does not tell the peak of a process's memory")


def processor_time_s(pid: int) -> float:
    """Return how long a process has kept processors busy, all of its threads counted, in seconds.

    Parameters
    ----------
    pid : int
        A process that runs. What it has started is not counted.

    Raises
    ------
    RuntimeError
        If this system does not tell.
    """
    stat = Path("/proc", str(pid), "stat")
    if not stat.is_file():
        raise RuntimeError("this system does not tell the processor time of a process")
    # Its second field, the program's name in brackets, may have spaces.
    fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> set[int]:
    """Return the processes that the threads of a process have started, and that are there still.

    Raises
    ------
    RuntimeError
        If this system does not tell.
    """
    found: set[int] = set()
    told = False
    for each in Path("/proc", str(pid), "task").glob("*/children"):
        # A thread may have ended since it was listed.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update(map(int, each.read_text(encoding="ascii").split()))
            told = True
    if not told:
        raise RuntimeError("this system does not tell the children of a process")
    return found
