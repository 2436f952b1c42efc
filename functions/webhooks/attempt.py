"""One attempt: a signed POST, and what its answer means."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from tunehook.deliveries import Attempt
from tunehook.errors import InvalidInput
from tunehook.http.errors import InvalidAnswer
from tunehook.http.guard import NetworkPolicy
from tunehook.http.urls import without_secrets
from tunehook.schedules import MAX_TIMEOUT_S
from tunehook.signatures import sign, signing_texts
from tunehook.webhook_body import SignLink
from tunehook.webhook_request import SIGNATURE, unsigned_request
from webhooks.policy import ResponseClass, classify_response
from webhooks.subscription_cache import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.deliveries import Delivery
    from tunehook.http.reply import Reply
    from tunehook.http.transport import HttpTransport
    from tunehook.webhook_request import Endpoint
    from webhooks.subscription_cache import Subscribed

ATTEMPT_S: Final = float(MAX_TIMEOUT_S)
"""How long an attempt takes at most; a subscription may ask for less."""

MAX_ANSWER_BYTES: Final = 16 * 1024
EXCERPT_BYTES: Final = 1024
DETAIL_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to: its record, what it means, and the response's ``Retry-After``.

    `answered` says whether the receiver answered, be it no valid HTTP; it is None if nothing was asked of it.
    """

    attempt: Attempt
    response_class: ResponseClass
    answered: bool | None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes attempts by a transport that is guarded by `policy`, which says where requests may go."""

    transport: HttpTransport
    policy: NetworkPolicy
    sign_link: SignLink
    deadline_s: float = ATTEMPT_S

    async def attempt(
        self, delivery: Delivery, subscription: Subscribed | None, master_secret: str, now_ms: int
    ) -> Result:
        """Make the next attempt of a delivery, which belongs to a subscription or to a task's own hook.

        It ends by the deadline, or by the subscription's own where that is earlier, DNS, TLS and reading the response
        included. There is a result whatever the receiver does, and also if its URL or headers are not acceptable.
        """
        started = time.monotonic()
        answer: Reply | None = None
        failure: Exception | None = None
        try:
            endpoint = endpoint_of(delivery, subscription, now_ms)
            url, headers, body = self._request(delivery, endpoint, master_secret, now_ms)
            deadline_s = min(self.deadline_s, endpoint.timeout_s)
            answer = await self.transport.send_for_status(
                "POST", url, headers, body, max_bytes=MAX_ANSWER_BYTES, deadline_s=deadline_s
            )
        except (InvalidInput, httpx.TransportError) as error:
            failure = error
        attempt = Attempt(
            run=delivery.run,
            attempt=delivery.next_attempt,
            at_ms=now_ms,
            duration_ms=round((time.monotonic() - started) * 1000),
            status_code=answer.status if answer else None,
            error=type(failure).__name__ if failure else None,
            detail=_detail_of(answer, failure),
            excerpt=_excerpt(answer.body) if answer else None,
        )
        if answer is None:
            return Result(attempt, ResponseClass.FAILED, _was_answered(failure))
        retry_after = answer.headers.get("retry-after")
        return Result(attempt, classify_response(answer.status, answer.headers), True, retry_after)

    def _request(
        self, delivery: Delivery, endpoint: Endpoint, master_secret: str, now_ms: int
    ) -> tuple[str, Mapping[str, str], bytes]:
        request = unsigned_request(delivery, endpoint, self.policy, self.sign_link, now_ms)
        secrets = [
            text
            for version in endpoint.secret_versions
            for text in _signing_texts(master_secret, delivery.subscription_id, version, endpoint.scheme)
        ]
        signature = sign(delivery.delivery_id, now_ms // 1000, request.body, secrets)
        return request.url, {**request.headers, SIGNATURE: signature}, request.body


_UNANSWERED: Final = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)


def _was_answered(failure: Exception | None) -> bool | None:
    if isinstance(failure, InvalidAnswer):
        return True  # not as HTTP wants it, but whoever answers does not hang
    return False if isinstance(failure, _UNANSWERED) else None


def _detail_of(answer: Reply | None, failure: Exception | None) -> str | None:
    """Return what the log says beside status or class; no query of a URL and no header's value is in it."""
    if answer is None:
        return str(failure)[:DETAIL_LENGTH] or None
    parts = []
    if 300 <= answer.status <= 399 and (location := answer.headers.get("location")):
        parts.append(f"location: {without_secrets(location)}")
    if answer.fault is not None:
        parts.append(answer.fault)
    return "; ".join(parts)[:DETAIL_LENGTH] or None


def _excerpt(body: bytes) -> str:
    """Return the beginning of a body as a text of at most `EXCERPT_BYTES` bytes of UTF-8."""
    text = body[:EXCERPT_BYTES].decode("utf-8", "replace")
    # What is no UTF-8 takes three bytes each as a replacement character, and a record has room for so many answers.
    return text.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore")


_signing_texts = functools.lru_cache(maxsize=256)(signing_texts)
