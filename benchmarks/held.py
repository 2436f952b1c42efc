"""A share of a processor: a control group of the kernel with a quota, that other processes are put into.

Lambda gives a function a share by its memory, and a whole processor with 1,769 MB.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WHOLE_MB: Final = 1_769
PERIOD_US: Final = 20_000
"""How often the quota is given anew."""

_ROOTS: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


class CannotHoldError(RuntimeError):
    """This machine lets nobody hold a process to a share: no controller of processors, or no right to use it."""


@contextmanager
def holding(share: float) -> Iterator[Callable[[int], None]]:
    """Make a group whose processes have a share of one processor together, with all their threads.

    They have to have ended before the context does.

    Parameters
    ----------
    share : float
        Processor seconds a second; what is above 1 is for several threads.

    Yields
    ------
    callable
        Puts a process into the group, by its id.

    Raises
    ------
    CannotHoldError
        If no such group can be made here.
    """
    root = next((each for each in _ROOTS if (each / "cgroup.procs").is_file()), None)
    if root is None:
        raise CannotHoldError("no control groups here")
    group = root / f"tunehook-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        raise CannotHoldError(f"no control group can be made here: {error}") from error
    try:
        _limit(group, round(share * PERIOD_US))
        yield lambda pid: _write(group / "cgroup.procs", str(pid))
    finally:
        group.rmdir()


def _limit(group: Path, quota_us: int) -> None:
    if (quota := group / "cpu.cfs_quota_us").is_file():
        _write(group / "cpu.cfs_period_us", str(PERIOD_US))
        _write(quota, str(quota_us))
    elif (limit := group / "cpu.max").is_file():
        _write(limit, f"{quota_us} {PERIOD_US}")
    else:
        raise CannotHoldError("no controller of processors here")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="ascii")
    except OSError as error:
        raise CannotHoldError(f"{file} cannot be written: {error}") from error
