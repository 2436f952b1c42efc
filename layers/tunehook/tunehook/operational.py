"""Operational events as webhooks (docs/webhook-contract.md, "Operational events")."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from tunehook.deliveries import Delivery, new_delivery
from tunehook.events import (
    DeadLettersFound,
    OperationalEvent,
    ProviderUnauthorised,
    SubscriptionDisabled,
    SubscriptionFailing,
)
from tunehook.subscriptions import Recipient, WebhookType
from tunehook.times import to_ms

_KINDS: Final[dict[type[OperationalEvent], WebhookType]] = {
    SubscriptionFailing: WebhookType.SUBSCRIPTION_FAILING,
    SubscriptionDisabled: WebhookType.SUBSCRIPTION_DISABLED,
    ProviderUnauthorised: WebhookType.PROVIDER_UNAUTHORISED,
    DeadLettersFound: WebhookType.DEAD_LETTERS_FOUND,
}

_SUBJECTS: Final = ("subscription_id", "provider", "queue")


def kind_of(event: OperationalEvent) -> WebhookType:
    """Return the type of the webhook about an event."""
    return _KINDS[type(event)]


def provider_of(event: OperationalEvent) -> str | None:
    """Return the provider that an event is about; None where it is about none."""
    return event.provider if isinstance(event, ProviderUnauthorised) else None


def is_about(event: OperationalEvent, subscription_id: str) -> bool:
    """Return whether an event is about this subscription, which is not told of itself: it cannot be reached."""
    return (
        isinstance(event, SubscriptionFailing | SubscriptionDisabled)
        and event.subscription_id == subscription_id
    )


def data_of(event: OperationalEvent) -> dict[str, Any]:
    """Return the `data` of the webhook about an event: all of it but its id and version."""
    return event.model_dump(mode="json", exclude={"version", "event_id"})


def subject_of(data: dict[str, Any]) -> str:
    """Return whom or what the `data` of such a webhook are about: a subscription, a provider, a queue or the stack."""
    return next((str(data[name]) for name in _SUBJECTS if data.get(name)), "tunehook")


def delivery_to(
    recipient: Recipient, event: OperationalEvent, now_ms: int, *, sample: bool = False
) -> Delivery:
    """Return the delivery of an event to a recipient, due now; it has no task, and a provider only where one is meant.

    A `sample` says so in its data.
    """
    return new_delivery(
        event_id=event.event_id,
        subscription_id=recipient.subscription_id,
        url=recipient.url,
        provider=provider_of(event),
        type=kind_of(event).value,
        event_at_ms=to_ms(_moment_of(event)),
        format=recipient.format,
        payload=json.dumps(data_of(event) | ({"sample": True} if sample else {}), ensure_ascii=False),
        now_ms=now_ms,
    )


def _moment_of(event: OperationalEvent) -> datetime:
    """Return when it happened, the same each time that the event is emitted."""
    match event:
        case SubscriptionFailing():
            return event.failing_since + (event.disabled_at - event.failing_since) * event.percent / 100
        case SubscriptionDisabled():
            return event.disabled_at
        case ProviderUnauthorised():
            return event.since
        case DeadLettersFound():
            return event.found_at
