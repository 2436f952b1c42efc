"""What arrives on the wire, verified by code that is not ours."""

import json
from typing import Any

import pytest
from tests.support.verifying import VERIFIERS, NotVerified, Verify
from tests.unit.http.wire import OK, Wire, answering, serving
from tests.unit.webhooks.world import Receiver, World, delivery

from tunehook.aws.deliveries import Redeliveries, Redelivery
from tunehook.deliveries import Delivery
from tunehook.http.guard import NetworkPolicy
from tunehook.http.transport import HttpTransport
from tunehook.signatures import derive_secret, notify_hook_subscription_id, sign
from tunehook.tasks import Format
from tunehook.times import now_ms
from webhooks.attempt import Sender
from webhooks.policy import ResponseClass

pytestmark = pytest.mark.usefixtures("aws")

MASTER = "m" * 32
PAYLOAD = '{"task_id": "任务", "clips": []}'
REFUSED = answering(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture(params=VERIFIERS.values(), ids=VERIFIERS)
def verify(request: pytest.FixtureRequest) -> Verify:
    return request.param


class Sending(World):
    """A world whose attempts go over the wire, at the time that it is."""

    def __init__(self) -> None:
        super().__init__(Receiver(ResponseClass.DELIVERED), now_ms=now_ms())

    async def send(self, record: Delivery, messages: int = 1) -> None:  # type: ignore[override]
        async with HttpTransport() as client:
            self.receiver = Sender(client, NetworkPolicy.ANY, "https://bucket.example/{}".format)  # type: ignore[assignment]
            self.add(record)
            await self.run(messages)
        assert self.faults == []

    async def go_on(self, messages: int = 1) -> None:
        async with HttpTransport() as client:
            self.receiver = Sender(client, NetworkPolicy.ANY, "https://bucket.example/{}".format)  # type: ignore[assignment]
            await self.run(messages)

    async def send_batch(self, messages: Any, now_ms: int) -> None:
        for message in messages:
            # The next attempt is made at once, so that its time is the present, which verifiers look at.
            self.arrive(message.model_copy(update={"due_at_ms": self.now_ms}), self.now_ms)


def secret(version: int = 1, subscription_id: str = "sub") -> str:
    return derive_secret(MASTER, subscription_id, version)


def record(**changes: Any) -> Delivery:
    return delivery(payload=PAYLOAD, now_ms=now_ms() - 60_000, **changes)


def verified(wire: Wire, verify: Verify, number: int = 0, key: str | None = None) -> Any:
    headers, body = wire.requests[number]
    payload = verify(key or secret(), headers, body)
    assert payload == json.loads(body)
    return payload


@pytest.mark.parametrize("kind", Format)
async def test_a_first_attempt_verifies_in_every_format(kind: Format, verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        world.subscribe(url=wire.url)
        await world.send(record(format=kind))
    verified(wire, verify)


async def test_every_retry_verifies_with_the_same_id_and_a_signature_of_its_own(verify: Verify) -> None:
    world = Sending()
    async with serving(REFUSED) as wire:
        world.subscribe(url=wire.url)
        await world.send(record(), messages=3)
    assert len(wire.requests) == 3
    for number in range(3):
        verified(wire, verify, number)
    assert len({headers["webhook-id"] for headers, _ in wire.requests}) == 1


@pytest.mark.parametrize("version", [1, 2])
async def test_during_a_rotation_either_secret_verifies(version: int, verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        world.subscribe(url=wire.url, secret_version=2, previous_secret_until_ms=world.now_ms + 86_400_000)
        await world.send(record())
    verified(wire, verify, key=secret(version))


async def test_after_a_rotation_the_old_secret_verifies_no_more(verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        world.subscribe(url=wire.url, secret_version=2, previous_secret_until_ms=world.now_ms)
        await world.send(record())
    verified(wire, verify, key=secret(2))
    with pytest.raises(NotVerified):
        verified(wire, verify, key=secret(1))


async def test_a_redelivery_verifies_with_the_same_id(verify: Verify) -> None:
    world = Sending()
    queue: Any = type("Queue", (), {"send": lambda _, message, now_ms: world.arrive(message, now_ms)})()
    redeliveries = Redeliveries(world.table, queue)
    async with serving(OK) as wire:
        world.subscribe(url=wire.url)
        await world.send(record())
        assert redeliveries.begin(record().delivery_id, world.now_ms)[0] is Redelivery.STARTED
        await world.go_on()
    first, second = (headers["webhook-id"] for headers, _ in wire.requests)
    assert first == second
    verified(wire, verify, 1)


async def test_a_test_verifies(verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        world.subscribe(url=wire.url)
        await world.send(record(type="webhook.test"))
    assert verified(wire, verify)["type"] == "webhook.test"


async def test_a_hook_of_a_task_verifies_with_the_secret_of_its_url(verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        hook = notify_hook_subscription_id(wire.url)
        await world.send(record(url=wire.url, subscription_id=hook))
    verified(wire, verify, key=secret(subscription_id=hook))
    with pytest.raises(NotVerified):
        verified(wire, verify)


async def test_a_changed_byte_does_not_verify(verify: Verify) -> None:
    world = Sending()
    async with serving(OK) as wire:
        world.subscribe(url=wire.url)
        await world.send(record())
    headers, body = wire.requests[0]
    with pytest.raises(NotVerified):
        verify(secret(), headers, body.replace(b"clips", b"clipz"))


def test_what_we_sign_for_the_published_key_verifies(verify: Verify) -> None:
    key, body, now_s = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}', now_ms() // 1000
    message_id = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(message_id, now_s, body, [key]),
    }
    assert verify(key, headers, body) == {"test": 2432232314}
