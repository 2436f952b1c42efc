"""Deliveries: list and read them, and deliver again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from tunehook.aws.circuits import LONGEST_WAIT_MS
from tunehook.aws.deliveries import OVERDUE_MS, ListedDelivery, LoggedDelivery, Redelivery
from tunehook.aws.links import link
from tunehook.aws.pages import LOOKED_AT, Position, page_of
from tunehook.deliveries import Delivery, DeliveryStatus, is_progress
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.http.headers import DEFAULT_HEADERS
from tunehook.operations.documents import MASKED
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import (
    SubscriptionView,
    get_subscription,
    list_subscriptions,
    no_such_subscription,
    usable_subscription,
)
from tunehook.operations.tasks import no_such_task
from tunehook.operations.text import visible
from tunehook.schedules import WAITS_S
from tunehook.secret_versions import versions_on
from tunehook.signatures import notify_hook_subscription_id
from tunehook.subscriptions import Subscription
from tunehook.times import now_ms
from tunehook.webhook_request import SIGNATURE, Endpoint, endpoint_for, unsigned_request

if TYPE_CHECKING:
    from tunehook.aws.circuits import Circuit

_KIND: Final = "deliveries"

HELD_BACK_SHOWN: Final = 100
"""So many deliveries that are held back are found at most for each subscription."""


class DeliveryPage(BaseModel, frozen=True, defer_build=True):
    """A page of deliveries, how many were looked at, and by what the next one is asked for: None after the last."""

    deliveries: list[LoggedDelivery]
    next_cursor: str | None
    looked_at: int


class RequestNow(BaseModel, frozen=True):
    """A webhook's request as it would be sent now; what may be a secret is masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class HeldBack(BaseModel, frozen=True):
    """A pending delivery that waits, without using up an attempt, as its receiver hangs.

    `url` is where it goes; `until_ms` is about when the receiver is tried again.
    """

    delivery_id: str
    subscription_id: str
    url: str
    until_ms: int


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
    subscription_id = None if subscription is None else log_id_of(subscription)
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
        raise NotFound("task", f"{no_such_task(task)}: `tunehook tasks list` lists them")
    # The deliveries of a subscription that was deleted are kept.
    if subscription_id is not None and stack.subscriptions.get(subscription_id) is None:
        check_log(stack, str(subscription))
    return found


def page_deliveries(
    stack: Stack,
    *,
    task_id: str | None = None,
    provider: str | None = None,
    subscription: str | None = None,
    status: str | None = None,
    since_ms: int = 0,
    limit: int = 50,
    cursor: str | None = None,
    look_at: int = LOOKED_AT,
) -> DeliveryPage:
    """Return a page of the deliveries, newest first, without their payloads: those that were created since `since_ms`.

    `subscription` may also be the URL of a notify hook; `cursor` is the `next_cursor` of the page before, with the same
    filters. For each page about `look_at` deliveries are looked at, by an index: one may be short, or empty, and
    others follow. Without a task and a subscription, those of the last 30 days are looked for, day by day, and none
    that were created before the stack was upgraded to this version. Without the HTTP API there is no index by day, and
    each page reads another one whole.

    Raises `InvalidInput` if there is no such status, or for a limit or a cursor that is none.

    >>> page_deliveries(stack, task_id="task-1").deliveries[0].subscription_id
    'sub-1'
    """
    if status is not None and status not in tuple(DeliveryStatus):
        raise InvalidInput("status", f"must be one of {', '.join(DeliveryStatus)}")
    subscription_id = None if subscription is None else log_id_of(subscription)
    after = None if cursor is None else Position.of_cursor(_KIND, cursor)
    is_filtered = not (status is provider is None) or (task_id is not None and subscription_id is not None)
    if task_id is subscription_id is None and not stack.has_lists:
        entries = stack.deliveries.listed_by_scan(since_ms, after)
    else:
        entries = stack.deliveries.listed(
            now_ms(),
            task_id=task_id,
            subscription_id=subscription_id,
            since_ms=since_ms,
            after=after,
            at_once=(look_at if is_filtered else limit) + 2,
        )

    looked_at = 0

    def read(batch: list[ListedDelivery]) -> dict[ListedDelivery, LoggedDelivery]:
        nonlocal looked_at
        looked_at += len(batch)
        # The index lags behind the table, and may not have the status.
        wanted = {
            each.delivery_id: each for each in batch if status in (None, each.status) or not each.status
        }
        return {
            wanted[found.delivery_id]: found
            for found in stack.deliveries.get_logged(list(wanted))
            if status in (None, found.status)
            and provider in (None, found.provider)
            and subscription_id in (None, found.subscription_id)
        }

    found, last = page_of(entries, read, limit, filtered=is_filtered, look_at=look_at)
    next_cursor = None if last is None else last.cursor(_KIND)
    return DeliveryPage(deliveries=found, next_cursor=next_cursor, looked_at=looked_at)


def log_id_of(subscription: str) -> str:
    """Return by which id the deliveries to a subscription, or to the URL of a notify hook, are found."""
    return notify_hook_subscription_id(subscription) if "://" in subscription else subscription


def check_log(stack: Stack, subscription: str) -> None:
    """Raise `NotFound` if nothing was ever sent to a subscription or a notify hook.

    >>> check_log(stack, "sub-1")
    """
    if stack.deliveries.latest(subscription_id=log_id_of(subscription), limit=1):
        return
    if "://" in subscription:
        raise NotFound("subscription", f"nothing was sent to a notify hook {visible(subscription)}")
    raise no_such_subscription(subscription, "subscription")


def held_back(stack: Stack, found: Sequence[Delivery] | None = None) -> dict[str, HeldBack]:
    """Return, by their ids, which of these deliveries are held back: by default those of all receivers that hang.

    For given deliveries this reads their subscriptions and circuits by key, and nothing where none is pending and due.
    For all, it reads the circuits, and only where a receiver hangs the subscriptions and at most `HELD_BACK_SHOWN`
    pending deliveries of each.

    >>> held_back(stack)
    {}
    """
    if "ReceiverGatesTable" not in stack.outputs:  # a stack of an earlier version
        return {}
    if found is None:
        return _all_held_back(stack)
    now = now_ms()
    waiting = [each for each in found if (due := due_ms(each)) is not None and due < now + LONGEST_WAIT_MS]
    subscribed = {each.subscription_id for each in waiting if each.url is None}
    urls = {each: (stack.subscriptions.get(each) or {}).get("url") for each in sorted(subscribed)}
    places = {each.delivery_id: each.url or urls.get(each.subscription_id) for each in waiting}
    receivers = {url: notify_hook_subscription_id(url) for url in places.values() if isinstance(url, str)}
    circuits = stack.circuits.failing(receivers.values()) if receivers else {}
    held = {}
    for each in waiting:
        url = str(places[each.delivery_id])
        circuit = circuits.get(receivers.get(url, ""))
        until_ms = None if circuit is None else _held_until_ms(circuit, due_ms(each) or 0, now)
        if until_ms is not None:
            held[each.delivery_id] = HeldBack(
                delivery_id=each.delivery_id, subscription_id=each.subscription_id, url=url, until_ms=until_ms
            )
    return held


def due_ms(delivery: Delivery) -> int | None:
    """Return when the next attempt of a delivery is due by its schedule; None if it has ended."""
    if delivery.status is not DeliveryStatus.PENDING:
        return None
    return delivery.next_attempt_at_ms or delivery.created_at_ms


def _all_held_back(stack: Stack) -> dict[str, HeldBack]:
    hanging = set(stack.circuits.failing())
    if not hanging:
        return {}
    ids = hanging | {
        str(each.item["subscription_id"])
        for each in list_subscriptions(stack)
        if isinstance(url := each.item.get("url"), str) and notify_hook_subscription_id(url) in hanging
    }
    pending = (DeliveryStatus.PENDING,)
    return held_back(
        stack,
        [
            each
            for name in sorted(ids)
            for each in stack.deliveries.latest(subscription_id=name, statuses=pending, limit=HELD_BACK_SHOWN)
        ],
    )


def _held_until_ms(circuit: Circuit, due_ms: int, now_ms: int) -> int | None:
    """Return about when a delivery is let through, None if its receiver's circuit does not keep it waiting."""
    if now_ms < circuit.shut_until_ms <= now_ms + LONGEST_WAIT_MS:
        return circuit.shut_until_ms if due_ms < circuit.shut_until_ms else None
    # Half-open: one attempt probes the receiver now, and the others wait for what it finds.
    since_ms = max(circuit.shut_until_ms, circuit.trial_since_ms)
    return now_ms if due_ms <= now_ms and 0 <= now_ms - since_ms < OVERDUE_MS else None


def get_delivery(stack: Stack, delivery_id: str) -> Delivery:
    """Return a delivery with its attempts; raise `NotFound` if there is none.

    >>> get_delivery(stack, "msg_1").run
    1
    """
    delivery = stack.deliveries.get(delivery_id)
    if delivery is None:
        raise _no_such_delivery(delivery_id)
    return delivery


def request_now(stack: Stack, delivery: Delivery, *, links: bool = False) -> RequestNow:
    """Return the request of a delivery as it would be sent now, made by the code that the webhooks function uses.

    Masked are the values of the receiver's own headers, the signature, of which no secret is read, and the query of
    each download link, which lets anybody have the file; `links` leaves these whole, signed by the caller's
    credentials.

    Raises `NotFound` if its subscription is there no more; `InvalidInput` if its subscription or its record cannot be
    used as it stands.

    >>> request_now(stack, get_delivery(stack, "msg_1")).headers["webhook-signature"]
    'v1,****'
    """
    now = now_ms()
    endpoint = _endpoint(stack, delivery, now)
    made: list[str] = []

    def sign_link(key: str) -> str:
        made.append(link(stack.s3, stack.output("ResultsBucket"), key))
        return made[-1]

    request = unsigned_request(delivery, endpoint, stack.network_policy, sign_link, now)
    body = request.body.decode()
    for each in [] if links else made:
        body = body.replace(each, f"{each.partition('?')[0]}?{MASKED}")
    masked = {name: MASKED if name in endpoint.headers else value for name, value in request.headers.items()}
    identifiers = endpoint.scheme.identifiers * len(endpoint.secret_versions)
    signature = " ".join(f"{each},{MASKED}" for each in identifiers)
    headers = {**DEFAULT_HEADERS, **masked, SIGNATURE: signature}
    return RequestNow(method="POST", url=request.url, headers=headers, body=body)


def _endpoint(stack: Stack, delivery: Delivery, now_ms: int) -> Endpoint:
    if delivery.url is not None:
        return Endpoint(delivery.url)
    view = get_subscription(stack, delivery.subscription_id)
    if view.subscription is None:
        raise view.error or no_such_subscription(delivery.subscription_id)
    versions = stack.secret_versions.get(delivery.subscription_id) or versions_on(view.item)
    return endpoint_for(view.subscription, versions, now_ms)


def next_waits_s(stack: Stack, delivery: Delivery) -> list[int] | None:
    """Return the waits, in seconds, after the next attempt of a delivery and after each that follows it.

    They are those of its subscription's schedule as it is now; the last attempt has none after it. None if no attempt
    is to come: the delivery has ended, or will without another attempt, as its schedule was made shorter.

    >>> next_waits_s(stack, get_delivery(stack, "msg_1")) is None
    True
    """
    if delivery.status is not DeliveryStatus.PENDING:
        return None
    if is_progress(delivery.delivery_id):
        return []
    waits_s: Sequence[int] = WAITS_S
    if delivery.url is None and (item := stack.subscriptions.get(delivery.subscription_id)) is not None:
        subscription = SubscriptionView.of(item, stack.network_policy).subscription
        waits_s = WAITS_S if subscription is None else subscription.retry_schedule
    return None if delivery.next_attempt > len(waits_s) + 1 else list(waits_s[delivery.next_attempt - 1 :])


def _no_such_delivery(delivery_id: str) -> NotFound:
    return NotFound(
        "delivery_id",
        f"there is no delivery {visible(delivery_id)}: `tunehook deliveries list` lists those of the last 30 days",
    )


def redeliver(stack: Stack, delivery_id: str) -> tuple[Redelivery, Delivery]:
    """Begin a new run of a delivery that has ended, with the same ``webhook-id``; return what came of it.

    Raises `NotFound` if there is none, or its subscription is there no more; `Conflict` or `InvalidInput` if its
    subscription is disabled, or cannot be used as it stands; `Conflict` for the check of an endpoint, and for what
    tells of progress, which is sent once.

    >>> redeliver(stack, "msg_1")[0]
    <Redelivery.STARTED: 1>
    """
    delivery = get_delivery(stack, delivery_id)
    if delivery.is_check:
        name = visible(delivery.subscription_id)
        again = f"`tunehook subscriptions test {name}` sends a test"
        raise Conflict("delivery_id", f"it was the check of an endpoint, which is not repeated: {again}")
    if is_progress(delivery_id):
        raise Conflict(
            "delivery_id",
            f"{visible(delivery_id)} tells of the progress that a task has made: that is sent once, and never again",
        )
    if delivery.url is None:
        try:
            subscription_of(stack, delivery.subscription_id, "delivery_id")
        except NotFound as error:
            raise NotFound("delivery_id", f"its subscription no longer exists: {error.reason}") from None
    redelivery, now = stack.redeliveries.begin(delivery_id, now_ms())
    if now is None:
        raise _no_such_delivery(delivery_id)
    return redelivery, now


def subscription_of(stack: Stack, subscription_id: str, field: str) -> Subscription:
    """Return a subscription as `usable_subscription` does, with errors that name a field.

    >>> subscription_of(stack, "sub-1", "subscription").enabled
    True
    """
    try:
        return usable_subscription(stack, subscription_id)
    except (Conflict, NotFound) as error:
        raise type(error)(field, error.reason) from None
    except InvalidInput as error:
        name = visible(subscription_id)
        raise InvalidInput(field, f"{name} cannot be used: {error}") from None
