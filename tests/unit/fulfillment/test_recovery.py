import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.aws import BUCKET, client, items, put
from tests.support.tasks import NOW_MS, completed
from tests.unit.fulfillment.world import FAILED, HOOK, MANIFEST, World, subscribe

from fulfillment.messages import content_of
from fulfillment.recovery import Recovery
from fulfillment.results import Results
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import TaskEnded
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import TaskEnd


@pytest.fixture
def world(bucket: str, http: Callable[..., Any]) -> World:
    return World(http)


async def recover(world: World, event: TaskEnded, subscription_id: str = "sub") -> None:
    dynamodb = client("dynamodb")
    recovery = Recovery(
        tasks=TasksTable(dynamodb, "TasksTable"),
        subscriptions=SubscriptionsTable(dynamodb, "SubscriptionsTable"),
        deliveries=DeliveriesTable(dynamodb, "DeliveriesTable"),
        queue=DeliveriesQueue(client("sqs"), world.queue),
        results=Results(client("s3"), BUCKET),
        policy=NetworkPolicy.PUBLIC,
        clock=lambda: world.now_ms,
    )
    request = DeliveryRequest(
        task_id=event.task_id,
        provider=event.provider,
        event_id=event.event_id,
        subscription_id=subscription_id,
    )
    asked = content_of(request.model_dump_json())
    assert isinstance(asked, DeliveryRequest)
    await recovery.deliver(asked)


@pytest.mark.parametrize("form", ["standard", "provider", "cloudevents"])
@pytest.mark.parametrize("end", [completed(), FAILED], ids=["completed", "failed"])
async def test_it_is_the_delivery_that_fulfillment_would_have_made(
    world: World, end: TaskEnd, form: str
) -> None:
    subscribe("sub", format=form)
    event = world.end(end)
    await world.fulfill(event)
    made = world.deliveries()["sub"]
    client("dynamodb").delete_item(
        TableName="DeliveriesTable", Key={"delivery_id": {"S": made["delivery_id"]}}
    )
    world.messages()
    await recover(world, event)
    assert world.deliveries() == {"sub": made}
    assert [each["delivery_id"] for each in world.messages()] == [made["delivery_id"]]


async def test_of_all_receivers_one_is_told(world: World) -> None:
    event = world.end(notify_hook=HOOK)
    put("TasksTable", world.item() | {"archived_at_ms": NOW_MS})
    subscribe("sub", "other")
    await recover(world, event)
    assert set(world.deliveries()) == {"sub"}


async def test_twice_it_changes_nothing(world: World) -> None:
    subscribe("sub", enabled=False)
    event = world.end()
    await world.fulfill(event)
    assert world.deliveries() == {}
    subscribe("sub")
    await recover(world, event)
    made = world.deliveries()
    world.now_ms += 1_000
    await recover(world, event)
    assert set(made) == {"sub"}
    assert world.deliveries() == made


@pytest.mark.parametrize(
    "fields",
    [
        {"enabled": False},
        {"events": ["task.failed"]},
        {"providers": ["musicmint"]},
        {"url": "http://127.0.0.1/"},
        {"filter": {"metadata": {"order": [8]}}},
        {"filter": {"clips": {"title": [{"exists": False}]}}},
    ],
)
async def test_what_the_subscription_does_not_take_is_not_made(world: World, fields: dict[str, Any]) -> None:
    event = world.end()
    await world.fulfill(event)
    await recover(world, event, "nobody")
    subscribe("sub", **fields)
    await recover(world, event)
    assert items("DeliveriesTable") == []
    assert world.messages() == []


async def test_what_its_filter_asks_for_is_made(world: World) -> None:
    event = world.end()
    await world.fulfill(event)
    subscribe("sub", filter='{"metadata": {"order": [7]}, "clips": {"assets": {"status": ["archived"]}}}')
    await recover(world, event)
    assert set(world.deliveries()) == {"sub"}


async def test_while_files_are_waited_for_it_waits_too(world: World) -> None:
    subscribe("sub")
    with pytest.raises(Unavailable):
        await recover(world, world.end())
    assert items("DeliveriesTable") == []


async def test_a_hook_that_came_after_the_end_is_told_of_it_once(world: World) -> None:
    event = world.end(metadata={})
    await world.fulfill(event)
    assert world.deliveries() == {}
    put("TasksTable", world.item() | {"notify_hook": HOOK, "metadata": {"order": 9}})
    hook = notify_hook_subscription_id(HOOK)
    await recover(world, event, hook)
    made = world.deliveries()
    assert set(made) == {hook}
    assert made[hook]["url"] == HOOK
    assert json.loads(made[hook]["payload"])["metadata"] == {"order": 9}
    await recover(world, event, hook)
    assert world.deliveries() == made


async def test_the_hook_of_another_is_not_told(world: World) -> None:
    event = world.end()
    await world.fulfill(event)
    await recover(world, event, notify_hook_subscription_id(HOOK))
    assert world.deliveries() == {}


async def test_files_that_were_settled_while_the_task_was_put_are_noted_on_it(world: World) -> None:
    event = world.end(notify_hook=HOOK)
    await world.fulfill(event)
    settled = world.item()
    without = {name: value for name, value in settled.items() if name not in ("assets", "archived_at_ms")}
    put("TasksTable", without)
    await recover(world, event, notify_hook_subscription_id(HOOK))
    assert world.item() == settled


async def test_a_run_that_is_no_more_is_not_told_of(world: World) -> None:
    subscribe("sub")
    event = world.end()
    client("dynamodb").delete_item(
        TableName="TasksTable", Key={"task_id": {"S": "task-1"}, "provider": {"S": "suno"}}
    )
    await recover(world, event)
    await world.fulfill(world.end(now_ms=NOW_MS + 10_000))
    made = world.deliveries()
    await recover(world, event)
    assert world.deliveries() == made
    # Even to one who was told of neither run.
    subscribe("later")
    await recover(world, event, "later")
    assert world.deliveries() == made


@pytest.mark.parametrize("lies_there", [None, b"{}", b"no json"])
async def test_where_the_manifest_is_lost_the_item_tells(world: World, lies_there: bytes | None) -> None:
    event = world.end()
    await world.fulfill(event)
    if lies_there is None:
        client("s3").delete_object(Bucket=BUCKET, Key=MANIFEST)
    else:
        client("s3").put_object(Bucket=BUCKET, Key=MANIFEST, Body=lies_there)
    put("TasksTable", world.item() | {"assets": [*world.item()["assets"], "by hand"]})
    subscribe("sub")
    await recover(world, event)
    told = world.deliveries()["sub"]["payload"]
    assert told.count("results/suno/task-1/") == 5  # the files, and the manifest's own place


@pytest.mark.parametrize("field", ["task_id", "provider", "event_id", "subscription_id"])
def test_a_request_that_lacks_something_is_refused_by_its_field(field: str) -> None:
    request = DeliveryRequest(task_id="t", provider="p", event_id="e", subscription_id="s")
    with pytest.raises(InvalidInput) as caught:
        content_of(request.model_dump_json(exclude={field}))
    assert caught.value.field == field


async def test_the_manifest_of_another_run_is_not_told(world: World) -> None:
    event = world.end()
    await world.fulfill(event)
    kept = json.loads(client("s3").get_object(Bucket=BUCKET, Key=MANIFEST)["Body"].read())
    kept["event_id"] = "of-another-run"
    client("s3").put_object(Bucket=BUCKET, Key=MANIFEST, Body=json.dumps(kept).encode())
    subscribe("sub")
    await recover(world, event)
    made = world.deliveries()["sub"]
    assert "of-another-run" not in json.dumps(made, default=str)
