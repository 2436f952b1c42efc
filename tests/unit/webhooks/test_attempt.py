import asyncio
import json
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from tests.unit.http.wire import OK, Script, answering, serving
from tests.unit.webhooks.world import delivery, subscribed

from tunehook.deliveries import Delivery
from tunehook.errors import InvalidInput
from tunehook.http.errors import DeadlineExceeded, InvalidAnswer
from tunehook.http.guard import NetworkPolicy
from tunehook.http.reply import Reply
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.transport import HttpTransport
from tunehook.secret_versions import FIRST, SecretVersions
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.tasks import Format
from tunehook.times import now_ms
from webhooks import attempt as module
from webhooks.attempt import Result, Sender
from webhooks.policy import ResponseClass

MASTER = "m" * 40
ANY = NetworkPolicy.ANY


async def attempt(
    record: Delivery,
    subscription: dict[str, Any] | None,
    *,
    policy: NetworkPolicy = ANY,
    lookup: Lookup = system_lookup,
    secret: SecretVersions = FIRST,
) -> Result:
    found = None if subscription is None else subscribed(subscription, policy, secret)
    async with HttpTransport(guard=policy, lookup=lookup) as client:
        sender = Sender(client, policy, "https://bucket/{}".format)
        return await sender.attempt(record, found, MASTER, now_ms())


async def post_to(script: Script, **subscription: Any) -> Result:
    async with serving(script) as wire:
        return await attempt(delivery(), {"url": wire.url} | subscription)


async def failing_with(failure: Exception) -> Result:
    class Transport:
        async def send_for_status(self, *_: Any, **__: Any) -> None:
            raise failure

    transport: Any = Transport()
    sender = Sender(transport, ANY, "https://bucket/{}".format)
    return await sender.attempt(
        delivery(), subscribed({"url": "https://h.example/"}, ANY, FIRST), MASTER, now_ms()
    )


@pytest.mark.parametrize("kind", Format)
async def test_the_bytes_on_the_wire_verify_with_the_reference_library(kind: Format) -> None:
    record = delivery(format=kind, payload='{"task_id": "词", "clips": []}')
    async with serving(OK) as wire:
        await attempt(record, {"url": wire.url})
    headers, body = wire.requests[0]
    verified = Webhook(derive_secret(MASTER, "sub", 1)).verify(body, headers)
    assert verified == json.loads(body)


async def test_every_header_of_the_contract_is_on_the_wire() -> None:
    before_s = now_ms() // 1000
    async with serving(OK) as wire:
        await attempt(delivery(), {"url": wire.url})
    headers, body = wire.requests[0]
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("tunehook/")
    assert headers["webhook-id"] == delivery().delivery_id
    assert before_s <= int(headers["webhook-timestamp"]) <= now_ms() // 1000
    assert headers["content-length"] == str(len(body))
    assert "cookie" not in headers


async def test_during_a_rotation_both_secrets_verify() -> None:
    async with serving(OK) as wire:
        rotated = SecretVersions(present=2, previous_until_ms=now_ms() + 60_000)
        await attempt(delivery(), {"url": wire.url}, secret=rotated)
    headers, body = wire.requests[0]
    for version in (1, 2):
        Webhook(derive_secret(MASTER, "sub", version)).verify(body, headers)


async def test_a_hook_is_signed_with_a_secret_of_its_own() -> None:
    async with serving(OK) as wire:
        subscription_id = notify_hook_subscription_id(wire.url)
        await attempt(delivery(url=wire.url, subscription_id=subscription_id), None)
    headers, body = wire.requests[0]
    Webhook(derive_secret(MASTER, subscription_id, 1)).verify(body, headers)


async def test_the_subscriptions_own_headers_are_added() -> None:
    async with serving(OK) as wire:
        await attempt(delivery(), {"url": wire.url, "headers": {"Authorization": "Bearer abc"}})
    assert wire.requests[0][0]["authorization"] == "Bearer abc"


async def test_an_answer_is_recorded_with_status_and_excerpt() -> None:
    result = await post_to(OK)
    assert result.response_class is ResponseClass.DELIVERED
    assert (result.attempt.status_code, result.attempt.excerpt, result.attempt.error) == (200, "ok", None)


async def test_one_kibibyte_of_the_answer_is_kept() -> None:
    body = "é".encode() * 10_000
    head = f"HTTP/1.1 500 Oh\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    result = await post_to(answering(head + body))
    assert result.attempt.excerpt == "é" * 512


async def test_retry_after_is_handed_on() -> None:
    script = answering(b"HTTP/1.1 429 Slow\r\nretry-after: 77\r\ncontent-length: 0\r\n\r\n")
    result = await post_to(script)
    assert (result.response_class, result.retry_after) == (ResponseClass.FAILED, "77")


async def test_a_redirect_is_a_failure_and_not_followed() -> None:
    async with serving(OK) as target:
        script = answering(f"HTTP/1.1 307 Go\r\nlocation: {target.url}\r\ncontent-length: 0\r\n\r\n".encode())
        result = await post_to(script)
    assert (result.response_class, result.attempt.status_code) == (ResponseClass.FAILED, 307)
    assert target.connections == 0


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (b"https://www.example.com/hook/", "location: https://www.example.com/hook/"),
        (b"/login?token=s3cret&next=%2F#s3cret", "location: /login?..."),
        (b"https://user:s3cret@example.com:8443/a b", "location: https://example.com:8443/a%20b"),
        (
            b"https://example.com/\xff\xe6\xad\x8c\x1b[31m",
            "location: https://example.com/%FF%E6%AD%8C%1B[31m",
        ),
        (b"x" * 5_000, "location: " + "x" * 290),
    ],
)
async def test_of_a_redirect_the_log_keeps_where_to_without_its_secrets(location: bytes, told: str) -> None:
    result = await post_to(
        answering(b"HTTP/1.1 302 Go\r\nlocation: " + location + b"\r\ncontent-length: 0\r\n\r\n")
    )
    assert result.attempt.detail == told
    assert (result.attempt.detail or "").isascii()


async def test_a_location_beside_another_status_is_not_kept() -> None:
    script = answering(b"HTTP/1.1 201 Made\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n")
    assert (await post_to(script)).attempt.detail is None


@pytest.mark.parametrize(
    ("failure", "answered"),
    [
        (httpx.ReadTimeout("late"), False),
        (DeadlineExceeded("late"), False),
        (httpx.ConnectError("refused"), False),
        (httpx.ReadError("broken"), False),
        (httpx.RemoteProtocolError("gone"), False),
        (InvalidAnswer("no HTTP"), True),
        (httpx.ProxyError("ours"), None),
        (InvalidInput("url", "is none"), None),
    ],
)
async def test_how_an_attempt_failed_says_whether_its_receiver_answered(
    failure: Exception, answered: bool | None
) -> None:
    result = await failing_with(failure)
    assert (result.response_class, result.answered) == (ResponseClass.FAILED, answered)
    assert (result.attempt.error, result.attempt.detail) == (type(failure).__name__, str(failure))


async def test_a_failure_without_a_word_has_no_detail() -> None:
    assert (await failing_with(httpx.ReadTimeout(""))).attempt.detail is None


@pytest.mark.parametrize("status", [b"204 No Content", b"410 Gone"])
async def test_an_answer_to_disable_ends_the_subscription(status: bytes) -> None:
    script = answering(b"HTTP/1.1 " + status + b"\r\nWebhook-Delivery: disable\r\ncontent-length: 0\r\n\r\n")
    assert (await post_to(script)).response_class is ResponseClass.GONE


def test_an_attempt_has_15_seconds_and_reads_16_kibibytes() -> None:
    assert (module.ATTEMPT_S, module.MAX_ANSWER_BYTES, module.EXCERPT_BYTES) == (15.0, 16_384, 1_024)
    assert Sender.__dataclass_fields__["deadline_s"].default == 15.0


@pytest.mark.parametrize(
    ("subscription", "field"),
    [
        ({"url": "http://user:s3cret@127.0.0.1/"}, "url: "),
        ({"url": "not a url with s3cret"}, "url: "),
        ({"url": 7}, "url: "),
        ({"url": "http://127.0.0.1/", "headers": {"x-a": "s3cret\r\nc: d"}}, "headers.x-a: "),
        ({"url": "http://127.0.0.1/", "headers": {"webhook-id": "s3cret"}}, "headers.webhook-id: "),
        ({"url": "http://127.0.0.1/", "headers": {"x-a": ["s3cret"]}}, "headers.x-a: "),
    ],
)
async def test_a_subscription_that_cannot_be_used_is_a_failed_attempt_that_names_the_field(
    subscription: dict[str, Any], field: str
) -> None:
    result = await attempt(delivery(), subscription)
    assert (result.response_class, result.attempt.error, result.answered) == (
        ResponseClass.FAILED,
        "InvalidInput",
        None,
    )
    assert (result.attempt.detail or "").startswith(field)
    assert "s3cret" not in (result.attempt.detail or "")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://localhost:8443/", "https://127.1/"])
async def test_a_forbidden_address_is_a_failed_attempt_with_its_own_error(url: str) -> None:
    result = await attempt(delivery(), {"url": url}, policy=NetworkPolicy.PUBLIC)
    assert (result.response_class, result.attempt.error) == (ResponseClass.FAILED, "ForbiddenAddress")


async def test_a_name_that_does_not_resolve_is_a_failed_attempt() -> None:
    def no_name(*_: object) -> Any:
        raise OSError

    result = await attempt(delivery(), {"url": "https://nowhere.example/"}, lookup=no_name)
    assert (result.response_class, result.attempt.error) == (ResponseClass.FAILED, "NameNotResolved")


async def test_a_refused_connection_is_a_failed_attempt() -> None:
    async with serving(OK) as wire:
        pass
    result = await attempt(delivery(), {"url": wire.url})
    assert (result.response_class, result.attempt.error) == (ResponseClass.FAILED, "ConnectError")


async def test_an_attempt_says_how_long_it_took() -> None:
    loop = asyncio.get_running_loop()

    async def late(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.25)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(late) as wire:
        began_s = loop.time()
        result = await attempt(delivery(), {"url": wire.url})
        took_ms = (loop.time() - began_s) * 1000
    assert 249 <= result.attempt.duration_ms <= took_ms + 1


@pytest.mark.parametrize(("status", "is_told"), [(299, False), (300, True), (399, True), (400, False)])
async def test_where_a_redirect_leads_is_told_and_no_other_location(status: int, is_told: bool) -> None:
    result = await post_to(
        answering(b"HTTP/1.1 %d Odd\r\nlocation: /there?a=b\r\ncontent-length: 0\r\n\r\n" % status)
    )
    assert result.attempt.detail == ("location: /there?..." if is_told else None)


async def test_a_detail_has_300_characters_at_most() -> None:
    long = b"HTTP/1.1 302 Found\r\nlocation: /" + b"x" * 400 + b"\r\ncontent-length: 0\r\n\r\n"
    detail = (await post_to(answering(long))).attempt.detail
    assert detail == f"location: /{'x' * 400}"[:300]


async def test_an_attempt_says_how_many_milliseconds_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 11.25])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments, 99.0))

    class Played:
        async def send_for_status(self, *_: Any, **__: Any) -> Reply:
            return Reply(200, {"retry-after": "7"}, b"x" * 2000, False, "cut")

    played: Any = Played()
    record = delivery()
    result = await Sender(played, ANY, "https://bucket/{}".format).attempt(
        record, subscribed({"url": "http://h/"}), MASTER, 5
    )
    assert result.attempt.duration_ms == 1250
    assert (result.attempt.at_ms, result.attempt.detail, result.retry_after) == (5, "cut", "7")
    assert result.attempt.excerpt == "x" * 1024
