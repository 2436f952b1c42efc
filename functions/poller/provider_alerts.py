"""Tells once that a provider refuses the key, by an event on the bus.

The alert is written to the provider's item before the event is emitted, and gives it its id: whichever of several
passes emits it, and however often, it is the same event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from aws_lambda_powertools import Logger

from poller.background import BackgroundTasks
from poller.provider_health import ProviderHealth
from tunehook.aws.bus import EventBus
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.provider_states import Alert, ProviderStates, Refusal
from tunehook.events import ProviderUnauthorised
from tunehook.ids import digest
from tunehook.times import from_ms

logger = Logger(child=True)

TRY_EVERY_MS: Final = 5_000
"""How often one provider's alert is tried at most, where the table or the bus fails."""


@dataclass(slots=True)
class ProviderAlerts:
    """Begins, emits and ends the alerts of one pass; `waiting` counts the pending tasks of a provider."""

    states: ProviderStates
    bus: EventBus
    waiting: Callable[[str], int]
    clock: Callable[[], int]
    _tried_at_ms: dict[str, int] = field(default_factory=dict)

    def follow(self, health: ProviderHealth, writes: BackgroundTasks) -> None:
        """Do among `writes` what the health of a provider asks for; usually nothing."""
        now_ms, name = self.clock(), health.provider.name
        is_due, refusal = health.is_alert_due(now_ms), health.state.refusal
        if not (is_due or health.is_alert_over):
            return
        if now_ms - self._tried_at_ms.get(name, 0) < TRY_EVERY_MS:
            return
        self._tried_at_ms[name] = now_ms
        if is_due and refusal is not None:
            writes.start(self._tell(health, refusal, self.waiting(name)))
        elif health.alert is not None:
            writes.start(self._end(health, health.alert))

    async def _tell(self, health: ProviderHealth, refusal: Refusal, waiting: int) -> None:
        try:
            await asyncio.to_thread(self._begin_and_emit, health, refusal, waiting)
        except AWS_FAULTS as error:
            logger.warning("alert_not_emitted", provider=health.provider.name, error=code_of(error))

    def _begin_and_emit(self, health: ProviderHealth, refusal: Refusal, waiting: int) -> None:
        name, alert = health.provider.name, health.alert
        if alert is None or alert.may_be_followed(refusal.key, self.clock()):
            alert = self.states.begin_alert(name, alert, refusal.key, max(refusal.since_ms, _after(alert)))
            health.alert = alert
        # Another pass may have begun it, and told of it.
        if alert is None or alert.told_at_ms or alert.key != refusal.key:
            return
        event = ProviderUnauthorised(
            event_id=f"evt_{digest('ProviderUnauthorised', name, str(alert.since_ms))}",
            provider=name,
            reason=refusal.reason,
            message=refusal.words,
            was_accepted=health.is_no_longer_accepted,
            since=from_ms(alert.since_ms),
            tasks_waiting=waiting,
        )
        if not all(self.bus.put([event])):
            logger.warning("alert_not_emitted", provider=name, error="the bus did not take it")
            return
        told_at_ms = self.clock()
        self.states.record_told(name, alert, told_at_ms)
        health.alert = Alert(key=alert.key, since_ms=alert.since_ms, told_at_ms=told_at_ms)
        logger.warning("provider_unauthorised", provider=name, reason=refusal.reason)

    async def _end(self, health: ProviderHealth, alert: Alert) -> None:
        try:
            await asyncio.to_thread(self.states.end_alert, health.provider.name, alert)
        except AWS_FAULTS as error:
            logger.warning("alert_not_ended", provider=health.provider.name, error=code_of(error))
        else:
            health.alert = replace(alert, is_over=True)


def _after(alert: Alert | None) -> int:
    """Return a moment after that of an alert: the next one is to be told from it."""
    return 0 if alert is None else alert.since_ms + 1
