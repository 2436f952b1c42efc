"""Driving a deployed stack from outside, with boto3 alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest

from tunehook.aws.items import from_attributes, to_attributes
from tunehook_local.embedded.state import LocalEnvironment
from tunehook_local.sandbox import Kind, ReceivedRequest, Sandbox, TaskRule, parse

HANG_S: Final = 300.0
"""What only a hang takes: the schedule's minute, a queue's waiting and a slow machine together take less."""

Answer = TypeVar("Answer")


def eventually(look: Callable[[], Answer | None], *, every_s: float = 0.25) -> Answer:
    """Return the first truthy answer of `look`; fail if none has come after `HANG_S`."""
    deadline = time.monotonic() + HANG_S
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"did not come within {HANG_S} s; the last look gave {answer!r}")
        time.sleep(every_s)


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack, driven with boto3 alone."""

    environment: LocalEnvironment
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return self.environment.client(service)

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
        return self.item("TasksTable", task_id=task_id, provider=provider)

    def ended_task(self, task_id: str, provider: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            item = self.task(task_id, provider)
            return item if item.get("status") in ("completed", "failed", "rejected") else None

        return eventually(look)

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
