"""Sends the callbacks of tasks whose submission named a URL: a provider's own POSTs, from this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import aiohttp

from tunehook_local.sandbox.callback_forms import Call, Subject, calls_of
from tunehook_local.sandbox.ledger import Ledger, SentCallback, Task
from tunehook_local.sandbox.model import Phase
from tunehook_local.sandbox.task_snapshot import snapshot_of

LOOK_EVERY_S: Final = 0.05
"""How often it is looked whether a task has come to another phase."""

ATTEMPT_S: Final = 15.0
REPEATS: Final = 3
REPEAT_AFTER_S: Final = 1.0
"""How often vendors that repeat a failed callback do so, and how soon; theirs are minutes."""


class CallbackSender:
    """Watches tasks and sends their callbacks, each task in a coroutine of its own, until it is closed."""

    def __init__(self, ledger: Ledger, assets_url: Callable[[], str]) -> None:
        self._ledger = ledger
        self._assets_url = assets_url
        self._watched: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def watch(self, task: Task) -> None:
        """Send the callbacks of a task, if it has a URL and its rule sends any, from its present phase on."""
        if task.callback is None or task.rule.callbacks.lost:
            return
        watching = asyncio.create_task(self._watch(task))
        self._watched.add(watching)
        watching.add_done_callback(self._watched.discard)

    async def close(self) -> None:
        """Stop all that is under way."""
        watched = list(self._watched)
        for each in watched:
            each.cancel()
        await asyncio.gather(*watched, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _watch(self, task: Task) -> None:
        phase: Phase | None = None
        async with asyncio.TaskGroup() as sending:
            while phase is None or not phase.final:
                if self._ledger.is_forgotten(task):
                    return
                now = self._ledger.clock()
                answer = task.peek(now)
                if answer.phase not in (None, phase, Phase.NOT_FOUND, Phase.UNAUTHORISED):
                    phase = answer.phase
                    for call in self._calls(task, now):
                        sending.create_task(self._send(task, call))
                if phase is None or not phase.final:
                    await asyncio.sleep(LOOK_EVERY_S)

    def _calls(self, task: Task, now: datetime) -> list[Call]:
        assert task.callback is not None
        rule = task.rule.callbacks
        snapshot = snapshot_of(task, task.peek(now), now, self._assets_url())
        subject = Subject(task.kind, snapshot, task.callback.url, rule.secret or task.callback.secret)
        return [*calls_of(rule.form or task.callback.form, subject)] * rule.times

    async def _send(self, task: Task, call: Call) -> None:
        assert task.callback is not None
        await asyncio.sleep(task.rule.callbacks.delay_s)
        for attempt in range(1, REPEATS + 2 if call.repeated else 2):
            status = await self._post(task.callback.url, call)
            form = task.rule.callbacks.form or task.callback.form
            self._ledger.add_sent(
                SentCallback(
                    self._ledger.clock(), task.kind, task.task_id, form, call.moment, attempt, status
                )
            )
            if status is not None and 200 <= status < 300:
                return
            await asyncio.sleep(REPEAT_AFTER_S)

    async def _post(self, url: str, call: Call) -> int | None:
        """Return the status of the answer; None if none came."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ATTEMPT_S))
        headers = {"content-type": "application/json"} | dict(call.headers)
        try:
            async with self._session.post(url, data=call.body, headers=headers) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
