"""What the webhooks function may do beside delivering, with its own role."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.stack.driving import DeployedStack, eventually

from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import message_for, new_delivery
from tunehook.tasks import Format
from tunehook.times import now_ms


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
    DeliveriesQueue(sqs, stack.outputs["DeliveriesQueue"]).send(message_for(delivery), now_ms())

    def ended() -> bool:
        return stack.item("DeliveriesTable", delivery_id=delivery.delivery_id)["status"] == "failed"

    eventually(ended)
    subscription = stack.item("SubscriptionsTable", subscription_id=unique)
    assert subscription["enabled"] is False
    assert "410" in subscription["disabled_reason"]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=watched).get("Messages"))
    detail = json.loads(message["Body"])["detail"]
    assert (detail["subscription_id"], detail["reason"]) == (unique, subscription["disabled_reason"])
