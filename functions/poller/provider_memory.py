"""What a pass knows of its providers from earlier passes, and leaves to the next: one small item a provider.

A fault of the table never keeps anybody from being asked: what could not be read counts as not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from aws_lambda_powertools import Logger

from poller.troubles import TOLD_AT, Cause, cause_of
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.provider_states import Pause, ProviderState, ProviderStates, Refusal
from tunehook.errors import Unavailable
from tunehook.providers import Outcome, Pending, Provider, Throttled, Transient, Unauthorised
from tunehook.rhythm import Rhythm

logger = Logger(child=True)

READ_WITHIN_S: Final = 2.0
"""How long a pass waits for what is known: asking is what it is for."""

SAVE_EVERY_MS: Final = 5_000
"""How often the item of one provider is written at most."""

PAUSE_WORTH_A_WRITE_S: Final = 10.0
"""A pause that is shorter is over when the next pass begins, or nearly."""

LONG_PAUSE_S: Final = 60.0
"""From which length on one pause is reason enough to tell the users of tasks that wait for its end."""

REFRESH_WORTH_A_WRITE: Final = 0.1
"""By how much a learnt interval has to differ from the known one, as a part of it."""


@dataclass(slots=True)
class Standing:
    """How a provider stands.

    Attributes
    ----------
    provider : Provider
        As it is configured at the moment.
    key : str
        The digest of its key.
    saved, known : ProviderState
        What its item says, and what is known.
    rhythm : Rhythm
        Of the gateway's own refreshes.
    cause : Cause or None
        What the last question met, unless it was answered.
    general_cause : Cause or None
        What everybody who asks this provider meets, as far as is known.
    refusal : Unauthorised or None
        The last answer that refused the key.
    troubles, same : int
        How many questions in a row met something, and how many of the last ones the same.
    since_ms : int
        When the first of them did.
    is_well : bool
        Whether the last question was answered, and the item will say so.
    saved_at_ms : int
        When the item was written, or should have been.
    is_saving : bool
        Whether it is being written.
    """

    provider: Provider
    key: str
    saved: ProviderState
    known: ProviderState
    rhythm: Rhythm
    cause: Cause | None = None
    general_cause: Cause | None = None
    refusal: Unauthorised | None = None
    troubles: int = 0
    same: int = 0
    since_ms: int = 0
    is_well: bool = False
    saved_at_ms: int = 0
    is_saving: bool = False

    @property
    def is_refused_after_acceptance(self) -> bool:
        """Whether the key that it is asked with was accepted before."""
        return self.known.is_no_longer_accepted(self.key)

    def met(self, cause: Cause | None, now_ms: int) -> None:
        """Count a question that met something."""
        self.since_ms = self.since_ms if self.troubles else now_ms
        is_same = self.cause is not None and cause is not None and self.cause.kind == cause.kind
        self.same = self.same + 1 if is_same else 1
        self.cause, self.is_well = cause, False
        self.troubles += 1
        if cause is not None and (
            cause.is_certain or (self.same if self.general_cause else self.troubles) >= TOLD_AT
        ):
            self.general_cause = cause

    def answered(self) -> None:
        """Forget what was met; note which key was accepted."""
        self.cause = self.general_cause = None
        self.troubles, self.is_well = 0, True
        if self.known.accepted_key != self.key or self.known.refusal is not None:
            self.known = replace(self.known, accepted_key=self.key, refusal=None)


@dataclass(slots=True)
class ProviderMemory:
    """The standings of the providers of one pass.

    Parameters
    ----------
    states : ProviderStates
        The table.
    clock : callable
        Returns the present moment in milliseconds since 1970.
    """

    states: ProviderStates
    clock: Callable[[], int]
    _standings: dict[str, Standing] = field(default_factory=dict)

    async def load(self, providers: Iterable[Provider]) -> list[Provider]:
        """Learn what earlier passes knew of those providers that this pass has not met, and go on with their pauses.

        Returns
        -------
        list of Provider
            Those that were not met before.
        """
        new = {each.name: each for each in providers if not self.is_met(each)}
        if not new:
            return []
        unread = [name for name in new if name not in self._standings]
        states = await self._read(unread) if unread else {}
        for name, provider in new.items():
            before = self._standings.get(name)
            saved = before.saved if before else states.get(name, ProviderState(provider=name))
            known = before.known if before else saved
            rhythm = Rhythm(known.refresh_every_ms)
            self._standings[name] = Standing(provider, provider.key_digest, saved, known, rhythm)
            self._restore(self._standings[name])
        return list(new.values())

    def is_met(self, provider: Provider) -> bool:
        """Return whether it is known by now what earlier passes knew of a provider."""
        standing = self._standings.get(provider.name)
        return standing is not None and standing.provider is provider

    async def _read(self, names: list[str]) -> dict[str, ProviderState]:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await asyncio.to_thread(self.states.get_many, names)
        except (*AWS_FAULTS, Unavailable) as error:
            logger.warning("provider_states_not_read", error=code_of(error))
        except TimeoutError:
            logger.warning("provider_states_not_read", error="TimeoutError")
        return {}

    def _restore(self, standing: Standing) -> None:
        """Go on where the pass before stopped, if it asked with the same key."""
        key, now_ms = standing.key, self.clock()
        refusal, pause = standing.known.refusal, standing.known.pause
        if refusal is not None and refusal.key == key:
            standing.met(_cause_of_refusal(standing, refusal), refusal.since_ms)
            # Over or not: one question tells whether the key is accepted by now, before all others ask.
            standing.provider.restore_pause(0.0, Unauthorised.name)
        if pause is not None and pause.key == key and pause.until_ms > now_ms:
            left_s = (pause.until_ms - now_ms) / 1000
            if standing.cause is None:
                standing.met(Cause(pause.kind, pause.words), now_ms)
                self._say_if_long(standing, left_s)
            standing.provider.restore_pause(left_s, pause.reason)

    def standing(self, provider: Provider) -> Standing:
        """Return how a provider stands; nothing is known of one that was not loaded."""
        if not self.is_met(provider):
            state = ProviderState(provider=provider.name)
            self._standings[provider.name] = Standing(provider, provider.key_digest, state, state, Rhythm())
        return self._standings[provider.name]

    def heard(self, standing: Standing, outcome: Outcome, now_ms: int) -> Cause | None:
        """Take in what a question came to, and return what it met, or None for an answer.

        Parameters
        ----------
        standing : Standing
            Of the provider that was asked.
        outcome : Outcome
        now_ms : int
            The present moment in milliseconds since 1970.
        """
        if standing.is_well and isinstance(outcome, Pending) and outcome.known:
            return None
        if isinstance(outcome, Throttled) and not outcome.asked:
            return standing.cause
        cause = cause_of(outcome, is_no_longer_accepted=standing.is_refused_after_acceptance)
        if not isinstance(outcome, Throttled | Unauthorised | Transient):
            standing.answered()
            return cause
        standing.met(cause, now_ms)
        if isinstance(outcome, Unauthorised):
            standing.refusal = outcome
        return cause

    def paused(self, standing: Standing, seconds: float, reason: str, now_ms: int) -> None:
        """Take in that the provider is not asked for some time from now on."""
        self._say_if_long(standing, seconds)
        if reason == Unauthorised.name and standing.refusal is not None:
            self._refused(standing, standing.refusal, now_ms)
        if seconds < PAUSE_WORTH_A_WRITE_S:
            return
        pause = Pause(
            until_ms=now_ms + round(seconds * 1000),
            reason=reason,
            kind=standing.cause.kind if standing.cause else reason,
            words=standing.cause.words if standing.cause else "",
            key=standing.key,
        )
        standing.known = replace(standing.known, pause=pause)

    def _refused(self, standing: Standing, outcome: Unauthorised, now_ms: int) -> None:
        """Keep a refusal that led to a pause: one that did not concerns a task, and not the key."""
        key, known = standing.key, standing.known.refusal
        if known is None or (known.key, known.reason) != (key, outcome.reason):
            since_ms = now_ms if known is None or known.key != key else known.since_ms
            refusal = Refusal(reason=outcome.reason, words=outcome.detail, since_ms=since_ms, key=key)
            standing.known = replace(standing.known, refusal=refusal)

    def _say_if_long(self, standing: Standing, seconds: float) -> None:
        """There will be no second question soon that could show whether the trouble is everybody's."""
        if seconds >= LONG_PAUSE_S and standing.cause is not None:
            standing.general_cause = standing.cause

    def unsaved(self, *, is_last: bool = False) -> list[Standing]:
        """Return the standings that are to be written now; all of them at the end of a pass."""
        now_ms = self.clock()
        for standing in self._standings.values():
            self._learn_rhythm(standing)
        return [
            standing
            for standing in self._standings.values()
            if standing.known != standing.saved
            and not standing.is_saving
            and (is_last or now_ms - standing.saved_at_ms >= SAVE_EVERY_MS)
        ]

    def _learn_rhythm(self, standing: Standing) -> None:
        known_ms, learnt_ms = standing.known.refresh_every_ms, standing.rhythm.period_ms
        if learnt_ms is not None and (
            known_ms is None or abs(learnt_ms - known_ms) > REFRESH_WORTH_A_WRITE * known_ms
        ):
            standing.known = replace(standing.known, refresh_every_ms=learnt_ms)

    async def save(self, standing: Standing) -> None:
        """Write what is known of a provider."""
        known = standing.known
        standing.is_saving, standing.saved_at_ms = True, self.clock()
        try:
            await asyncio.to_thread(self.states.save, standing.saved, known)
        except AWS_FAULTS as error:
            logger.warning("provider_state_not_saved", provider=standing.provider.name, error=code_of(error))
        else:
            standing.saved = known
        finally:
            standing.is_saving = False


def _cause_of_refusal(standing: Standing, refusal: Refusal) -> Cause | None:
    reasons = {"credit": "credit", "access": "access"}
    outcome = Unauthorised(refusal.words, reasons.get(refusal.reason, "key"))  # type: ignore[arg-type]
    return cause_of(outcome, is_no_longer_accepted=standing.is_refused_after_acceptance)
