"""The sandbox's table: what is planned of tasks and receivers, when tasks began, and what has come.

=====================  =============  =====================================================================
``book``               ``entry``      holds
=====================  =============  =====================================================================
``tasks/<kind>``       task id        how long it takes and how it ends; ``begun_ms`` from the first question
``receivers``          name           ``refusals``: how many requests it refuses first; ``came``
``received/<name>``    time, request  a request: its headers, its body, and what it was answered
=====================  =============  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunehook_local.sandbox.model import Kind

RECEIVERS = "receivers"


@dataclass(frozen=True)
class PlannedTask:
    """What one task does: it takes `seconds` from its first question on, and then is there, or failed for a reason."""

    kind: Kind
    task_id: str
    seconds: int
    title: str = "Sandbox Song"
    fails_for: str | None = None
    lyrics: bool = False
    video: bool = False
    begun_ms: int = 0

    @property
    def large(self) -> bool:
        """Whether its recordings are large."""
        return is_large(self.task_id)

    def item(self) -> dict[str, Any]:
        """Return the entry that plans it, for `PutItem`."""
        item: dict[str, Any] = {
            **_key(f"tasks/{self.kind}", self.task_id),
            "seconds": {"N": str(self.seconds)},
            "title": {"S": self.title},
            "lyrics": {"BOOL": self.lyrics},
            "video": {"BOOL": self.video},
        }
        return item if self.fails_for is None else item | {"fails_for": {"S": self.fails_for}}


@dataclass(frozen=True)
class Arrival:
    """One request that came to a receiver, and the status that it was answered with."""

    receiver: str
    at_ms: int
    headers: Mapping[str, str]
    body: bytes
    status: int


class Books:
    """The table, through a low-level boto3 client of DynamoDB."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def plan_task(self, task: PlannedTask) -> None:
        """Let a provider know a task."""
        self._dynamodb.put_item(TableName=self._table, Item=task.item())

    def plan_receiver(self, name: str, *, refusals: int = 0) -> None:
        """Let there be a receiver, which refuses so many requests before it takes any."""
        item = _key(RECEIVERS, name) | {"refusals": {"N": str(refusals)}, "came": {"N": "0"}}
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def asked_about(self, kind: Kind, task_id: str, now_ms: int) -> PlannedTask | None:
        """Note a question, with which a task begins if it is the first, and return the task; None if it is unknown."""
        found = self._update(
            _key(f"tasks/{kind}", task_id),
            "SET begun_ms = if_not_exists(begun_ms, :now) ADD asked :one",
            {":now": {"N": str(now_ms)}, ":one": {"N": "1"}},
        )
        return None if found is None else _task(kind, found)

    def task_ids(self, kind: Kind) -> list[str]:
        """Return the ids of a provider's tasks."""
        return [item["entry"]["S"] for item in self._book(f"tasks/{kind}")]

    def count_arrival(self, name: str) -> tuple[int, int] | None:
        """Count a request to a receiver; return how many it refuses, and this one's number. None: no such receiver."""
        found = self._update(_key(RECEIVERS, name), "ADD came :one", {":one": {"N": "1"}})
        return None if found is None else (int(found["refusals"]["N"]), int(found["came"]["N"]))

    def keep(self, name: str, entry: str, headers: Mapping[str, str], body: bytes, status: int) -> None:
        """Keep a request; `entry` begins with its time in milliseconds and ``#``."""
        item = _key(f"received/{name}", entry) | {
            "headers": {"M": {key: {"S": value} for key, value in headers.items()}},
            "body": {"B": body},
            "status": {"N": str(status)},
        }
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def arrivals(self, name: str) -> list[Arrival]:
        """Return what came to a receiver, oldest first."""
        return [
            Arrival(
                receiver=name,
                at_ms=int(item["entry"]["S"].partition("#")[0]),
                headers={key: value["S"] for key, value in item["headers"]["M"].items()},
                body=item["body"]["B"],
                status=int(item["status"]["N"]),
            )
            for item in self._book(f"received/{name}")
        ]

    def _book(self, book: str) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="book = :book",
            ExpressionAttributeValues={":book": {"S": book}},
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]

    def _update(self, key: dict[str, Any], expression: str, values: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression=expression,
                ConditionExpression="attribute_exists(book)",
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        found: dict[str, Any] = answer["Attributes"]
        return found


def is_large(task_id: str) -> bool:
    """Return whether a task's recordings are large, which its id says: who serves them looks nothing up."""
    return task_id.endswith("-large")


def _key(book: str, entry: str) -> dict[str, Any]:
    return {"book": {"S": book}, "entry": {"S": entry}}


def _task(kind: Kind, item: Mapping[str, Any]) -> PlannedTask:
    return PlannedTask(
        kind=kind,
        task_id=item["entry"]["S"],
        seconds=int(item["seconds"]["N"]),
        title=item["title"]["S"],
        fails_for=item["fails_for"]["S"] if "fails_for" in item else None,
        lyrics=item["lyrics"]["BOOL"],
        video=item["video"]["BOOL"],
        begun_ms=int(item["begun_ms"]["N"]) if "begun_ms" in item else 0,
    )
