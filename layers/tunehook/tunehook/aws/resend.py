"""Batches that AWS takes in part: what it refuses is sent again, later and later."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from time import sleep
from typing import Final, TypeVar

Entry = TypeVar("Entry")

ATTEMPTS: Final = 3
BACKOFF_S: Final = 0.1


def resend(
    send: Callable[[list[Entry]], Sequence[Entry]],
    entries: Sequence[Entry],
    *,
    attempts: int = ATTEMPTS,
    backoff_s: float = BACKOFF_S,
) -> list[Entry]:
    """Send the entries of a batch, and those that were refused again after a pause; it blocks meanwhile.

    An answer with status 200 may refuse entries, mostly since there is too much at once: to send them again at once
    would only add to that. The pauses double, each with a jitter of half its length.

    Parameters
    ----------
    send : callable
        Makes one call with the entries that it is given, and returns those that were refused.
    entries : sequence
        What one call takes.
    attempts : int
        How many calls at most.
    backoff_s : float
        The first pause, in seconds.

    Returns
    -------
    list
        What was refused the last time too.
    """
    waiting = list(send(list(entries)))
    for number in range(attempts - 1):
        if not waiting:
            break
        sleep(backoff_s * 2**number * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter
        waiting = list(send(waiting))
    return waiting
