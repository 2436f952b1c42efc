"""When a provider is not to be asked: after too many requests, a refused key, or a row of failures."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunehook.providers.outcomes import Throttled, Transient, Trouble, Unauthorised

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
REFUSED_KEY_PAUSE_S = 60.0
TRANSIENTS_IN_A_ROW = 5
SLOW_S = 5.0
"""A failure that took so long says less of its provider, and does not need to be kept from coming too often."""

REFUSALS_IN_A_ROW = 2
"""How many refusals of the key it takes where the first may well be about one task alone."""

WELL_FOR_S = 10.0
"""How long after a good answer a refusal of the key comes as a surprise."""

LONGEST_RESTORED_S = 300.0

_SHORTEST_WAIT_S = 1.0  # "Retry-After: 0" must not become a busy loop


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to send one request; `pause_number` tells which pauses had begun by then."""

    pause_number: int
    is_probe: bool
    at_s: float


class CircuitBreaker:
    """The pauses of one provider.

    A pause ends with one probe: a single request goes out while the others wait for what becomes of it.
    Requests that were under way when a pause began say nothing new, so they do not lengthen it (other than by
    a Retry-After).

    Parameters
    ----------
    clock : callable
        Seconds that never go back, and go on while the process is halted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._number = 0
        self._until = -math.inf
        self._reason: str | None = None  # of the pause that no good answer has ended yet
        self._latest_reason: str | None = None
        self._latest_detail = ""
        self._probe: asyncio.Event | None = None
        self._transients = 0
        self._refusals = 0
        self._good_at_s = -math.inf
        self._good_answers = 0
        self._next_throttle_s = FIRST_PAUSE_S
        self._next_transient_s = FIRST_PAUSE_S

    @property
    def until(self) -> float:
        """The clock's time at which the latest pause ends or ended; minus infinity before the first."""
        return self._until

    @property
    def reason(self) -> str | None:
        """The name of the outcome that the latest pause began for; None before the first."""
        return self._latest_reason

    @property
    def detail(self) -> str:
        """What the provider said when the latest pause began, as far as it said anything."""
        return self._latest_detail

    @property
    def unresolved(self) -> str | None:
        """The reason of the latest pause until a good answer has come after it; then None."""
        return self._reason

    @property
    def good_answers(self) -> int:
        """How many good answers have come so far."""
        return self._good_answers

    @property
    def was_well_lately(self) -> bool:
        """Whether a good answer came within the last 10 s."""
        return self._clock() - self._good_at_s <= WELL_FOR_S

    def is_paused(self, now: float | None = None) -> bool:
        """Return whether asking is of no use at `now`, by the clock: paused, or a probe is under way."""
        return self._probe is not None or (self._clock() if now is None else now) < self._until

    def restore(self, seconds: float, reason: str, detail: str = "") -> None:
        """Go on with a pause that began elsewhere: for `seconds` from now, 300 at most, and then one probe."""
        # NaN and what is over already are 0: the next question is the probe.
        self._pause(reason, min(seconds, LONGEST_RESTORED_S) if seconds > 0 else 0.0, detail)
        if reason == Transient.name:
            self._transients = TRANSIENTS_IN_A_ROW  # so that a probe that fails as well does not end it

    async def admit(self) -> Admission | None:
        """Return leave to send a request, waiting while a probe is under way; None when paused."""
        while self._clock() >= self._until:
            if self._reason is None:
                return Admission(self._number, is_probe=False, at_s=self._clock())
            if self._probe is None:
                self._probe = asyncio.Event()
                return Admission(self._number, is_probe=True, at_s=self._clock())
            await self.probe_ended()
        return None

    async def probe_ended(self) -> None:
        """Wait while a probe is under way."""
        while self._probe is not None:
            await self._probe.wait()

    def settle(self, admission: Admission, trouble: Trouble | None, *, is_doubtful: bool = False) -> None:
        """Learn what became of an admitted request.

        Parameters
        ----------
        admission : Admission
        trouble : Throttled, Unauthorised, Transient or None
            What it met; None for a good answer.
        is_doubtful : bool
            Whether a refusal of the key may be about the one task that was asked about: it is believed when the
            next answer says so too.
        """
        self.release(admission)
        timely = admission.pause_number == self._number
        if isinstance(trouble, Throttled) and trouble.retry_after_s is not None:
            self._transients = 0
            self._pause(trouble.name, max(trouble.retry_after_s, _SHORTEST_WAIT_S), trouble.detail)
        elif not timely:
            return
        elif isinstance(trouble, Throttled):
            self._transients = 0
            self._pause(trouble.name, self._next_throttle_s, trouble.detail)
            self._next_throttle_s = min(2 * self._next_throttle_s, LONGEST_PAUSE_S)
        elif isinstance(trouble, Unauthorised):
            self._transients = 0
            self._refusals += 1
            if not is_doubtful or self._refusals >= REFUSALS_IN_A_ROW:
                self._refusals = 0
                self._pause(trouble.name, REFUSED_KEY_PAUSE_S, trouble.detail)
        elif isinstance(trouble, Transient):
            is_slow = self._clock() - admission.at_s >= SLOW_S
            if is_slow and self._good_at_s > admission.at_s:
                return  # some of its tasks hang; the provider does not
            self._transients += 1
            if self._transients >= TRANSIENTS_IN_A_ROW:
                self._pause(trouble.name, FIRST_PAUSE_S if is_slow else self._next_transient_s, trouble.cause)
                if not is_slow:
                    self._next_transient_s = min(2 * self._next_transient_s, LONGEST_PAUSE_S)
            else:
                self._reason = None
        else:
            self._transients = self._refusals = 0
            self._good_answers += 1
            self._good_at_s = self._clock()
            self._reason = None
            self._next_throttle_s = self._next_transient_s = FIRST_PAUSE_S

    def release(self, admission: Admission) -> None:
        """Let those who wait for a probe go on. After one that was cancelled, the next takes its place."""
        if admission.is_probe and self._probe is not None:
            self._probe.set()
            self._probe = None

    def _pause(self, reason: str, seconds: float, detail: str) -> None:
        self._number += 1
        self._reason = self._latest_reason = reason
        self._latest_detail = detail
        self._until = max(self._until, self._clock() + seconds)
