"""Bringing the embedded stack up, step by step, printing how long each step took."""

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

PrintLine = Callable[[str], None]


def print_on_stderr(line: str) -> None:
    """Print a line that is no part of a command's output; nothing happens if the terminal is gone."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def bring_up(
    home: Home, port: int, print_line: PrintLine = print_on_stderr, *, host: str | None = None
) -> LocalEnvironment:
    """Start the embedded AWS unless it runs (at `host`, if that is given), then build and deploy the stack.

    Raises `TunehookError` if a step fails; what this call started is stopped then.
    """
    environment = home.running()
    was_running = environment is not None
    if environment is None:
        with _timed("starting the embedded AWS", print_line):
            environment = ministack.start(home, port, host or LOOPBACK)
    else:
        if host not in (None, environment.host):
            raise Misconfigured(
                f"the embedded AWS runs at {environment.endpoint} and not at {host}: stop it with `tunehook local down`"
            )
        print_line(f"the embedded AWS runs at {environment.endpoint}")
    try:
        with _timed("building the stack (sam build)", print_line):
            deploy.build(home)
        with _timed("deploying it (sam deploy)", print_line):
            deploy.deploy(home, environment)
    except BaseException:
        if not was_running:
            ministack.stop(home, environment)
        raise
    return environment


@contextmanager
def _timed(step: str, print_line: PrintLine) -> Iterator[None]:
    started = time.monotonic()
    yield
    print_line(f"{step} ... {time.monotonic() - started:.1f} s")
