"""Driving a deployed stack from outside, with boto3 alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.support.patience import until
from tests.support.reading import KEYS, READINGS, is_beside

from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.task_items import details_of, with_details
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook_local.embedded.state import LocalEnvironment
from tunehook_local.sandbox import Kind, ReceivedRequest, Sandbox, TaskRule, parse

HANG_S: Final = 300.0
"""What only a hang takes: the schedule's minute, a queue's waiting and a slow machine together take less."""

Answer = TypeVar("Answer")


def eventually(
    look: Callable[[], Answer | None],
    *,
    moved: Callable[[], Sequence[float]] | None = None,
    every_s: float = 0.25,
) -> Answer:
    """Return the first truthy answer of `look`; fail if none has come, and nothing has `moved`, for `HANG_S`.

    What waits for a whole, or behind other work of the stack, is given `DeployedStack.moved` or a count of its own, as
    `tests.support.patience.until` says.
    """
    found = until(look, moved=moved, hang_s=HANG_S, every_s=every_s)
    assert found is not None
    return found


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack, driven with boto3 alone."""

    environment: LocalEnvironment
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return self.environment.client(service)

    @property
    def api_url(self) -> str:
        """Where the HTTP API is: the path form, for its host name has no address here."""
        return f"{self.environment.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/$default"

    def configure(self, providers: dict[str, Any]) -> None:
        """Set the providers; pollers see it within a minute, those that know no such name within 5 s."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["ProvidersSecret"], SecretString=json.dumps(providers)
        )

    @contextmanager
    def configured(self, providers: dict[str, Any]) -> Iterator[None]:
        """Set the providers for a while."""
        secrets = self.client("secretsmanager")
        before = secrets.get_secret_value(SecretId=self.outputs["ProvidersSecret"])["SecretString"]
        self.configure(providers)
        try:
            yield
        finally:
            self.configure(json.loads(before))

    def put(self, table: str, **attributes: Any) -> None:
        self.client("dynamodb").put_item(TableName=self.outputs[table], Item=to_attributes(attributes))

    def item(self, table: str, **key: str) -> dict[str, Any]:
        answer = self.client("dynamodb").get_item(
            TableName=self.outputs[table], Key=to_attributes(key), ConsistentRead=True
        )
        return from_attributes(answer.get("Item", {}))

    def task(self, task_id: str, provider: str) -> dict[str, Any]:
        """Return the item of a task with its details, empty if there is none."""
        item = self.item("TasksTable", task_id=task_id, provider=provider)
        place = details_of(item)
        if place is None:
            return item
        return with_details(item, self.item("TasksTable", task_id=task_id, provider=place.provider))

    def ended_task(self, task_id: str, provider: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            item = self.task(task_id, provider)
            return item if item.get("status") in ("completed", "failed", "rejected") else None

        return eventually(look, moved=self.moved)

    def items(self, table: str, *fields: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a table, or some fields, as plain values; tasks and deliveries as they are read."""
        key = KEYS.get(table)
        if fields and key is not None:
            fields = (key, *(each for each in fields if each != key))
        names = {f"#{number}": field for number, field in enumerate(fields)}
        chosen = (
            {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names} if fields else {}
        )
        pages = (
            self.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.outputs[table], ConsistentRead=True, **chosen)
        )
        found = (from_attributes(item) for page in pages for item in page["Items"])
        if key is None:
            yield from found
        elif fields:
            yield from (item for item in found if not is_beside(item[key]))
        else:
            yield from READINGS[table](found)

    def moved(self) -> tuple[int, ...]:
        """Count what the stack has done, for waits that last as long as it goes on.

        Tasks taken in, ended and archived; deliveries made and ended, and their attempts; messages put aside; and,
        below zero, the messages that work comes from. Questions are not counted: a task that never ends is asked for
        ever.
        """
        tasks = list(self.items("TasksTable", "status", "archived_at_ms"))
        deliveries = list(self.items("DeliveriesTable", "status", "attempts"))
        sqs = self.client("sqs")
        return (
            sum("status" in each for each in tasks),
            sum(each.get("status") not in (None, "pending") for each in tasks),
            sum("archived_at_ms" in each for each in tasks),
            len(deliveries),
            sum(each.get("status") != "pending" for each in deliveries),
            sum(len(each.get("attempts", ())) for each in deliveries),
            sum(depth(sqs, self.outputs[queue.output]).waiting for queue in DeadLetters),
            -sum(depth(sqs, self.outputs[output]).total for output in WORK_QUEUES.values()),
        )

    def keys(self, provider: str, task_id: str) -> list[str]:
        listing = self.client("s3").list_objects_v2(
            Bucket=self.outputs["ResultsBucket"], Prefix=f"results/{provider}/{task_id}/"
        )
        return sorted(entry["Key"] for entry in listing.get("Contents", ()))

    def master_secret(self) -> str:
        secrets = self.client("secretsmanager")
        return str(secrets.get_secret_value(SecretId=self.outputs["MasterSecret"])["SecretString"])


def begin_ended(sandbox: Sandbox, kind: Kind | str, task_id: str, **answer: Any) -> None:
    """Let a task be there whose first question finds it ended: completed, or as `answer` says."""
    rule = {"task_id": "*", "answers": [answer or {"phase": "completed"}]}
    sandbox.create_task(kind, task_id, rule=parse(TaskRule, rule))


def webhooks_about(sandbox: Sandbox, receiver: str, task_id: str) -> list[ReceivedRequest]:
    """Return what a receiver was told about a task, oldest first."""
    return [
        request
        for request in sandbox.received(receiver)
        if json.loads(request.body)["data"]["task_id"] == task_id
    ]
