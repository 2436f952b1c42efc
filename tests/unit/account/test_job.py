from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.account.job import event_of, eventually, fits, is_whole, outputs_of, signers
from tests.account.sandbox.books import Arrival
from tests.support.template import ROOT

from tunehook.errors import Unavailable

OURS, OTHERS = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))
BODY = b'{"type": "task.completed"}'


def signed(*secrets: str) -> dict[str, str]:
    now = datetime.now(UTC)
    signatures = [Webhook(secret).sign("msg_1", now, BODY.decode()) for secret in secrets]
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def arrival(kind: str, archive: str, task_id: str = "t1") -> Arrival:
    body = {"type": kind, "data": {"task_id": task_id, "archive": archive}}
    return Arrival("main", 1, {}, json.dumps(body).encode(), 204)


def test_the_secrets_that_signed_a_webhook_are_found() -> None:
    known = {"first": OURS, "foreign": OTHERS}

    assert list(signers(signed(OURS), BODY, known)) == ["first"]
    assert list(signers(signed(OURS, OTHERS), BODY, known)) == ["first", "foreign"]


@pytest.mark.parametrize(
    ("secret", "changed", "body"),
    [
        (OTHERS, {}, BODY),
        (OURS, {}, BODY + b" "),
        (OURS, {"webhook-id": "msg_2"}, BODY),
        (OURS, {"webhook-timestamp": "1000000000"}, BODY),
        (OURS, {"webhook-signature": ""}, BODY),
    ],
)
def test_what_is_not_genuine_is_signed_by_nobody(secret: str, changed: dict[str, str], body: bytes) -> None:
    assert list(signers(signed(secret) | changed, body, {"first": OURS})) == []


def test_what_has_no_signature_is_signed_by_nobody() -> None:
    assert list(signers({}, BODY, {"first": OURS})) == []


@pytest.mark.parametrize(
    ("taken", "whole"),
    [
        ([], False),
        ([arrival("task.completed", "complete")], True),
        ([arrival("task.failed", "empty")], True),
        ([arrival("task.completed", "pending")], False),
        ([arrival("task.completed", "pending"), arrival("task.archived", "complete")], True),
        ([arrival("task.archived", "complete")], False),
        ([arrival("task.completed", "pending"), arrival("task.archived", "complete", "t2")], False),
    ],
)
def test_a_receiver_knows_all_of_a_task_when_it_knows_of_late_files_too(
    taken: list[Arrival], whole: bool
) -> None:
    assert is_whole(taken, "t1") is whole


def test_an_event_is_read_as_a_queue_gets_it_and_held_to_its_schema() -> None:
    detail: dict[str, Any] = {"event_id": "evt_1", "task_id": "t1"}

    event = event_of({"detail-type": "TaskCompleted", "detail": detail})

    assert (event.type, event.event_id, event.task_id, event.fits_schema) == (
        "TaskCompleted",
        "evt_1",
        "t1",
        False,
    )


def test_the_example_in_the_repository_fits_its_schema() -> None:
    example = json.loads((ROOT / "events" / "task_failed.json").read_text())
    detail = json.loads(example["Records"][0]["body"])["detail"]

    assert fits("TaskFailed", detail)
    assert not fits("TaskFailed", detail | {"event_id": 7})


def test_waiting_ends_with_what_is_seen_or_after_its_time() -> None:
    seen = iter([None, "", "it"])
    assert eventually("it", lambda: next(seen), every_s=0) == "it"

    with pytest.raises(Unavailable, match="the end: not within"):
        eventually("the end", lambda: None, within_s=0, every_s=0)


def test_a_stack_without_outputs_has_none() -> None:
    assert outputs_of({}) == {}
    assert outputs_of({"Outputs": [{"OutputKey": "Url", "OutputValue": "https://x"}]}) == {"Url": "https://x"}
