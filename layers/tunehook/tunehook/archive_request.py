"""The request to copy again what is missing of a task's files, as a message of the fulfillment queue."""

from __future__ import annotations

from typing import Literal

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
