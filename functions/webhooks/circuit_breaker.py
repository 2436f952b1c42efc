"""Who may be sent to now, so that a receiver that hangs delays no other.

An attempt that hangs holds up its worker for 15 s. So a receiver that has not answered lately is tried with one attempt
at a time, of all workers together; whatever else is there for it waits, without using up attempts. One that does answer
is proven for a minute, in which nobody asks. After three timeouts or connection failures in a row within a minute it is
left alone for 30 s, then tried with one attempt, and if that fails too, left alone for twice as long, up to 10 minutes.

A receiver is a URL: subscriptions and hooks with the same one share what is known of it, and a subscription whose URL
is changed has nothing to do with what the old one did.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger

from tunehook.aws.circuits import LONGEST_WAIT_MS, PROVEN_MS, TRIAL_MS
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.signatures import notify_hook_subscription_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.aws.circuits import Circuit, CircuitsTable

logger = Logger(child=True)

FIRST_WAIT_MS: Final = 30_000
WITHIN_MS: Final = 60_000
"""Three failures within this time shut the gate."""

ANSWERS_TOLD_EVERY_MS: Final = 5_000
"""How often a worker tells the others, at most, that a receiver goes on answering: their failures make no row then."""

PATIENCE_HERE_S: Final = 0.5
"""How long a message waits for a trial of its own worker, which is held up by that anyway."""

PATIENCE_ELSEWHERE_S: Final = 0.1
"""How long a message waits for another worker's trial: longer, and a receiver that hangs would hold up many workers."""

LOOK_AGAIN_MS: Final = 1_000
"""When at the earliest a message comes again that a trial made wait."""

_POLL_HERE_S: Final = 0.01
_POLL_ELSEWHERE_S: Final = 0.04
REMEMBERED: Final = 10_000
"""So many receivers are remembered at most: those that were met last."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an attempt may be made now.

    Attributes
    ----------
    receiver : str
        To whom; see `gate_of`.
    trial : bool
        Whether it is the one attempt that tries the receiver.
    wait_until_ms : int or None
        When to ask again, where none may be made.
    """

    receiver: str
    trial: bool = False
    wait_until_ms: int | None = None


@dataclass(slots=True)
class _Known:
    proven_until_ms: int = 0
    told_at_ms: int = 0
    wait_until_ms: int = 0
    trying: bool = False
    trying_since_s: float = 0.0
    failing: bool = False
    proof: asyncio.Task[None] | None = None


class CircuitBreaker:
    """Admits attempts; made once for the life of the function's process.

    Parameters
    ----------
    gates : CircuitsTable
        What all workers know. It is asked about receivers that this worker has no answer of, and told of changes.
    now_ms : callable
        The wall clock, in milliseconds since 1970.
    """

    def __init__(self, gates: CircuitsTable, now_ms: Callable[[], int]) -> None:
        self._gates = gates
        self._now_ms = now_ms
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def admit(self, receiver: str) -> Admission:
        """Say whether an attempt may be made now. One that may is to be settled, whatever becomes of it.

        Parameters
        ----------
        receiver : str
            See `gate_of`.

        Returns
        -------
        Admission
            At once for a receiver that has answered lately, after a moment for others.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_ELSEWHERE_S
        known = self._of(receiver)
        while True:
            now_ms = self._now_ms()
            if (
                now_ms < known.proven_until_ms <= now_ms + PROVEN_MS
            ):  # further ahead: the clock has jumped back
                return Admission(receiver)
            if now_ms < known.wait_until_ms <= now_ms + LONGEST_WAIT_MS:
                return Admission(receiver, wait_until_ms=known.wait_until_ms)
            here = known.trying
            if not here and await self._enter(receiver, known, now_ms):
                return Admission(receiver, trial=True)
            if not here and max(known.proven_until_ms, known.wait_until_ms) > now_ms:
                continue
            if loop.time() >= (known.trying_since_s + PATIENCE_HERE_S if here else give_up_at):
                return Admission(receiver, wait_until_ms=now_ms + LOOK_AGAIN_MS)
            await asyncio.sleep(_POLL_HERE_S if here else _POLL_ELSEWHERE_S)

    def note(self, admission: Admission, *, answered: bool | None) -> None:
        """Let everything that waits for a trial know how it ended, before the attempt is recorded.

        Parameters
        ----------
        admission : Admission
            One that let an attempt be made, and that is still to be settled.
        answered : bool or None
            As `settle` takes it.
        """
        known = self._of(admission.receiver)
        # An answer between failures ends their row, whichever attempt it is of, and whichever worker's.
        if answered and known.proof is None:
            age_ms = self._now_ms() - known.told_at_ms
            if admission.trial or known.failing or not 0 <= age_ms < ANSWERS_TOLD_EVERY_MS:
                known.proof = self._prove(admission.receiver, known)
        elif answered is False:
            known.proven_until_ms = 0
            known.failing = True

    async def settle(self, admission: Admission, *, answered: bool | None) -> None:
        """Say what came of an admission. What cannot be written is logged: the attempt is made and counts all the same.

        Parameters
        ----------
        admission : Admission
            One that let an attempt be made.
        answered : bool or None
            Whether an answer came, whatever it said; False for timeouts and connection failures; None if no attempt
            was made, or if it showed something else.
        """
        known = self._of(admission.receiver)
        try:
            await self._settle(admission, known, answered)
        except AWS_FAULTS as fault:
            logger.warning("gate_not_written", receiver=admission.receiver, error=code_of(fault))
        finally:
            if admission.trial:
                known.trying = False

    async def _settle(self, admission: Admission, known: _Known, answered: bool | None) -> None:
        if answered is False:
            wait_until_ms = await asyncio.to_thread(self._fail, admission)
            known.wait_until_ms = max(known.wait_until_ms, wait_until_ms)
        elif known.proof is not None and (admission.trial or answered):
            proof = known.proof
            try:
                await proof
            finally:
                known.proof = None if known.proof is proof else known.proof
        elif admission.trial and answered:
            await self._prove(admission.receiver, known)
        elif admission.trial:
            await asyncio.to_thread(self._gates.release_probe, admission.receiver)

    def _prove(self, receiver: str, known: _Known) -> asyncio.Task[None]:
        now_ms = self._now_ms()
        known.proven_until_ms = now_ms + PROVEN_MS
        known.told_at_ms = now_ms
        known.failing = False
        return asyncio.create_task(asyncio.to_thread(self._gates.close, receiver, now_ms))

    async def _enter(self, receiver: str, known: _Known, now_ms: int) -> bool:
        known.trying, known.trying_since_s = True, asyncio.get_running_loop().time()
        entered = False
        try:
            entered, gate = await asyncio.to_thread(self._gates.acquire_probe, receiver, now_ms)
        finally:
            known.trying = entered
        if not entered:
            known.proven_until_ms = _unless_void(gate.proven_until_ms, now_ms + PROVEN_MS)
            known.wait_until_ms = _wait_until_ms(gate, now_ms)
        return entered

    def _fail(self, admission: Admission) -> int:
        now_ms = self._now_ms()
        gate = self._gates.record_failure(admission.receiver, now_ms, trial=admission.trial)
        if gate is None:
            return 0
        wait_ms = 0
        if gate.wait_ms and admission.trial:
            wait_ms = min(2 * gate.wait_ms, LONGEST_WAIT_MS)
        elif not gate.wait_ms and now_ms - gate.third_last_failure_ms <= WITHIN_MS:
            wait_ms = FIRST_WAIT_MS
        if wait_ms and self._gates.open(admission.receiver, now_ms, wait_ms, after_ms=gate.wait_ms):
            return now_ms + wait_ms
        if admission.trial:
            self._gates.release_probe(admission.receiver)
        return 0

    def _of(self, receiver: str) -> _Known:
        known = self._known.setdefault(receiver, _Known())
        self._known.move_to_end(receiver)
        if len(self._known) > REMEMBERED:
            oldest = next(iter(self._known))
            if not self._known[oldest].trying:
                del self._known[oldest]
        return known


def gate_of(subscription_id: str, item: Mapping[str, Any] | None) -> str:
    """Return by which name the gates know where a message goes.

    Parameters
    ----------
    subscription_id : str
        The subscription, or that which stands for a task's own hook and is made of its URL.
    item : mapping or None
        The subscription's item, unless it is a hook.

    Returns
    -------
    str
        What stands for the URL, in which it cannot be read; for a subscription without one, from which no request can
        come, its own id.
    """
    url = None if item is None else item.get("url")
    return notify_hook_subscription_id(url) if isinstance(url, str) else subscription_id


def _wait_until_ms(gate: Circuit, now_ms: int) -> int:
    """Return until when to wait without asking: 0 where a trial has only just begun."""
    shut_until_ms = _unless_void(gate.shut_until_ms, now_ms + LONGEST_WAIT_MS)
    if shut_until_ms > now_ms:
        return shut_until_ms
    age_ms = now_ms - gate.trial_since_ms
    if gate.proven_until_ms > now_ms or age_ms < PATIENCE_ELSEWHERE_S * 1000:
        return 0
    # Longer and longer, so that many messages that wait for one trial do not keep the workers busy.
    return min(now_ms + max(age_ms, LOOK_AGAIN_MS), max(gate.trial_since_ms + TRIAL_MS, now_ms + 1))


def _unless_void(moment_ms: int, latest_ms: int) -> int:
    """Return a moment, or 0 if it lies so far ahead that a clock was wrong."""
    return moment_ms if moment_ms <= latest_ms else 0
