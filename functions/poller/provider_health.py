"""The health of each provider: problems in a row, refused keys, pauses and refreshes, saved for the next pass.

A provider is polled even if its health cannot be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from aws_lambda_powertools import Logger

from poller.poll_problems import REPORT_AT, PollProblem, problem_of
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.provider_states import (
    CALLBACKS_COME_AT,
    Alert,
    Pause,
    ProviderState,
    ProviderStates,
    Refusal,
)
from tunehook.errors import Unavailable
from tunehook.providers.client import Provider
from tunehook.providers.outcomes import Outcome, Pending, Throttled, Transient, Unauthorised
from tunehook.rhythm import Rhythm

logger = Logger(child=True)

READ_WITHIN_S: Final = 2.0
"""How long a pass waits for the saved states before it polls without them."""

SAVE_EVERY_MS: Final = 5_000
"""How often the item of one provider is written at most."""

PAUSE_WORTH_A_WRITE_S: Final = 10.0
"""A shorter pause is nearly over when the next pass begins."""

LONG_PAUSE_S: Final = 60.0
"""The length from which on the problem of one pause is reported on all tasks that wait for its end."""

REFRESH_WORTH_A_WRITE: Final = 0.1
"""By which part a learnt interval has to differ from the known one."""


@dataclass(slots=True)
class ProviderHealth:
    """The health of one provider, by the digest of its `key`; `saved` is what its item says, `state` what is known.

    The `problem` is that of the last poll, the `shared_problem` one that all polls meet. `problems` polls in a row had
    one, since `since_ms`, and the last ones the `same`. One that `is_healthy` has answered, and its item will say so.
    `paused_until` is the end of the latest known pause, by the provider's clock. The `alert` is the latest.
    """

    provider: Provider
    saved: ProviderState
    state: ProviderState
    key: str = field(init=False)
    rhythm: Rhythm = field(init=False)
    problem: PollProblem | None = None
    shared_problem: PollProblem | None = None
    refusal: Unauthorised | None = None
    problems: int = 0
    same: int = 0
    since_ms: int = 0
    is_healthy: bool = False
    paused_until: float = 0.0
    saved_at_ms: int = 0
    is_saving: bool = False
    alert: Alert | None = None

    def __post_init__(self) -> None:
        self.key = self.provider.key_digest
        self.rhythm = Rhythm(self.state.refresh_every_ms)
        self.alert = self.state.alert

    @property
    def is_no_longer_accepted(self) -> bool:
        """Whether the key, if it is refused, was accepted before."""
        return self.state.is_no_longer_accepted(self.key)

    def is_alert_due(self, now_ms: int) -> bool:
        """Return whether somebody is to be told that the key is refused."""
        refusal, alert = self.state.refusal, self.alert
        if refusal is None or refusal.key != self.key:
            return False
        return alert is None or not alert.told_at_ms or alert.may_be_followed(self.key, now_ms)

    @property
    def is_alert_over(self) -> bool:
        """Whether the key of an alert, which says otherwise, was accepted since."""
        alert = self.alert
        return self.is_healthy and alert is not None and alert.key == self.key and not alert.is_over

    def restore(self, now_ms: int) -> None:
        """Go on with the refusal and the pause of earlier passes, if they used the same key."""
        refusal, pause = self.state.refusal, self.state.pause
        if refusal is not None and refusal.key == self.key:
            reason = refusal.reason if refusal.reason in ("credit", "access") else "key"
            outcome = Unauthorised(refusal.words, reason)  # type: ignore[arg-type]
            problem = problem_of(outcome, is_no_longer_accepted=self.is_no_longer_accepted)
            self._record_problem(problem, refusal.since_ms)
            # One poll shows whether the key is accepted by now, before all others begin.
            self.provider.restore_pause(0.0, Unauthorised.name)
        if pause is not None and pause.key == self.key and pause.until_ms > now_ms:
            left_s = (pause.until_ms - now_ms) / 1000
            if self.problem is None:
                self._record_problem(PollProblem(pause.kind, pause.words), now_ms)
                self._share_if_long(left_s)
            self.provider.restore_pause(left_s, pause.reason)
        self.paused_until = self.provider.paused_until

    def record_outcome(self, outcome: Outcome, now_ms: int) -> PollProblem | None:
        """Take in the outcome of a poll, and return its problem."""
        if self.is_healthy and isinstance(outcome, Pending) and outcome.known and not outcome.problem:
            return None
        if isinstance(outcome, Throttled) and not outcome.asked:
            return self.problem
        problem = problem_of(outcome, is_no_longer_accepted=self.is_no_longer_accepted)
        if not isinstance(outcome, Throttled | Unauthorised | Transient):
            self.record_success()
            return problem
        self._record_problem(problem, now_ms)
        if isinstance(outcome, Unauthorised):
            self.refusal = outcome
        return problem

    def record_success(self) -> None:
        """Forget the problems; remember the key as accepted."""
        self.problem = self.shared_problem = None
        self.problems, self.is_healthy = 0, True
        if self.state.accepted_key != self.key or self.state.refusal is not None:
            self.state = replace(self.state, accepted_key=self.key, refusal=None)

    def _record_problem(self, problem: PollProblem | None, now_ms: int) -> None:
        self.since_ms = self.since_ms if self.problems else now_ms
        is_same = self.problem is not None and problem is not None and self.problem.kind == problem.kind
        self.same = self.same + 1 if is_same else 1
        self.problem, self.is_healthy = problem, False
        self.problems += 1
        in_a_row = self.same if self.shared_problem else self.problems
        if problem is not None and (problem.is_certain or in_a_row >= REPORT_AT):
            self.shared_problem = problem

    def record_pause(self, seconds: float, reason: str, now_ms: int) -> None:
        """Take in that the provider is not polled for some time from now on."""
        self._share_if_long(seconds)
        if reason == Unauthorised.name and self.refusal is not None:
            self._record_refusal(self.refusal, now_ms)
        if seconds < PAUSE_WORTH_A_WRITE_S:
            return
        until_ms = now_ms + round(seconds * 1000)
        problem = self.problem or PollProblem(reason, "")
        pause = Pause(
            until_ms=until_ms, reason=reason, kind=problem.kind, words=problem.message, key=self.key
        )
        self.state = replace(self.state, pause=pause)

    def _record_refusal(self, outcome: Unauthorised, now_ms: int) -> None:
        """Keep a refusal that led to a pause: others concern a task, not the key."""
        known = self.state.refusal
        if known is None or (known.key, known.reason) != (self.key, outcome.reason):
            since_ms = now_ms if known is None or known.key != self.key else known.since_ms
            refusal = Refusal(reason=outcome.reason, words=outcome.detail, since_ms=since_ms, key=self.key)
            self.state = replace(self.state, refusal=refusal)

    def _share_if_long(self, pause_s: float) -> None:
        """Take a problem as shared in a long pause: no second poll comes soon that could show it."""
        if pause_s >= LONG_PAUSE_S and self.problem is not None:
            self.shared_problem = self.problem

    def record_end(self, *, was_called_back: bool) -> None:
        """Take in that a task has ended, and whether the provider called back about it."""
        before = self.state.ends_called_back or 0
        after = min(before + 1, CALLBACKS_COME_AT) if was_called_back else 0
        if after != before:
            self.state = replace(self.state, ends_called_back=after or None)

    def record_refresh_interval(self) -> None:
        """Take in the learnt interval, where it differs enough from the known one."""
        known_ms, learnt_ms = self.state.refresh_every_ms, self.rhythm.period_ms
        if learnt_ms is not None and (
            known_ms is None or abs(learnt_ms - known_ms) > REFRESH_WORTH_A_WRITE * known_ms
        ):
            self.state = replace(self.state, refresh_every_ms=learnt_ms)


@dataclass(slots=True)
class ProviderHealthStore:
    """Loads and saves the health of the providers of one pass, one small item each."""

    states: ProviderStates
    clock: Callable[[], int]
    _known: dict[str, ProviderHealth] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ProviderHealth]:
        """Return the health of each provider that is known."""
        return iter(list(self._known.values()))

    def is_loaded(self, provider: Provider) -> bool:
        """Return whether a provider, as it is configured now, was loaded."""
        health = self._known.get(provider.name)
        return health is not None and health.provider is provider

    def of(self, provider: Provider) -> ProviderHealth:
        """Return the health of a provider; a blank one if it was not loaded."""
        if not self.is_loaded(provider):
            state = ProviderState(provider=provider.name)
            self._known[provider.name] = ProviderHealth(provider, state, state)
        return self._known[provider.name]

    def state_of(self, name: str) -> ProviderState:
        """Return what is known of a provider of this name, without taking it for loaded."""
        health = self._known.get(name)
        return ProviderState(provider=name) if health is None else health.state

    async def load(self, providers: Iterable[Provider]) -> None:
        """Load and restore what earlier passes saved of those providers that are not loaded."""
        new = {each.name: each for each in providers if not self.is_loaded(each)}
        unread = [name for name in new if name not in self._known]
        states = await self._read(unread) if unread else {}
        for name, provider in new.items():
            before = self._known.get(name)
            state = states.get(name, ProviderState(provider=name)) if before is None else before.state
            saved = state if before is None else before.saved
            health = self._known[name] = ProviderHealth(provider, saved, state)
            health.restore(self.clock())

    async def _read(self, names: list[str]) -> dict[str, ProviderState]:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await asyncio.to_thread(self.states.get_many, names)
        except (*AWS_FAULTS, Unavailable, TimeoutError) as error:
            logger.warning("provider_states_not_read", error=code_of(error))
        return {}

    def unsaved(self, *, is_last: bool) -> list[ProviderHealth]:
        """Return what is to be written now; at the end of a pass, all that has changed."""
        now_ms = self.clock()
        for health in self._known.values():
            health.record_refresh_interval()
        return [
            health
            for health in self._known.values()
            if health.state != health.saved
            and not health.is_saving
            and (is_last or now_ms - health.saved_at_ms >= SAVE_EVERY_MS)
        ]

    async def save(self, health: ProviderHealth) -> None:
        """Write what is known of a provider."""
        state = health.state
        health.is_saving, health.saved_at_ms = True, self.clock()
        try:
            await asyncio.to_thread(self.states.save, health.saved, state)
        except AWS_FAULTS as error:
            logger.warning("provider_state_not_saved", provider=health.provider.name, error=code_of(error))
        else:
            health.saved = state
        finally:
            health.is_saving = False
