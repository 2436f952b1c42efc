"""SIGKILL and SIGSTOP to the worker processes of a deployment's functions, and to no others.

A worker is told by the script that it runs, which lies below the deployment's own folder for temporary files. That a
kernel tells so of its processes (in ``/proc``), and takes signals for a process rather than for its number, is Linux's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tunehook.times import now_ms
from tunehook_local.embedded.state import Home

CAN_KILL: Final = Path("/proc/self/cmdline").exists() and hasattr(os, "pidfd_open")
"""Whether this machine tells workers apart."""

_LOOK_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Killed:
    """A worker that was killed: of which function, when, and whether it was at work."""

    function: str
    pid: int
    at_ms: int
    was_busy: bool


def worker_pids(home: Home, function_name: str) -> list[int]:
    """Return the workers of a function, by its whole name, in the embedded AWS whose files are in `home`."""
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    return sorted(pid for pid in pids if _is_worker(pid, home, function_name))


def is_busy(pid: int) -> bool:
    """Return whether a worker is at work: one that is not waits for a line on its standard input.

    Where the kernel keeps to itself what a process waits for, each counts as busy.
    """
    try:
        return "pipe_read" not in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False


def access_key_of(pid: int) -> str | None:
    """Return the id of the key that a worker signs its calls with, or None if the worker is gone."""
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == b"AWS_ACCESS_KEY_ID":
                return value.decode()
    return None


@dataclass(frozen=True, slots=True)
class Halted:
    """A worker that was halted: of which function, when, and whether it was at work."""

    function: str
    pid: int
    at_ms: int
    was_busy: bool
    process: int

    def resume(self) -> None:
        """Let it go on, if it is still there; to be called once."""
        try:
            signal.pidfd_send_signal(self.process, signal.SIGCONT)
        except ProcessLookupError:
            pass
        finally:
            os.close(self.process)


def kill_worker(
    home: Home, function_name: str, chance: Random, *, within_s: float = 0.0, appears_within_s: float = 0.0
) -> Killed | None:
    """Kill a worker of a function at once, one that is at work if there is one.

    Parameters
    ----------
    home : Home
        Whose embedded AWS runs the function.
    function_name : str
        The function's whole name.
    chance : random.Random
        Chooses among several, and how far into its work one is that had to be waited for.
    within_s : float
        How long one that is at work is waited for, in seconds, once there is a worker.
    appears_within_s : float
        How long a worker is waited for while there is none, in seconds.

    Returns
    -------
    Killed or None
        What was killed; None if the function has no worker.
    """
    for pid, is_at_work in _chosen(home, function_name, chance, within_s, appears_within_s):
        # Before the signal: what comes of it may be on record before this goes on.
        at_ms = now_ms()
        if _kill(pid, home, function_name):
            return Killed(function_name, pid, at_ms, is_at_work)
    return None


def halt_worker(
    home: Home, function_name: str, chance: Random, *, within_s: float = 0.0, appears_within_s: float = 0.0
) -> Halted | None:
    """Halt a worker of a function, one that is at work if there is one, until it is resumed.

    Parameters and what is returned are those of `kill_worker`.
    """
    for pid, is_at_work in _chosen(home, function_name, chance, within_s, appears_within_s):
        at_ms = now_ms()
        process = _signalled(pid, home, function_name, signal.SIGSTOP)
        if process is not None:
            return Halted(function_name, pid, at_ms, is_at_work, process)
    return None


def _chosen(
    home: Home, function_name: str, chance: Random, within_s: float, appears_within_s: float
) -> Iterator[tuple[int, bool]]:
    """Yield a worker, and whether it is at work; another one if that has gone meanwhile."""
    deadline = time.monotonic() + appears_within_s
    has_appeared = has_waited = False
    while True:
        workers = worker_pids(home, function_name)
        if workers and not has_appeared:
            has_appeared, deadline = True, time.monotonic() + within_s
        busy = [pid for pid in workers if is_busy(pid)]
        if busy and has_waited:
            # Otherwise each would be met at the very beginning of its work.
            has_waited = False
            # Mostly soon: much of the work takes milliseconds, and is to be met as well.
            time.sleep(0.3 * chance.random() ** 3)
            continue
        out_of_time = time.monotonic() > deadline
        if busy or (workers and out_of_time):
            pid = chance.choice(busy or workers)
            yield pid, pid in busy
        if out_of_time:
            return
        has_waited = True
        time.sleep(_LOOK_EVERY_S)


def kill_workers(home: Home, function_name: str) -> list[int]:
    """Kill all workers of a function; return which those were."""
    return [pid for pid in worker_pids(home, function_name) if _kill(pid, home, function_name)]


def _is_worker(pid: int, home: Home, function_name: str) -> bool:
    script = f"{home.temporary}/ministack-lambda-{function_name}-"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.startswith(script.encode()) for word in words[:2])


def _kill(pid: int, home: Home, function_name: str) -> bool:
    """Kill a worker, unless it has ended and another process has got its number."""
    process = _signalled(pid, home, function_name, signal.SIGKILL)
    if process is None:
        return False
    os.close(process)
    return True


def _signalled(pid: int, home: Home, function_name: str, number: signal.Signals) -> int | None:
    """Send a worker a signal, unless it has ended and another process has got its number; return it as an open file."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if _is_worker(pid, home, function_name):
            signal.pidfd_send_signal(process, number)
            return process
    except ProcessLookupError:
        pass
    os.close(process)
    return None
