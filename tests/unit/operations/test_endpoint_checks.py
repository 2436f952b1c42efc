"""Checks of endpoints: the words for each outcome, and what is made, changed and enabled by them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.aws import client, items, put
from tests.support.endpoints import answer_checks
from tests.support.template import template

from tunehook.deliveries import REFUSED, Attempt, Delivery, DeliveryStatus, message_for
from tunehook.errors import Conflict
from tunehook.http.connection_words import NO_ROUTE, NOT_REACHED
from tunehook.http.connection_words import REFUSED as NOT_LET_IN
from tunehook.http.urls import without_secrets
from tunehook.operations import deliveries, endpoint_checks, subscriptions
from tunehook.operations.endpoint_checks import WAIT_S, Code, diagnose
from tunehook.operations.sample_event import sample_delivery
from tunehook.operations.stack import Stack
from tunehook.schedules import MAX_TIMEOUT_S
from tunehook.subscriptions import Subscription

URL = "https://hooks.example.com:8443/in?key=hush"
SUBSCRIPTION = Subscription(subscription_id="sub", url=URL, timeout_s=9)
NEW_URL = "https://new.example/"


def tried(
    status_code: int | None = None,
    *,
    error: str | None = None,
    detail: str | None = None,
    ms: int = 40,
    status: DeliveryStatus | None = None,
    reason: str | None = None,
) -> Delivery:
    """Return a check as the worker leaves it after its attempt."""
    attempt = Attempt(
        run=1, attempt=1, at_ms=1, duration_ms=ms, status_code=status_code, error=error, detail=detail
    )
    well = status_code is not None and 200 <= status_code <= 299
    ended = status or (DeliveryStatus.DELIVERED if well else DeliveryStatus.FAILED)
    update = {"attempts": (attempt,), "status": ended, "reason": reason, "next_attempt_at_ms": None}
    return sample_delivery(SUBSCRIPTION, 1).model_copy(update={"is_check": True, **update})


OUTCOMES: list[tuple[Delivery, Code, str]] = [
    (tried(204), Code.OK, "it answered 204 after 0.04 s"),
    (tried(200, ms=3_000), Code.SLOW, "it answered 200 after 3 s of the 9 s that it has"),
    (tried(200, ms=2_999), Code.OK, "it answered 200 after 3 s"),
    (tried(299), Code.OK, "it answered 299"),
    (tried(300), Code.REDIRECT, "leads nowhere"),
    (tried(399), Code.REDIRECT, "leads nowhere"),
    (tried(400), Code.CLIENT_ERROR, "it answered 400"),
    (tried(499), Code.CLIENT_ERROR, "it answered 499"),
    (tried(500), Code.SERVER_ERROR, "it answered 500"),
    (tried(599), Code.SERVER_ERROR, "it answered 599"),
    (tried(600), Code.UNEXPECTED_STATUS, "it answered 600"),
    (tried(301, detail="location: https://x.example/a"), Code.REDIRECT, "a redirect to https://x.example/a"),
    (
        tried(307, detail="location: /there/"),
        Code.REDIRECT,
        "subscribe that URL: https://hooks.example.com:8443/there/",
    ),
    (tried(302, detail="location: /?..."), Code.REDIRECT, "whose query is not shown"),
    (tried(304), Code.REDIRECT, "leads nowhere"),
    (tried(401), Code.UNAUTHORISED, "needs the secret first"),
    (tried(403), Code.FORBIDDEN, "firewall"),
    (tried(404), Code.NOT_FOUND, "nothing at this path"),
    (tried(405), Code.METHOD_NOT_ALLOWED, "takes no POST"),
    (tried(410), Code.GONE, "a check does not"),
    (tried(422), Code.CLIENT_ERROR, "does not accept the request"),
    (tried(503), Code.SERVER_ERROR, "it answered 503"),
    (tried(199), Code.UNEXPECTED_STATUS, "neither"),
    (tried(200, status=DeliveryStatus.FAILED, reason="gone"), Code.GONE, "webhook-delivery: disable"),
    (tried(200, status=DeliveryStatus.ABORTED, reason=REFUSED), Code.DECLINED, "abort-message"),
    (tried(error="NameNotResolved", detail="x"), Code.NAME_NOT_RESOLVED, "the name hooks.example.com"),
    (tried(error="ConnectError", detail=f"{NOT_LET_IN}: x"), Code.CONNECTION_REFUSED, "port 8443"),
    (tried(error="ConnectError", detail=f"{NO_ROUTE}: x"), Code.NO_ROUTE, "no route to hooks.example.com"),
    (tried(error="DeadlineExceeded", detail=f"{NOT_REACHED} within 9 s"), Code.NOT_CONNECTED, "in time"),
    (tried(error="ConnectError", detail="x"), Code.CONNECTION_FAILED, "no connection to hooks.example.com"),
    (tried(error="DeadlineExceeded", detail="no answer within 9 s"), Code.TIMED_OUT, "within 9 s"),
    (tried(error="ReadError", detail="the connection broke"), Code.CONNECTION_BROKEN, "broke"),
    (tried(error="RemoteProtocolError"), Code.CONNECTION_BROKEN, "broke"),
    (tried(error="CertificateExpired"), Code.CERTIFICATE_EXPIRED, "has expired"),
    (tried(error="CertificateForAnotherName"), Code.CERTIFICATE_FOR_ANOTHER_NAME, "hooks.example.com"),
    (tried(error="CertificateOfUnknownIssuer"), Code.CERTIFICATE_OF_UNKNOWN_ISSUER, "intermediate"),
    (tried(error="TlsFailure", detail="the host speaks no TLS"), Code.TLS_FAILED, "speaks no TLS"),
    (
        tried(
            error="ForbiddenAddress", detail="url: leads to 10.0.0.1, which is not a public address (private)"
        ),
        Code.FORBIDDEN_ADDRESS,
        "it leads to 10.0.0.1",
    ),
    (tried(error="ForbiddenAddress", detail="is private"), Code.FORBIDDEN_ADDRESS, "it is private"),
    (
        tried(error="InvalidInput", detail="headers.x: is too long"),
        Code.NOT_SENDABLE,
        "headers.x: is too long",
    ),
    (tried(error="LocalProtocolError", detail="x"), Code.NOT_SENDABLE, "no valid HTTP request"),
    (tried(error="InvalidAnswer", detail="x"), Code.MALFORMED_ANSWER, "on port 8443"),
    (sample_delivery(SUBSCRIPTION, 1), Code.NOT_ATTEMPTED, "nothing is known of the endpoint"),
]


@pytest.mark.parametrize(
    ("delivery", "code", "words"), OUTCOMES, ids=[f"{n}-{code}" for n, (_, code, _) in enumerate(OUTCOMES)]
)
def test_each_outcome_has_its_words(delivery: Delivery, code: Code, words: str) -> None:
    check = diagnose(delivery, SUBSCRIPTION)
    assert (check.code, check.passed) == (code, code in (Code.OK, Code.SLOW))
    assert words in check.words
    assert "hush" not in check.model_dump_json()


@pytest.mark.parametrize(
    ("url", "port"), [("https://x.example/", 443), ("http://x.example/", 80), ("http://x.example:81/", 81)]
)
def test_the_port_is_that_of_the_scheme_where_the_url_has_none(url: str, port: int) -> None:
    subscription = Subscription(subscription_id="sub", url=url)
    check = diagnose(tried(error="ConnectError", detail="x"), subscription)
    assert check.message == f"there was no connection to x.example, port {port}"


def test_an_outcome_is_waited_for_longer_than_an_attempt_takes_and_shorter_than_the_api_may() -> None:
    api = template()["Resources"]["ApiFunction"]["Properties"]
    assert MAX_TIMEOUT_S < WAIT_S < api["Timeout"]


def test_every_code_is_that_of_some_outcome() -> None:
    assert {code for _, code, _ in OUTCOMES} == set(Code)


_SECRET = st.text("abcdefghijklmnop0123456789", min_size=12, max_size=20).map("hush{}".format)
_ERRORS = st.sampled_from(
    [None, *sorted({d.attempts[-1].error or "" for d, *_ in OUTCOMES if d.attempts}), "Nobody's"]
)
_LOCATIONS = st.sampled_from(
    [
        "https://user:{}@x.example/a",
        "//{}@x.example/a?b=1",
        "/a?key={}",
        "?{}",
        "https://x.example/?a=1&key={}#{}",
        "javascript:x?{}",
        "a b?{}",
        "\\\\x?{}",
    ]
)


@given(
    secret=_SECRET,
    status=st.none() | st.integers(100, 999),
    error=_ERRORS,
    location=_LOCATIONS,
    ms=st.integers(0),
)
def test_no_outcome_tells_a_user_name_or_a_value_of_a_query(
    secret: str, status: int | None, error: str | None, location: str, ms: int
) -> None:
    url = f"https://{secret}:{secret}@hooks.example.com/in?key={secret}"
    subscription = Subscription(subscription_id="sub", url=url)
    detail = f"location: {without_secrets(location.replace('{}', secret))}" if status else None
    delivery = tried(status, error=None if status else error, detail=detail, ms=ms)
    check = diagnose(delivery, subscription)
    assert check.message
    assert check.code in Code
    assert secret not in check.model_dump_json()
    assert secret not in check.words


@pytest.fixture
def answer(found: Stack, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[Delivery]]:
    """Return what lets checks be answered with a status, or be attempted by nobody, and returns those to come."""
    return partial(answer_checks, monkeypatch)


def messages() -> list[str]:
    queue = client("sqs").get_queue_url(QueueName="deliveries")["QueueUrl"]
    told = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    return [each["Body"] for each in told]


def stored(subscription_id: str) -> dict[str, Any]:
    (item,) = (each for each in items("SubscriptionsTable") if each["subscription_id"] == subscription_id)
    return item


def test_a_new_one_is_enabled_by_a_check_that_passes(found: Stack, answer: Any) -> None:
    sent = answer(204)
    view, signing, check = endpoint_checks.subscribe(found, {"url": NEW_URL, "headers": {"x-key": "hush"}})
    assert (view.state, check.code, "disabled_reason" in view.item) == ("enabled", Code.OK, False)
    (delivery,) = sent
    assert (delivery.subscription_id, delivery.type) == (signing.subscription_id, "webhook.test")
    assert delivery.candidate == {"url": NEW_URL, "headers": {"x-key": "hush"}}
    (message,) = messages()
    assert '"is_check":true' in message
    assert "hush" not in message
    (record,) = (each for each in items("DeliveriesTable") if each["delivery_id"] == check.delivery_id)
    assert "candidate" not in record


def test_a_new_one_that_fails_is_made_and_stays_disabled_and_says_why(found: Stack, answer: Any) -> None:
    answer(401)
    view, signing, check = endpoint_checks.subscribe(found, {"url": NEW_URL})
    assert (view.state, check.code) == ("disabled", Code.UNAUTHORISED)
    assert stored(signing.subscription_id)["disabled_reason"] == "its endpoint check failed: it answered 401"
    assert subscriptions.signing_secret(found, signing.subscription_id) == signing
    answer(204)
    was_enabled, check = endpoint_checks.enable_subscription(found, signing.subscription_id)
    assert (was_enabled, check.passed) == (False, True)
    assert subscriptions.get_subscription(found, signing.subscription_id).state == "enabled"


def test_one_whose_check_never_ends_is_disabled(
    found: Stack, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> Delivery:
        raise KeyboardInterrupt

    monkeypatch.setattr(subscriptions, "await_attempt", killed)
    with pytest.raises(KeyboardInterrupt):
        endpoint_checks.subscribe(found, {"url": NEW_URL})
    (item,) = (each for each in items("SubscriptionsTable") if each["url"] == NEW_URL)
    assert (item["enabled"], item["disabled_reason"]) == (False, "its endpoint is being checked")


def test_a_change_is_made_only_if_the_endpoint_as_it_would_be_passes(found: Stack, answer: Any) -> None:
    before = stored("sub-1")
    refused = answer(404)
    view, check = endpoint_checks.change_subscription(found, "sub-1", {"url": NEW_URL, "timeout_s": 3})
    assert (check.code, view.item) == (Code.NOT_FOUND, before)
    assert stored("sub-1") == before
    passed = answer(200)
    view, check = endpoint_checks.change_subscription(found, "sub-1", {"url": NEW_URL, "timeout_s": 3})
    assert check.passed
    assert stored("sub-1") == view.item == before | {"url": NEW_URL, "timeout_s": 3}
    assert [each.candidate for each in refused + passed] == [{"url": NEW_URL, "timeout_s": 3}] * 2


def test_what_is_disabled_stays_so_if_its_check_fails(found: Stack, answer: Any) -> None:
    subscriptions.disable_subscription(found, "sub-1")
    before = stored("sub-1")
    answer(500)
    assert endpoint_checks.enable_subscription(found, "sub-1")[1].code is Code.SERVER_ERROR
    assert stored("sub-1") == before


def test_what_is_not_attempted_in_time_is_given_up(found: Stack, answer: Any) -> None:
    answer(None)
    view, check = endpoint_checks.change_subscription(found, "sub-1", {"url": NEW_URL})
    assert (check.code, view.item["url"]) == (Code.NOT_ATTEMPTED, "https://x.example/hook")
    record = found.deliveries.get(check.delivery_id)
    assert record is not None
    assert (record.status, record.candidate) == (DeliveryStatus.ABORTED, None)


def test_an_attempt_that_is_recorded_in_the_last_moment_counts(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(stack: Stack, delivery: Delivery, _: float) -> Delivery:
        ended = tried(503)
        message = message_for(delivery)
        stack.deliveries.record(message, status=ended.status, attempt=ended.attempts[0], reason="x")
        return delivery

    monkeypatch.setattr(subscriptions, "await_attempt", late)
    assert endpoint_checks.enable_subscription(found, "sub-1")[1].code is Code.SERVER_ERROR


def test_what_is_refused_is_refused_before_anything_is_sent(found: Stack, answer: Any) -> None:
    sent = answer(204)
    with pytest.raises(Conflict):
        endpoint_checks.subscribe(found, {"url": "https://x.example/hook"})
    put("SubscriptionsTable", {"subscription_id": "sub-2", "url": NEW_URL})
    with pytest.raises(Conflict):
        endpoint_checks.change_subscription(found, "sub-2", {"url": "https://x.example/hook"})
    assert sent == []


def test_a_check_is_not_delivered_again(found: Stack, answer: Any) -> None:
    answer(500)
    check = endpoint_checks.enable_subscription(found, "sub-1")[1]
    with pytest.raises(Conflict):
        deliveries.redeliver(found, check.delivery_id)
