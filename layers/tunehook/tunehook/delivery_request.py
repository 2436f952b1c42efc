"""The request to make a delivery that was never made, as a message of the fulfillment queue."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunehook.keys import HashKey, RangeKey


class DeliveryRequest(BaseModel):
    """Asks to tell one subscription of the run of a task that `event_id` names; one that was told is not told again."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["deliver"] = "deliver"
    task_id: HashKey
    provider: RangeKey
    event_id: str
    subscription_id: HashKey
