import json
from typing import Any

import pytest

from tunehook.operations.sample_event import sample_delivery
from tunehook.subscriptions import Subscription
from tunehook.tasks import Format
from webhooks.rendering import render

NOW_MS = 1_800_000_000_000


def body(form: Format) -> Any:
    subscription = Subscription(subscription_id="a", url="https://receiver.example/", format=form)
    return json.loads(render(sample_delivery(subscription, NOW_MS), str, NOW_MS).content)


@pytest.mark.parametrize("form", [Format.STANDARD, Format.CLOUDEVENTS])
def test_a_test_has_the_form_of_a_completed_task_and_its_own_type(form: Format) -> None:
    told = body(form)
    assert told["type"] == "webhook.test"
    assert told["timestamp" if form is Format.STANDARD else "time"] == "2027-01-15T08:00:00.000Z"
    assert told["data"] == {
        "task_id": "webhook-test",
        "provider": "test",
        "status": "completed",
        "submitted_at": "2027-01-15T08:00:00.000Z",
        "finished_at": "2027-01-15T08:00:00.000Z",
        "detected_at": "2027-01-15T08:00:00.000Z",
        "metadata": {},
        "clips": [],
        "archive": "empty",
        "failure": None,
        "manifest": None,
        "truncated": False,
    }


def test_a_test_in_a_gateways_form_is_told_by_its_task_id() -> None:
    assert body(Format.PROVIDER) == {
        "task_id": "webhook-test",
        "status": "SUCCESS",
        "fail_reason": "",
        "progress": "100%",
        "data": [],
    }


def test_every_test_is_another_delivery() -> None:
    subscription = Subscription(subscription_id="a", url="https://receiver.example/")
    assert len({sample_delivery(subscription, NOW_MS).delivery_id for _ in range(3)}) == 3
