"""Poll single tasks of one provider within its limits, and remember how each of their polls ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from aiolimiter import AsyncLimiter

from tunehook.http.reply import Transport
from tunehook.providers.adapter import Adapter, Answer, Follow, ManyUnknown, Request
from tunehook.providers.causes import cause_of
from tunehook.providers.circuit_breaker import SLOW_S, CircuitBreaker, Permit
from tunehook.providers.destination import Destination
from tunehook.providers.fair_semaphore import FairSemaphore, Priority
from tunehook.providers.outcomes import NotFound, Outcome, Throttled, Transient, Trouble, Unauthorised
from tunehook.providers.payload import MAX_BODY_BYTES, UnreadablePayloadError, plain_body, redact

if TYPE_CHECKING:
    from tunehook.providers.config import ProviderConfig

REQUEST_DEADLINE_S = 10.0

TROUBLE = (Throttled, Unauthorised, Transient)
_NONE: frozenset[str] = frozenset()

_Read = TypeVar("_Read")
IsWanted: TypeAlias = Callable[[str], bool]


class TaskPoller:
    """Send one provider's requests within its limits: slots, rate, circuit breaker and deadline.

    `unanswered` is how many tasks are to be polled at the moment; whoever starts their polls counts them.
    """

    def __init__(
        self,
        config: ProviderConfig,
        adapter: Adapter,
        http: Transport,
        clock: Callable[[], float],
        utc_now: Callable[[], datetime],
    ) -> None:
        self.breaker = CircuitBreaker(clock)
        self.unanswered = 0
        self._adapter = adapter
        self._destination = Destination(config, adapter)
        self._http = http
        self._clock = clock
        self._utc_now = utc_now
        self._config = config
        self._secret = config.secrets
        self._slots = FairSemaphore(config.max_concurrency)
        rate = config.requests_per_second
        self._bucket: AsyncLimiter | None = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._bucket_turn = FairSemaphore(1)
        self._priorities: dict[str, Priority] = {}
        self._hung: set[str] = set()
        # Of tasks whose last poll failed: how many successes there had been before.
        self._failed_after: dict[str, int] = {}

    def close(self) -> None:
        """Send no more requests: those under way may be answered, whoever waits is refused."""
        self._slots.close()
        self._bucket_turn.close()

    def refusal(self) -> Throttled:
        """Return the outcome of a poll that is not sent."""
        return Throttled(max(0.0, self.breaker.open_until - self._clock()), asked=False)

    def doubt(self, task_id: str) -> None:
        """Count a task that was not polled before among those that may well hang."""
        self._priorities.setdefault(task_id, Priority.DOUBTED)

    def priority(self, task_id: str, overdue: frozenset[str] = _NONE) -> Priority:
        """Return a task's priority; an overdue one that hung, or failed while others did not, is as any other."""
        if task_id in overdue and task_id not in self._hung and not self._is_own_trouble(task_id):
            return Priority.OVERDUE
        return self._priorities.get(task_id, Priority.NEW)

    def risk(self, task_id: str) -> tuple[bool, bool]:
        """Return how likely a poll of this task fails, to compare with others'."""
        return task_id in self._failed_after, self.priority(task_id) is Priority.DOUBTED

    async def poll(
        self, task_id: str, key: Hashable, is_wanted: IsWanted, overdue: frozenset[str] = _NONE
    ) -> Outcome:
        """Poll one task, waiting for a slot with the others of `key`. Raises nothing but `asyncio.CancelledError`."""
        try:
            request = self._adapter.request(task_id)
        except ValueError:
            return NotFound()
        priority, read = self.priority(task_id, overdue), self._adapter.read
        wanted = partial(is_wanted, task_id)
        outcome = await self.call(request, read, key, priority, task_id, is_wanted=wanted)
        if isinstance(outcome, Follow):
            outcome = await self.call(
                outcome.request(task_id), outcome.read, key, priority, task_id, is_wanted=wanted
            )
        if isinstance(outcome, Transient | Unauthorised):
            self._priorities[task_id] = Priority.DOUBTED
            self._failed_after[task_id] = self.breaker.successes
        elif not isinstance(outcome, Throttled) or outcome.asked:
            self._priorities[task_id] = Priority.KNOWN
            if self._failed_after:
                self._failed_after.pop(task_id, None)
                self._hung.discard(task_id)
        return outcome

    async def call(
        self,
        request: Request,
        read: Callable[[Answer], _Read],
        key: Hashable,
        priority: Priority,
        task_id: str | None = None,
        *,
        forgiven: tuple[type[Trouble], ...] = (),
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> _Read | Throttled | Transient:
        """Send one request when it has a slot and a permit, if it is still wanted then, and record its result.

        Forgiven troubles say nothing new of the provider.
        """
        is_sent = self._clock() >= self.breaker.open_until and is_wanted()
        if not is_sent or not await self._acquire_slot(key, priority, is_wanted):
            return self.refusal()
        try:
            permit = await self.breaker.acquire()
            if permit is None:
                return self.refusal()
            try:
                result = await self._send(request, read)
                if isinstance(result, TROUBLE):
                    self._record_trouble(permit, result, task_id, forgiven)
                # What may be a limit is no good answer, and perhaps no trouble: a single poll will show.
                elif not (isinstance(result, ManyUnknown) and result.may_be_limit):
                    self.breaker.record_result(permit, None)
            finally:
                self.breaker.release(permit)
        finally:
            self._slots.release(priority)
        return result

    def _record_trouble(
        self, permit: Permit, trouble: Trouble, task_id: str | None, forgiven: tuple[type[Trouble], ...]
    ) -> None:
        if task_id is not None and self._clock() - permit.at_s >= SLOW_S:
            self._hung.add(task_id)
        if isinstance(trouble, forgiven) or (isinstance(trouble, Transient) and trouble.is_too_large):
            return
        if task_id is None:
            self.breaker.record_result(permit, trouble)
        elif isinstance(trouble, Throttled) or not self._is_own_trouble(task_id):
            # A refusal of the key may be about this task alone: it never got an answer, and others may.
            is_doubtful = self._priorities.get(task_id) is not Priority.KNOWN and (
                self.unanswered > 1 or self.breaker.succeeded_recently
            )
            self.breaker.record_result(permit, trouble, is_doubtful=is_doubtful)

    def _is_own_trouble(self, task_id: str) -> bool:
        """Return whether the last poll of a task failed, and others have succeeded since."""
        successes = self._failed_after.get(task_id)
        return successes is not None and successes < self.breaker.successes

    async def _acquire_slot(self, key: Hashable, priority: Priority, is_wanted: Callable[[], bool]) -> bool:
        """Take a slot for one request; return False if it is not to be sent any more."""
        first = self._slots if self._bucket is None else self._bucket_turn
        if not await first.acquire(key, priority):
            return False
        if not is_wanted():
            first.release(priority)
            return False
        if self._bucket is None:
            return True
        # One at a time before the bucket: it knows no keys, and what it gave must not pile up behind a probe.
        try:
            if not await self._slots.acquire(key, priority):
                return False
            try:
                await self.breaker.wait_for_probe()
                if self._clock() >= self.breaker.open_until:
                    await self._bucket.acquire()
            except BaseException:
                self._slots.release(priority)
                raise
        finally:
            self._bucket_turn.release(priority)
        if self._slots.is_closed:
            self._slots.release(priority)
        return not self._slots.is_closed

    async def _send(self, request: Request, read: Callable[[Answer], _Read]) -> _Read | Transient:
        url, headers = self._destination.url(request), self._destination.headers(request)
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S) as limit:
                reply = await self._http.send(
                    request.method, url, headers, request.content(), max_bytes=MAX_BODY_BYTES
                )
            body, now, base_url = plain_body(reply), self._utc_now(), self._config.base_url
            return read(Answer(reply.status, reply.headers, body, now, self._secret, base_url))
        except UnreadablePayloadError as error:
            return Transient(str(error), is_too_large=error.is_too_large)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises becomes an outcome
            if isinstance(error, TimeoutError) and limit.expired():
                return Transient(f"no answer within {REQUEST_DEADLINE_S:g} s")
            return Transient(redact(cause_of(error, self._destination.host), self._secret))
