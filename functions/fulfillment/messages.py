"""The messages of the fulfillment queue: events of ended tasks, and requests to copy again what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tunehook.archiving import ArchiveRequest
from tunehook.aws.messages import Message
from tunehook.aws.task_items import ended_task, pending_task
from tunehook.errors import InvalidInput
from tunehook.events import TaskCompleted, TaskEnded, TaskFailed, task_ended
from tunehook.times import to_ms


class _Envelope(BaseModel):
    """An EventBridge event in the body of a queue's message; more of it than this is nobody's concern."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    detail_type: Literal["TaskCompleted", "TaskFailed"] = Field(alias="detail-type")
    detail: TaskCompleted | TaskFailed = Field(union_mode="left_to_right")


_CONTENT: TypeAdapter[_Envelope | ArchiveRequest] = TypeAdapter(
    _Envelope | ArchiveRequest, config=ConfigDict(defer_build=True)
)


def since_ms(message: Message, event: TaskEnded) -> int:
    """Return when a message was tried first, in milliseconds since 1970."""
    return to_ms(event.detected_at) if message.first_received_ms is None else message.first_received_ms


def content_of(body: str) -> TaskEnded | ArchiveRequest:
    """Return what a message asks for.

    Raises
    ------
    InvalidInput
        If it is neither an event of an ended task nor a request.
    """
    try:
        content = _CONTENT.validate_python(json.loads(body))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(".".join(map(str, problem["loc"])) or "message", problem["msg"]) from None
    except ValueError:
        raise InvalidInput("message", "is no JSON") from None
    return content.detail if isinstance(content, _Envelope) else content


def event_of_item(item: Mapping[str, Any]) -> TaskEnded:
    """Return the event that told of a task's end, from the task's item.

    Raises
    ------
    InvalidInput
        If the task has not ended.
    """
    if "event_id" not in item:
        raise InvalidInput("task_id", "the task has not ended")
    # The item has left the work index; which run it is, its event's id says.
    task = pending_task({**item, "queue": "", "since_ms": 0})
    return task_ended(ended_task(task, item)).model_copy(update={"event_id": item["event_id"]})
