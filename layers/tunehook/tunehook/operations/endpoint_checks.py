"""Checks of a receiver's endpoint: one signed ``webhook.test`` from where deliveries come, and what is wrong, in words.

The test takes the way of every delivery: queue, webhooks function, network policy, signature. It is attempted once, no
circuit holds it back, and it counts neither for failing nor for disabling (docs/webhook-contract.md, "Checks of an
endpoint").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from tunehook.deliveries import REFUSED, Attempt, Delivery, DeliveryStatus, message_for
from tunehook.errors import InvalidInput
from tunehook.http import connection_words
from tunehook.http.urls import resolved, wire_url, without_secrets
from tunehook.operations import subscriptions
from tunehook.operations.sample_event import sample_delivery
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import SigningSecret, SubscriptionView
from tunehook.subscriptions import Subscription, check_subscription
from tunehook.times import now_ms

WAIT_S: Final = 22.0
"""How long an outcome is waited for: an attempt takes 15 s at most, its message a moment, and the HTTP API has 29 s."""

SLOW_SHARE: Final = 1 / 3
"""From which share of its time-out on an answer counts as slow."""

NOT_IN_TIME: Final = "the check was given up: it was not attempted in time"
BEING_CHECKED: Final = "its endpoint is being checked"

_CANDIDATE: Final = (
    "url",
    "headers",
    "format",
    "signature",
    "signature_both_until_ms",
    "timeout_s",
    "secret_version",
    "previous_secret_until_ms",
)
"""What an attempt needs of a subscription's item."""


class Code(StrEnum):
    """What a check has found."""

    OK = "ok"
    SLOW = "slow"
    REDIRECT = "redirect"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    GONE = "gone"
    DECLINED = "declined"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    UNEXPECTED_STATUS = "unexpected_status"
    NAME_NOT_RESOLVED = "name_not_resolved"
    CONNECTION_REFUSED = "connection_refused"
    NO_ROUTE = "no_route"
    NOT_CONNECTED = "not_connected"
    CONNECTION_FAILED = "connection_failed"
    CONNECTION_BROKEN = "connection_broken"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_FOR_ANOTHER_NAME = "certificate_for_another_name"
    CERTIFICATE_OF_UNKNOWN_ISSUER = "certificate_of_unknown_issuer"
    TLS_FAILED = "tls_failed"
    FORBIDDEN_ADDRESS = "forbidden_address"
    NOT_SENDABLE = "not_sendable"
    TIMED_OUT = "timed_out"
    MALFORMED_ANSWER = "malformed_answer"
    NOT_ATTEMPTED = "not_attempted"


class EndpointCheck(BaseModel, frozen=True):
    """What a check has found: whether it `passed`, a `code`, the same in words, and what to do where that is known.

    `location` is where a redirect leads. No user name and no value of a query is in any of it.
    """

    passed: bool
    code: Code
    message: str
    hint: str | None = None
    status_code: int | None = None
    location: str | None = None
    seconds: float | None = None
    delivery_id: str

    @property
    def words(self) -> str:
        """The message, and the hint after it."""
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


def subscribe(
    stack: Stack, item: Mapping[str, Any], *, again: bool = False, wait_s: float = WAIT_S
) -> tuple[SubscriptionView, SigningSecret, EndpointCheck]:
    """Create a subscription that is disabled, check its endpoint, and enable it if the check passes.

    So its secret is known whatever the check finds: a receiver that verifies signatures needs that first. Raises what
    `tunehook.operations.subscriptions.subscribe` does.
    """
    new = {**item, "enabled": False, "disabled_reason": BEING_CHECKED}
    view, signing = subscriptions.subscribe(stack, new, again=again)
    check = check_endpoint(stack, view.item, wait_s)
    if check.passed:
        stack.subscriptions.enable(signing.subscription_id)
    else:
        stack.subscriptions.mark(signing.subscription_id, f"its endpoint check failed: {check.message}")
    return subscriptions.get_subscription(stack, signing.subscription_id), signing, check


def change_subscription(
    stack: Stack,
    subscription_id: str,
    changes: Mapping[str, Any],
    *,
    again: bool = False,
    wait_s: float = WAIT_S,
) -> tuple[SubscriptionView, EndpointCheck]:
    """Change a subscription if a check of the endpoint, as it would be then, passes; return it as it is afterwards.

    Raises what `tunehook.operations.subscriptions.change_subscription` does, before anything is sent.
    """
    _, changed = subscriptions.changed_subscription(stack, subscription_id, changes, again=again)
    check = check_endpoint(stack, changed.item, wait_s)
    if not check.passed:
        return subscriptions.get_subscription(stack, subscription_id), check
    return subscriptions.change_subscription(stack, subscription_id, changes, again=True), check


def enable_subscription(
    stack: Stack, subscription_id: str, *, wait_s: float = WAIT_S
) -> tuple[bool, EndpointCheck]:
    """Enable a subscription if a check of its endpoint passes; return whether it was enabled before.

    Raises what `tunehook.operations.subscriptions.enable_subscription` does, before anything is sent.
    """
    view = subscriptions.get_subscription(stack, subscription_id)
    check = check_endpoint(stack, {**view.item, "enabled": True}, wait_s)
    if check.passed:
        return subscriptions.enable_subscription(stack, subscription_id), check
    return view.item.get("enabled") is not False, check


def check_endpoint(stack: Stack, item: Mapping[str, Any], wait_s: float = WAIT_S) -> EndpointCheck:
    """Send one test to a subscription that has, or is to have, this item, and return what came of it.

    What was not attempted within `wait_s` is given up. Raises `InvalidInput` if the item is not acceptable.
    """
    subscription = check_subscription(item, stack.network_policy)
    delivery = check_delivery(subscription, item, now_ms())
    stack.deliveries.create(delivery)
    stack.deliveries_queue.send(message_for(delivery), now_ms())
    after = subscriptions.await_attempt(stack, delivery, wait_s)
    if after.status is DeliveryStatus.PENDING:
        # Where the attempt was recorded in this moment, that record counts.
        stack.deliveries.record(message_for(delivery), status=DeliveryStatus.ABORTED, reason=NOT_IN_TIME)
        after = stack.deliveries.get(delivery.delivery_id, after) or after
    return diagnose(after, subscription)


def check_delivery(subscription: Subscription, item: Mapping[str, Any], now_ms: int) -> Delivery:
    """Return the delivery by which the endpoint of a subscription, which has this item, is checked."""
    candidate = {name: item[name] for name in _CANDIDATE if item.get(name) is not None}
    update = {"is_check": True, "candidate": candidate}
    return sample_delivery(subscription, now_ms).model_copy(update=update)


def diagnose(delivery: Delivery, subscription: Subscription) -> EndpointCheck:
    """Say what the latest attempt of a delivery shows of its subscription's endpoint.

    >>> diagnose(get_delivery(stack, "msg_1"), get_subscription(stack, "sub-1").subscription).code.value
    'not_attempted'
    """
    if not delivery.attempts:
        return EndpointCheck(
            passed=False,
            code=Code.NOT_ATTEMPTED,
            message="nothing was sent in time: the stack's webhooks function is behind, or does not work",
            hint="`tunehook status` and `tunehook logs` show why; nothing is known of the endpoint",
            delivery_id=delivery.delivery_id,
        )
    attempt = delivery.attempts[-1]
    code, message, hint = (
        _of_failure(attempt, subscription)
        if attempt.status_code is None
        else _of_status(attempt.status_code, attempt, delivery, subscription)
    )
    return EndpointCheck(
        passed=code in (Code.OK, Code.SLOW),
        code=code,
        message=message,
        hint=hint,
        status_code=attempt.status_code,
        location=_location(attempt, subscription.url),
        seconds=round(attempt.duration_ms / 1000, 3),
        delivery_id=delivery.delivery_id,
    )


_Words = tuple[Code, str, str | None]

_SECRET: Final = "a receiver that verifies signatures needs the secret first: `tunehook subscriptions secret`"  # noqa: S105 - no secret
_OF_STATUSES: Final[Mapping[int, tuple[Code, str]]] = {
    HTTPStatus.UNAUTHORIZED: (
        Code.UNAUTHORISED,
        f"it wants credentials, or does not accept the signature; {_SECRET}",
    ),
    HTTPStatus.FORBIDDEN: (
        Code.FORBIDDEN,
        "it lets nobody in, or a firewall before it does not, or it does not accept the signature; "
        + _SECRET,
    ),
    HTTPStatus.NOT_FOUND: (Code.NOT_FOUND, "there is nothing at this path: look at the URL's path"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        Code.METHOD_NOT_ALLOWED,
        "the path takes no POST: look at the URL's path",
    ),
    HTTPStatus.GONE: (Code.GONE, "a webhook that is answered so disables its subscription; a check does not"),
}


def _of_status(status: int, attempt: Attempt, delivery: Delivery, subscription: Subscription) -> _Words:
    said, seconds = f"it answered {status}", attempt.duration_ms / 1000
    if delivery.status is DeliveryStatus.ABORTED and delivery.reason == REFUSED:
        return (
            Code.DECLINED,
            f"{said} with `webhook-delivery: abort-message`: it does not want this one",
            None,
        )
    if 200 <= status <= 299 and delivery.status is DeliveryStatus.FAILED:
        disables = "a webhook that is answered so disables its subscription; a check does not"
        return Code.GONE, f"{said} with `webhook-delivery: disable`: it asks for no more", disables
    if 200 <= status <= 299:
        if seconds < subscription.timeout_s * SLOW_SHARE:
            return Code.OK, f"{said} after {seconds:.3g} s", None
        slow = f"{said} after {seconds:.3g} s of the {subscription.timeout_s} s that it has"
        return (
            Code.SLOW,
            slow,
            "answer first, and work afterwards: a webhook without an answer in time is sent again",
        )
    if 300 <= status <= 399:
        location = _location(attempt, subscription.url)
        if location is None:
            return Code.REDIRECT, f"{said}, a redirect that leads nowhere; redirects are not followed", None
        hint = f"subscribe that URL: {location}"
        if location.endswith("?..."):
            hint = "subscribe the URL that it leads to, whose query is not shown here"
        return Code.REDIRECT, f"{said}, a redirect to {location}; redirects are not followed", hint
    if status in _OF_STATUSES:
        code, hint = _OF_STATUSES[status]
        return code, said, hint
    if 400 <= status <= 499:
        return Code.CLIENT_ERROR, f"{said}: it does not accept the request", _SECRET
    if 500 <= status <= 599:
        return Code.SERVER_ERROR, f"{said}: it failed, or what stands before it", "its own log has the reason"
    return Code.UNEXPECTED_STATUS, f"{said}, which is neither a success nor an error that HTTP knows", None


def _of_failure(attempt: Attempt, subscription: Subscription) -> _Words:
    host, port = _place(subscription.url)
    detail = attempt.detail or ""
    if attempt.error in _FAILURES:
        code, message, hint = _FAILURES[attempt.error]
        return code, message.format(host=host), hint and hint.format(port=port)
    match attempt.error:
        case "ConnectError" if detail.startswith(connection_words.REFUSED):
            hint = "look whether the receiver runs, and at the URL's port"
            return Code.CONNECTION_REFUSED, f"{host} refused the connection to its port {port}", hint
        case "ConnectError" if detail.startswith(connection_words.NO_ROUTE):
            return Code.NO_ROUTE, f"there is no route to {host}", "look at the name's addresses"
        case "ConnectError" | "ConnectTimeout" | "DeadlineExceeded" if detail.startswith(
            connection_words.NOT_REACHED
        ):
            hint = "a firewall may drop what comes from AWS, or the name's address may be wrong"
            return Code.NOT_CONNECTED, f"there was no connection to {host}, port {port}, in time", hint
        case "ConnectError":
            return Code.CONNECTION_FAILED, f"there was no connection to {host}, port {port}", None
        case "DeadlineExceeded" | "ReadTimeout" | "TimeoutException":
            seconds = f"{subscription.timeout_s} s"
            hint = "answer first, and work afterwards"
            return Code.TIMED_OUT, f"it took the connection, and did not answer within {seconds}", hint
        case "TlsFailure":
            return Code.TLS_FAILED, f"TLS failed: {detail or 'no reason is known'}", None
        case "ForbiddenAddress" | "InvalidInput":
            reason = detail.partition(": ")[2] or detail
            if attempt.error == "InvalidInput":
                return Code.NOT_SENDABLE, f"no request can be made of it: {detail}", None
            return (
                Code.FORBIDDEN_ADDRESS,
                f"it {reason}",
                "the stack's NetworkPolicy does not allow requests there",
            )
    return Code.CONNECTION_BROKEN, "the connection broke before there was an answer", None


_FAILURES: Final[Mapping[str | None, _Words]] = {
    "NameNotResolved": (
        Code.NAME_NOT_RESOLVED,
        "the name {host} has no address, or DNS did not answer",
        "look at the URL's host: it must be known to the public DNS",
    ),
    "CertificateExpired": (Code.CERTIFICATE_EXPIRED, "the certificate of {host} has expired", "renew it"),
    "CertificateForAnotherName": (
        Code.CERTIFICATE_FOR_ANOTHER_NAME,
        "the certificate is not for the name {host}",
        "look at the URL's host, or have a certificate made for it",
    ),
    "CertificateOfUnknownIssuer": (
        Code.CERTIFICATE_OF_UNKNOWN_ISSUER,
        "the certificate of {host} is of an issuer that nobody knows, or its chain is not complete",
        "take one of a public authority, and have the server send its intermediate certificates too",
    ),
    "InvalidAnswer": (
        Code.MALFORMED_ANSWER,
        "it answered, and not as HTTP wants it: there is no status that can be read",
        "look whether something else listens on port {port}",
    ),
    "UnsupportedProtocol": (Code.NOT_SENDABLE, "the URL is not of http or https", None),
    "LocalProtocolError": (Code.NOT_SENDABLE, "no valid HTTP request can be made of it", None),
}
"""By the class of an attempt's error."""


def _place(url: str) -> tuple[str, int]:
    """Return host and port of a URL that was checked, without its user name."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _location(attempt: Attempt, url: str) -> str | None:
    """Return where a redirect leads, as an absolute URL where that is known, without what may be secret in it."""
    for part in (attempt.detail or "").split("; "):
        if attempt.status_code is not None and part.startswith("location: "):
            given = part.removeprefix("location: ")
            try:
                return without_secrets(resolved(wire_url(url), given))
            except (InvalidInput, ValueError):
                return without_secrets(given) or None
    return None
