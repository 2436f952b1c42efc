"""A task that was taken in from a callback gets what its user asks for."""

from typing import Any

import pytest
from tests.support.aws import client, put, received

from tunehook.errors import InvalidInput
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import add, adopt
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import TaskKey

HOOK = "https://x.example/late"
WANTED: dict[str, Any] = {
    "task_id": "task-1",
    "provider": "suno",
    "notify_hook": HOOK,
    "metadata": {"order": 7},
}


def taken_in(**fields: Any) -> None:
    put("TasksTable", {"task_id": "task-1", "provider": "suno", "taken_in": True} | fields)


def requests(found: Stack) -> list[dict[str, Any]]:
    return received(found.output("FulfillmentQueue"))


def test_one_that_has_ended_has_its_hook_told(found: Stack) -> None:
    taken_in(status="completed", event_id="evt_1", detected_at_ms=1)
    adopted = adopt(found, WANTED)
    assert adopted is not None
    assert (adopted["status"], adopted["metadata"], adopted["notify_hook"]) == (
        "completed",
        {"order": 7},
        HOOK,
    )
    (asked,) = requests(found)
    assert asked == {
        "request": "deliver",
        "task_id": "task-1",
        "provider": "suno",
        "event_id": "evt_1",
        "subscription_id": notify_hook_subscription_id(HOOK),
        "events": None,
        "filter": None,
    }


@pytest.mark.parametrize("hook", [HOOK, None])
def test_while_it_is_pending_its_end_tells_the_hook(found: Stack, hook: str | None) -> None:
    taken_in(status="pending", since_ms=1, submitted_at_ms=1, deadline_ms=2)
    adopted = adopt(found, WANTED | {"notify_hook": hook})
    assert adopted is not None
    assert adopted.get("notify_hook") == hook
    assert adopted["deadline_ms"] > 3_600_000
    assert requests(found) == []


def test_one_that_its_user_has_put_is_left_alone(found: Stack) -> None:
    key = TaskKey("task-1", "suno")
    before = found.tasks.get(key)
    assert adopt(found, WANTED) is None
    assert found.tasks.get(key) == before
    assert requests(found) == []


def test_what_is_not_acceptable_changes_nothing(found: Stack) -> None:
    taken_in(status="pending", since_ms=1)
    with pytest.raises(InvalidInput) as caught:
        adopt(found, WANTED | {"timeout_s": 1})
    assert caught.value.field == "timeout_s"
    item = client("dynamodb").get_item(
        TableName="TasksTable", Key={"task_id": {"S": "task-1"}, "provider": {"S": "suno"}}
    )["Item"]
    assert item["taken_in"] == {"BOOL": True}


@pytest.mark.parametrize("times", [1, 2])
def test_putting_it_once_adopts_it(found: Stack, times: int) -> None:
    taken_in(status="completed", event_id="evt_1", detected_at_ms=1)
    for _ in range(times):
        addition = add(found, WANTED)
        assert not addition.is_new
        assert addition.task.metadata == {"order": 7}
        assert addition.task.event_id == "evt_1"
    assert len(requests(found)) == 1


def test_one_that_a_user_has_put_keeps_what_that_user_wants(found: Stack) -> None:
    addition = add(found, WANTED)
    assert not addition.is_new
    assert addition.task.notify_hook is None
