"""What is made and what it costs, said before anything is made; and the one question."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from tests.account.tasks import TASKS

from tunehook.errors import Misconfigured

COSTS_LESS_THAN_USD: Final = 0.01
"""What a run costs at list prices with the parameters' defaults; some ten minutes of everything."""

TEXT: Final = """\
This proves tunehook in your account, without any provider's key. It will, in {where}:

  - build the stack of this checkout and deploy it as {name}: five functions, ten tables, a bucket,
    six queues, two secrets, a bus, a schedule, an HTTP API that asks for a key, alarms;
  - deploy beside it {name}-sandbox: one function behind a public function URL with
    unguessable paths, which plays three providers and a webhook receiver, a table, and a queue;
  - have it watch {tasks} tasks: by its table, one by its API, one by nothing but its provider's callback;
    wait for their ends, and look at all that comes of them: five to ten minutes;
  - remove both stacks and what they leave behind, whatever happens (KEEP=1 keeps them).

What CloudFormation and SAM keep: SAM's own bucket for uploads (made unless it is there), and, where they are
sent, metrics and traces until CloudWatch and X-Ray forget them.

It costs less than {cents:.0f} cent{s} at list prices, with the parameters' defaults; the report says how much.
Nothing is touched that does not carry the tag tunehook-smoke={name}."""


def describe(name: str, where: str) -> str:
    """Say what a run makes, and what it costs."""
    cents = COSTS_LESS_THAN_USD * 100
    return TEXT.format(name=name, where=where, tasks=len(TASKS), cents=cents, s="" if cents == 1 else "s")


def is_set(environment: Mapping[str, str], name: str) -> bool:
    """Return whether a variable such as ``YES`` says yes: anything but nothing, 0, no and false."""
    return environment.get(name, "").lower() not in ("", "0", "no", "false")


def consents(ask: Callable[[str], str] | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Ask once, unless ``YES=1`` has answered.

    Parameters
    ----------
    ask : callable or None
        Asks at the terminal and returns what was typed; None where there is none.
    environment : mapping
        Where ``YES`` is looked up.

    Raises
    ------
    Misconfigured
        If there is nobody to ask.
    """
    if is_set(environment, "YES"):
        return True
    if ask is None:
        raise Misconfigured("nobody can be asked here: YES=1 says that you want it")
    try:
        return ask("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
