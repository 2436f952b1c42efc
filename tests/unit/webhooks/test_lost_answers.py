"""A worker whose writes are applied and whose answers are lost, one write after the other."""

from __future__ import annotations

from typing import Any

import pytest
from moto import mock_aws
from tests.support.aws import Losing
from tests.unit.webhooks.world import Receiver, World, delivery

from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from webhooks.circuit_breaker import CircuitBreaker
from webhooks.policy import ResponseClass
from webhooks.subscription_health import SubscriptionHealth

CLASSES = [ResponseClass.FAILED, None, None, None, ResponseClass.DELIVERED]


async def played(at: Any, *, gives_up: bool) -> tuple[World, Losing]:
    """Play a delivery that is failed once, hangs three times, and is taken then."""
    world = World(Receiver(*CLASSES))
    world.subscribe()
    world.add(delivery())
    losing: Any = Losing(world.client, at, gives_up=gives_up)
    world.table = DeliveriesTable(losing, "deliveries")
    table = SubscriptionsTable(losing, "subscriptions")
    world.subscriptions = world.read_subscriptions(table)
    bus: Any = world.bus
    world.health = SubscriptionHealth(world.subscriptions, world.table, bus)
    world.breaker = CircuitBreaker(CircuitsTable(losing, "gates"), lambda: world.now_ms)
    await world.run()
    return world, losing


@pytest.mark.parametrize("gives_up", [False, True], ids=["made again", "given up"])
async def test_no_claim_is_busy_against_itself_and_no_attempt_is_made_twice(gives_up: bool) -> None:
    with mock_aws():
        world, well = await played((), gives_up=gives_up)
        expected = world.item(delivery())["attempts"]
        assert (world.item(delivery())["status"], len(expected), world.faults) == ("delivered", 5, [])
    for number in range(len(well.writes)):
        with mock_aws():
            world, losing = await played({number}, gives_up=gives_up)
            item = world.item(delivery())
            assert item["status"] == "delivered", number
            assert [(each["run"], each["attempt"]) for each in item["attempts"]] == [
                (each["run"], each["attempt"]) for each in expected
            ]
            assert [(run, attempt) for run, attempt, _ in world.receiver.attempts] == [
                (1, attempt) for attempt in range(1, 6)
            ], number
            assert not [each for each in world.faults if "another worker" in str(each)], number
            assert gives_up or world.faults == [], number
            # Whose success nobody got to know of, the next one makes up for.
            assert gives_up or "failing_since_ms" not in world.subscription()
            assert losing.lost == 1
