"""What is asked of fulfillment beside events, in as many calls as SQS needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.errors import Unavailable
from tunehook.fulfillment_requests import ArchiveRequest


class Sqs:
    """Takes what it is sent, or refuses what it is told to of each call."""

    def __init__(self, *refusals: list[dict[str, str]]) -> None:
        self.calls: list[dict[str, Any]] = []
        self.refusals = list(refusals)

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        refused = self.refusals.pop(0) if self.refusals else []
        return {"Successful": []} | ({"Failed": refused} if refused else {})


def requests(count: int) -> list[ArchiveRequest]:
    return [ArchiveRequest(task_id=f"t-{n}", provider="suno", requested_at_ms=n) for n in range(count)]


def sent(sqs: Sqs) -> list[list[str]]:
    """The tasks of each call."""
    return [[json.loads(each["MessageBody"])["task_id"] for each in call["Entries"]] for call in sqs.calls]


def test_a_call_takes_ten_each_under_an_id_of_its_own() -> None:
    sqs = Sqs()
    FulfillmentQueue(sqs, "url").send(requests(21))  # type: ignore[arg-type]
    names = [f"t-{number}" for number in range(21)]
    assert sent(sqs) == [names[:10], names[10:20], names[20:]]
    assert {call["QueueUrl"] for call in sqs.calls} == {"url"}
    assert [each["Id"] for each in sqs.calls[0]["Entries"]] == [str(number) for number in range(10)]


def test_nothing_to_ask_for_is_no_call() -> None:
    sqs = Sqs()
    FulfillmentQueue(sqs, "url").send([])  # type: ignore[arg-type]
    assert sqs.calls == []


def test_what_is_refused_is_told_and_what_comes_after_it_is_not_sent() -> None:
    sqs = Sqs([], [{"Id": "0", "Code": "Throttled"}, {"Id": "1", "Code": "Other"}])
    with pytest.raises(Unavailable, match=r"does not take 2 messages \(Throttled\)"):
        FulfillmentQueue(sqs, "url").send(requests(21))  # type: ignore[arg-type]
    assert [len(each) for each in sent(sqs)] == [10, 10]
