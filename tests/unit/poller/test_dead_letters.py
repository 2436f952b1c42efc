"""What is told of dead letters: a model of one queue, and looks that die or are made twice."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from tests.support.aws import BUS, Faulty, client, create_table, fault, items, put, watched_bus
from tests.support.tasks import NOW_MS
from tests.support.virtual import HANGING, Clock, Scripted

from poller.dead_letters import DeadLetterWatch
from tunehook.aws.bus import EventBus
from tunehook.aws.dead_letter_marks import DEAD_LETTERS, DeadLetterMarks
from tunehook.aws.provider_states import ProviderStates

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

# As documented, and not imported: a bound that moves is to be noticed.
AGAIN_AFTER_MS = 24 * HOUR_MS
NEW_AFTER_MS = 10 * MINUTE_MS


class Queues:
    """SQS, as far as it is asked for how many messages queues have."""

    def __init__(self) -> None:
        self.messages: dict[str, int] = {}
        self.hidden: dict[str, int] = {}
        self.fault: Exception | None = None

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> Any:  # noqa: N803 - boto3's names
        if self.fault is not None:
            raise self.fault
        counts = {
            "ApproximateNumberOfMessages": str(self.messages.get(QueueUrl, 0)),
            "ApproximateNumberOfMessagesNotVisible": str(self.hidden.get(QueueUrl, 0)),
        }
        return {"Attributes": {name: counts[name] for name in AttributeNames}}


class World:
    """A watch over two queues; what it has told is in `told`, and the next faults in `of_writes` and `of_the_bus`."""

    def __init__(self) -> None:
        create_table("ProviderStatesTable")
        self.now_ms = NOW_MS
        self.sqs = Queues()
        self.of_writes: list[Exception | None] = []
        self.of_the_bus: list[Exception | None] = []
        self.dynamodb = Faulty(client("dynamodb"), update_item=self.of_writes)
        self.events = Faulty(client("events"), put_events=self.of_the_bus)
        self._emitted = watched_bus()
        self.told: list[dict[str, Any]] = []

    def watch(self) -> DeadLetterWatch:
        """What one execution environment has; nothing of it lasts from look to look."""
        return DeadLetterWatch(
            {"intake": "intake", "deliveries": "deliveries"},
            lambda: self.sqs,  # type: ignore[arg-type, return-value]
            DeadLetterMarks(self.dynamodb, "ProviderStatesTable"),
            EventBus(self.events, BUS),
            lambda: self.now_ms,
        )

    def look(self, *, after_ms: int = MINUTE_MS) -> list[dict[str, Any]]:
        """Look once more, and return what is told."""
        self.now_ms += after_ms
        asyncio.run(self.watch().look())
        new = [event["detail"] for event in self._emitted() if event["detail-type"] == "DeadLettersFound"]
        self.told += new
        return new


@pytest.fixture
def world(aws: None) -> World:
    return World()


def counts(told: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(each["queue"], each["messages"]) for each in told]


def test_the_first_dead_letter_is_told_at_the_next_look_and_not_again_each_minute(world: World) -> None:
    assert world.look() == []
    world.sqs.messages["intake"] = 1
    (told,) = world.look()
    assert (told["queue"], told["messages"], told["since"]) == ("intake", 1, told["found_at"])
    assert [world.look() for _ in range(20)] == [[]] * 20


def test_a_look_that_hangs_is_over_after_five_seconds(world: World) -> None:
    clock = Clock(NOW_MS, Scripted(_messages=[HANGING]))
    clock.run(world.watch().look())
    assert clock() == NOW_MS + 5_000


def test_what_somebody_looks_at_is_there_all_the_same(world: World) -> None:
    world.sqs.hidden["intake"] = 2
    assert counts(world.look()) == [("intake", 2)]
    world.sqs.hidden, world.sqs.messages = {}, {"intake": 2}
    assert world.look(after_ms=HOUR_MS) == []


def test_it_is_told_again_once_a_day_with_how_many_there_are_by_then(world: World) -> None:
    world.sqs.messages["intake"] = 4
    (first,) = world.look()
    world.sqs.messages["intake"] = 7
    assert world.look(after_ms=AGAIN_AFTER_MS - 1) == []
    (second,) = world.look(after_ms=1)
    assert (second["messages"], second["since"]) == (7, first["since"])
    assert second["event_id"] != first["event_id"]


def test_twice_as_many_are_told_of_sooner_but_not_within_ten_minutes(world: World) -> None:
    world.sqs.messages["intake"] = 3
    (first,) = world.look()
    world.sqs.messages["intake"] = 50
    assert world.look(after_ms=NEW_AFTER_MS - 1) == []
    (second,) = world.look(after_ms=1)
    assert (second["messages"], second["since"]) == (50, first["since"])
    assert second["event_id"] != first["event_id"]
    world.sqs.messages["intake"] = 99
    assert world.look(after_ms=HOUR_MS) == []
    world.sqs.messages["intake"] = 100
    assert counts(world.look()) == [("intake", 100)]


def test_fewer_than_were_told_of_are_no_growth(world: World) -> None:
    world.sqs.messages["intake"] = 10
    world.look()
    world.sqs.messages["intake"] = 1
    assert world.look(after_ms=HOUR_MS) == []
    world.sqs.messages["intake"] = 19
    assert world.look(after_ms=HOUR_MS) == []


@given(watchers=st.integers(1, 8), first=st.integers(1, 8))
@settings(max_examples=10, deadline=None)
def test_events_whose_own_deliveries_become_dead_letters_come_to_an_end(watchers: int, first: int) -> None:
    with mock_aws():
        world = World()
        world.sqs.messages["deliveries"] = first
        for _ in range(12):
            world.sqs.messages["deliveries"] += watchers * len(world.look(after_ms=NEW_AFTER_MS))
        assert len(world.told) <= 5
        assert world.look(after_ms=NEW_AFTER_MS) == []


def test_a_mark_without_a_number_of_messages_is_told_again_once_a_day(world: World) -> None:
    world.sqs.messages["intake"] = 1
    world.look()
    (item,) = items("ProviderStatesTable")
    del item["intake_messages"]
    put("ProviderStatesTable", item)
    world.sqs.messages["intake"] = 9
    assert world.look(after_ms=AGAIN_AFTER_MS - 1) == []
    assert counts(world.look(after_ms=1)) == [("intake", 9)]


def test_each_queue_is_told_of_by_itself(world: World) -> None:
    world.sqs.messages["intake"] = 1
    world.look()
    world.sqs.messages["deliveries"] = 2
    assert counts(world.look()) == [("deliveries", 2)]


def test_what_comes_after_it_was_empty_is_new_but_not_within_ten_minutes(world: World) -> None:
    world.sqs.messages["intake"] = 1
    world.look()
    for _ in range(4):
        world.sqs.messages["intake"] = 0
        assert world.look() == []
        world.sqs.messages["intake"] = 1
        assert world.look() == []
    assert counts(world.look(after_ms=NEW_AFTER_MS - 8 * MINUTE_MS)) == [("intake", 1)]


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_look_that_dies_before_or_after_the_event_leads_to_one_event_by_id(
    world: World, is_before: bool
) -> None:
    world.sqs.messages["intake"] = 1
    if is_before:
        world.of_the_bus.append(fault())
    else:
        # The mark is begun, and then cannot be noted as told.
        world.of_writes.extend([None, fault()])
    world.look()
    world.look()
    assert world.look() == []
    assert len({each["event_id"] for each in world.told}) == 1
    assert {each["since"] for each in world.told} == {world.told[0]["since"]}


def test_two_looks_at_once_tell_the_same_event(world: World) -> None:
    world.sqs.messages["intake"] = 1

    async def look_twice() -> None:
        await asyncio.gather(world.watch().look(), world.watch().look())

    asyncio.run(look_twice())
    world.look()
    assert len({each["event_id"] for each in world.told}) == 1


def test_a_queue_that_cannot_be_looked_into_is_looked_into_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sqs.messages["intake"] = 1
    world.sqs.fault = fault("OverLimit", "GetQueueAttributes")
    assert world.look() == []
    assert "dead_letters_not_looked_for" in caplog.text
    world.sqs.fault = None
    assert counts(world.look()) == [("intake", 1)]


def test_its_item_is_no_provider_and_what_makes_no_sense_in_it_is_as_none(world: World) -> None:
    world.sqs.messages["deliveries"] = 1
    world.look()
    (item,) = items("ProviderStatesTable")
    put("ProviderStatesTable", item | {"intake_since_ms": "long ago"})
    assert ProviderStates(client("dynamodb"), "ProviderStatesTable").all() == {}
    assert list(DeadLetterMarks(client("dynamodb"), "ProviderStatesTable").get()) == ["deliveries"]
    assert item["provider"] == DEAD_LETTERS


Step = tuple[int, int, Literal["well", "bus", "table"]]


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from((MINUTE_MS, 6 * MINUTE_MS, 25 * HOUR_MS)),
            st.integers(0, 4),
            st.sampled_from(("well", "well", "bus", "table")),
        ),
        max_size=10,
    )
)
def test_in_any_order_of_troubles_faults_and_recoveries_it_is_as_the_model_says(steps: list[Step]) -> None:
    with mock_aws():
        world = World()
        last_ms, was_empty, last = -AGAIN_AFTER_MS, True, 0
        for after_ms, messages, outcome in steps:
            world.sqs.messages["intake"] = messages
            world.sqs.fault = fault("OverLimit", "GetQueueAttributes") if outcome == "table" else None
            world.of_the_bus[:] = [fault()] if outcome == "bus" else []
            told = world.look(after_ms=after_ms)
            waits_ms = NEW_AFTER_MS if was_empty or messages >= 2 * last else AGAIN_AFTER_MS
            is_due = bool(messages) and world.now_ms - last_ms >= waits_ms
            assert counts(told) == ([("intake", messages)] if is_due and outcome == "well" else [])
            if told:
                last_ms, was_empty, last = world.now_ms, False, messages
            elif not messages and outcome != "table":
                was_empty = True
        assert len({each["event_id"] for each in world.told}) == len(world.told)
