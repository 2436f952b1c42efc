"""The routes of subscriptions: the receivers of webhooks, and their secrets."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from api.models import (
    GRACE_DEFAULT_S,
    PAGE_DEFAULT,
    RECOVERED_DAYS_MAX,
    Cursor,
    Limit,
    NewSubscription,
    RecoveryRequest,
    SecretRotation,
    SubscriptionChange,
    SubscriptionId,
    TestedEvent,
    TestedProvider,
    TestedTaskId,
    moment_ms,
)
from api.problems import Problem
from api.request import Call, call_of, new_router, reply
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.event_patterns import EventPattern
from tunehook.keys import HASH_KEY_MAX_BYTES
from tunehook.operations import deliveries, endpoint_checks, filters, recovery, subscriptions
from tunehook.operations.documents import (
    created_subscription_document,
    delivery_document,
    subscription_document,
    with_moments,
)
from tunehook.operations.endpoint_checks import EndpointCheck
from tunehook.operations.subscriptions import SubscriptionView
from tunehook.times import LATEST_MS, now_ms

router = new_router()

Again = Annotated[
    Literal["true", "false"],
    Query(description="Even if a subscription of this URL wants some of the same events already."),
]

Verify = Annotated[
    Literal["true", "false"],
    Query(
        description="Check the endpoint first: one signed `webhook.test` is sent, and the answer says in `check` what "
        f"came of it, after {endpoint_checks.WAIT_S:g} s at the latest."
    ),
]

_DAY_MS: Final = 24 * 3600 * 1000
_PAGE_ENDS_S: Final = 14.0
"""A recovery's answer ends when so little of a request's time is left: the next hundred tasks may take a while."""

_AFTERWARDS_S: Final = 4.0
"""How much of a request's time is kept for what follows a check."""


@router.get(
    "/v1/subscriptions",
    operation_id="listSubscriptions",
    summary="List subscriptions",
    description="By their ids.",
    tags=["subscriptions"],
)
def list_subscriptions(limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Any:
    """List subscriptions."""
    after = "" if cursor is None else _after(cursor)
    later = [
        each
        for each in subscriptions.list_subscriptions(call_of(router).stack)
        if str(each.item["subscription_id"]) > after
    ]
    page = later[:limit]
    last = str(page[-1].item["subscription_id"]) if len(later) > limit else None
    told = [subscription_document(each).to_json() for each in page]
    next_cursor = None if last is None else base64.urlsafe_b64encode(last.encode()).decode()
    return reply(HTTPStatus.OK, {"subscriptions": told, "next_cursor": next_cursor})


def _after(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode("ascii"), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInput("cursor", "is none of this list: give `next_cursor` of the page before") from None


@router.post(
    "/v1/subscriptions",
    operation_id="createSubscription",
    summary="Create a subscription",
    description="The answer has the secret that signs its webhooks: here and after a rotation only. `public_key` is "
    "that of the Ed25519 signatures, where it asks for them. With `verify`, it is made disabled, and enabled if the "
    "check of its endpoint passes: `state` and `check` say so. If it does not, give the receiver the secret or mend "
    "what is wrong, and enable it (`verify` there checks again).",
    tags=["subscriptions"],
)
def create_subscription(body: NewSubscription, again: Again = "false", verify: Verify = "false") -> Any:
    """Create a subscription."""
    call, check = call_of(router), None
    item = {name: value for name, value in body.given().items() if value is not None}
    try:
        if verify == "true":
            view, secret, check = endpoint_checks.subscribe(
                call.stack, item, again=again == "true", wait_s=_wait_s(call)
            )
        else:
            view, secret = subscriptions.subscribe(call.stack, item, again=again == "true")
    except Conflict as error:
        raise _doubled(error) from None
    document = created_subscription_document(view, secret).to_json()
    return reply(HTTPStatus.CREATED, document | _checked(check))


def _wait_s(call: Call) -> float:
    """Return how long a check may be waited for."""
    return max(min(endpoint_checks.WAIT_S, call.remaining_s() - _AFTERWARDS_S), 0.0)


def _checked(check: EndpointCheck | None) -> dict[str, Any]:
    """Return what a document has more where an endpoint was checked."""
    return {} if check is None else {"check": _told(check)}


def _told(check: EndpointCheck) -> dict[str, Any]:
    """Return a check without what it advises users of the command to do."""
    hint = None if check.hint is None or "`tunehook " in check.hint else check.hint
    return check.model_copy(update={"hint": hint}).model_dump(mode="json")


def _passed(check: EndpointCheck) -> EndpointCheck:
    """Return a check that has passed; raise the problem that it is otherwise."""
    if not check.passed:
        told = _told(check)
        detail = f"url: {check.message}: nothing was changed"
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise Problem(status, "endpoint_check_failed", detail, field="url", check=told)
    return check


def _doubled(error: Conflict) -> Conflict:
    hint = "each event would be sent twice, with different ids; again=true does it nevertheless"
    return Conflict(error.field, f"{error.reason.partition(':')[0]}: {hint}")


@router.get(
    "/v1/subscriptions/<subscription_id>",
    operation_id="getSubscription",
    summary="Get a subscription and its latest deliveries",
    tags=["subscriptions"],
)
def get_subscription(subscription_id: SubscriptionId) -> Any:
    """Read a subscription."""
    call = _call(subscription_id)
    view = subscriptions.get_subscription(call.stack, subscription_id)
    return reply(HTTPStatus.OK, _whole(call, view))


@router.patch(
    "/v1/subscriptions/<subscription_id>",
    operation_id="changeSubscription",
    summary="Change a subscription",
    description="What the body does not name stays as it is, the secret too. It takes effect within 15 s. If "
    "`signature` changes, both signatures are sent for 24 hours. With `verify`, it is changed only if the check of its "
    "endpoint, as it would be then, passes; otherwise the answer is 422, and its `check` says why.",
    tags=["subscriptions"],
)
def change_subscription(
    subscription_id: SubscriptionId,
    body: SubscriptionChange,
    again: Again = "false",
    verify: Verify = "false",
) -> Any:
    """Change a subscription."""
    call, changes, check = _call(subscription_id), body.given(), None
    if not changes:
        raise InvalidInput("body", "names nothing to change")
    try:
        if verify == "true":
            view, check = endpoint_checks.change_subscription(
                call.stack, subscription_id, changes, again=again == "true", wait_s=_wait_s(call)
            )
            _passed(check)
        else:
            view = subscriptions.change_subscription(
                call.stack, subscription_id, changes, again=again == "true"
            )
    except Conflict as error:
        raise _doubled(error) from None
    return reply(HTTPStatus.OK, _whole(call, view) | _checked(check))


@router.delete(
    "/v1/subscriptions/<subscription_id>",
    operation_id="deleteSubscription",
    summary="Delete a subscription",
    description="Its pending deliveries are given up.",
    tags=["subscriptions"],
)
def delete_subscription(subscription_id: SubscriptionId) -> Any:
    """Delete a subscription."""
    subscriptions.delete_subscription(_call(subscription_id).stack, subscription_id)
    return reply(HTTPStatus.NO_CONTENT, None)


@router.post(
    "/v1/subscriptions/<subscription_id>/rotate-secret",
    operation_id="rotateSecret",
    summary="Rotate the secret of a subscription",
    description="The answer has the new secret. The one before signs too for `grace_s`.",
    tags=["subscriptions"],
)
def rotate_secret(subscription_id: SubscriptionId, body: SecretRotation | None = None) -> Any:
    """Rotate a secret."""
    grace_s = GRACE_DEFAULT_S if body is None else body.grace_s
    rotated = subscriptions.rotate_secret(_call(subscription_id).stack, subscription_id, grace_s * 1000)
    document = with_moments(
        {
            "subscription_id": subscription_id,
            "secret_version": rotated.secret_version,
            "signing_secret": rotated.signing_secret,
            "public_key": rotated.public_key,
            "previous_secret_until_ms": rotated.previous_until_ms,
            "stopped_version": rotated.stopped_version,
        }
    )
    return reply(HTTPStatus.OK, document)


@router.get(
    "/v1/subscriptions/<subscription_id>/public-keys",
    operation_id="getPublicKeys",
    summary="Get the public keys of a subscription",
    description="What verifies its Ed25519 signatures (`v1a`), newest first: during a rotation there are two. They are "
    "there before the subscription asks for such signatures, so that its receiver can be prepared.",
    tags=["subscriptions"],
)
def get_public_keys(subscription_id: SubscriptionId) -> Any:
    """Read public keys."""
    keys = subscriptions.public_keys(_call(subscription_id).stack, subscription_id)
    return reply(HTTPStatus.OK, keys.model_dump(mode="json"))


@router.get(
    "/v1/subscriptions/<subscription_id>/filter-test",
    operation_id="testFilter",
    summary="Say whether a subscription is told of a task, and if not, why",
    description="Nothing is sent. The subscription and the task are taken as they are now. Each of `mismatches` names "
    "a `field` of the subscription: `filter`, or `enabled`, `events`, `providers` or `format`, with what that asks for "
    "(`pattern`) and what is there (`values`: ten at most, and of a text 200 characters).",
    tags=["subscriptions"],
)
def try_filter(
    subscription_id: SubscriptionId,
    task_id: TestedTaskId,
    provider: TestedProvider = None,
    event: TestedEvent = None,
) -> Any:
    """Try a filter."""
    tested = filters.try_filter(_call(subscription_id).stack, subscription_id, task_id, provider, event)
    return reply(HTTPStatus.OK, tested.model_dump(mode="json"))


@router.post(
    "/v1/subscriptions/<subscription_id>/test",
    operation_id="testSubscription",
    summary="Send a test to a subscription",
    description="A `webhook.test`, signed and attempted as any delivery, which the answer names.",
    tags=["subscriptions"],
)
def test_subscription(subscription_id: SubscriptionId) -> Any:
    """Send a test."""
    _, delivery = subscriptions.send_test(_call(subscription_id).stack, subscription_id)
    return reply(HTTPStatus.ACCEPTED, delivery_document(delivery).to_json())


@router.post(
    "/v1/subscriptions/<subscription_id>/enable",
    operation_id="enableSubscription",
    summary="Enable a subscription",
    description="How it has failed is forgotten. What it missed is sent by `recover`. With `verify`, it is enabled "
    "only if the check of its endpoint passes; otherwise the answer is 422, and its `check` says why.",
    tags=["subscriptions"],
)
def enable_subscription(subscription_id: SubscriptionId, verify: Verify = "false") -> Any:
    """Enable a subscription."""
    call, check = _call(subscription_id), None
    if verify == "true":
        _, check = endpoint_checks.enable_subscription(call.stack, subscription_id, wait_s=_wait_s(call))
        _passed(check)
    else:
        subscriptions.enable_subscription(call.stack, subscription_id)
    view = subscriptions.get_subscription(call.stack, subscription_id)
    return reply(HTTPStatus.OK, _whole(call, view) | _checked(check))


@router.post(
    "/v1/subscriptions/<subscription_id>/disable",
    operation_id="disableSubscription",
    summary="Disable a subscription",
    description="Its pending deliveries are given up. It takes effect within 15 s.",
    tags=["subscriptions"],
)
def disable_subscription(subscription_id: SubscriptionId) -> Any:
    """Disable a subscription."""
    call = _call(subscription_id)
    subscriptions.disable_subscription(call.stack, subscription_id)
    return reply(HTTPStatus.OK, _whole(call, subscriptions.get_subscription(call.stack, subscription_id)))


@router.post(
    "/v1/subscriptions/<subscription_id>/recover",
    operation_id="recoverSubscription",
    summary="Send what a subscription has missed",
    description="What failed or was given up is sent once more, and what was never made is made, each once, however "
    "often it is asked for. `filtered` says that there is a filter: of `made`, what it excludes is not made; with "
    "`dry_run` filters have been asked. An answer comes in time whatever there is: where `next_cursor` is not null, it "
    "goes on there.",
    tags=["subscriptions"],
)
def recover_subscription(subscription_id: SubscriptionId, body: RecoveryRequest) -> Any:
    """Recover a subscription."""
    since_ms = moment_ms(body.since, "since")
    if since_ms < now_ms() - RECOVERED_DAYS_MAX * _DAY_MS:
        raise InvalidInput("since", f"must be at most {RECOVERED_DAYS_MAX} days ago")
    call = _call(subscription_id)
    scope = recovery.RecoveryScope(
        since_ms=since_ms,
        until_ms=LATEST_MS if body.until is None else moment_ms(body.until, "until"),
        events=frozenset(body.events or ()),
        providers=frozenset(body.providers or ()),
        filter=None if body.filter is None else EventPattern.read(body.filter),
        only_missing=body.only_missing,
    )
    page = recovery.recover_page(
        call.stack,
        subscription_id,
        scope,
        dry_run=body.dry_run,
        cursor=body.cursor,
        limit=body.limit,
        is_time_up=lambda: call.remaining_s() < _PAGE_ENDS_S,
    )
    told = page.model_dump(exclude={"subscription"})
    return reply(HTTPStatus.OK, {"subscription_id": subscription_id, **told})


def _call(subscription_id: str) -> Call:
    """Return the request; raise `NotFound` for an id that DynamoDB would not take."""
    if len(subscription_id.encode()) > HASH_KEY_MAX_BYTES:
        raise NotFound("subscription_id", "there is no subscription of so long a name")
    return call_of(router)


def _whole(call: Call, view: SubscriptionView) -> dict[str, Any]:
    latest = subscriptions.latest_deliveries(call.stack, str(view.item["subscription_id"]))
    held = deliveries.held_back(call.stack, latest)
    secret = subscriptions.secret_versions(call.stack, view)
    return subscription_document(view, secret, latest, held).to_json()
