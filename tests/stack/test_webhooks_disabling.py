"""What the webhooks function may do beside delivering, with its own role."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.stack.driving import DeployedStack, eventually
from tests.support.verifying import with_python

from fulfillment.recipients import CACHED_S
from tunehook.aws.dead_letter_marks import DEAD_LETTERS
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import Delivery, message_for, new_delivery
from tunehook.signatures import derive_secret
from tunehook.tasks import Format
from tunehook.times import now_ms
from tunehook_local.sandbox import Sandbox
from tunehook_local.sandbox.ledger import ReceivedRequest


class Gone(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(410)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Gone) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_receiver_that_is_gone_is_disabled_and_told_of_on_the_bus(
    stack: DeployedStack, url: str, unique: str
) -> None:
    sqs, events, bus = stack.client("sqs"), stack.client("events"), stack.outputs["EventBusName"]
    watched = sqs.create_queue(QueueName=f"watch-{unique}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=watched, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["tunehook"], "detail-type": ["SubscriptionDisabled"]}
    events.put_rule(Name=unique, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=unique, EventBusName=bus, Targets=[{"Id": "watch", "Arn": arn}])
    stack.put("SubscriptionsTable", subscription_id=unique, url=url)
    delivery = deliver(stack, unique)

    def ended() -> bool:
        return stack.item("DeliveriesTable", delivery_id=delivery.delivery_id)["status"] == "failed"

    eventually(ended)
    subscription = stack.item("SubscriptionsTable", subscription_id=unique)
    assert subscription["enabled"] is False
    assert "410" in subscription["disabled_reason"]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=watched).get("Messages"))
    detail = json.loads(message["Body"])["detail"]
    assert (detail["subscription_id"], detail["reason"]) == (unique, subscription["disabled_reason"])


def deliver(stack: DeployedStack, unique: str) -> Delivery:
    """Have a delivery to the subscription `unique` attempted."""
    delivery = new_delivery(
        event_id=f"evt_{unique}",
        subscription_id=unique,
        task_id=unique,
        provider="musicmint",
        type="task.completed",
        event_at_ms=now_ms(),
        format=Format.STANDARD,
        payload='{"clips": []}',
        now_ms=now_ms(),
    )
    DeliveriesTable(stack.client("dynamodb"), stack.outputs["DeliveriesTable"]).create(delivery)
    queue = DeliveriesQueue(stack.client("sqs"), stack.outputs["DeliveriesQueue"])
    queue.send(message_for(delivery), now_ms())
    return delivery


def test_another_subscription_hears_of_it_and_of_dead_letters_but_never_of_itself(
    stack: DeployedStack, sandbox: Sandbox, url: str, unique: str
) -> None:
    watcher, kinds = f"watcher-{unique}", ["subscription.disabled", "dead_letters.found"]
    stack.put("SubscriptionsTable", subscription_id=unique, url=url, events=["task.completed", *kinds])
    stack.put("SubscriptionsTable", subscription_id=watcher, url=sandbox.receiver_url(watcher), events=kinds)
    # Fulfillment knows the subscriptions of 15 s ago.
    time.sleep(CACHED_S + 1)
    deliver(stack, unique)
    # What was told of dead letters before, by other tests, is forgotten.
    stack.client("dynamodb").delete_item(
        TableName=stack.outputs["ProviderStatesTable"], Key={"provider": {"S": DEAD_LETTERS}}
    )
    sqs, intake = stack.client("sqs"), stack.outputs["IntakeDeadLetters"]
    sqs.send_message(QueueUrl=intake, MessageBody=unique)
    poller, start = stack.outputs["PollerFunction"], json.dumps({"started_by": "schedule"})
    stack.client("lambda").invoke(FunctionName=poller, InvocationType="Event", Payload=start.encode())
    try:
        told = eventually(lambda: told_of(sandbox, watcher, unique), moved=stack.moved)
    finally:
        sqs.purge_queue(QueueUrl=intake)
    secret = derive_secret(stack.master_secret(), watcher, 1)
    bodies = {each.headers["webhook-id"]: with_python(secret, each.headers, each.body) for each in told}
    assert len(bodies) == len(told)
    # It hears of what other tests disable, too.
    (disabled,) = [each for each in bodies.values() if each["data"].get("subscription_id") == unique]
    (found,) = [each for each in bodies.values() if each["data"].get("queue") == "intake"]
    assert [disabled["type"], found["type"]] == kinds
    assert "410" in disabled["data"]["reason"]
    assert found["data"]["messages"] >= 1
    about_itself = [
        each
        for each in stack.items("DeliveriesTable", "subscription_id", "type", "payload")
        if (each["subscription_id"], each["type"]) == (unique, "subscription.disabled")
        and json.loads(each["payload"])["subscription_id"] == unique
    ]
    assert about_itself == []


def told_of(sandbox: Sandbox, watcher: str, subscription_id: str) -> list[ReceivedRequest] | None:
    """What a receiver was told, once that is the end of a subscription and dead letters of intake."""
    received = sandbox.received(watcher)
    data = [json.loads(each.body)["data"] for each in received]
    is_disabled = any(each.get("subscription_id") == subscription_id for each in data)
    return received if is_disabled and any(each.get("queue") == "intake" for each in data) else None
