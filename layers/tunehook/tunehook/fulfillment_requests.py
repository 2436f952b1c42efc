"""Messages of the fulfillment queue beside events: what is missing of an ended task is asked for, or progress told."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunehook.events import Moment
from tunehook.keys import HashKey, RangeKey
from tunehook.times import LATEST_MS

PROGRESS_MAX: Final = 1_000_000
"""How often progress of one run can be told: more often than there are seconds in its longest time."""


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


class ProgressClip(BaseModel):
    """A clip of a task that has not ended, with the provider's own links, which die within days."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    clip_id: str
    title: str | None = None
    tags: tuple[str, ...] = ()
    duration_s: float | None = None
    prompt: str | None = None
    model: str | None = None
    created_at: Moment | None = None
    text: str | None = None
    stream_url: str | None = None
    source_url: str | None = None


class ProgressRequest(BaseModel):
    """Asks to have the progress of a pending task told to whoever wants it.

    `since_ms` names the run, of which this is told as the `number`-th (`tunehook.tasks.ProgressTold`). `progress` is in
    per cent. `truncated` says that texts, clips or the provider's own object were left out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["progress"] = "progress"
    task_id: HashKey
    provider: RangeKey
    since_ms: int = Field(ge=0, le=LATEST_MS)
    number: int = Field(ge=1, le=PROGRESS_MAX)
    at_ms: int = Field(ge=0, le=LATEST_MS)
    submitted_at_ms: int = Field(ge=0, le=LATEST_MS)
    phase: Literal["queued", "processing"]
    progress: int | None = Field(None, ge=0, le=100)
    clips: tuple[ProgressClip, ...] = ()
    provider_object: str | None = Field(None, description="As JSON.")
    truncated: bool = False
