"""Bringing the embedded stack up, step by step, telling how long each step took."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunehook.errors import Misconfigured
from tunehook_local.embedded import deploy, ministack
from tunehook_local.embedded.docker_network import LOOPBACK
from tunehook_local.embedded.state import Home, LocalEnvironment

Say = Callable[[str], None]


def say_on_stderr(line: str) -> None:
    """Print a line where it is not taken for a command's output, as long as there is a terminal to print it on."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def bring_up(home: Home, port: int, say: Say = say_on_stderr, *, host: str | None = None) -> LocalEnvironment:
    """Start the embedded AWS unless it runs, then build and deploy the stack.

    Parameters
    ----------
    home : Home
        Where its state lies.
    port : int
        Where to listen, if it does not run yet.
    say : callable
        Is given a line a step.
    host : str, optional
        The address to listen on; loopback by default. One that runs must listen there already.

    Returns
    -------
    LocalEnvironment
        How to reach it.

    Raises
    ------
    tunehook.errors.TunehookError
        If a step fails. What this call started is stopped then.
    """
    environment = home.running()
    was_running = environment is not None
    if environment is None:
        with _step("starting the embedded AWS", say):
            environment = ministack.start(home, port, host or LOOPBACK)
    else:
        if host not in (None, environment.host):
            raise Misconfigured(
                f"the embedded AWS runs at {environment.endpoint} and not at {host}: stop it with `tunehook local down`"
            )
        say(f"the embedded AWS runs at {environment.endpoint}")
    try:
        with _step("building the stack (sam build)", say):
            deploy.build(home)
        with _step("deploying it (sam deploy)", say):
            deploy.deploy(home, environment)
    except BaseException:
        if not was_running:
            ministack.stop(home, environment)
        raise
    return environment


@contextmanager
def _step(what: str, say: Say) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"{what} ... {time.monotonic() - started:.1f} s")
