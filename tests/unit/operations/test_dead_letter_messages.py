import json
from typing import Any

import pytest

from tunehook.operations.dead_letter_messages import read_message
from tunehook.operations.queues import DeadLetters

FAILED_BATCH = {
    "requestContext": {"requestId": "r", "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 11},
    "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
    "DDBStreamBatchInfo": {"shardId": "s", "batchSize": 3},
}
FAILED_START = {
    "requestContext": {"requestId": "r", "condition": "RetriesExhausted", "approximateInvokeCount": 1},
    "requestPayload": {"started_by": "intake", "shard": 2},
    "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
    "responsePayload": {"errorType": "Misconfigured", "errorMessage": "the secret is not there"},
}
EVENT = {"detail-type": "TaskCompleted", "detail": {"provider": "my-gw", "task_id": "t-1"}}
ATTEMPT = {"delivery_id": "msg_1", "subscription_id": "s", "attempt": 3, "run": 2, "due_at_ms": 5}


def message(body: Any, attributes: dict[str, str] | None = None, **own: str) -> dict[str, Any]:
    return {
        "MessageId": "m-1",
        "Body": body if isinstance(body, str) else json.dumps(body),
        "Attributes": {"SentTimestamp": "1800000000000", **(attributes or {})},
        "MessageAttributes": {
            name: {"StringValue": value, "DataType": "String"} for name, value in own.items()
        },
    }


@pytest.mark.parametrize(
    ("queue", "body", "about"),
    [
        ("fulfillment", EVENT, "TaskCompleted of my-gw t-1"),
        (
            "fulfillment",
            {"request": "archive", "provider": "my-gw", "task_id": "t-1"},
            "archive of my-gw t-1",
        ),
        ("deliveries", ATTEMPT, "attempt 3 of run 2 of msg_1"),
        ("intake", FAILED_BATCH, "3 new items of the Tasks table"),
        ("intake", {"DDBStreamBatchInfo": {"batchSize": 2}}, "2 new items of the Tasks table"),
        ("intake", {"DDBStreamBatchInfo": {"batchSize": 1}}, "1 new item of the Tasks table"),
        ("poller", FAILED_START, "a start of the poller by the intake for shard 2"),
        ("poller", {"started_by": "schedule"}, "a start of the poller by the schedule"),
        (
            "intake",
            {"requestPayload": {"look_for_missed": True}},
            "a scan of the Tasks table for new items that are in no stream",
        ),
        ("poller", "no JSON", "a message that tunehook has not sent"),
        ("fulfillment", [1], "a message that tunehook has not sent"),
        ("fulfillment", {"detail-type": "x", "detail": 1}, "a message that tunehook has not sent"),
    ],
)
def test_a_message_is_named_by_what_it_is_of(queue: str, body: Any, about: str) -> None:
    assert read_message(DeadLetters(queue), message(body)).about == about


@pytest.mark.parametrize(
    ("queue", "given", "reason"),
    [
        ("intake", message(FAILED_BATCH), "RetryAttemptsExhausted: Unhandled"),
        ("poller", message(FAILED_START), "RetriesExhausted: the secret is not there"),
        (
            "poller",
            message({"started_by": "schedule"}, ERROR_CODE="AWS.Lambda.X", ERROR_MESSAGE="throttled"),
            "AWS.Lambda.X: throttled",
        ),
        ("fulfillment", message(EVENT, ERROR_CODE="NO_PERMISSIONS"), "NO_PERMISSIONS"),
        (
            "fulfillment",
            message(EVENT, {"DeadLetterQueueSourceArn": "arn"}),
            "failed each time that it was taken; the log of fulfillment says why",
        ),
        (
            "deliveries",
            message(ATTEMPT, {"DeadLetterQueueSourceArn": "arn"}),
            "failed each time that it was taken; the log of webhooks says why",
        ),
        ("deliveries", message(ATTEMPT), None),
        ("intake", message({"requestContext": "x"}), None),
    ],
)
def test_the_reason_is_told_where_it_is_known(queue: str, given: dict[str, Any], reason: str | None) -> None:
    assert read_message(DeadLetters(queue), given).reason == reason
