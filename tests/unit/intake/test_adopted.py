"""A task that was taken in from a callback, and that its user puts then: the same run, with one event in all."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import client, fault, items, received
from tests.unit.intake.test_overwritten import ID, Stack
from tests.unit.poller.world import COMPLETED, PROCESSING

from tunehook.aws.items import to_attributes
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import TaskKey, check_request

HOOK = "https://receiver.example/hook"
KEY = TaskKey(ID, "gw")
PUT: dict[str, Any] = {
    "task_id": ID,
    "provider": "gw",
    "metadata": {"order": 7},
    "notify_hook": HOOK,
}

OVERSIZED = ClientError(
    {
        "Error": {
            "Code": "ValidationException",
            "Message": "Item size to update has exceeded the maximum allowed size",
        }
    },
    "UpdateItem",
)


class Adopting(Stack):
    """The stack of tasks that are put again, with a fulfillment queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.fulfillment_url = client("sqs").create_queue(QueueName="fulfillment")["QueueUrl"]
        self.says[ID] = PROCESSING

    def take_in(self) -> dict[str, Any]:
        """Let the poller take the task in and intake accept it; return its item."""
        assert self.tasks.take_in(KEY)
        self.tell("INSERT", {}, to_attributes(self.item()))
        assert self.item()["status"] == "pending"
        return self.item()

    def end(self) -> dict[str, Any]:
        self.says[ID] = COMPLETED
        self.poll()
        assert self.item()["status"] == "completed"
        return self.item()

    def end_untold(self) -> dict[str, Any]:
        """End the task while the bus takes nothing, and return its item, whose event still waits."""
        self.refuse(10_000)
        return self.end()

    def wanted(self) -> list[DeliveryRequest]:
        return [DeliveryRequest.model_validate(each) for each in received(self.fulfillment_url)]


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Adopting:
    return Adopting(monkeypatch)


def test_it_is_accepted_like_any_other_and_its_end_told(stack: Adopting) -> None:
    stack.take_in()
    assert stack.item()["taken_in"] is True
    stack.end()
    assert [kind for kind, _ in stack.told()] == ["TaskCompleted"]


class TestPending:
    def test_its_run_goes_on_with_what_its_user_wants(self, stack: Adopting) -> None:
        before = stack.take_in()
        stack.poll(5)
        assert stack.put_again(before, PUT | {"timeout_s": 600}) == []
        item = stack.item()
        assert (item["status"], item["metadata"], item["notify_hook"]) == ("pending", {"order": 7}, HOOK)
        assert item["submitted_at_ms"] == before["submitted_at_ms"]
        assert item["deadline_ms"] == stack.clock() + 600_000
        assert "taken_in" not in item
        stack.end()
        (event,) = stack.all_emitted()
        assert event["detail"]["metadata"] == {"order": 7}
        assert stack.wanted() == []

    def test_a_field_that_is_not_acceptable_does_not_lose_the_run(self, stack: Adopting) -> None:
        before = stack.take_in()
        assert stack.put_again(before, PUT | {"timeout_s": 1}) == []
        item = stack.item()
        assert item["status"] == "pending"
        assert item["error"].startswith("timeout_s")
        stack.end()
        assert [kind for kind, _ in stack.told()] == ["TaskCompleted"]

    def test_put_before_intake_has_accepted_it_there_is_one_run(self, stack: Adopting) -> None:
        assert stack.tasks.take_in(KEY)
        before = stack.item()
        stack.put_again(before, PUT)
        stack.tell("INSERT", {}, to_attributes(before))
        assert stack.item()["metadata"] == {"order": 7}
        stack.end()
        assert len(stack.told()) == 1

    def test_put_twice_the_second_is_a_run_of_its_own(self, stack: Adopting) -> None:
        stack.put_again(stack.take_in(), PUT)
        first = stack.end()
        stack.put_again(first, PUT)
        stack.poll()
        told = stack.told()
        assert len(told) == 2
        assert told[0][1] == first["event_id"] != told[1][1]


class TestEnded:
    def test_it_stays_ended_and_its_hook_is_told(self, stack: Adopting) -> None:
        stack.take_in()
        before = stack.end()
        assert stack.put_again(before, PUT) == []
        item = stack.item()
        kept = {name: value for name, value in before.items() if name != "taken_in"}
        assert item == kept | {"metadata": {"order": 7}, "notify_hook": HOOK}
        (asked,) = stack.wanted()
        assert asked == DeliveryRequest(
            task_id=ID,
            provider="gw",
            event_id=before["event_id"],
            subscription_id=notify_hook_subscription_id(HOOK),
        )
        stack.poll()
        assert len(stack.told()) == 1

    def test_without_a_hook_nobody_is_told_again(self, stack: Adopting) -> None:
        stack.take_in()
        stack.put_again(stack.end(), {"task_id": ID, "provider": "gw"})
        assert stack.wanted() == []
        assert stack.item()["status"] == "completed"

    def test_where_its_event_is_not_out_the_poller_tells_of_it_once_with_the_new_metadata(
        self, stack: Adopting
    ) -> None:
        stack.take_in()
        before = stack.end_untold()
        assert before["queue"] == "work#0"
        stack.refuse(0)
        assert stack.put_again(before, PUT) == []
        assert stack.told() == []
        assert stack.wanted() == []
        stack.poll()
        (event,) = stack.all_emitted()
        assert event["detail"]["event_id"] == before["event_id"]
        assert event["detail"]["metadata"] == {"order": 7}
        assert "queue" not in stack.item()

    def test_a_record_that_comes_again_changes_nothing(self, stack: Adopting) -> None:
        stack.take_in()
        before = stack.end()
        stack.put_again(before, PUT)
        item = stack.item()
        stack.tell("MODIFY", to_attributes(before), to_attributes(PUT))
        assert stack.item() == item
        assert {each.event_id for each in stack.wanted()} == {before["event_id"]}

    def test_a_queue_that_takes_nothing_has_the_record_come_again(self, stack: Adopting) -> None:
        stack.take_in()
        before = stack.end()
        url, stack.fulfillment_url = stack.fulfillment_url, stack.fulfillment_url + "-gone"
        assert stack.put_again(before, PUT) == ["1"]
        stack.fulfillment_url = url
        assert stack.tell("MODIFY", to_attributes(before), to_attributes(PUT)) == []
        assert len(stack.wanted()) == 1

    def test_where_both_do_not_fit_on_one_item_the_end_is_told_and_the_record_holds_up_no_other(
        self, stack: Adopting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack.take_in()
        before = stack.end_untold()
        stack.refuse(0)
        monkeypatch.setattr(stack.tasks, "restore", Mock(side_effect=OVERSIZED))
        assert stack.put_again(before, PUT) == []
        assert stack.told() == [("TaskCompleted", before["event_id"])]
        assert stack.wanted() == []

    def test_a_fault_of_the_table_has_the_record_come_again(
        self, stack: Adopting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack.take_in()
        before = stack.end()
        with monkeypatch.context() as faulty:
            faulty.setattr(stack.tasks, "restore", Mock(side_effect=fault()))
            assert stack.put_again(before, PUT) == ["1"]
        assert stack.tell("MODIFY", to_attributes(before), to_attributes(PUT)) == []
        assert stack.item()["status"] == "completed"

    def test_put_twice_before_intake_sees_it_its_end_is_not_lost(self, stack: Adopting) -> None:
        stack.take_in()
        before = stack.end_untold()
        stack.refuse(0)
        again = PUT | {"metadata": {"order": 8}}
        client("dynamodb").put_item(TableName="TasksTable", Item=to_attributes(again))
        stack.tell("MODIFY", to_attributes(before), to_attributes(PUT))
        assert [event_id for _, event_id in stack.told()] == [before["event_id"]]
        stack.tell("MODIFY", to_attributes(PUT), to_attributes(again))
        stack.poll()
        assert len(stack.told()) == 1
        assert stack.item()["metadata"] == {"order": 8}

    def test_a_field_that_is_not_acceptable_does_not_lose_the_end(self, stack: Adopting) -> None:
        stack.take_in()
        before = stack.end()
        stack.put_again(before, PUT | {"notify_hook": "ftp://x"})
        item = stack.item()
        assert (item["status"], item["event_id"]) == ("completed", before["event_id"])
        assert item["error"].startswith("notify_hook")
        assert stack.wanted() == []

    @pytest.mark.parametrize("field", ["status", "event_id", "detected_at_ms", "submitted_at_ms"])
    def test_one_whose_item_tells_of_no_end_begins_anew(self, stack: Adopting, field: str) -> None:
        stack.take_in()
        before = stack.end()
        before[field] = "nonsense" if field == "status" else ["nonsense"]
        client("dynamodb").put_item(TableName="TasksTable", Item=to_attributes(before))
        stack.put_again(before, PUT)
        assert stack.item()["status"] == "pending"

    def test_one_that_was_cancelled_begins_anew(self, stack: Adopting) -> None:
        stack.take_in()
        stack.tasks.cancel(KEY, stack.clock())
        stack.put_again(stack.item(), PUT)
        assert stack.item()["status"] == "pending"


class TestInPlace:
    """What the API does, which does not put over what it finds."""

    @pytest.fixture
    def adopt(self, stack: Adopting) -> Any:
        return lambda item: stack.tasks.adopt(check_request(item, NetworkPolicy.PUBLIC), stack.clock())

    def test_a_pending_one_goes_on(self, stack: Adopting, adopt: Any) -> None:
        before = stack.take_in()
        adopted = adopt(PUT | {"timeout_s": 600, "notify_format": "provider"})
        assert adopted == stack.item()
        assert adopted["since_ms"] == before["since_ms"]
        assert adopted["deadline_ms"] == stack.clock() + 600_000
        assert (adopted["metadata"], adopted["notify_hook"]) == ({"order": 7}, HOOK)
        assert "taken_in" not in adopted
        stack.end()
        (event,) = stack.all_emitted()
        assert event["detail"]["metadata"] == {"order": 7}

    def test_an_ended_one_stays_ended(self, stack: Adopting, adopt: Any) -> None:
        stack.take_in()
        before = stack.end()
        adopted = adopt(PUT)
        assert adopted["event_id"] == before["event_id"]
        assert adopted["notify_hook"] == HOOK

    def test_one_that_intake_has_not_accepted_is_accepted_with_it(self, stack: Adopting, adopt: Any) -> None:
        stack.tasks.take_in(KEY)
        before = stack.item()
        adopted = adopt(PUT)
        assert "status" not in adopted
        stack.tell("INSERT", {}, to_attributes(before))
        stack.tell("MODIFY", to_attributes(before), to_attributes(adopted))
        assert stack.item()["status"] == "pending"
        assert stack.item()["metadata"] == {"order": 7}

    def test_one_that_its_user_has_put_is_none(self, stack: Adopting, adopt: Any) -> None:
        assert adopt(PUT) is None
        stack.take_in()
        assert adopt(PUT) is not None
        assert adopt(PUT) is None
        assert [item["task_id"] for item in items("TasksTable")] == [ID]
