"""Operational events: who is told of them, by which record, and once each."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from tests.support.aws import BUCKET, client, create_table, items, received
from tests.support.tasks import NOW_MS
from tests.unit.fulfillment.world import subscribe

from fulfillment.fan_out import DeliveryFanOut
from fulfillment.messages import content_of
from fulfillment.notices import Notices
from fulfillment.recipients import Recipients
from fulfillment.results import Results
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import Delivery
from tunehook.events import (
    DeadLettersFound,
    OperationalEvent,
    ProviderUnauthorised,
    SubscriptionDisabled,
    SubscriptionFailing,
)
from tunehook.http.guard import NetworkPolicy
from tunehook.operational import kind_of
from tunehook.subscriptions import OPERATIONAL, WebhookType
from tunehook.times import from_ms
from tunehook.webhook_body import render

NAMES = ("a", "b", "c")
NOW = from_ms(NOW_MS)


def failing(name: str = "a", percent: Any = 50) -> SubscriptionFailing:
    return SubscriptionFailing(
        event_id=f"evt_failing_{name}_{percent}",
        subscription_id=name,
        failing_since=NOW,
        percent=percent,
        disabled_at=from_ms(NOW_MS + 1_000),
    )


def disabled(name: str = "a") -> SubscriptionDisabled:
    return SubscriptionDisabled(
        event_id=f"evt_disabled_{name}",
        subscription_id=name,
        disabled_at=NOW,
        failing_since=NOW,
        reason="the receiver asked for no more (410)",
    )


def unauthorised(provider: str = "suno") -> ProviderUnauthorised:
    return ProviderUnauthorised(
        event_id=f"evt_key_{provider}",
        provider=provider,
        reason="key",
        message="HTTP 401: Invalid token",
        was_accepted=True,
        since=NOW,
        tasks_waiting=3,
    )


def found(queue: Any = "intake") -> DeadLettersFound:
    return DeadLettersFound(event_id=f"evt_found_{queue}", queue=queue, messages=1, since=NOW, found_at=NOW)


EVENTS = (failing(), disabled(), unauthorised(), found())


class World:
    """Fulfillment's part, over moto."""

    def __init__(self) -> None:
        for table in ("SubscriptionsTable", "DeliveriesTable"):
            create_table(table)
        self.queue: str = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
        dynamodb = client("dynamodb")
        versions = SecretVersionsTable(dynamodb, "SecretVersionsTable")
        subscriptions = SubscriptionsTable(dynamodb, "SubscriptionsTable")
        self.fan_out = DeliveryFanOut(
            Recipients(subscriptions, NetworkPolicy.PUBLIC, versions=versions).of,
            DeliveriesTable(dynamodb, "DeliveriesTable"),
            DeliveriesQueue(client("sqs"), self.queue),
            Notices(Results(client("s3"), BUCKET)),
            lambda: NOW_MS,
        )

    async def tell(self, event: OperationalEvent) -> int:
        return await self.fan_out.create_operational_deliveries(event)


@pytest.fixture
def world(aws: None) -> World:
    return World()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_on_the_queue_is_read(event: OperationalEvent) -> None:
    envelope = {"detail-type": type(event).__name__, "detail": json.loads(event.model_dump_json())}
    assert content_of(json.dumps(envelope)) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
async def test_who_asks_for_it_gets_one_delivery_which_is_about_no_task(
    world: World, event: OperationalEvent
) -> None:
    subscribe("asks", events=[kind_of(event).value])
    subscribe("asks-for-others", events=[each.value for each in OPERATIONAL if each != kind_of(event)])
    subscribe("names-none")
    assert await world.tell(event) == 1
    (record,) = items("DeliveriesTable")
    assert (record["subscription_id"], record["type"]) == ("asks", kind_of(event).value)
    assert "task_id" not in record
    assert record.get("provider") == ("suno" if isinstance(event, ProviderUnauthorised) else None)
    assert [each["delivery_id"] for each in received(world.queue)] == [record["delivery_id"]]
    told = json.loads(render(Delivery.model_validate(record), str, NOW_MS).content)["data"]
    assert told == json.loads(event.model_dump_json(exclude={"event_id", "version"}))


@pytest.mark.parametrize(
    ("event", "source", "subject"),
    [
        (failing("x"), "tunehook", "x"),
        (disabled("x"), "tunehook", "x"),
        (unauthorised("a b"), "tunehook/a%20b", "a b"),
        (found("poller"), "tunehook", "poller"),
    ],
)
async def test_as_a_cloudevent_it_names_what_it_is_about(
    world: World, event: OperationalEvent, source: str, subject: str
) -> None:
    subscribe("sub", events=[kind_of(event).value], format="cloudevents")
    await world.tell(event)
    (record,) = items("DeliveriesTable")
    body = json.loads(render(Delivery.model_validate(record), str, NOW_MS).content)
    assert (body["source"], body["subject"], body["id"]) == (source, subject, event.event_id)


async def test_a_filter_looks_at_its_data_and_providers_at_its_provider(world: World) -> None:
    kinds = [each.value for each in OPERATIONAL]
    subscribe("others-alone", events=kinds, filter={"percent": [{"numeric": [">=", 70]}]})
    subscribe("one-provider", events=kinds, providers=["musicmint"])
    for event in (failing("x", 50), failing("x", 70), unauthorised("suno"), unauthorised("musicmint")):
        await world.tell(event)
    told = sorted((item["subscription_id"], item["event_id"]) for item in items("DeliveriesTable"))
    assert told == [
        ("one-provider", "evt_failing_x_50"),
        ("one-provider", "evt_failing_x_70"),
        ("one-provider", "evt_key_musicmint"),
        ("others-alone", "evt_failing_x_70"),
    ]


async def test_the_warning_of_one_moment_happened_then(world: World) -> None:
    subscribe("sub", events=["subscription.failing"])
    await world.tell(failing("x", 70))
    (record,) = items("DeliveriesTable")
    assert record["event_at_ms"] == NOW_MS + 700


_EVENTS = st.one_of(
    st.builds(failing, st.sampled_from(NAMES), st.sampled_from((50, 70, 90))),
    st.builds(disabled, st.sampled_from(NAMES)),
    st.builds(unauthorised, st.sampled_from(("suno", "musicmint"))),
    st.builds(found, st.sampled_from(("intake", "poller", "fulfillment", "deliveries"))),
)


@settings(max_examples=15, deadline=None)
@given(
    wishes=st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(OPERATIONAL), min_size=1)),
    events=st.lists(_EVENTS, max_size=8),
)
def test_in_any_order_and_however_often_each_is_told_once_and_nobody_of_itself(
    wishes: dict[str, set[WebhookType]], events: list[OperationalEvent]
) -> None:
    with mock_aws():
        world = World()
        for name, kinds in wishes.items():
            subscribe(name, events={each.value for each in kinds})

        async def tell_all() -> None:
            for event in events:
                await world.tell(event)

        asyncio.run(tell_all())
        told = Counter((item["subscription_id"], item["event_id"]) for item in items("DeliveriesTable"))
    owed = {
        (name, event.event_id)
        for name, kinds in wishes.items()
        for event in events
        if kind_of(event) in kinds and getattr(event, "subscription_id", None) != name
    }
    assert told == Counter(owed)
