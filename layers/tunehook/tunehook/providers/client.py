"""One configured provider, polled over HTTP within its limits."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

from tunehook.cadence import Pace
from tunehook.http.reply import Transport
from tunehook.providers.adapters import adapter_of
from tunehook.providers.batch_poller import BatchPoller
from tunehook.providers.outcomes import Outcome
from tunehook.providers.task_poller import IsWanted, TaskPoller
from tunehook.times import SteadySeconds

if TYPE_CHECKING:
    from tunehook.providers.config import ProviderConfig

_DIGEST_ROUNDS = 10_000


def key_digest(name: str, api_key: str) -> str:
    """Return 32 hexadecimal digits by which a key is known again without being kept: slow, as it may be guessable."""
    return hashlib.pbkdf2_hmac("sha256", api_key.encode(), name.encode(), _DIGEST_ROUNDS, 16).hex()


class Provider:
    """Poll the tasks of one provider, never faster, longer or more than it should.

    It belongs to one event loop and one run of the poller: what it learns (a pause, a gateway without query-many, tasks
    that spoil a batch) is forgotten with it. `http`, which other providers may share, must allow `max_concurrency`
    connections. `clock` gives seconds that never go back, for the pauses; `utc_now` is for `Retry-After` dates.
    """

    def __init__(
        self,
        config: ProviderConfig,
        http: Transport,
        *,
        clock: Callable[[], float] | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        clock = SteadySeconds() if clock is None else clock
        self.config = config
        self._adapter = adapter_of(config)
        self._tasks = TaskPoller(config, self._adapter, http, clock, utc_now)
        self._batches = BatchPoller(config, self._adapter, self._tasks, clock)
        self._breaker = self._tasks.breaker

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def knows_many(self) -> bool:
        return self._batches.works

    @cached_property
    def key_digest(self) -> str:
        return key_digest(self.name, self.config.api_key.get_secret_value())

    @property
    def paused_until(self) -> float:
        """The clock's time at which the latest pause ends or ended; minus infinity before the first."""
        return self._breaker.open_until

    @property
    def pause_reason(self) -> str | None:
        """The name of the outcome that the latest pause began for; None before the first."""
        return self._breaker.reason

    @property
    def pace(self) -> Pace:
        """How often a task is polled, as far as query-many is known to work."""
        return self._adapter.pace if self.knows_many else self._adapter.pace_one_by_one

    @property
    def tasks_at_a_time(self) -> int:
        """How many tasks may be polled at the same time, as far as query-many is known to work."""
        together = self._adapter.ids_per_call if self.knows_many else None
        return self.config.max_concurrency * (together or 1)

    def restore_pause(self, seconds: float, reason: str) -> None:
        """Go on with a pause of an earlier run, which began for the outcome of this name."""
        self._breaker.restore(seconds, reason)

    def is_paused(self) -> bool:
        return self._breaker.is_open()

    def close(self) -> None:
        """Send no more requests: those under way may be answered, whoever waits is refused as while it is paused."""
        self._tasks.close()

    async def poll(self, task_id: str) -> Outcome:
        """Poll one task: `Throttled` with `asked` false while the provider is paused, `NotFound` if no URL has its id.

        Nothing is raised but `asyncio.CancelledError`.
        """
        self._tasks.unanswered += 1
        try:
            return await self._tasks.poll(task_id, object(), lambda _: True)
        finally:
            self._tasks.unanswered -= 1

    async def poll_many(
        self,
        task_ids: Iterable[str],
        *,
        old: Iterable[str] = (),
        overdue: Iterable[str] = (),
        is_wanted: IsWanted = lambda _: True,
    ) -> AsyncGenerator[tuple[str, Outcome], None]:
        """Poll tasks in as few requests as the provider allows; yield each once, as soon as its outcome is known.

        The `overdue`, whose deadline has passed, go first; then tasks not polled before, calls of this method at the
        same time in turns; then those that got an answer, and as many of those that got none the last time. The latter,
        the overdue, and the `old` that were not polled before (waiting for so long that they may well hang), never
        have the last quarter of the requests at a time to themselves: where they hang, the others need not wait. An
        overdue task that hung, or failed while others did not, no longer goes first.

        A batch that fails as a whole, because its answer is too large or the gateway cannot read a task of it, is
        halved until the parts succeed. What was learnt of it counts for later calls: fewer tasks a batch, and tasks
        that spoil one polled singly. So is a task that an answer left out.

        A poll that is not `is_wanted` any more when its turn comes has the outcome of a paused provider. Nothing is
        raised but `asyncio.CancelledError`; leaving early stops the requests under way when the iterator is closed
        (`contextlib.aclosing`).
        """
        for task_id in old:
            self._tasks.doubt(task_id)
        late = frozenset(overdue)
        ids = sorted(dict.fromkeys(task_ids), key=partial(self._tasks.priority, overdue=late))
        known: deque[tuple[str, Outcome]] = deque()
        news = asyncio.Event()
        unanswered = len(ids)
        self._tasks.unanswered += unanswered

        def deliver(task_id: str, outcome: Outcome) -> None:
            nonlocal unanswered
            unanswered -= 1
            self._tasks.unanswered -= 1
            known.append((task_id, outcome))
            news.set()

        work = asyncio.create_task(self._batches.poll(ids, late, is_wanted, deliver))
        work.add_done_callback(lambda _: news.set())
        try:
            while not work.done():
                await news.wait()
                news.clear()
                while known:
                    yield known.popleft()
            await work
        finally:
            work.cancel()
            await asyncio.wait([work])
            self._tasks.unanswered -= unanswered
