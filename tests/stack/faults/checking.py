"""Subscriptions that are enabled with a check of their endpoints, again and again, while other things break."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from tests.stack.faults.books import Checked
from tests.stack.faults.deployment import Deployment
from tests.stack.faults.plan import CHECKED

from tunehook.errors import Unavailable
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.endpoint_checks import enable_subscription
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import disable_subscription, get_subscription

_PAUSE_S: Final = 1.0

_AWS_AWAY: Final = (BotoCoreError, ClientError, Unavailable)


class Checking(threading.Thread):
    """Checks one endpoint after the other, as an operator does; what was enabled is disabled again.

    Parameters
    ----------
    stack : Deployment
        The stack.
    say : callable
        Takes a line for people.
    """

    def __init__(self, stack: Deployment, say: Callable[[str], None]) -> None:
        super().__init__(name="checking", daemon=True)
        self._stack: Stack = replace(
            stack.as_operated(), parameters={"NetworkPolicy": NetworkPolicy.ANY.value}
        )
        self._say = say
        self._stopping = threading.Event()
        self.checks: list[Checked] = []
        """Those that came to an end, as they were then."""

    def run(self) -> None:
        """Check until `end` is called."""
        for name in itertools.cycle(CHECKED):
            if self._stopping.wait(_PAUSE_S):
                return
            try:
                self._check(name)
            except _AWS_AWAY as error:
                self._say(f"no check of {name}, AWS is away: {type(error).__name__}")

    def end(self) -> None:
        """Have no further check begun."""
        self._stopping.set()

    def _check(self, name: str) -> None:
        _, check = enable_subscription(self._stack, name)
        is_enabled = get_subscription(self._stack, name).item.get("enabled") is not False
        checked = Checked(
            receiver=name,
            delivery_id=check.delivery_id,
            passed=check.passed,
            code=check.code.value,
            status=check.status_code,
            is_enabled=is_enabled,
        )
        self.checks.append(checked)
        disable_subscription(self._stack, name)
