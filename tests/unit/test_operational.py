"""What an operational event is about, and when it happened; tests/unit/fulfillment/test_operational.py has the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.tasks import NOW_MS

from tunehook.events import (
    DeadLettersFound,
    OperationalEvent,
    ProviderUnauthorised,
    SubscriptionDisabled,
    SubscriptionFailing,
)
from tunehook.operational import delivery_to, is_about, subject_of
from tunehook.subscriptions import Recipient
from tunehook.tasks import Format
from tunehook.times import from_ms

MOMENT = from_ms(NOW_MS)
EARLIER, LATER = MOMENT - timedelta(seconds=30), MOMENT + timedelta(seconds=70)
FAILING = SubscriptionFailing(
    event_id="evt_1", subscription_id="sub", failing_since=EARLIER, percent=90, disabled_at=LATER
)
DISABLED = SubscriptionDisabled(
    event_id="evt_2", subscription_id="sub", disabled_at=MOMENT, failing_since=EARLIER, reason="gone"
)
UNAUTHORISED = ProviderUnauthorised(
    event_id="evt_3",
    provider="suno",
    reason="key",
    message="no",
    was_accepted=True,
    since=MOMENT,
    tasks_waiting=1,
)
FOUND = DeadLettersFound(event_id="evt_4", queue="intake", messages=1, since=EARLIER, found_at=MOMENT)


@pytest.mark.parametrize(
    ("data", "subject"),
    [
        ({"subscription_id": "sub"}, "sub"),
        ({"provider": "suno"}, "suno"),
        ({"queue": "intake"}, "intake"),
        ({"queue": "intake", "provider": "suno", "subscription_id": "sub"}, "sub"),
        ({"queue": "intake", "provider": "suno", "subscription_id": ""}, "suno"),
        ({}, "tunehook"),
    ],
)
def test_what_is_about_nothing_smaller_is_about_the_stack(data: dict[str, Any], subject: str) -> None:
    assert subject_of(data) == subject


@pytest.mark.parametrize(
    ("event", "at_ms"),
    [(FAILING, NOW_MS + 60_000), (DISABLED, NOW_MS), (UNAUTHORISED, NOW_MS), (FOUND, NOW_MS)],
)
def test_it_happened_when_the_event_says_whenever_it_is_told(event: OperationalEvent, at_ms: int) -> None:
    told = delivery_to(Recipient("to", Format.STANDARD), event, NOW_MS + 5_000)
    assert (told.event_at_ms, told.next_attempt_at_ms) == (at_ms, NOW_MS + 5_000)
    assert "sample" not in told.payload


def test_a_sample_says_so() -> None:
    told = delivery_to(Recipient("to", Format.STANDARD), FOUND, NOW_MS, sample=True)
    assert '"sample": true' in told.payload


@pytest.mark.parametrize("event", [FAILING, DISABLED, UNAUTHORISED, FOUND])
def test_a_subscription_is_not_told_of_itself(event: OperationalEvent) -> None:
    assert is_about(event, "sub") is isinstance(event, SubscriptionFailing | SubscriptionDisabled)
    assert not is_about(event, "other")
