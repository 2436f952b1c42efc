"""A circuit breaker for one provider: open after too many requests, a refused key, or failures in a row."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from tunehook.providers.outcomes import Throttled, Transient, Trouble, Unauthorised

SLOW_S = 5.0
"""A failure that took so long says less of its provider, and cannot come too often."""

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0
_LONGEST_RESTORED_S = 300.0
_REFUSED_KEY_PAUSE_S = 60.0
_SHORTEST_WAIT_S = 1.0  # "Retry-After: 0" must not become a busy loop
_TRANSIENTS_IN_A_ROW = 5
_REFUSALS_IN_A_ROW = 2  # where the first may well be about one task alone
_RECENT_S = 10.0  # so long after a success, a refusal of the key comes as a surprise


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request; `openings` is how often the circuit had opened by then."""

    openings: int
    is_probe: bool
    at_s: float


class CircuitBreaker:
    """Closed, it permits every request; open, none; half-open, one probe, for whose result the others wait.

    Requests that were under way when it opened say nothing new: only a Retry-After of theirs makes the pause longer.
    `clock` gives seconds that never go back, and go on while the process is halted. By it the latest pause ends or
    ended at `open_until`. `reason` is the name of the outcome that it began for, and so is `unresolved` until the first
    success after it. `successes` counts the good answers.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.open_until = -math.inf
        self.reason: str | None = None
        self.unresolved: str | None = None
        self.successes = 0
        self._succeeded_at_s = -math.inf
        self._openings = 0
        self._probe: asyncio.Event | None = None
        self._transients = 0
        self._refusals = 0
        self._next_throttle_s = self._next_transient_s = _FIRST_PAUSE_S

    @property
    def succeeded_recently(self) -> bool:
        return self._clock() - self._succeeded_at_s <= _RECENT_S

    def is_open(self) -> bool:
        """Return whether no request is permitted: it is open, or a probe is under way."""
        return self._probe is not None or self._clock() < self.open_until

    def restore(self, seconds: float, reason: str) -> None:
        """Go on with a pause that began elsewhere: `seconds` from now, 300 at most, and then one probe."""
        # NaN and what is over already are 0: the next request is the probe.
        self._open(reason, min(seconds, _LONGEST_RESTORED_S) if seconds > 0 else 0.0)
        if reason == Transient.name:
            self._transients = _TRANSIENTS_IN_A_ROW  # so that a probe that fails as well does not end it

    async def acquire(self) -> Permit | None:
        """Return a permit, waiting while a probe is under way; None while it is open."""
        while self._clock() >= self.open_until:
            if self.unresolved is None:
                return Permit(self._openings, is_probe=False, at_s=self._clock())
            if self._probe is None:
                self._probe = asyncio.Event()
                return Permit(self._openings, is_probe=True, at_s=self._clock())
            await self.wait_for_probe()
        return None

    async def wait_for_probe(self) -> None:
        while self._probe is not None:
            await self._probe.wait()

    def record_result(self, permit: Permit, trouble: Trouble | None, *, is_doubtful: bool = False) -> None:
        """Open, close or count, by the result of a permitted request; no trouble is a good answer.

        A doubtful refusal of the key may be about one task alone: it is believed when the next result says so too.
        """
        self.release(permit)
        wait_s = trouble.retry_after_s if isinstance(trouble, Throttled) else None
        if permit.openings != self._openings and wait_s is None:
            return
        if isinstance(trouble, Transient):
            self._record_transient(permit, trouble)
            return
        self._transients = 0
        if trouble is None:
            self._refusals = 0
            self.successes += 1
            self._succeeded_at_s = self._clock()
            self.unresolved = None
            self._next_throttle_s = self._next_transient_s = _FIRST_PAUSE_S
        elif isinstance(trouble, Unauthorised):
            self._refusals += 1
            if not is_doubtful or self._refusals >= _REFUSALS_IN_A_ROW:
                self._refusals = 0
                self._open(trouble.name, _REFUSED_KEY_PAUSE_S)
        elif wait_s is not None:
            self._open(trouble.name, max(wait_s, _SHORTEST_WAIT_S))
        else:
            self._open(trouble.name, self._next_throttle_s)
            self._next_throttle_s = min(2 * self._next_throttle_s, _LONGEST_PAUSE_S)

    def _record_transient(self, permit: Permit, trouble: Transient) -> None:
        is_slow = self._clock() - permit.at_s >= SLOW_S
        if is_slow and self._succeeded_at_s > permit.at_s:
            return  # some of its tasks hang; the provider does not
        self._transients += 1
        if self._transients < _TRANSIENTS_IN_A_ROW:
            self.unresolved = None
            return
        self._open(trouble.name, _FIRST_PAUSE_S if is_slow else self._next_transient_s)
        if not is_slow:
            self._next_transient_s = min(2 * self._next_transient_s, _LONGEST_PAUSE_S)

    def release(self, permit: Permit) -> None:
        """Let those who wait for a probe go on. After one that was cancelled, the next takes its place."""
        if permit.is_probe and self._probe is not None:
            self._probe.set()
            self._probe = None

    def _open(self, reason: str, seconds: float) -> None:
        self._openings += 1
        self.reason = self.unresolved = reason
        self.open_until = max(self.open_until, self._clock() + seconds)
