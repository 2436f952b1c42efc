"""Deliveries by a subscription's own schedule, whatever it becomes while they are under way."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.unit.http.wire import OK as ANSWERS
from tests.unit.http.wire import serving
from tests.unit.test_signatures import verify_ed25519
from tests.unit.webhooks.test_attempt import MASTER, attempt
from tests.unit.webhooks.world import START_MS, Receiver, World, delivery

from tunehook.deliveries import DeliveryStatus, message_for
from tunehook.http.transport import HttpTransport
from tunehook.secret_versions import SecretVersions
from tunehook.signatures import derive_public_key, derive_secret
from tunehook.times import now_ms
from webhooks.delivery import Step
from webhooks.policy import MAX_JITTER, ResponseClass, next_attempt_at_ms

pytestmark = pytest.mark.usefixtures("aws")

FAILED, OK = ResponseClass.FAILED, ResponseClass.DELIVERED
DAY_MS = 86_400_000


def moments(world: World) -> list[int]:
    return [at_ms - START_MS for _, _, at_ms in world.receiver.attempts]


async def test_its_waits_are_kept_and_nothing_follows_the_last() -> None:
    world = World(Receiver(FAILED))
    world.subscribe(retry_schedule=[1, 2, 3_600])
    record = delivery()
    world.add(record)
    await world.run()
    assert moments(world) == [0, 1_000, 3_000, 3_603_000]
    assert (world.item(record)["status"], world.item(record)["reason"]) == ("failed", "all attempts failed")
    assert world.idle


async def test_a_schedule_made_shorter_ends_a_delivery_without_the_attempt_it_lacks() -> None:
    world = World(Receiver(FAILED))
    world.subscribe(retry_schedule=[1, 1, 1, 1])
    record = delivery()
    world.add(record)
    await world.run(messages=3)
    world.subscribe(retry_schedule=[1])
    world.subscriptions._cache.forget("sub")
    await world.run()
    item = world.item(record)
    assert len(world.receiver.attempts) == 3
    assert item["status"] == "failed"
    assert "has no attempt 4" in item["reason"]
    assert world.outcomes[-1].step is Step.CUT_SHORT
    assert world.outcomes[-1].status is DeliveryStatus.FAILED
    assert world.idle


async def test_a_schedule_made_longer_goes_on() -> None:
    world = World(Receiver(FAILED))
    world.subscribe(retry_schedule=[1])
    record = delivery()
    world.add(record)
    await world.run(messages=1)
    world.subscribe(retry_schedule=[1, 5])
    world.subscriptions._cache.forget("sub")
    await world.run()
    assert moments(world) == [0, 1_000, 6_000]


async def test_a_redelivery_is_a_run_of_the_schedule_as_it_is_then() -> None:
    world = World(Receiver(FAILED))
    world.subscribe(retry_schedule=[1])
    record = delivery()
    world.add(record)
    await world.run()
    world.subscribe(retry_schedule=[2, 2])
    world.subscriptions._cache.forget("sub")
    ended = world.table.get(record.delivery_id)
    begun = world.table.begin_run(ended, ended.attempts, world.now_ms)
    world.arrive(message_for(begun), world.now_ms)
    await world.run()
    assert [(run, number) for run, number, _ in world.receiver.attempts] == [
        *((1, number) for number in (1, 2)),
        *((2, number) for number in (1, 2, 3)),
    ]


async def test_a_subscription_is_not_disabled_before_its_schedule_is_over() -> None:
    world = World(Receiver(FAILED))
    world.subscribe(retry_schedule=[86_400] * 7)
    world.add(delivery())
    await world.run(messages=700)
    assert len(world.receiver.attempts) == 8
    assert [getattr(each, "percent", "disabled") for each in world.bus.events] == [50, 70, "disabled"]
    assert world.bus.events[-1].reason == "every attempt has failed for 7 days"
    assert moments(world)[-1] == 7 * DAY_MS


@given(
    st.lists(st.integers(1, 86_400), min_size=1, max_size=20),
    st.floats(0, 1),
    st.one_of(st.none(), st.integers(0, 10**6).map(str)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_attempt_is_earlier_than_its_wait_nor_beyond_the_last(
    waits_s: list[int], jitter: float, retry_after: str | None
) -> None:
    for number, wait_s in enumerate(waits_s, 1):
        due_ms = next_attempt_at_ms(number, 0, jitter=jitter, retry_after=retry_after, waits_s=waits_s)
        longest_ms = max(wait_s * 1000 * (1 + MAX_JITTER), min(int(retry_after or 0), 86_400) * 1000)
        assert wait_s * 1000 <= (due_ms or 0) <= longest_ms + 1
    last = len(waits_s) + 1
    assert next_attempt_at_ms(last, 0, jitter=jitter, retry_after=retry_after, waits_s=waits_s) is None


async def test_the_deadline_is_the_subscriptions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    async def send(self: Any, *args: Any, deadline_s: float, **options: Any) -> Any:
        seen.append(deadline_s)
        raise httpx.ReadTimeout("late")

    monkeypatch.setattr(HttpTransport, "send_for_status", send)
    for fields in ({}, {"timeout_s": 3}):
        await attempt(delivery(), {"url": "http://127.0.0.1:1/"} | fields)
    assert seen == [15, 3]


@pytest.mark.parametrize(
    ("signature", "both_ms", "kinds"),
    [
        ("v1", 0, ["v1"] * 2),
        ("v1a", 0, ["v1a"] * 2),
        ("both", 0, ["v1", "v1a"] * 2),
        ("v1a", 60_000, ["v1", "v1a"] * 2),
    ],
)
async def test_each_version_signs_as_the_subscription_asks_the_newest_first(
    signature: str, both_ms: int, kinds: list[str]
) -> None:
    fields = {"signature": signature, "signature_both_until_ms": now_ms() + both_ms if both_ms else 0}
    rotated = SecretVersions(present=2, previous_until_ms=now_ms() + 60_000)
    async with serving(ANSWERS) as wire:
        await attempt(delivery(), {"url": wire.url} | fields, secret=rotated)
    headers, body = wire.requests[0]
    signatures = headers["webhook-signature"].split(" ")
    assert [each.partition(",")[0] for each in signatures] == kinds
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    versions = [version for version in (2, 1) for _ in range(len(kinds) // 2)]
    for each, version in zip(signatures, versions, strict=True):
        if each.startswith("v1a,"):
            verify_ed25519(derive_public_key(MASTER, "sub", version), content, each)
        else:
            Webhook(derive_secret(MASTER, "sub", version)).verify(body, headers | {"webhook-signature": each})
