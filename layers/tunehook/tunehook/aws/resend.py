"""Retries of batch calls of which AWS accepts a part: what it refuses is sent again with exponential backoff."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
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
        sleep(_pause_s(number))
        waiting = list(send(waiting))
    return waiting


async def resend_in_loop(
    send: Callable[[list[Entry]], Awaitable[Sequence[Entry]]], entries: Sequence[Entry], *, attempts: int = 3
) -> list[Entry]:
    """Do as `resend` does, from the event loop."""
    waiting = list(await send(list(entries)))
    for number in range(attempts - 1):
        if not waiting:
            break
        await asyncio.sleep(_pause_s(number))
        waiting = list(await send(waiting))
    return waiting


def _pause_s(number: int) -> float:
    return _BACKOFF_S * 2.0**number * random.uniform(0.5, 1.0)  # noqa: S311 - a jitter
