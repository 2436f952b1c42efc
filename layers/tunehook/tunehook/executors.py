"""The threads that blocking calls of a function run in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any


class UnawaitedThreads(ThreadPoolExecutor):
    """An executor for an event loop that must end in time: its end waits for no thread.

    `asyncio.run` shuts the loop's executor down and waits for its threads: a call that hangs (a table, DNS) would carry
    the invocation past its end.
    """

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Take no more calls and drop those that have not begun, whatever the caller wants to wait for."""
        super().shutdown(wait=False, cancel_futures=True)
