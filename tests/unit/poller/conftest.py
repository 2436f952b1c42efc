"""The poller in virtual time: what it writes from its loop takes its course as what it writes in threads does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable


@pytest.fixture(autouse=True)
def _in_virtual_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call from the loop is made as one in a thread, whose course a test may script; `tests/unit/aws` has both."""

    def in_thread(name: str) -> Callable[..., Awaitable[Any]]:
        async def call(self: Any, *args: Any) -> Any:
            return await asyncio.to_thread(getattr(self, name), *args)

        return call

    for owner, name in ((TasksTable, "end"), (TasksTable, "note"), (TasksTable, "mark_event_sent")):
        monkeypatch.setattr(owner, f"{name}_in_loop", in_thread(name))
    monkeypatch.setattr(EventBus, "put_in_loop", in_thread("put"))
