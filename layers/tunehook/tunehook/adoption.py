"""What follows when a user puts a task that was taken in before, because its provider had called back about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.tasks import Status

ENDS = (Status.COMPLETED, Status.FAILED)
"""The ends of a run that its user may adopt."""


def late_hook(item: Mapping[str, Any]) -> DeliveryRequest | None:
    """Return the request for the delivery of an end to the hook of an item that got it after that end, or None.

    The hook was checked. Fulfillment makes no second delivery where it knew the hook in time.
    """
    hook, event_id = item.get("notify_hook"), item.get("event_id")
    if (
        not isinstance(hook, str)
        or not hook
        or item.get("status") not in ENDS
        or not isinstance(event_id, str)
    ):
        return None
    # Few tasks are adopted, and intake starts often.
    from tunehook.signatures import notify_hook_subscription_id

    return DeliveryRequest(
        task_id=item["task_id"],
        provider=item["provider"],
        event_id=event_id,
        subscription_id=notify_hook_subscription_id(hook),
    )
