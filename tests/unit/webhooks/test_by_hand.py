"""What users change by hand while deliveries are under way, through the deliverer and the sender."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.webhooks.world import START_MS, VISIBILITY_MS, Receiver, World, delivery

from tunehook.aws.items import to_attributes
from tunehook.deliveries import Delivery
from tunehook.http.guard import NetworkPolicy
from tunehook.http.reply import Reply
from tunehook.signatures import derive_secret, sign
from webhooks.attempt import Sender
from webhooks.policy import ResponseClass

pytestmark = pytest.mark.usefixtures("aws")

MASTER = "m" * 32
OLD, NEW = "https://old.example/", "https://new.example/"


class Sending(World):
    """A world whose attempts are made by the sender itself, over a transport that answers with these statuses."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(Receiver(ResponseClass.DELIVERED), master_secret=lambda: MASTER)
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        transport: Any = _Transport(self)
        sender: Any = Sender(transport, NetworkPolicy.ANY, "https://bucket/{}".format)
        self.receiver = sender

    async def begin(self, **item: Any) -> Delivery:
        """Subscribe, and make the first attempt of a delivery."""
        self.subscribe(**{"url": OLD} | item)
        record = delivery(payload=json.dumps({"task_id": "task", "clips": []}))
        self.add(record)
        await self.run(messages=1)
        return record

    async def go_on(self) -> None:
        """Let what is known of the subscription grow old, and handle all that comes."""
        self.now_ms += 15_000
        await self.run(messages=20)

    def urls(self) -> list[str]:
        return [url for url, _, _ in self.requests]

    def is_signed(self, number: int, *versions: int) -> bool:
        _, headers, body = self.requests[number]
        secrets = [derive_secret(MASTER, "sub", version) for version in versions]
        signature = sign(headers["webhook-id"], int(headers["webhook-timestamp"]), body, secrets)
        return headers["webhook-signature"] == signature


class _Transport:
    def __init__(self, world: Sending) -> None:
        self._world = world

    async def send_for_status(self, _: str, url: str, headers: Any, body: bytes, **limits: Any) -> Reply:
        self._world.requests.append((url, dict(headers), body))
        return Reply(status=self._world.statuses.pop(0), headers={}, body=b"", truncated=False)


async def test_a_url_that_changes_under_way_gets_the_attempts_from_then_on() -> None:
    world = Sending(503, 503, 200)
    record = await world.begin()
    world.subscribe(url=NEW, headers={"x-token": "new"})
    await world.go_on()
    assert world.urls() == [OLD, NEW, NEW]
    assert "x-token" not in world.requests[0][1]
    assert world.requests[1][1]["x-token"] == "new"
    assert len({headers["webhook-id"] for _, headers, _ in world.requests}) == 1
    assert world.item(record)["status"] == "delivered"


async def test_a_rotation_under_way_signs_the_attempts_from_then_on() -> None:
    world = Sending(503, 503, 200)
    await world.begin()
    world.rotate(previous_until_ms=START_MS + 60_000)
    await world.go_on()
    # The third attempt comes when the grace is over.
    assert world.is_signed(0, 1)
    assert world.is_signed(1, 2, 1)
    assert world.is_signed(2, 2)


async def test_an_item_that_is_put_again_under_way_brings_no_retired_secret_back() -> None:
    world = Sending(503, 200)
    await world.begin()
    world.rotate()
    world.subscribe(url=NEW, secret_version=1, previous_secret_until_ms=START_MS + 10**9)
    await world.go_on()
    assert world.urls() == [OLD, NEW]
    assert world.is_signed(1, 2)


@pytest.mark.parametrize(
    "spoilt", [{"url": "nonsense"}, {"headers": {"x-a": 7}}, {"format": "xml"}, {"enabled": "no"}]
)
async def test_an_item_that_is_spoilt_under_way_sends_nothing_until_it_is_mended(
    spoilt: dict[str, Any],
) -> None:
    world = Sending(503, 200)
    record = await world.begin()
    world.subscribe(**{"url": OLD} | spoilt)
    world.now_ms += 15_000
    await world.run(messages=1)
    (first, second) = world.item(record)["attempts"]
    assert (first["status_code"], second["error"]) == (503, "InvalidInput")
    world.subscribe(url=NEW)
    await world.go_on()
    assert world.urls() == [OLD, NEW]
    assert world.item(record)["status"] == "delivered"
    assert world.faults == []


async def test_attributes_that_become_null_under_way_are_not_given() -> None:
    world = Sending(503, 200)
    record = await world.begin(headers={"x-token": "old"})
    ours = ("secret_version", "previous_secret_until_ms", "failing_since_ms", "failing_warned_ms")
    world.subscribe(url=OLD, **dict.fromkeys(("headers", "events", "format", "enabled", *ours)))
    await world.go_on()
    assert "x-token" not in world.requests[1][1]
    assert world.item(record)["status"] == "delivered"
    assert "failing_since_ms" not in world.subscription()


async def test_a_subscription_that_is_deleted_under_way_ends_its_deliveries() -> None:
    world = Sending(503)
    record = await world.begin()
    world.client.delete_item(TableName="subscriptions", Key=to_attributes({"subscription_id": "sub"}))
    await world.go_on()
    item = world.item(record)
    assert (item["status"], item["reason"]) == ("aborted", "subscription deleted")
    assert world.idle


@pytest.mark.parametrize("payload", ["no json", "[]", '{"clips": 7}', '{"clips": ["x"]}'])
async def test_a_payload_that_was_changed_by_hand_is_a_failed_attempt_until_it_is_mended(
    payload: str,
) -> None:
    world = Sending(503, 200)
    record = await world.begin()

    def change(text: str) -> None:
        world.client.update_item(
            TableName="deliveries",
            Key=to_attributes({"delivery_id": record.delivery_id}),
            # As on a record of an earlier version: what a payload of its own was changed into is not read.
            UpdateExpression="SET payload = :text REMOVE payload_id",
            ExpressionAttributeValues=to_attributes({":text": text}),
        )

    change(payload)
    world.now_ms += 15_000
    await world.run(messages=1)
    assert world.item(record)["attempts"][1]["error"] == "InvalidInput"
    change(record.payload)
    await world.go_on()
    assert world.item(record)["status"] == "delivered"
    assert world.faults == []


async def test_a_delivery_that_is_deleted_under_way_is_dropped() -> None:
    world = Sending(503)
    record = await world.begin()
    world.client.delete_item(TableName="deliveries", Key=to_attributes({"delivery_id": record.delivery_id}))
    await world.go_on()
    assert world.urls() == [OLD]
    assert world.idle
    assert world.now_ms < START_MS + VISIBILITY_MS
