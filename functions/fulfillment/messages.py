"""The messages of the fulfillment queue: ended tasks, and requests to archive one again or to deliver to somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunehook.aws.task_items import ended_task, pending_task
from tunehook.aws.visibility import Message
from tunehook.errors import InvalidInput
from tunehook.events import TaskCompleted, TaskEnded, TaskFailed, task_ended
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest
from tunehook.times import to_ms
from tunehook.validation import first_problem

MAX_BYTES: Final = 256 * 1024
"""An event ends at 200 kB; of a longer one no record of a delivery could be made."""


class _Kind(BaseModel):
    """What is read of an EventBridge event, the body of a message."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    detail_type: Literal["TaskCompleted", "TaskFailed"] | None = Field(None, alias="detail-type")
    request: Any = None


class _Completed(_Kind):
    detail: TaskCompleted


class _Failed(_Kind):
    detail: TaskFailed


def since_ms(message: Message, event: TaskEnded) -> int:
    """Return when a message was received first."""
    return to_ms(event.detected_at) if message.first_received_ms is None else message.first_received_ms


def content_of(body: str) -> TaskEnded | ArchiveRequest | DeliveryRequest:
    """Return what a message asks for; raise `InvalidInput` if it is no event of an ended task and no request."""
    if len(body.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidInput("message", f"is longer than {MAX_BYTES} bytes")
    try:
        # Pydantic's own parser refuses what could not be written again: halves of surrogate pairs, a thousand levels.
        kind = _Kind.model_validate_json(body)
        if kind.detail_type is not None:
            event: type[_Completed | _Failed] = _Completed if kind.detail_type == "TaskCompleted" else _Failed
            return event.model_validate_json(body).detail
        if kind.request == "deliver":
            return DeliveryRequest.model_validate_json(body)
        return ArchiveRequest.model_validate_json(body)
    except ValidationError as error:
        raise first_problem(error, "message") from None


def event_of_item(item: Mapping[str, Any]) -> TaskEnded:
    """Return the event of a task's end from its item; raise `InvalidInput` if it has not ended."""
    if "event_id" not in item:
        raise InvalidInput("task_id", "the task has not ended")
    # The item has left the work index.
    task = pending_task({**item, "queue": "", "since_ms": 0})
    return task_ended(ended_task(task, item)).model_copy(update={"event_id": item["event_id"]})
