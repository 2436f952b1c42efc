"""What is shown of a request is what the webhooks function sends, but for what is masked."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from tests.support.aws import put

from tunehook.aws.links import link
from tunehook.deliveries import Delivery, new_delivery
from tunehook.errors import InvalidInput, NotFound
from tunehook.http.headers import DEFAULT_HEADERS
from tunehook.http.reply import Reply
from tunehook.operations.deliveries import request_now
from tunehook.operations.stack import Stack
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format
from tunehook.webhook_request import SIGNATURE
from webhooks.attempt import Sender
from webhooks.subscription_cache import SubscriptionCache

URL = "https://x.example/hook"
NOW_MS = 1_800_000_000_000
KEY = "results/suno/t/c/audio.mp3"
DATA = {"task_id": "t", "clips": [{"title": "城市", "assets": [{"type": "audio", "key": KEY}]}]}


class Recorder:
    """A transport that keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: tuple[str, str, dict[str, str], bytes] | None = None

    async def send_for_status(
        self, method: str, url: str, headers: dict[str, str], body: bytes, **_: Any
    ) -> Reply:
        self.sent = (method, url, dict(headers), body)
        return Reply(204, {}, b"", truncated=False)


@pytest.fixture(autouse=True)
def _at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook.operations.deliveries.now_ms", lambda: NOW_MS)


def delivery(form: Format = Format.STANDARD, **changes: Any) -> Delivery:
    made = new_delivery(
        event_id="evt_2",
        subscription_id="sub-1",
        task_id="t",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=form,
        payload=json.dumps(DATA, ensure_ascii=False),
        now_ms=NOW_MS,
    )
    return made.model_copy(update=changes)


def sent(found: Stack, made: Delivery) -> tuple[str, str, dict[str, str], bytes]:
    recorder = Recorder()
    sign_link = partial(link, found.s3, "results")
    sender = Sender(recorder, found.network_policy, sign_link)  # type: ignore[arg-type]
    cache = SubscriptionCache(found.subscriptions, found.secret_versions, found.network_policy)
    subscription = None if made.url else cache.get(made.subscription_id)
    asyncio.run(sender.attempt(made, subscription, "m" * 64, NOW_MS))
    assert recorder.sent is not None
    return recorder.sent


def without_query(body: str, url: str) -> str:
    start = body.index(url + "?")
    return body[:start] + url + "?****" + body[body.index('"', start) :]


@pytest.mark.parametrize("form", Format)
def test_it_is_what_the_worker_sends(found: Stack, form: Format) -> None:
    made = delivery(form)
    method, url, headers, body = sent(found, made)
    shown = request_now(found, made)
    assert (shown.method, shown.url) == (method, url)
    assert shown.headers == DEFAULT_HEADERS | headers | {SIGNATURE: "v1,****"}
    assert list(shown.headers) == [*DEFAULT_HEADERS, *headers]
    place = link(found.s3, "results", KEY).partition("?")[0]
    expected = body.decode() if form is Format.PROVIDER else without_query(body.decode(), place)
    assert shown.body == expected
    whole = request_now(found, made, links=True).body
    assert "Signature=" in whole or form is Format.PROVIDER
    assert "Signature=" not in shown.body


def test_no_secret_is_shown(found: Stack) -> None:
    secret = "Bearer of-the-customer"
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": URL, "headers": {"authorization": secret}})
    put(
        "SecretVersionsTable",
        {"subscription_id": "sub-1", "secret_version": 2, "previous_secret_until_ms": NOW_MS + 1},
    )
    made = delivery()
    _, _, headers, _ = sent(found, made)
    shown = request_now(found, made)
    assert headers["authorization"] == secret
    assert shown.headers["authorization"] == "****"
    assert shown.headers[SIGNATURE] == "v1,**** v1,****"
    assert headers[SIGNATURE].count("v1,") == 2
    assert "of-the-customer" not in repr(shown)


def test_that_to_a_notify_hook_goes_to_its_own_url(found: Stack) -> None:
    hook = "https://hook.example/x?token=a"
    made = delivery(url=hook, subscription_id=notify_hook_subscription_id(hook))
    assert request_now(found, made).url == sent(found, made)[1] == hook


def test_what_cannot_be_sent_is_told(found: Stack) -> None:
    with pytest.raises(NotFound):
        request_now(found, delivery(subscription_id="deleted"))
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": "ftp://x"})
    with pytest.raises(InvalidInput):
        request_now(found, delivery())
    with pytest.raises(InvalidInput):
        request_now(found, delivery(payload="[", url=URL))
