"""The routes of deliveries: list, read with their attempts, deliver again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from api.models import PAGE_DEFAULT, Cursor, DeliveryId, Limit, Since, moment_ms
from api.request import Call, call_of, new_router, reply
from tunehook.aws.deliveries import Redelivery
from tunehook.errors import Conflict, NotFound
from tunehook.http.guard import MAX_URL_LENGTH
from tunehook.keys import HASH_KEY_MAX_BYTES
from tunehook.operations import deliveries
from tunehook.operations.documents import delivery_document
from tunehook.tasks import TASK_ID_MAX_LENGTH

router = new_router()


@router.get(
    "/v1/deliveries",
    operation_id="listDeliveries",
    summary="List deliveries",
    description="The newest first, with their attempts and without their payloads. A page may be short or empty while "
    "`next_cursor` goes on.",
    tags=["deliveries"],
)
def list_deliveries(
    task_id: Annotated[
        str | None,
        Query(min_length=1, max_length=TASK_ID_MAX_LENGTH, description="Only those about this task."),
    ] = None,
    provider: Annotated[str | None, Query(description="Only those about tasks of this provider.")] = None,
    subscription: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=MAX_URL_LENGTH,
            description="Only those to this subscription, or to this URL of a notify hook.",
        ),
    ] = None,
    status: Annotated[
        Literal["pending", "delivered", "failed", "aborted"] | None,
        Query(description="Only those of this status."),
    ] = None,
    since: Since = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
) -> Any:
    """List deliveries."""
    call = call_of(router)
    if subscription is not None and "://" not in subscription:
        _check_id(subscription, "subscription")
    page = deliveries.page_deliveries(
        call.stack,
        task_id=task_id,
        provider=provider,
        subscription=subscription,
        status=status,
        since_ms=0 if since is None else moment_ms(since, "since"),
        limit=limit,
        cursor=cursor,
    )
    held = deliveries.held_back(call.stack, page.deliveries)
    told = [delivery_document(each, held=held.get(each.delivery_id)).to_json() for each in page.deliveries]
    return reply(HTTPStatus.OK, {"deliveries": told, "next_cursor": page.next_cursor})


@router.get(
    "/v1/deliveries/<delivery_id>",
    operation_id="getDelivery",
    summary="Get a delivery and its attempts",
    tags=["deliveries"],
)
def get_delivery(delivery_id: DeliveryId) -> Any:
    """Read a delivery."""
    call = _call(delivery_id)
    delivery = deliveries.get_delivery(call.stack, delivery_id)
    held = deliveries.held_back(call.stack, [delivery]).get(delivery_id)
    waits_s = deliveries.next_waits_s(call.stack, delivery)
    return reply(HTTPStatus.OK, delivery_document(delivery, held=held, waits_s=waits_s).to_json())


@router.post(
    "/v1/deliveries/<delivery_id>/redeliver",
    operation_id="redeliver",
    summary="Deliver again",
    description="A new run of the whole schedule, with the same `webhook-id`. 409 while a run goes on.",
    tags=["deliveries"],
)
def redeliver(delivery_id: DeliveryId) -> Any:
    """Deliver again."""
    redelivery, delivery = deliveries.redeliver(_call(delivery_id).stack, delivery_id)
    if redelivery is Redelivery.PENDING:
        raise Conflict("delivery_id", "its present run goes on: a second one would double it")
    return reply(HTTPStatus.ACCEPTED, delivery_document(delivery).to_json())


def _call(delivery_id: str) -> Call:
    _check_id(delivery_id, "delivery_id")
    return call_of(router)


def _check_id(name: str, field: str) -> None:
    """Raise `NotFound` for an id that DynamoDB would not take."""
    if len(name.encode()) > HASH_KEY_MAX_BYTES:
        raise NotFound(field, "nothing has so long a name")
