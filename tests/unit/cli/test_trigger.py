import json
from typing import Any

import pytest
from tests.support.aws import client, items, put, received

from tunehook.deliveries import Delivery
from tunehook.signatures import notify_hook_subscription_id

URL = "https://receiver.example/"


def messages() -> list[dict[str, Any]]:
    queue: str = client("sqs").get_queue_url(QueueName="deliveries")["QueueUrl"]
    return received(queue)


def sent() -> Delivery:
    (item,) = items("DeliveriesTable")
    (message,) = messages()
    assert message["delivery_id"] == item["delivery_id"]
    return Delivery.model_validate(item)


@pytest.mark.parametrize("form", ["standard", "provider", "cloudevents"])
def test_a_sample_goes_to_a_subscription_in_its_format(tunehook: Any, stack: None, form: str) -> None:
    put("SubscriptionsTable", {"subscription_id": "a", "url": URL, "format": form})
    result = tunehook("trigger", "task.failed", "--to", "a", "--wait", "0")
    made = sent()
    assert (result.exit_code, f"Sent {made.delivery_id} to {URL}: no attempt yet" in result.stdout) == (
        0,
        True,
    )
    assert (made.type, made.format, made.subscription_id, made.url) == ("task.failed", form, "a", None)
    assert json.loads(made.payload)["sample"] is True


def test_a_sample_goes_to_a_url_as_to_a_notify_hook(tunehook: Any, stack: None) -> None:
    result = tunehook(
        "trigger", "task.completed", "--to", URL, "--format", "provider", "--wait", "0", "--json"
    )
    made = sent()
    assert (made.url, made.subscription_id, made.format) == (
        URL,
        notify_hook_subscription_id(URL),
        "provider",
    )
    assert json.loads(result.stdout)["delivery_id"] == made.delivery_id


def test_a_sample_that_is_not_taken_in_time_is_a_failure(tunehook: Any, stack: None) -> None:
    assert tunehook("trigger", "task.completed", "--to", URL, "--wait", "0.1").exit_code == 1


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (
            ("task.done", "--to", "a"),
            "EVENT: must be one of task.completed, task.failed, task.archived, task.progress",
        ),
        (
            ("task.failed", "--to", "b"),
            "--to: there is no subscription b: `tunehook subscriptions list` lists them",
        ),
        (("task.failed", "--to", "off"), "--to: off is disabled: `tunehook subscriptions enable off` first"),
        (("task.archived", "--to", "gw"), "EVENT: the format provider has no task.archived"),
        (
            ("task.failed", "--to", "a", "--format", "provider"),
            "--format: is for a URL: a subscription has its own",
        ),
        (
            ("task.failed", "--to", URL, "--format", "xml"),
            "--format: must be one of standard, provider, cloudevents",
        ),
        (("task.failed", "--to", "bad"), "--to: bad cannot be used: format: must be one of"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_name(
    tunehook: Any, stack: None, args: tuple[str, ...], complaint: str
) -> None:
    subscriptions: dict[str, dict[str, Any]] = {
        "a": {},
        "off": {"enabled": False},
        "gw": {"format": "provider"},
        "bad": {"format": "xml"},
    }
    for name, fields in subscriptions.items():
        put("SubscriptionsTable", {"subscription_id": name, "url": URL, **fields})
    result = tunehook("trigger", *args)
    assert result.exit_code == 2
    assert result.output.startswith(f"tunehook: {complaint}")
    assert items("DeliveriesTable") == messages() == []
