"""What is done with the messages of the dead-letter queues: one is dropped, and intake is given what has no status."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.aws import client, put

from tunehook.errors import NotFound, Unavailable
from tunehook.operations.dead_letters import (
    INTAKE_TIMEOUT_S,
    IntakeRun,
    drop,
    list_messages,
    purge,
    run_intake,
)
from tunehook.operations.queues import DeadLetters
from tunehook.operations.stack import Stack
from tunehook.tasks import TaskKey


def send(found: Stack, queue: DeadLetters, *bodies: str) -> list[str]:
    url, sqs = found.output(queue.output), client("sqs")
    return [sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in bodies]


def bodies(found: Stack, queue: DeadLetters) -> list[str]:
    return sorted(each.body for each in list_messages(found, [queue], 100)[0])


def test_one_message_is_dropped_and_the_others_stay(found: Stack) -> None:
    queue = DeadLetters.POLLER
    _, second, _ = send(found, queue, "a", "b", "c")
    drop(found, queue, second)
    assert bodies(found, queue) == ["a", "c"]
    with pytest.raises(NotFound, match=f"there is no message {second} in the dead letters of poller"):
        drop(found, queue, second)
    assert bodies(found, queue) == ["a", "c"]


def test_more_than_a_call_takes_are_removed_up_to_the_limit(found: Stack) -> None:
    send(found, DeadLetters.POLLER, *(str(number) for number in range(23)))
    assert purge(found, DeadLetters.POLLER, 12) == 12
    assert len(bodies(found, DeadLetters.POLLER)) == 11


class Intake:
    """Lambda that notes what it is asked, and with which settings, and does nothing of it."""

    def __init__(self, **answer: Any) -> None:
        self.settings: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def of(self, found: Stack) -> Stack:
        def opened(service: str, **settings: Any) -> Any:
            if service != "lambda":
                return client(service)
            self.settings.append(settings)
            return self

        return replace(found, open_client=opened)

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.asked.append(call)
        return self._answer


def test_intake_is_given_items_as_the_stream_has_them_and_asked_once(found: Stack) -> None:
    put("TasksTable", {"task_id": "new", "provider": "suno", "x": b"y"})
    intake = Intake()
    assert run_intake(intake.of(found), 10) == IntakeRun(0, (TaskKey("new", "suno"),), 0)
    ((call, settings),) = zip(intake.asked, intake.settings, strict=True)
    assert settings == {"read_timeout": INTAKE_TIMEOUT_S, "retries": {"total_max_attempts": 1}}
    assert call["FunctionName"] == found.output("IntakeFunction")
    names = {"task_id": {"S": "new"}, "provider": {"S": "suno"}}
    assert json.loads(call["Payload"]) == {
        "Records": [
            {
                "eventID": "0",
                "eventSource": "aws:dynamodb",
                "eventName": "MODIFY",
                "dynamodb": {
                    "Keys": names,
                    "NewImage": names | {"x": {"B": "eQ=="}},
                    "SequenceNumber": "0",
                    "StreamViewType": "NEW_IMAGE",
                },
            }
        ]
    }


def test_a_fault_of_intake_is_told_and_the_records_of_failures_stay(found: Stack) -> None:
    put("TasksTable", {"task_id": "new", "provider": "suno"})
    send(found, DeadLetters.INTAKE, "a")
    said = json.dumps({"errorType": "KeyError", "errorMessage": "'x'"})
    intake = Intake(FunctionError="Unhandled", Payload=SimpleNamespace(read=lambda: said))
    with pytest.raises(Unavailable, match="intake fails: KeyError: 'x'"):
        run_intake(intake.of(found), 10)
    assert bodies(found, DeadLetters.INTAKE) == ["a"]
