"""A limited subscription on the embedded stack: its limit holds over real workers, and delays nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.stack.driving import DeployedStack, eventually
from tests.stack.sending import DeliverySender
from tests.support.fleet import excess

from tunehook.aws.items import to_attributes
from tunehook.deliveries import Delivery
from tunehook_local.sandbox import Sandbox

WEBHOOKS: Final = 30
PER_SECOND: Final = 5
SLOWEST: Final = 0.1
"""A limit whose backlog of `WEBHOOKS` lasts for five minutes."""


class Subscriptions:
    """Subscriptions of one test, and what is sent to them by the deliveries queue."""

    def __init__(self, stack: DeployedStack, sandbox: Sandbox, unique: str) -> None:
        self._stack = stack
        self._sandbox = sandbox
        self._unique = unique
        self._deliveries = DeliverySender(stack, unique)

    @contextmanager
    def subscribed(self, name: str, **item: Any) -> Iterator[list[Delivery]]:
        """Have a subscription for a while, and yield the deliveries that were made for it and sent."""
        key = {"subscription_id": f"{name}-{self._unique}"}
        self._stack.put("SubscriptionsTable", **key, url=self._sandbox.receiver_url(name), **item)
        made = [self._deliveries.create(key["subscription_id"], number) for number in range(WEBHOOKS)]
        self._deliveries.send(made)
        try:
            yield made
        finally:
            # A message whose delivery is gone is dropped when it comes by.
            dynamodb = self._stack.client("dynamodb")
            for each in made:
                dynamodb.delete_item(
                    TableName=self._stack.outputs["DeliveriesTable"],
                    Key=to_attributes({"delivery_id": each.delivery_id}),
                )
            dynamodb.delete_item(TableName=self._stack.outputs["SubscriptionsTable"], Key=to_attributes(key))

    def delivered(self, made: list[Delivery]) -> list[dict[str, Any]]:
        """Return the records of deliveries once all of them are delivered."""

        def look() -> list[dict[str, Any]] | None:
            items = self.items(made)
            return items if all(each["status"] == "delivered" for each in items) else None

        return eventually(look, moved=self._stack.moved)

    def items(self, made: list[Delivery]) -> list[dict[str, Any]]:
        return [self._stack.item("DeliveriesTable", delivery_id=each.delivery_id) for each in made]


def test_a_backlog_is_sent_no_faster_than_its_limit_and_holds_up_nobody_else(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    subscriptions = Subscriptions(stack, sandbox, unique)
    with (
        subscriptions.subscribed("slowest", max_per_second=SLOWEST) as slowest,
        subscriptions.subscribed("limited", max_per_second=PER_SECOND) as limited,
        subscriptions.subscribed("free") as free,
    ):
        sent = subscriptions.delivered(limited)
        subscriptions.delivered(free)
        waiting = [each for each in subscriptions.items(slowest) if each["status"] == "pending"]

    attempts = [attempt for each in sent for attempt in each["attempts"]]
    assert [each["attempt"] for each in attempts] == [1] * WEBHOOKS
    assert excess([each["at_ms"] for each in attempts], PER_SECOND) <= 0
    assert waiting, "what waits for five minutes waits, and the others were sent meanwhile"
    assert {each["rate_limit"] for each in waiting if "rate_limit" in each} == {SLOWEST}
    assert not [each for each in waiting if each.get("attempts")]
