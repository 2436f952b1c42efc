"""The messages of the dead-letter queues: what each one is about and why it is there, as far as that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tunehook.operations.queues import DeadLetters

Message: TypeAlias = Mapping[str, Any]
"""A message as ReceiveMessage returns it, with all its attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterMessage:
    """A message of a dead-letter queue; `sent_at_ms` is when it was sent to the queue that it was first in."""

    queue: DeadLetters
    message_id: str
    sent_at_ms: int
    about: str
    reason: str | None
    body: str


def read_message(queue: DeadLetters, message: Message) -> DeadLetterMessage:
    """Read a message, which may hold anything: somebody may have sent it by hand.

    >>> message = {"MessageId": "m", "Body": "?", "Attributes": {"SentTimestamp": "1"}}
    >>> read_message(DeadLetters.INTAKE, message).about
    'a message that tunehook has not sent'
    """
    body = str(message["Body"])
    content = _object(body)
    return DeadLetterMessage(
        queue=queue,
        message_id=message["MessageId"],
        sent_at_ms=int(message["Attributes"]["SentTimestamp"]),
        about=_about(content),
        reason=_reason(queue, message, content),
        body=body,
    )


def _object(text: str) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text))
    except ValueError:
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _about(content: Mapping[str, Any]) -> str:
    match content:
        case {"detail-type": kind, "detail": {"provider": provider, "task_id": task_id}}:
            return f"{kind} of {provider} {task_id}"
        case {"request": request, "provider": provider, "task_id": task_id}:
            return f"{request} of {provider} {task_id}"
        case {"delivery_id": delivery_id, "run": run, "attempt": attempt}:
            return f"attempt {attempt} of run {run} of {delivery_id}"
        case {"DDBStreamBatchInfo": {"batchSize": size}}:
            return f"{size} new items of the Tasks table" if size != 1 else "1 new item of the Tasks table"
        case {"requestPayload": {"look_for_missed": _}}:
            return "a scan of the Tasks table for new items that are in no stream"
        case {"requestPayload": {"started_by": started_by, **start}} | {"started_by": started_by, **start}:
            shard = f" for shard {start['shard']}" if "shard" in start else ""
            return f"a start of the poller by the {started_by}{shard}"
    return "a message that tunehook has not sent"


def _reason(queue: DeadLetters, message: Message, content: Mapping[str, Any]) -> str | None:
    undelivered = message.get("MessageAttributes", {})
    if "ERROR_CODE" in undelivered:
        # What EventBridge says of a message that it could not hand over.
        parts = (undelivered.get(name, {}).get("StringValue") for name in ("ERROR_CODE", "ERROR_MESSAGE"))
        return ": ".join(filter(None, parts))
    if condition := _mapping(content.get("requestContext")).get("condition"):
        payload, context = _mapping(content.get("responsePayload")), _mapping(content.get("responseContext"))
        said = payload.get("errorMessage") or context.get("functionError")
        return f"{condition}: {said}" if said else str(condition)
    if "DeadLetterQueueSourceArn" in message["Attributes"]:
        function = {"deliveries": "webhooks"}.get(queue, queue.value)
        return f"failed each time that it was taken; the log of {function} says why"
    return None
