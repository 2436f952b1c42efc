"""The messages of the fulfillment queue: ended tasks, operational events, and requests.

A request is to archive a task again, to deliver to somebody, or to tell of progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from tunehook.aws.task_items import ended_task, pending_task
from tunehook.aws.visibility import Message
from tunehook.errors import InvalidInput
from tunehook.events import EVENT_MODELS, OperationalEvent, TaskEnded, task_ended
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest, ProgressRequest
from tunehook.times import to_ms
from tunehook.validation import first_problem

MAX_BYTES: Final = 256 * 1024
"""An event ends at 200 kB; of a longer one no record of a delivery could be made."""


class _Kind(BaseModel):
    """What is read of an EventBridge event, the body of a message."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    detail_type: (
        Literal[
            "TaskCompleted",
            "TaskFailed",
            "SubscriptionFailing",
            "SubscriptionDisabled",
            "ProviderUnauthorised",
            "DeadLettersFound",
        ]
        | None
    ) = Field(None, alias="detail-type")
    request: Any = None


@cache
def _envelope(detail_type: str) -> type[BaseModel]:
    """Return the model of an EventBridge event whose detail is of this type."""
    return create_model(f"_{detail_type}", __base__=_Kind, detail=EVENT_MODELS[detail_type])


def since_ms(message: Message, event: TaskEnded) -> int:
    """Return when a message was received first."""
    return to_ms(event.detected_at) if message.first_received_ms is None else message.first_received_ms


def content_of(
    body: str,
) -> TaskEnded | OperationalEvent | ArchiveRequest | DeliveryRequest | ProgressRequest:
    """Return what a message asks for; raise `InvalidInput` if it is none of these events and no request."""
    if len(body.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidInput("message", f"is longer than {MAX_BYTES} bytes")
    try:
        # Pydantic's own parser refuses what could not be written again: halves of surrogate pairs, a thousand levels.
        kind = _Kind.model_validate_json(body)
        if kind.detail_type is not None:
            told: Any = _envelope(kind.detail_type).model_validate_json(body)
            event: TaskEnded | OperationalEvent = told.detail
            return event
        if kind.request == "deliver":
            return DeliveryRequest.model_validate_json(body)
        if kind.request == "progress":
            return ProgressRequest.model_validate_json(body)
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
