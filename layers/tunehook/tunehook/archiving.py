"""The request to copy again what is missing of a task's files, as a message of the fulfillment queue."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class ArchiveRequest(BaseModel):
    """Asks to have copied what is missing of a task's files; `requested_at_ms` tells one request from another."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    request: Literal["archive"] = "archive"
    task_id: str
    provider: str
    requested_at_ms: int
