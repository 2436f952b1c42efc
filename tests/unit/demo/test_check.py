"""The demonstration's checks can fail: each defect is found and named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tunehook_local.demo.check import HOOK, SUBSCRIBED, DemoTask, examine
from tunehook_local.demo.observer import ReceivedWebhook, StoredFile

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
TASK = DemoTask("suno", "t", "completed", {"audio/mpeg": 1}, has_hook=True, calls_back=True)
AUDIO = b"ID3 some music"
DIGEST = "c3f7f2ac6d0c5d1c2a4de8f8c8c3b2b7"


class FakeObserver:
    """An observer to which everything is as it should be, until a test spoils something."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {
            "status": "completed",
            "assets": [{"key": "k/audio.mp3", "sha256": DIGEST}],
        }
        self.stored = [
            StoredFile("k/audio.mp3", 14, "audio/mpeg", DIGEST),
            StoredFile("k/manifest.json", 2, "application/json", "x"),
        ]
        self.linked = AUDIO
        self.called_back: list[int | None] = [200]

    def callbacks(self, task_id: str) -> list[int | None]:
        return self.called_back

    def task(self, provider: str, task_id: str) -> dict[str, Any]:
        return self.item

    def files(self, provider: str, task_id: str) -> list[StoredFile]:
        return self.stored

    def download(self, link: str) -> bytes:
        return self.linked


def webhook(receiver: str, secret: str = SECRET, kind: str = "task.completed") -> ReceivedWebhook:
    import hashlib

    asset = {"url": "http://h/a", "sha256": hashlib.sha256(AUDIO).hexdigest()}
    data = {"task_id": "t", "clips": [{"assets": [asset]}]}
    body = json.dumps({"type": kind, "data": data}).encode()
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    return ReceivedWebhook(receiver, headers, body)


def problems(observer: FakeObserver, webhooks: list[ReceivedWebhook]) -> list[str]:
    return examine(observer, TASK, webhooks, {SUBSCRIBED: SECRET, HOOK: SECRET}).problems  # type: ignore[arg-type]


def good() -> list[ReceivedWebhook]:
    return [webhook(SUBSCRIBED), webhook(HOOK)]


OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()


def test_nothing_is_wrong_where_everything_is_there() -> None:
    assert problems(FakeObserver(), good()) == []


def drop_manifest(observer: FakeObserver) -> None:
    observer.stored.pop()


def drop_audio(observer: FakeObserver) -> None:
    observer.stored.pop(0)


def other_bytes(observer: FakeObserver) -> None:
    observer.stored[0] = replace(observer.stored[0], sha256="other")


def failed(observer: FakeObserver) -> None:
    observer.item["status"] = "failed"


def other_link(observer: FakeObserver) -> None:
    observer.linked = b"something else"


def no_callback(observer: FakeObserver) -> None:
    observer.called_back = [None]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_manifest, "has no manifest"),
        (drop_audio, "has no files in S3"),
        (other_bytes, "does not match the task's item"),
        (failed, "is failed, not completed"),
        (other_link, "returns other bytes"),
        (no_callback, "has no callback"),
    ],
)
def test_what_is_missing_or_wrong_is_named(spoil: Callable[[FakeObserver], None], words: str) -> None:
    observer = FakeObserver()
    spoil(observer)
    assert any(words in problem for problem in problems(observer, good()))


# Signed when the test runs: a signature is good for five minutes.
@pytest.mark.parametrize(
    ("received", "words"),
    [
        (list, "no receiver"),
        (lambda: [webhook(SUBSCRIBED)], "has webhooks at"),
        (lambda: [*good(), webhook(HOOK)], "has webhooks at"),
        (lambda: [webhook(SUBSCRIBED), webhook(HOOK, OTHER_SECRET)], "whose signature does not verify"),
        (lambda: [webhook(SUBSCRIBED), webhook(HOOK, kind="task.failed")], "of type task.failed"),
    ],
)
def test_a_webhook_that_is_missing_or_wrong_is_named(
    received: Callable[[], list[ReceivedWebhook]], words: str
) -> None:
    assert any(words in problem for problem in problems(FakeObserver(), received()))
