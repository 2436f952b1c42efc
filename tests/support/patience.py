"""How long tests wait for what happens in real time: no machine is so slow, only what hangs takes so long."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

HANG_S: Final = 60.0

Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str = "what is waited for") -> Found:
    """Look again and again until there is something to be seen, and return it.

    Raises
    ------
    AssertionError
        If there is nothing after `HANG_S`.
    """
    give_up_at = time.monotonic() + HANG_S
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"{what} has not come"
        time.sleep(0.01)
    return found
