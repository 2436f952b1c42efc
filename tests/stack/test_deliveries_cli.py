"""The command over the deployed stack: deliveries looked at and sent again, secrets rotated, tests, a listener."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.stack.commanding import ARGUMENTS, Command, environment
from tests.stack.driving import HANG_S, DeployedStack, eventually


class Receiver(ThreadingHTTPServer):
    """A receiver that answers as it is told to, and keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.hangs = False
        self.released = threading.Event()
        """Set when those that hang may go."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        if self.server.hangs:
            self.server.released.wait(HANG_S)
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def tunehook(stack: DeployedStack) -> Command:
    return Command(stack)


@pytest.fixture
def subscribed(tunehook: Command, receiver: Receiver) -> Iterator[dict[str, Any]]:
    """The receiver's own subscription."""
    item = tunehook("subscribe", receiver.url, "--event", "task.failed", "--json")
    yield item
    tunehook("subscriptions", "delete", item["subscription_id"])


def delivered(tunehook: Command, delivery_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        record: dict[str, Any] = tunehook("deliveries", "show", delivery_id, "--json")
        return record if record["status"] == "delivered" else None

    return eventually(look)


def fail_one(tunehook: Command, receiver: Receiver, subscription_id: str) -> str:
    """Let a delivery fail for good, which disables its subscription; return its id."""
    receiver.status = 410
    told = tunehook("subscriptions", "test", subscription_id, "--json")
    assert (tunehook.status, told["status"]) == (1, "failed")
    receiver.status = 204
    return str(told["delivery_id"])


def test_what_has_failed_is_found_and_delivered_again_once_the_receiver_is_well(
    tunehook: Command, receiver: Receiver, subscribed: dict[str, Any]
) -> None:
    subscription_id = subscribed["subscription_id"]
    failed = fail_one(tunehook, receiver, subscription_id)
    listed = tunehook(
        "deliveries",
        "list",
        "--subscription",
        subscription_id,
        "--status",
        "failed",
        "--since",
        "2h",
        "--json",
    )
    assert [each["delivery_id"] for each in listed] == [failed]
    (attempt,) = tunehook("deliveries", "show", failed, "--json")["attempts"]
    assert (attempt["run"], attempt["attempt"], attempt["status_code"]) == (1, 1, 410)

    tunehook("deliveries", "redeliver", failed)
    assert (tunehook.status, "is disabled" in tunehook.errors) == (2, True)
    tunehook("subscriptions", "enable", subscription_id)
    tunehook("deliveries", "redeliver", failed)
    assert tunehook.status == 0

    record = delivered(tunehook, failed)
    assert [(each["run"], each["status_code"]) for each in record["attempts"]] == [(1, 410), (2, 204)]
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {failed}
    for headers, body in receiver.got:
        Webhook(subscribed["signing_secret"]).verify(body, headers)

    lost = fail_one(tunehook, receiver, subscription_id)
    tunehook("subscriptions", "enable", subscription_id)
    recovered = tunehook("deliveries", "recover", subscription_id, "--since", "2h", "--json")
    assert recovered["recovered"] == [lost]
    assert delivered(tunehook, lost)["run"] == 2


def test_both_secrets_sign_while_one_is_rotated(
    tunehook: Command, receiver: Receiver, subscribed: dict[str, Any]
) -> None:
    subscription_id, old = subscribed["subscription_id"], subscribed["signing_secret"]
    new = tunehook("subscriptions", "rotate-secret", subscription_id, "--grace", "1h", "--json")[
        "signing_secret"
    ]
    # Before the first attempt, so that no worker knows the subscription as it was.
    tunehook("subscriptions", "test", subscription_id)
    headers, body = receiver.got[-1]
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    assert len(headers["webhook-signature"].split(" ")) == 2
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body + b" ", headers)


def ended(tunehook: Command, delivery_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        record: dict[str, Any] = tunehook("deliveries", "show", delivery_id, "--json")
        return None if record["status"] == "pending" else record

    return eventually(look)


def waits_ms(record: dict[str, Any]) -> list[float]:
    """How long after the end of each attempt the next one began, by the record."""
    return [
        (moment(later["at"]) - moment(earlier["at"])) * 1000 - earlier["duration_ms"]
        for earlier, later in itertools.pairwise(record["attempts"])
    ]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_what_signs_by_both_is_verified_by_either_and_an_own_schedule_ends_a_delivery(
    tunehook: Command, receiver: Receiver
) -> None:
    own = ("--signature", "both", "--retry-schedule", "1s,1s", "--timeout", "1s")
    made = tunehook("subscribe", receiver.url, "--event", "task.failed", *own, "--json")
    subscription_id = made["subscription_id"]
    try:
        receiver.status = 500
        told = tunehook("subscriptions", "test", subscription_id, "--json")
        record = ended(tunehook, told["delivery_id"])
        assert (record["status"], record["reason"]) == ("failed", "all attempts failed")
        assert [each["status_code"] for each in record["attempts"]] == [500] * 3
        # A message that is early by less than 100 ms is due.
        assert min(waits_ms(record)) >= 900
        keys = tunehook("subscriptions", "secret", subscription_id, "--json")
        assert keys["public_key"] == made["public_key"]
        public_key = base64.b64decode(keys["public_key"].removeprefix("whpk_"))
        key = Ed25519PublicKey.from_public_bytes(public_key)
        assert len(receiver.got) == 3
        for headers, body in receiver.got:
            Webhook(keys["signing_secret"]).verify(body, headers)
            of_hmac, of_ed25519 = headers["webhook-signature"].split(" ")
            assert (of_hmac[:3], of_ed25519[:4]) == ("v1,", "v1a,")
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            key.verify(base64.b64decode(of_ed25519[4:]), signed)
            with pytest.raises(InvalidSignature):
                key.verify(base64.b64decode(of_ed25519[4:]), signed + b" ")

        receiver.hangs = True
        told = tunehook("subscriptions", "test", subscription_id, "--json")
        record = ended(tunehook, told["delivery_id"])
        assert (record["status"], len(record["attempts"])) == ("failed", 3)
        assert {each["error"] for each in record["attempts"]} == {"DeadlineExceeded"}
        assert min(each["duration_ms"] for each in record["attempts"]) >= 1_000
        # The receiver says nothing until the test ends, so the shortest of three is the subscription's own time.
        assert min(each["duration_ms"] for each in record["attempts"]) < 15_000
        assert min(waits_ms(record)) >= 900
        assert len(receiver.got) == 6
    finally:
        tunehook("subscriptions", "delete", subscription_id)


def listener_of(stack: DeployedStack) -> dict[str, Any] | None:
    pages = (
        stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["SubscriptionsTable"])
    )
    ids = [item["subscription_id"]["S"] for page in pages for item in page["Items"]]
    found = [each for each in ids if each.startswith("listen_")]
    return stack.item("SubscriptionsTable", subscription_id=found[0]) if found else None


def test_a_listener_gets_what_is_sent_forwards_it_and_leaves_nothing_behind(
    stack: DeployedStack, tunehook: Command, receiver: Receiver, tmp_path: Path
) -> None:
    printed = tmp_path / "printed"
    with printed.open("w") as out:
        listener = subprocess.Popen(
            [*ARGUMENTS, "listen", "--port", "0", "--forward", receiver.url, "--json"],
            env=environment(stack),
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
    try:
        item = eventually(lambda: listener_of(stack))
        told = tunehook("subscriptions", "test", item["subscription_id"], "--json")
        assert (tunehook.status, told["attempts"][0]["status_code"]) == (0, 204)
        listener.send_signal(signal.SIGTERM)
        assert listener.wait(timeout=HANG_S) == 0
    finally:
        listener.kill()
        listener.wait()

    (line,) = [json.loads(text) for text in printed.read_text().splitlines()]
    assert (line["verified"], line["answer"]) == (True, 204)
    ((headers, body),) = receiver.got
    assert body.decode() == line["body"]
    assert headers["webhook-signature"] == line["headers"]["webhook-signature"]
    assert json.loads(body)["type"] == "webhook.test"
    assert listener_of(stack) is None
