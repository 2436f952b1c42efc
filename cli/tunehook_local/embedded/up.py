"""Bringing the embedded stack up, step by step; each step is announced, and says how long it took."""

from __future__ import annotations

import contextlib
import sys

from tunehook.errors import Misconfigured
from tunehook_local.embedded import deploy, ministack
from tunehook_local.embedded.docker_network import LOOPBACK
from tunehook_local.embedded.state import Home, LocalEnvironment
from tunehook_local.steps import PrintLine, Steps


def print_on_stderr(line: str) -> None:
    """Print a line that is no part of a command's output; nothing happens if the terminal is gone."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def bring_up(
    home: Home,
    port: int,
    print_line: PrintLine = print_on_stderr,
    *,
    host: str | None = None,
    steps: Steps | None = None,
) -> LocalEnvironment:
    """Start the embedded AWS unless it runs (at `host`, if that is given), then build and deploy the stack.

    `steps` shows what goes on; by default `print_line` prints it.

    Raises `TunehookError` if a step fails; what this call started is stopped then.
    """
    steps = steps or Steps(print_line)
    environment = home.running()
    was_running = environment is not None
    if environment is None:
        with steps.step("starting the embedded AWS", 5):
            environment = ministack.start(home, port, host or LOOPBACK)
    else:
        if host not in (None, environment.host):
            raise Misconfigured(
                f"the embedded AWS runs at {environment.endpoint} and not at {host}: stop it with `tunehook local down`"
            )
        print_line(f"the embedded AWS runs at {environment.endpoint}")
    try:
        with steps.step("building the stack (sam build)", 10):
            deploy.build(home)
        with steps.step("deploying it (sam deploy)", 15):
            deploy.deploy(home, environment)
    except BaseException:
        if not was_running:
            ministack.stop(home, environment)
        raise
    return environment
