"""Fulfillment whose writes are applied and whose answers are lost, one write after the other."""

from __future__ import annotations

from typing import Any

import pytest
from moto import mock_aws
from tests.support.aws import BUCKET, REGION, Losing, client
from tests.unit.fulfillment.world import World, manifest, subscribe


def left(world: World) -> Any:
    """What fulfillment has left behind, beside tokens."""
    deliveries = {name: (item["status"], item["payload"]) for name, item in world.deliveries().items()}
    return deliveries, world.item(), manifest(), len(world.messages()), len(world.archived())


@pytest.mark.parametrize("service", ["dynamodb", "s3"])
async def test_everybody_is_told_in_the_same_run(service: str, http: Any) -> None:
    async def played(at: Any) -> tuple[Any, Losing]:
        with mock_aws():
            location = {"LocationConstraint": REGION}
            client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
            world = World(http)
            subscribe("a", "b")
            losing = Losing(client(service), at)
            await world.fulfill(world.end(), clients={service: losing})
            return left(world), losing

    undisturbed, well = await played(())
    assert set(undisturbed[0]) == {"a", "b"}
    assert well.writes
    for number in range(len(well.writes)):
        found, losing = await played({number})
        assert found == undisturbed, number
        assert losing.lost == 1
