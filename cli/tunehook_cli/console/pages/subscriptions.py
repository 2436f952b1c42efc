"""The receivers of webhooks: make, change, test, rotate, disable, enable, recover, delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from tunehook.errors import InvalidInput, TunehookError
from tunehook.operations import deliveries, documents
from tunehook.operations import subscriptions as operations
from tunehook.operations.stack import Stack
from tunehook.subscriptions import SUBSCRIBABLE
from tunehook.tasks import Format
from tunehook.times import now_ms
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well
from tunehook_cli.durations import parse_duration

TEST_WAIT_S: Final = 10.0
HEALTH_DAYS: Final = 5
HEALTH_READ: Final = 500
"""How many of a subscription's latest deliveries its health is counted from."""

_DAY_MS: Final = 86_400_000
_FORM: Final[dict[str, Any]] = {
    "events": [each.value for each in SUBSCRIBABLE],
    "formats": [each.value for each in Format],
}


def listing(request: Request) -> Response:
    """Show all subscriptions."""
    found = operations.list_subscriptions(stack_of(request))
    rows = [documents.subscription_document(each).to_json() for each in found]
    return views_of(request).page(request, "subscriptions.html", heading="Subscriptions", rows=rows)


def new(request: Request) -> Response:
    """Show the form of a new subscription."""
    return _form(request, {}, None)


def _form(request: Request, given: Mapping[str, Any], problem: str | None) -> Response:
    status = 422 if problem else 200
    return views_of(request).page(
        request,
        "subscription_new.html",
        status=status,
        heading="New subscription",
        given=given,
        problem=problem,
        **_FORM,
    )


def _fields(form: FormData, *, is_new: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "url": text_of(form, "url"),
        "events": [each for each in form.getlist("events") if isinstance(each, str)],
        "providers": [each.strip() for each in text_of(form, "providers").split(",") if each.strip()],
        "format": text_of(form, "format"),
        "description": text_of(form, "description"),
    }
    return {name: value for name, value in fields.items() if value} if is_new else fields


async def create(request: Request) -> Response:
    """Make a subscription, and show its secret once."""
    form = await request.form()
    fields, again = _fields(form, is_new=True), form.get("again") == "yes"
    try:
        view, signing = await run_in_threadpool(operations.subscribe, stack_of(request), fields, again=again)
    except TunehookError as error:
        return _form(request, fields, str(error))
    return _secret(
        request, str(view.item["subscription_id"]), signing.signing_secret, "The subscription is made."
    )


def _secret(request: Request, subscription_id: str, secret: str, said: str) -> Response:
    return views_of(request).page(
        request,
        "secret.html",
        heading=subscription_id,
        subscription_id=subscription_id,
        secret=secret,
        said=said,
    )


def show(request: Request) -> Response:
    """Show a subscription, its health over five days, and its latest deliveries."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    return _page(request, stack, subscription_id)


def _page(request: Request, stack: Stack, subscription_id: str, **told: Any) -> Response:
    view = operations.get_subscription(stack, subscription_id)
    latest = stack.deliveries.latest(
        subscription_id=subscription_id, since_ms=now_ms() - HEALTH_DAYS * _DAY_MS, limit=HEALTH_READ
    )
    document = documents.subscription_document(view, operations.secret_versions(stack, view), latest[:20])
    values: dict[str, Any] = {"problem": None, "test": None, "recovery": None, **told}
    return views_of(request).page(
        request,
        "subscription.html",
        heading=subscription_id,
        subscription=document.to_json(),
        health=_health(latest, now_ms()),
        is_all=len(latest) < HEALTH_READ,
        **values,
        **_FORM,
    )


def _health(latest: list[Any], now: int) -> list[dict[str, Any]]:
    """Count the deliveries by status for each of the last days, the oldest first."""
    days = []
    for age in range(HEALTH_DAYS - 1, -1, -1):
        until = now - age * _DAY_MS
        counts = Counter(
            each.status.value for each in latest if until - _DAY_MS < each.created_at_ms <= until
        )
        days.append({"since_ms": until - _DAY_MS, "counts": dict(counts), "total": sum(counts.values())})
    return days


async def change(request: Request) -> Response:
    """Change the fields of a subscription."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    fields = _fields(form, is_new=False)
    try:
        await run_in_threadpool(
            operations.change_subscription, stack, subscription_id, fields, again=form.get("again") == "yes"
        )
    except InvalidInput as error:
        return await run_in_threadpool(_page, request, stack, subscription_id, problem=str(error))
    return went_well("/subscription", "changed", id=subscription_id)


async def test(request: Request) -> Response:
    """Send a test, and show what the receiver answered."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")

    def send() -> dict[str, Any]:
        _, delivery = operations.send_test(stack, subscription_id)
        after = operations.await_attempt(stack, delivery, TEST_WAIT_S)
        return documents.delivery_document(after).to_json()

    sent = await run_in_threadpool(send)
    return await run_in_threadpool(_page, request, stack, subscription_id, test=sent)


async def rotate(request: Request) -> Response:
    """Make a new secret, and show it once; the one before signs for a day more."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    rotated = await run_in_threadpool(operations.rotate_secret, stack, subscription_id, _DAY_MS)
    said = "The secret is rotated. The one before signs beside it for 24 hours."
    return _secret(request, subscription_id, rotated.signing_secret, said)


async def disable(request: Request) -> Response:
    """Send nothing more to a subscription."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    await run_in_threadpool(operations.disable_subscription, stack, subscription_id)
    return went_well("/subscription", "disabled", id=subscription_id)


async def enable(request: Request) -> Response:
    """Send to a subscription again."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    await run_in_threadpool(operations.enable_subscription, stack, subscription_id)
    return went_well("/subscription", "enabled", id=subscription_id)


async def recover(request: Request) -> Response:
    """Send what failed or was missed since a time."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    since_ms = now_ms() - parse_duration(text_of(form, "since") or "1d", "since", at_most="14d")
    recovery = await run_in_threadpool(deliveries.recover, stack, subscription_id, since_ms)
    return await run_in_threadpool(_page, request, stack, subscription_id, recovery=recovery)


async def delete(request: Request) -> Response:
    """Delete a subscription, once its name was typed."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    if text_of(form, "name") != subscription_id:
        raise InvalidInput(
            "name", "type the subscription's id to delete it: its pending deliveries are aborted"
        )
    await run_in_threadpool(operations.delete_subscription, stack, subscription_id)
    return went_well("/subscriptions", "deleted")
