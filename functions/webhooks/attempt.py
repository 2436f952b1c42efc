"""One attempt: a signed POST, and what its answer means."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from tunehook.deliveries import Attempt
from tunehook.errors import InvalidInput
from tunehook.http.exchange import Answer, exchange
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.headers import check_headers
from tunehook.signatures import derive_secret, sign
from webhooks.rendering import SignLink, render
from webhooks.subscriptions import receiver_of
from webhooks.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.deliveries import Delivery

ATTEMPT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 16 * 1024
EXCERPT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Result:
    """An attempt as it is recorded, what it means, and the answer's ``Retry-After``."""

    attempt: Attempt
    verdict: Verdict
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes attempts.

    Parameters
    ----------
    client : httpx.AsyncClient
        Guarded by `policy`.
    policy : NetworkPolicy
        Where requests may go.
    sign_link : callable
        Makes a download link of an S3 key.
    """

    client: httpx.AsyncClient
    policy: NetworkPolicy
    sign_link: SignLink

    async def attempt(
        self, delivery: Delivery, subscription: Mapping[str, Any] | None, master_secret: str, now_ms: int
    ) -> Result:
        """Make the next attempt of a delivery. It ends 15 s after it began.

        Parameters
        ----------
        delivery : Delivery
            What to send.
        subscription : mapping or None
            The item of its subscription, unless it belongs to a task's own hook.
        master_secret : str
            What signing secrets are derived from.
        now_ms : int
            The present moment.

        Returns
        -------
        Result
            Whatever the receiver does, and also if its URL or headers are not acceptable.
        """
        started = time.monotonic()
        answer: Answer | None = None
        failure: Exception | None = None
        try:
            request = self._request(delivery, subscription, master_secret, now_ms)
            answer = await exchange(self.client, request, deadline_s=ATTEMPT_S, max_bytes=MAX_ANSWER_BYTES)
        except (InvalidInput, httpx.TransportError, httpx.InvalidURL) as error:
            failure = error
        attempt = Attempt(
            run=delivery.run,
            attempt=delivery.next_attempt,
            at_ms=now_ms,
            duration_ms=round((time.monotonic() - started) * 1000),
            status_code=answer.status_code if answer else None,
            error=type(failure).__name__ if failure else None,
            excerpt=answer.body[:EXCERPT_BYTES].decode("utf-8", "replace") if answer else None,
        )
        if answer is None:
            return Result(attempt, Verdict.FAILED)
        return Result(attempt, judge(answer.status_code, answer.headers), answer.headers.get("retry-after"))

    def _request(
        self, delivery: Delivery, subscription: Mapping[str, Any] | None, master_secret: str, now_ms: int
    ) -> httpx.Request:
        receiver = receiver_of(delivery, subscription, now_ms)
        check_url(receiver.url, self.policy)
        check_headers(receiver.headers)
        body = render(delivery, self.sign_link, now_ms)
        secrets = [
            derive_secret(master_secret, delivery.subscription_id, version)
            for version in receiver.secret_versions
        ]
        timestamp_s = now_ms // 1000
        contract = {
            "content-type": body.content_type,
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(delivery.delivery_id, timestamp_s, body.content, secrets),
        }
        return self.client.build_request(
            "POST", receiver.url, content=body.content, headers={**receiver.headers, **contract}
        )
