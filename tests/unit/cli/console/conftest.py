"""The console over a stack on moto, and a client that has its token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient
from tests.support.aws import put
from tests.unit.operations.conftest import found, no_embedded_aws, operated, stack  # noqa: F401 - fixtures

from tunehook.aws.provider_states import Pause, ProviderState, Refusal
from tunehook.aws.tasks import listed_attributes
from tunehook.deliveries import Attempt, DeliveryStatus, new_delivery
from tunehook.operations.stack import Stack
from tunehook.tasks import Format, work_queue
from tunehook.times import now_ms
from tunehook_cli.console.app import create_app

TOKEN = "the-token-of-this-console"
PORT = 4582
BASE = f"http://127.0.0.1:{PORT}"


def client_of(over: Stack, *, read_only: bool = False, token: str | None = TOKEN) -> TestClient:
    app = create_app(over, token=TOKEN, port=PORT, read_only=read_only)
    client = TestClient(app, base_url=BASE, follow_redirects=False, headers={"origin": BASE})
    if token is not None:
        client.cookies.set(f"tunehook_console_{PORT}", token)
    return client


def fill(over: Stack, said: str) -> None:
    """Give every page something to show, with `said` wherever somebody else's words may stand."""
    now = now_ms()
    kinds = {"audio": "audio/mpeg", "cover": "image/png", "video": "video/mp4"}
    files = [
        {"clip_id": said, "type": kind, "status": "archived", "content_type": content_type, "bytes": 9}
        | {"key": f"results/suno/full/c/{kind}", "sha256": said, "remark": said}
        for kind, content_type in kinds.items()
    ]
    files.append({"clip_id": said, "type": said, "status": "unavailable", "reason": said})
    clip = {"clip_id": said, "title": said, "text": said, "prompt": said, "tags": [said], "model": said}
    task = {"provider": "suno", "submitted_at_ms": now - 90_000, "metadata": {said: said}}
    ended = {"finished_at_ms": now - 60_000, "detected_at_ms": now - 59_000, "archived_at_ms": now - 50_000}
    full = {"clips": [clip | {"duration_s": 185.0}], "assets": files, "provider_object": json.dumps([said])}
    put(
        "TasksTable",
        {"task_id": "full", "status": "completed", "event_id": "evt_2"}
        | listed_attributes("full", now - 3)
        | task
        | ended
        | full,
    )
    failure = {"code": said, "reason": said}
    put(
        "TasksTable",
        {"task_id": said, "status": "failed", "event_id": said, "failure": failure}
        | listed_attributes(said, now - 2)
        | task
        | ended,
    )
    pending = {"status": "pending", "phase": said, "last_error": said, "notify_hook": said}
    pending |= {"queue": work_queue(0), "since_ms": now - 90_000, "deadline_ms": now - 1}
    put("TasksTable", {"task_id": "waits"} | listed_attributes("waits", now - 1) | task | pending)
    for number, reason in enumerate((None, said)):
        made = new_delivery(
            event_id=f"evt_{number}",
            subscription_id="sub-1",
            task_id="full",
            provider="suno",
            type="task.completed",
            event_at_ms=now,
            format=Format.STANDARD,
            payload=json.dumps({"said": said}),
            now_ms=now - 49_000,
        )
        tried = Attempt(run=1, attempt=1, at_ms=now - 48_000, duration_ms=80, error=said, detail=said)
        answered = Attempt(run=1, attempt=2, at_ms=now - 9_000, duration_ms=8, status_code=204, excerpt=said)
        over.deliveries.create(
            made.model_copy(
                update={
                    "delivery_id": f"msg_full_{number}",
                    "status": DeliveryStatus.FAILED if reason else DeliveryStatus.DELIVERED,
                    "next_attempt_at_ms": None,
                    "attempts": (tried, answered),
                    "reason": reason,
                }
            )
        )
    put(
        "SubscriptionsTable",
        {"subscription_id": said, "url": said, "description": said, "events": [said], "enabled": False}
        | {"headers": {said: said}, "disabled_reason": said, "failing_since_ms": now - 9}
        | {"signature": said, "retry_schedule": [said], "timeout_s": said, "max_per_second": said}
        | {"signature_both_until_ms": said},
    )
    put("SubscriptionsTable", {"subscription_id": "sub-2", "url": "https://x.example/2", "description": said})
    state = ProviderState(provider=said)
    refusal = Refusal(reason="key", words=said, since_ms=now, key="k")
    over.provider_states.save(state, replace(state, refusal=refusal))
    suno = ProviderState(provider="suno")
    pause = Pause(until_ms=now + 60_000, reason="Throttled", kind=said, words=said, key="k")
    over.provider_states.save(suno, replace(suno, pause=pause))
    over.client("sqs").send_message(QueueUrl=over.output("DeliveriesDeadLetters"), MessageBody=said)


@pytest.fixture
def page(found: Stack) -> Iterator[TestClient]:  # noqa: F811 - the fixture
    with client_of(found) as client:
        yield client
