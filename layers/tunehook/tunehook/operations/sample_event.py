"""The delivery with which a subscription is tested: no task has ended, and the webhook's type says so."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from tunehook.deliveries import Delivery, new_delivery
from tunehook.subscriptions import WebhookType
from tunehook.tasks import Format
from tunehook.times import from_ms, iso

if TYPE_CHECKING:
    from tunehook.subscriptions import Subscription

TASK_ID: Final = "webhook-test"
PROVIDER: Final = "test"


def sample_delivery(subscription: Subscription, now_ms: int) -> Delivery:
    """Return a delivery of ``webhook.test``, due now, about a completed task ``webhook-test`` without clips."""
    # As suno gateways write it (docs/provider-contracts.md, "At a glance").
    task = {"task_id": TASK_ID, "status": "SUCCESS", "fail_reason": "", "progress": "100%", "data": []}
    content = task if subscription.format is Format.PROVIDER else _data(now_ms)
    return new_delivery(
        event_id=f"evt_{secrets.token_hex(16)}",
        subscription_id=subscription.subscription_id,
        task_id=TASK_ID,
        provider=PROVIDER,
        type=WebhookType.WEBHOOK_TEST.value,
        event_at_ms=now_ms,
        format=subscription.format,
        payload=json.dumps(content),
        now_ms=now_ms,
    )


def _data(now_ms: int) -> dict[str, Any]:
    now = iso(from_ms(now_ms))
    return {
        "task_id": TASK_ID,
        "provider": PROVIDER,
        "status": "completed",
        "submitted_at": now,
        "finished_at": now,
        "detected_at": now,
        "metadata": {},
        "clips": [],
        "failure": None,
        "archive": "empty",
        "manifest": None,
        "truncated": False,
    }
