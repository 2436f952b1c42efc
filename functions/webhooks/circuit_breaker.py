"""A circuit breaker for each receiver, shared by all workers, so that a receiver that hangs delays no other.

An attempt that hangs holds up its worker for 15 s. So a receiver that has not answered lately is probed: one attempt at
a time is made, of all workers together, and the other messages wait without using up attempts (half-open). An answer
lets every attempt in for a minute (closed). Three timeouts or connection failures in a row within a minute let none in
for 30 s (open). Then there is one probe, and after each that fails a wait of twice the time, up to 10 minutes.

A receiver is a URL: subscriptions and hooks with the same URL share a circuit, and a subscription whose URL is changed
gets another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from aws_lambda_powertools import Logger

from tunehook.aws.circuits import LONGEST_WAIT_MS, PROVEN_MS, TRIAL_MS
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.signatures import notify_hook_subscription_id

if TYPE_CHECKING:
    from tunehook.aws.circuits import Circuit, CircuitsTable
    from webhooks.subscription_cache import Subscribed

logger = Logger(child=True)

FIRST_WAIT_MS: Final = 30_000
WITHIN_MS: Final = 60_000
"""Three failures within this time open the circuit."""

ANNOUNCED_EVERY_MS: Final = 5_000
"""How often a worker announces, at most, that a receiver goes on answering, which ends a row of others' failures."""

PATIENCE_HERE_S: Final = 0.5
"""How long a message waits for a probe of its own worker, which is held up by that anyway."""

PATIENCE_ELSEWHERE_S: Final = 0.1
"""How long a message waits for another worker's probe: longer, and a receiver that hangs would hold up many workers."""

LOOK_AGAIN_MS: Final = 1_000
"""When at the earliest a message comes again that waited for a probe."""

_POLL_ELSEWHERE_S: Final = 0.04
REMEMBERED: Final = 10_000
"""So many receivers are remembered at most: those that were met last."""


@dataclass(slots=True)
class _Known:
    """What this worker knows of a circuit. `changed` is set once, at the next change that messages may wait for."""

    proven_until_ms: int = 0
    announced_at_ms: int = 0
    wait_until_ms: int = 0
    probing_since_s: float | None = None
    is_failing: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def end_probe(self) -> None:
        self.probing_since_s = None
        self.notify()


@dataclass(slots=True)
class CircuitBreaker:
    """Gives permits for attempts. The table, which all workers share, is read for receivers without a late answer."""

    circuits: CircuitsTable
    now_ms: Callable[[], int]
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict)

    def permit(self, receiver: str) -> Permit:
        """Return the permit for an attempt at a receiver (see `receiver_of`), to be used by ``async with``."""
        known = self._known.get(receiver)
        if known is None:
            known = self._known[receiver] = _Known()
        self._known.move_to_end(receiver)
        if len(self._known) > REMEMBERED:
            oldest = next(iter(self._known))
            if self._known[oldest].probing_since_s is None:
                del self._known[oldest]
        return Permit(receiver, self.circuits, self.now_ms, known)


@dataclass(slots=True)
class Permit:
    """Lets an attempt in, or says when to come again; on the way out the circuit is written.

    It is entered at once where the receiver has answered lately, and after a moment otherwise.
    """

    receiver: str
    _circuits: CircuitsTable
    _now_ms: Callable[[], int]
    _known: _Known
    is_probe: bool = False  # the one attempt that probes the receiver
    wait_until_ms: int | None = None  # when to come again, where no attempt may be made
    _answered: bool | None = None
    _closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + PATIENCE_ELSEWHERE_S
        known = self._known
        while not self._is_decided(now_ms := self._now_ms()):
            if known.probing_since_s is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(known.probing_since_s + PATIENCE_HERE_S):
                        await known.changed.wait()
                        continue
            elif await self._acquire_probe(now_ms) or self._is_decided(now_ms):
                break
            elif loop.time() < give_up_at_s:
                await asyncio.sleep(_POLL_ELSEWHERE_S)
                continue
            self.wait_until_ms = now_ms + LOOK_AGAIN_MS
            break
        return self

    def record_result(self, answered: bool | None) -> None:
        """Let the messages that wait for this probe know how it ended, before the attempt is recorded.

        `answered` is False for timeouts and connection failures, True for whatever else came back, and None if the
        attempt showed neither, as if none had been made.
        """
        self._answered = answered
        known, now_ms = self._known, self._now_ms()
        if answered is False:
            known.proven_until_ms = 0
            known.is_failing = True
        is_news = self.is_probe or known.is_failing
        # An answer between failures ends their row, whichever attempt it is of, and whichever worker's.
        if answered and (is_news or not 0 <= now_ms - known.announced_at_ms < ANNOUNCED_EVERY_MS):
            known.proven_until_ms = now_ms + PROVEN_MS
            known.announced_at_ms = now_ms
            known.is_failing = False
            known.notify()
            close = asyncio.to_thread(self._circuits.close, self.receiver, now_ms)
            self._closing = asyncio.create_task(close)

    async def __aexit__(self, *_: object) -> None:
        """Write the circuit. What cannot be written is logged: the attempt is made and counts all the same."""
        try:
            if self._answered is False:
                wait_until_ms = await asyncio.to_thread(self._record_failure)
                self._known.wait_until_ms = max(self._known.wait_until_ms, wait_until_ms)
            elif self._closing is not None:
                await self._closing
            elif self.is_probe:
                await asyncio.to_thread(self._circuits.release_probe, self.receiver)
        except AWS_FAULTS as fault:
            logger.warning("circuit_not_written", receiver=self.receiver, error=code_of(fault))
        finally:
            if self.is_probe:
                self._known.end_probe()

    def _is_decided(self, now_ms: int) -> bool:
        """Return whether it is known that the circuit is closed, or until when to wait.

        What lies further ahead than can be is void: a clock was wrong, or has jumped back.
        """
        known = self._known
        if now_ms < known.proven_until_ms <= now_ms + PROVEN_MS:
            return True
        if now_ms < known.wait_until_ms <= now_ms + LONGEST_WAIT_MS:
            self.wait_until_ms = known.wait_until_ms
        return self.wait_until_ms is not None

    async def _acquire_probe(self, now_ms: int) -> bool:
        known = self._known
        known.probing_since_s = asyncio.get_running_loop().time()
        try:
            acquire = self._circuits.acquire_probe
            self.is_probe, circuit = await asyncio.to_thread(acquire, self.receiver, now_ms)
        finally:
            if not self.is_probe:
                known.end_probe()
        if not self.is_probe:
            known.proven_until_ms = circuit.proven_until_ms
            known.wait_until_ms = _wait_until_ms(circuit, now_ms)
        return self.is_probe

    def _record_failure(self) -> int:
        """Count a failure, and return until when the circuit is open by it, or 0."""
        now_ms = self._now_ms()
        circuit = self._circuits.record_failure(self.receiver, now_ms, trial=self.is_probe)
        if circuit is None:
            return 0
        wait_ms = 0
        if circuit.wait_ms and self.is_probe:
            wait_ms = min(2 * circuit.wait_ms, LONGEST_WAIT_MS)
        elif not circuit.wait_ms and now_ms - circuit.third_last_failure_ms <= WITHIN_MS:
            wait_ms = FIRST_WAIT_MS
        if wait_ms and self._circuits.open(self.receiver, now_ms, wait_ms, after_ms=circuit.wait_ms):
            return now_ms + wait_ms
        if self.is_probe:
            self._circuits.release_probe(self.receiver)
        return 0


def receiver_of(subscription_id: str, subscription: Subscribed | None) -> str:
    """Return what stands for the URL that a message goes to, which cannot be read in it.

    A subscription without a URL, to which no request can go, is a receiver by its own id. So is a task's own hook,
    which is no subscription: its id is made of its URL.
    """
    url = None if subscription is None else subscription.item.get("url")
    return notify_hook_subscription_id(url) if isinstance(url, str) else subscription_id


def _wait_until_ms(circuit: Circuit, now_ms: int) -> int:
    """Return until when to wait without reading the circuit again: 0 where a probe has only just begun."""
    if now_ms < circuit.shut_until_ms <= now_ms + LONGEST_WAIT_MS:
        return circuit.shut_until_ms
    age_ms = now_ms - circuit.trial_since_ms
    if circuit.proven_until_ms > now_ms or age_ms < PATIENCE_ELSEWHERE_S * 1000:
        return 0
    # Longer and longer, so that many messages that wait for one probe do not keep the workers busy.
    return min(now_ms + max(age_ms, LOOK_AGAIN_MS), max(circuit.trial_since_ms + TRIAL_MS, now_ms + 1))
