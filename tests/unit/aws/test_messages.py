"""The light clients of EventBridge and SQS beside boto3's: the same requests, answers and errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from tests.support.aws import REGION

from tunehook.aws.clients import client
from tunehook.aws.messages import LightEventBridge, LightSQS

ENTRY = {
    "EventBusName": "default",
    "Source": "tunehook",
    "DetailType": "TaskCompleted",
    "Detail": '{"a": "曲"}',
}
MESSAGE = {"Id": "0", "MessageBody": "曲", "DelaySeconds": 3}
QUEUE = f"https://sqs.{REGION}.amazonaws.com/123456789012/"


def own(service: str) -> Any:
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    return session.client(service, config=Config(retries=retries))  # type: ignore[call-overload]


def asked(made: Any, call: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The requests that a call makes, and what it comes to without what differs from answer to answer."""
    requests: list[Any] = []

    def note(request: Any, **_: Any) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        kept = [headers[name] for name in ("x-amz-target", "content-type")]
        scope = re.search(r"/(\w+)/aws4_request, SignedHeaders", as_text(headers["authorization"]))
        assert scope is not None
        requests.append((*map(as_text, kept), scope[1], request.url, json.loads(request.body)))

    made.meta.events.register_first("before-send", note)
    try:
        answer = call(made)
    except ClientError as error:
        return requests, (type(error).__name__, error.operation_name)
    finally:
        made.meta.events.unregister("before-send", note)
    left_out = re.compile(r'"(EventId|MessageId)": "[^"]*"')
    return requests, left_out.sub("", json.dumps({**answer, "ResponseMetadata": None}))


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(
    ("service", "light", "call"),
    [
        ("events", LightEventBridge, lambda made: made.put_events(Entries=[ENTRY, ENTRY])),
        (
            "events",
            LightEventBridge,
            lambda made: (
                asyncio.run(made.put_events_in_loop(Entries=[ENTRY]))
                if isinstance(made, LightEventBridge)
                else made.put_events(Entries=[ENTRY])
            ),
        ),
        (
            "sqs",
            LightSQS,
            lambda made: made.send_message_batch(
                QueueUrl=f"{QUEUE}there",
                Entries=[MESSAGE, {"Id": "1", "MessageBody": "b"}],
            ),
        ),
        (
            "sqs",
            LightSQS,
            lambda made: made.send_message_batch(
                QueueUrl=f"{QUEUE}nowhere", Entries=[{"Id": "0", "MessageBody": "a"}]
            ),
        ),
        (
            "sqs",
            LightSQS,
            lambda made: (
                asyncio.run(made.send_message_batch_in_loop(QueueUrl=f"{QUEUE}there", Entries=[MESSAGE]))
                if isinstance(made, LightSQS)
                else made.send_message_batch(QueueUrl=f"{QUEUE}there", Entries=[MESSAGE])
            ),
        ),
    ],
    ids=["events", "events from the loop", "messages", "messages for no queue", "messages from the loop"],
)
def test_a_call_comes_to_the_same_as_boto3s(aws: None, service: str, light: Any, call: Any) -> None:
    boto3s = own(service)
    if service == "sqs":
        boto3s.create_queue(QueueName="there")
    expected = asked(boto3s, call)
    assert asked(light(boto3s, Credentials("testing", "testing")), call) == expected
    assert expected[0]


@pytest.mark.parametrize(("service", "light"), [("events", LightEventBridge), ("sqs", LightSQS)])
def test_the_process_has_the_light_one(aws: None, service: str, light: type) -> None:
    assert isinstance(client(service), light)
    assert not isinstance(client(service, session=boto3.Session(region_name=REGION)), light)


def test_what_is_not_called_often_is_boto3s(aws: None) -> None:
    url = client("sqs").create_queue(QueueName="there")["QueueUrl"]
    client("sqs").send_message(QueueUrl=url, MessageBody="a")
    assert client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "a"
