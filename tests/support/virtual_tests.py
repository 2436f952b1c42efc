"""Asynchronous tests whose time is virtual."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.support.virtual import Clock

Parameters = ParamSpec("Parameters")


def in_virtual_time(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Make of an asynchronous test one whose loop has virtual time; its fixtures may not need the loop."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        Clock(0).run(test(*args, **kwargs))

    return run
