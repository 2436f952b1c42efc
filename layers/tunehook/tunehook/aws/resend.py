"""Retries of batch calls of which AWS accepts a part: what it refuses is sent again with exponential backoff."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from time import sleep
from typing import Final, TypeVar

Entry = TypeVar("Entry")

_BACKOFF_S: Final = 0.1


def resend(
    send: Callable[[list[Entry]], Sequence[Entry]], entries: Sequence[Entry], *, attempts: int = 3
) -> list[Entry]:
    """Send a batch, and what is refused again, in at most `attempts` calls; return what was refused each time.

    An answer with status 200 may refuse entries, mostly as there is too much at once: to send them again at once would
    only add to that. The pauses double from 0.1 s on, each with a jitter of half its length; they block the
    thread. `send` makes one call and returns the entries that were refused.
    """
    waiting = list(send(list(entries)))
    for number in range(attempts - 1):
        if not waiting:
            break
        sleep(_BACKOFF_S * 2**number * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter
        waiting = list(send(waiting))
    return waiting
