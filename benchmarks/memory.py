"""The memory of a process, as the system counts it."""

from __future__ import annotations

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
