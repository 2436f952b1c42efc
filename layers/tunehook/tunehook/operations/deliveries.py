"""Deliveries: list and read them, deliver again, and recover what a subscription has missed."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from tunehook.aws.deliveries import LoggedDelivery, Redelivery, withdrawn
from tunehook.deliveries import Delivery, DeliveryStatus
from tunehook.deliveries import delivery_id as id_of
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import no_such_subscription, usable_subscription
from tunehook.operations.tasks import no_such_task
from tunehook.operations.text import visible
from tunehook.signatures import notify_hook_subscription_id
from tunehook.subscriptions import Subscription, WebhookType
from tunehook.times import now_ms

_CLOCK_SKEW_MS: Final = 600_000
"""A delivery is made after its task was found ended; by another clock, it may seem to be before."""


class Recovery(BaseModel, frozen=True):
    """The ids of deliveries that are sent once more, and of those that are made as there was none."""

    subscription: str
    recovered: list[str]
    made: list[str]


def list_deliveries(
    stack: Stack,
    *,
    task: str | None = None,
    subscription: str | None = None,
    status: str | None = None,
    since_ms: int = 0,
    limit: int = 50,
) -> list[LoggedDelivery]:
    """Return deliveries, the latest first. Without a task or a subscription this reads a whole index.

    `subscription` may also be the URL of a notify hook.

    Raises `InvalidInput` if there is no such status; `NotFound` if there is no such task or subscription.

    >>> [each.subscription_id for each in list_deliveries(stack, task="task-1")]
    ['sub-1']
    """
    if status is not None and status not in tuple(DeliveryStatus):
        raise InvalidInput("status", f"must be one of {', '.join(DeliveryStatus)}")
    subscription_id = None if subscription is None else _subscription_id(subscription)
    found = stack.deliveries.latest(
        task_id=task,
        subscription_id=subscription_id,
        statuses=() if status is None else (DeliveryStatus(status),),
        since_ms=since_ms,
        limit=limit,
    )
    if found:
        return found
    if task is not None and not (stack.tasks.of_id(task) or stack.deliveries.latest(task_id=task, limit=1)):
        raise NotFound("task", f"{no_such_task(task)}: `tunehook tasks list` names them")
    # The deliveries of a subscription that was deleted are kept.
    if subscription_id is not None and stack.subscriptions.get(subscription_id) is None:
        _check_log(stack, str(subscription))
    return found


def _subscription_id(subscription: str) -> str:
    return notify_hook_subscription_id(subscription) if "://" in subscription else subscription


def _check_log(stack: Stack, subscription: str) -> None:
    """Raise `NotFound` if nothing was ever sent to a subscription or a notify hook."""
    if stack.deliveries.latest(subscription_id=_subscription_id(subscription), limit=1):
        return
    if "://" in subscription:
        raise NotFound("subscription", f"nothing was sent to a notify hook {visible(subscription)}")
    raise no_such_subscription(subscription, "subscription")


def get_delivery(stack: Stack, delivery_id: str) -> Delivery:
    """Return a delivery with its attempts; raise `NotFound` if there is none.

    >>> get_delivery(stack, "msg_1").run
    1
    """
    delivery = stack.deliveries.get(delivery_id)
    if delivery is None:
        raise _no_such_delivery(delivery_id)
    return delivery


def _no_such_delivery(delivery_id: str) -> NotFound:
    return NotFound(
        "delivery_id",
        f"there is no delivery {visible(delivery_id)}: `tunehook deliveries list` names those of the last 30 days",
    )


def redeliver(stack: Stack, delivery_id: str) -> tuple[Redelivery, Delivery]:
    """Begin a new run of a delivery that has ended, with the same ``webhook-id``; return what came of it.

    Raises `NotFound` if there is none, or its subscription is there no more; `Conflict` or `InvalidInput` if its
    subscription is disabled, or cannot be used as it stands.

    >>> redeliver(stack, "msg_1")[0]
    <Redelivery.STARTED: 1>
    """
    delivery = get_delivery(stack, delivery_id)
    if delivery.url is None:
        try:
            _subscription(stack, delivery.subscription_id, "delivery_id")
        except NotFound as error:
            raise NotFound("delivery_id", f"it went to a subscription of the past: {error.reason}") from None
    redelivery, now = stack.redeliveries.begin(delivery_id, now_ms())
    if now is None:
        raise _no_such_delivery(delivery_id)
    return redelivery, now


def _subscription(stack: Stack, subscription_id: str, field: str) -> Subscription:
    try:
        return usable_subscription(stack, subscription_id)
    except (Conflict, NotFound) as error:
        raise type(error)(field, error.reason) from None
    except InvalidInput as error:
        name = visible(subscription_id)
        raise InvalidInput(field, f"{name} cannot be used as it stands: {error}") from None


def recover(stack: Stack, subscription: str, since_ms: int) -> Recovery:
    """Redeliver what failed or was aborted since then, and have made what never was.

    What was never made, as the subscription was disabled or new, is made from the tasks that ended since then, if the
    subscription wants their events. `subscription` may also be the URL of a notify hook.

    Raises what `usable_subscription` does; `Unavailable` if the fulfillment queue refuses some requests.

    >>> recover(stack, "sub-1", 0).recovered
    ['msg_1']
    """
    is_hook = "://" in subscription
    wanted = None if is_hook else _subscription(stack, subscription, "subscription")
    lost = [
        each.delivery_id
        for each in stack.deliveries.latest(
            subscription_id=_subscription_id(subscription),
            statuses=(DeliveryStatus.FAILED, DeliveryStatus.ABORTED),
            since_ms=since_ms,
        )
        if each.status is DeliveryStatus.FAILED or withdrawn(each)
    ]
    if is_hook and not lost:
        _check_log(stack, subscription)
    # The oldest first, as they came.
    outcomes = {each: stack.redeliveries.begin(each, now_ms())[0] for each in reversed(lost)}
    recovered = [each for each, outcome in outcomes.items() if outcome is Redelivery.STARTED]
    # A notify hook gets a delivery in any case: none can be missing.
    made = [] if wanted is None else _request_missing(stack, wanted, since_ms)
    return Recovery(subscription=subscription, recovered=recovered, made=made)


def _request_missing(stack: Stack, wanted: Subscription, since_ms: int) -> list[str]:
    """Request the deliveries that are missing about tasks that ended since then; return their ids."""
    subscription_id = wanted.subscription_id
    known = set(stack.deliveries.ids_of_subscription(subscription_id, since_ms=since_ms - _CLOCK_SKEW_MS))
    missing = {
        new: run
        for run in stack.tasks.ended(since_ms, wanted.providers)
        if wanted.wants(WebhookType.of_end(run.status), run.key.provider)
        and (new := id_of(run.event_id, subscription_id)) not in known
    }
    runs = sorted(missing.items(), key=lambda each: each[1].detected_at_ms)
    stack.request_fulfillment(
        [
            DeliveryRequest(
                task_id=run.key.task_id,
                provider=run.key.provider,
                event_id=run.event_id,
                subscription_id=subscription_id,
            )
            for _, run in runs
        ]
    )
    return [new for new, _ in runs]
