"""A worker that answers checks of endpoints, where a stack on moto has none."""

from __future__ import annotations

import pytest

from tunehook.deliveries import Attempt, Delivery, DeliveryStatus, message_for
from tunehook.operations import subscriptions
from tunehook.operations.stack import Stack


def answer_checks(
    monkeypatch: pytest.MonkeyPatch, status: int | None, *, detail: str | None = None
) -> list[Delivery]:
    """Let each check be answered with a status, or be attempted by nobody with None; return the list of the checks."""
    checks: list[Delivery] = []

    def work(stack: Stack, delivery: Delivery, _: float) -> Delivery:
        checks.append(delivery)
        if status is None:
            return delivery
        attempt = Attempt(run=1, attempt=1, at_ms=1, duration_ms=40, status_code=status, detail=detail)
        is_well = 200 <= status <= 299
        ended = DeliveryStatus.DELIVERED if is_well else DeliveryStatus.FAILED
        reason = None if is_well else "a check is not repeated"
        stack.deliveries.record(message_for(delivery), status=ended, attempt=attempt, reason=reason)
        return stack.deliveries.get(delivery.delivery_id) or delivery

    monkeypatch.setattr(subscriptions, "await_attempt", work)
    return checks
