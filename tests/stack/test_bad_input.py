"""What is not acceptable gets a clear error that names the field, and disturbs nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about

from tunehook_local.sandbox import Sandbox

# The subscription is there before the first event is: fulfillment knows a new one only after 15 s.
pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.mark.parametrize(
    ("field", "attributes"),
    [
        ("task_id", {"task_id": " "}),
        ("task_id", {"task_id": "x" * 300}),
        ("notify_hook", {"notify_hook": "ftp://example.com/hook"}),
        ("notify_hook", {"notify_hook": 7}),
        ("metadata", {"metadata": {"long": "x" * 3000}}),
        ("timeout_s", {"timeout_s": 5}),
        ("notify_format", {"notify_format": "carrier pigeon"}),
    ],
)
def test_an_item_that_is_not_acceptable_is_rejected_by_its_field(
    stack: DeployedStack, unique: str, field: str, attributes: dict[str, Any]
) -> None:
    key = {"task_id": f"bad-{unique}", "provider": "musicmint"}
    item = key | attributes
    stack.put("TasksTable", **item)

    rejected = stack.ended_task(
        item["task_id"],
        item["provider"],
    )

    assert rejected["status"] == "rejected"
    assert rejected["error"].startswith(f"{field}: ")


def test_a_rejected_task_is_told_as_failed_with_code_invalid(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    stack.put("TasksTable", task_id=f"invalid-{unique}", provider="musicmint", timeout_s=1)
    (request,) = eventually(lambda: webhooks_about(sandbox, "main", f"invalid-{unique}"))

    assert b'"code":"invalid"' in request.body


def test_bad_items_do_not_hold_up_a_good_one_of_the_same_batch(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    good = f"good-{unique}"
    begin_ended(sandbox, "musicmint", good)
    for number in range(3):
        stack.put("TasksTable", task_id=f"bad{number}-{unique}", provider="no such provider!")
    stack.put("TasksTable", task_id=good, provider="musicmint")

    assert stack.ended_task(good, "musicmint")["status"] == "completed"
    assert stack.task(f"bad0-{unique}", "no such provider!")["error"].startswith("provider: ")


def test_a_task_of_a_provider_that_is_not_configured_stays_pending_and_says_so(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    stack.put("TasksTable", task_id=f"early-{unique}", provider="not-yet")

    item = eventually(
        lambda: item if "last_error" in (item := stack.task(f"early-{unique}", "not-yet")) else None
    )

    assert item["status"] == "pending"
    assert item["last_error"] == "the provider not-yet is not configured"


@pytest.mark.parametrize(("subscription_id", "field"), [("bad-url", "url"), ("bad-format", "format")])
def test_a_subscription_that_is_not_acceptable_is_marked_and_stops_no_other(
    stack: DeployedStack, sandbox: Sandbox, unique: str, subscription_id: str, field: str
) -> None:
    task_id = f"beside-{unique}"
    begin_ended(sandbox, "musicmint", task_id)
    stack.put("TasksTable", task_id=task_id, provider="musicmint")

    eventually(lambda: webhooks_about(sandbox, "main", task_id))

    marked = stack.item("SubscriptionsTable", subscription_id=subscription_id)
    assert marked["disabled_reason"].startswith(f"{field}: ")
