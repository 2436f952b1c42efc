"""Thousands of items as nobody should put them, given to the code that reads them: each ends as its generator says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.stack.faults.fuzz.items import End, FuzzedItem, subscription_items, task_items
from tests.stack.faults.fuzz.seeds import generator, words
from tests.stack.faults.fuzz.values import LARGEST
from tests.support.aws import BUS, client, stream_attributes
from tests.support.tasks import NOW_MS
from tests.unit.poller.world import COMPLETED, World

from fulfillment.recipients import Recipients
from intake.admission import Intake
from poller.poll_loop import StopReason
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import from_attributes
from tunehook.aws.leases import Leases
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.task_items import ended_task, pending_task
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput
from tunehook.events import size_of, task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.secret_versions import SecretVersions
from tunehook.subscriptions import WebhookType

ROUNDS = 12_000


class Tables:
    """A DynamoDB that takes every update, and remembers the last one of Tasks."""

    def __init__(self) -> None:
        self.written: dict[str, Any] = {}

    def update_item(self, **call: Any) -> dict[str, Any]:
        if call["TableName"] == "TasksTable":
            values = from_attributes(call["ExpressionAttributeValues"])
            self.written = {name.removeprefix(":"): value for name, value in values.items()}
            self.written["removed"] = call["UpdateExpression"].partition("REMOVE")[2]
        return {"Attributes": {}}


@pytest.fixture(autouse=True)
def _named_seed() -> None:
    print(words())  # noqa: T201


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def intake(tables: Tables) -> Intake:
    dynamodb: Any = tables
    return Intake(
        TasksTable(dynamodb, "TasksTable"),
        Leases(dynamodb, "PollerLeasesTable"),
        lambda: EventBus(client("events"), BUS),
        StreamMarks(dynamodb, "ProviderStatesTable"),
        client("lambda"),
        fulfillment=lambda: FulfillmentQueue(client("sqs"), "none"),
        stream="arn:of-the-stream",
        poller_function="poller",
        shard_count=1,
        policy=NetworkPolicy.ANY,
        clock=lambda: NOW_MS,
    )


def end_of(item: FuzzedItem, written: dict[str, Any]) -> bool:
    """Return whether intake has done with an item what its generator says."""
    match item.end:
        case End.REJECTED:
            return written.get("status") == "rejected" and item.names_a_field(written["error"])
        case End.ACCEPTED:
            return written.get("status") == "pending" and "#event_id" in written["removed"]
    return not written


def test_intake_rejects_each_bad_item_by_its_field_and_raises_for_none(
    intake: Intake, tables: Tables
) -> None:
    ended: Counter[End] = Counter()
    for item in task_items(generator("tasks"), "fuzz", ROUNDS, huge=60):
        tables.written = {}
        intake.take_in(stream_attributes(item.attributes))
        assert end_of(item, tables.written), (item, tables.written)
        ended[item.end] += 1
    assert ended[End.REJECTED] > ROUNDS / 2
    assert min(ended[End.ACCEPTED], ended[End.IGNORED], ended[End.FORGED]) > ROUNDS / 20


def test_no_item_that_intake_has_to_see_may_be_taken_away_by_dynamodb_before() -> None:
    expiring: Counter[End] = Counter(
        item.end
        for item in task_items(generator("tasks"), "fuzz", ROUNDS, huge=0)
        if "N" in item.attributes.get("expires_at", {})
    )
    assert expiring.keys() == {End.IGNORED, End.FORGED}


def test_intake_raises_for_no_item_that_claims_to_have_been_taken_in(
    intake: Intake, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "_save_unsent_end", lambda *_: None)
    for item in forged_in_the_index(ROUNDS):
        new = {name: item[name] for name in ("task_id", "provider")}
        tables.written = {}
        old = stream_attributes(item | {"taken_in": {"BOOL": True}})
        intake.take_change({"OldImage": old, "NewImage": stream_attributes(new)})
        assert tables.written["removed"]


def forged_in_the_index(count: int) -> Iterator[dict[str, Any]]:
    """Yield the attributes of items that lie in the work index, of `count` that are drawn."""
    drawn = task_items(generator("index"), "forged", count, huge=0)
    return (item.attributes for item in drawn if item.end is End.FORGED)


def test_whatever_lies_in_the_work_index_can_be_told_or_is_unreadable() -> None:
    told = unreadable = 0
    for item in map(from_attributes, forged_in_the_index(8 * ROUNDS)):
        try:
            task = pending_task(item)
            size_of(task_ended(ended_task(task, item)))
            told += 1
        except InvalidInput:
            unreadable += 1
    assert told > 20
    assert unreadable > 20


def test_a_pass_over_forged_items_ends_the_tasks_among_them_at_once(aws: None) -> None:
    world = World(gw=lambda _: COMPLETED)
    valid = []
    # moto reads neither maps with a key without a letter nor numbers of more than 38 digits.
    drawn = (
        each for each in forged_in_the_index(2_000) if "{'': " not in str(each) and LARGEST not in str(each)
    )
    for number, attributes in enumerate(drawn):
        # Half of them of the very provider, so that those which look pending are asked about.
        place = {"queue": {"S": "work#0"}, "provider": {"S": "gw" if number % 2 else "none"}}
        world.dynamodb.put_item(TableName="TasksTable", Item=attributes | place)
        if number % 25 == 0:
            valid.append(f"valid-{number}")
            world.add(valid[-1], age_s=number)

    reason = world.run(lasts_s=60)

    assert reason in (StopReason.NOTHING_PENDING, StopReason.OUT_OF_TIME)
    emitted = Counter(task_id for kind, task_id in world.emitted() if kind == "TaskCompleted")
    assert {task_id: emitted[task_id] for task_id in valid} == dict.fromkeys(valid, 1)
    assert max(world.times_of(task_id)[0] for task_id in valid) < 2


class Listed(SubscriptionsTable):
    """A table of subscriptions whose marks are kept apart."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.marks: dict[str, str | None] = {}

    def all(self) -> list[dict[str, Any]]:
        return self.items

    def mark(self, subscription_id: str, disabled_reason: str | None) -> None:
        self.marks[subscription_id] = disabled_reason


class NoVersions(SecretVersionsTable):
    """Keeps nothing."""

    def __init__(self) -> None:
        pass

    def ids(self) -> set[str]:
        return set()

    def keep(self, subscription_id: str, versions: SecretVersions) -> SecretVersions:
        return versions


def test_bad_subscriptions_are_marked_by_field_and_the_others_are_told() -> None:
    drawn = list(subscription_items(generator("subscriptions"), "fuzz", ROUNDS, huge=40))
    items = [from_attributes(item.attributes) for item in drawn]
    good = {"subscription_id": "good", "url": "https://hook.example.com/"}
    table = Listed([*items[: ROUNDS // 2], good, *items[ROUNDS // 2 :]])

    told = Recipients(table, NetworkPolicy.ANY, versions=NoVersions()).of(
        WebhookType.TASK_COMPLETED, "musicmint", None, {}
    )

    assert [receiver.subscription_id for receiver in told] == ["good"]
    for item, plain in zip(drawn, items, strict=True):
        mark = table.marks.get(plain["subscription_id"])
        assert item.names_a_field(mark) if item.end is End.UNUSABLE else mark is None, (item, mark)


def test_the_same_seed_draws_the_same() -> None:
    for draw in (task_items, subscription_items):
        one, other = (list(draw(generator("same"), "fuzz", 200, huge=2)) for _ in range(2))
        assert one == other
