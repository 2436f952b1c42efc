"""The request of one attempt, all but its signature: where it goes, its headers and its body.

The webhooks function signs and sends it; the command shows it, as it would be sent now.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.headers import check_headers
from tunehook.http.urls import wire_url
from tunehook.schedules import MAX_TIMEOUT_S
from tunehook.signatures import SignatureScheme
from tunehook.webhook_body import render

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery
    from tunehook.secret_versions import SecretVersions
    from tunehook.subscriptions import Subscription
    from tunehook.webhook_body import SignLink

SIGNATURE: Final = "webhook-signature"
"""The header that is made last, of the others and the body."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an attempt goes, what it carries, how it is signed, and how long it may take.

    `secret_versions` are those that sign, newest first.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_versions: tuple[int, ...] = (1,)
    scheme: SignatureScheme = SignatureScheme.V1
    timeout_s: int = MAX_TIMEOUT_S


def endpoint_for(subscription: Subscription, versions: SecretVersions, now_ms: int) -> Endpoint:
    """Return where the attempts of a subscription go at this moment."""
    return Endpoint(
        subscription.url,
        subscription.headers,
        versions.signing(now_ms),
        subscription.signed_by(now_ms),
        subscription.timeout_s,
    )


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request before it is signed; `headers` are the receiver's own and then the contract's."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def unsigned_request(
    delivery: Delivery, endpoint: Endpoint, policy: NetworkPolicy, sign_link: SignLink, now_ms: int
) -> WebhookRequest:
    """Return the request of an attempt that is made now.

    Raises `InvalidInput` if the URL, a header or the record's payload is not acceptable.
    """
    url = _checked(endpoint.url, policy)
    check_headers(endpoint.headers)
    body = render(delivery, sign_link, now_ms)
    contract = {
        "content-type": body.content_type,
        "webhook-id": delivery.delivery_id,
        "webhook-timestamp": str(now_ms // 1000),
    }
    return WebhookRequest(url, {**endpoint.headers, **contract}, body.content)


@functools.lru_cache(maxsize=256)
def _checked(url: str, policy: NetworkPolicy) -> str:
    """Return an acceptable URL as it goes over the wire: its name in IDNA, what no URL may hold percent-encoded."""
    check_url(url, policy)
    return wire_url(url)
