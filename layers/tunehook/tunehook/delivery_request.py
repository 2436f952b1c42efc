"""A message of the fulfillment queue that asks for a missing delivery."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunehook.keys import HashKey, RangeKey


class DeliveryRequest(BaseModel):
    """Asks for the delivery of the event `event_id` to one subscription, unless there is one."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["deliver"] = "deliver"
    task_id: HashKey
    provider: RangeKey
    event_id: str
    subscription_id: HashKey
