"""The real template on an embedded AWS of its own, with the sandbox's providers and receivers beside it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from tunehook.aws.clients import client
from tunehook.operations.stack import Stack, find_stack
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home, LocalEnvironment
from tunehook_local.embedded.up import bring_up
from tunehook_local.sandbox import (
    DEMO_SCENARIO,
    Kind,
    Sandbox,
    Scenario,
    TaskRecord,
    TaskRule,
    parse,
    run_sandbox,
)


@dataclass(frozen=True, slots=True)
class Steps:
    """When a task ended at its provider, when an answer first showed that, and when its first webhook came."""

    ended_at: datetime
    answered_at: datetime
    received_at: datetime

    @property
    def end_to_webhook_s(self) -> float:
        return (self.received_at - self.ended_at).total_seconds()

    @property
    def answer_to_webhook_s(self) -> float:
        return (self.received_at - self.answered_at).total_seconds()


class EmbeddedStack:
    """A deployed stack whose providers are the sandbox's.

    Parameters
    ----------
    home : Home
        Where the embedded AWS has its files.
    environment : LocalEnvironment
        The embedded AWS.
    sandbox : Sandbox
        The providers and receivers.
    """

    def __init__(self, home: Home, environment: LocalEnvironment, sandbox: Sandbox) -> None:
        self.home = home
        self.sandbox = sandbox
        self.environment = environment
        self.outputs = environment.outputs()
        self._dynamodb = environment.client("dynamodb")
        self.configure(sandbox.providers_secret())

    def configure(self, providers: Mapping[str, Any]) -> None:
        """Set the providers."""
        self.environment.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["ProvidersSecret"], SecretString=json.dumps(providers)
        )

    def subscribe(self, receiver: str) -> None:
        """Have webhooks sent to a receiver of the sandbox."""
        self._put("SubscriptionsTable", subscription_id=receiver, url=self.sandbox.receiver_url(receiver))

    def operations(self) -> Stack:
        """Return the stack as the command knows it."""
        environment = self.environment
        return find_stack(
            lambda service, **settings: client(
                service,
                session=boto3.Session(
                    environment.access_key_id, environment.secret_access_key, region_name=environment.region
                ),
                endpoint_url=environment.endpoint,
                **settings,
            ),
            environment.stack_name,
        )

    def submit(
        self,
        kind: Kind,
        task_id: str,
        lasts_s: float,
        age_s: float = 0,
        *,
        provider: str | None = None,
        callback_url: str | None = None,
    ) -> None:
        """Let a task begin that lasts `lasts_s`, and has lasted `age_s` already, and put it into the table."""
        answers = [{"phase": "processing", "until_s": lasts_s}] if lasts_s else []
        rule = {"task_id": "*", "answers": [*answers, {"phase": "completed"}]}
        self.sandbox.create_task(
            kind, task_id, rule=parse(TaskRule, rule), age_s=age_s, callback_url=callback_url
        )
        self._put("TasksTable", task_id=task_id, provider=provider or kind.value)

    def steps(self, receiver: str) -> dict[str, Steps]:
        """Return the steps of each task of whose end a webhook has come to a receiver, by its id."""
        received_at: dict[str, datetime] = {}
        for request in self.sandbox.received(receiver):
            task_id = json.loads(request.body)["data"]["task_id"]
            received_at[task_id] = min(request.received_at, received_at.get(task_id, request.received_at))
        return {
            record.task_id: Steps(record.ended_at, answered_at, received_at[record.task_id])
            for record in self.sandbox.task_records()
            if record.task_id in received_at
            and record.ended_at is not None
            and (answered_at := first_question_after(record.ended_at, record)) is not None
        }

    def wait_for_webhooks(self, receiver: str, count: int, patience_s: float) -> None:
        """Wait until so many webhooks have come to a receiver, or patience is over."""
        deadline = time.monotonic() + patience_s
        while len(self.sandbox.received(receiver)) < count and time.monotonic() < deadline:
            time.sleep(0.5)

    def _put(self, table: str, **attributes: str) -> None:
        item = {name: {"S": value} for name, value in attributes.items()}
        self._dynamodb.put_item(TableName=self.outputs[table], Item=item)


def first_question_after(end: datetime, record: TaskRecord) -> datetime | None:
    """Return when a task was first asked about at or after its end: the answer shows it."""
    return next((at for at in record.polled_at if at >= end), None)


@contextmanager
def embedded_stack(scenario: Scenario | Path = DEMO_SCENARIO) -> Iterator[EmbeddedStack]:
    """Build and deploy the stack, with a sandbox of this scenario, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="tunehook-bench-") as folder:
        home = Home(Path(folder))
        environment = bring_up(home, ministack.free_port())
        try:
            with run_sandbox(scenario) as sandbox:
                yield EmbeddedStack(home, environment, sandbox)
        finally:
            ministack.stop(home, environment)
