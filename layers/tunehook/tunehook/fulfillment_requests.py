"""Messages of the fulfillment queue that ask for what is missing of an ended task: its files, or a delivery."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunehook.keys import HashKey, RangeKey
from tunehook.times import LATEST_MS


class ArchiveRequest(BaseModel):
    """Asks to have copied what is missing of a task's files; `requested_at_ms` tells one request from another."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["archive"] = "archive"
    task_id: HashKey
    provider: RangeKey
    requested_at_ms: int = Field(ge=0, le=LATEST_MS)


class DeliveryRequest(BaseModel):
    """Asks for the delivery of the event `event_id` to one subscription, unless there is one.

    It is to be of one of `events` and to match `filter`, beside what the subscription asks for; None is all.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["deliver"] = "deliver"
    task_id: HashKey
    provider: RangeKey
    event_id: str
    subscription_id: HashKey
    events: list[str] | None = None
    filter: dict[str, Any] | None = None
