"""The receivers of webhooks: make, change, test, rotate, disable, enable, recover, delete."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice, takewhile
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from tunehook.deliveries import DeliveryStatus
from tunehook.errors import Conflict, InvalidInput, TunehookError
from tunehook.event_patterns import EventPattern
from tunehook.operations import deliveries, documents, endpoint_checks, filters, recovery
from tunehook.operations import subscriptions as operations
from tunehook.operations.endpoint_checks import EndpointCheck
from tunehook.operations.filters import FilterTest
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import SubscriptionView
from tunehook.rate_limits import parse_rate, rate_text
from tunehook.signatures import SignatureScheme
from tunehook.subscriptions import SUBSCRIBABLE
from tunehook.tasks import Format
from tunehook.times import LATEST_MS, now_ms
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well
from tunehook_cli.durations import (
    duration_text,
    duration_texts,
    parse_duration,
    parse_schedule,
    parse_seconds,
)

TEST_WAIT_S: Final = 10.0
HEALTH_DAYS: Final = 5
HEALTH_READ: Final = 1_000
"""How many of a subscription's latest deliveries its health is counted from, as an index shows them."""

LATEST: Final = 20

_DAY_MS: Final = 86_400_000
_STATES: Final = ("failing", "enabled", "disabled", "unusable")
_FORM: Final[dict[str, Any]] = {
    "events": [each.value for each in SUBSCRIBABLE],
    "formats": [each.value for each in Format],
    "signatures": [each.value for each in SignatureScheme],
}


def listing(request: Request) -> Response:
    """Show all subscriptions."""
    state = request.query_params.get("state", "")
    found = operations.list_subscriptions(stack_of(request))
    rows = [documents.subscription_document(each).to_json() for each in found]
    if state in _STATES:
        rows = [each for each in rows if _is_in(each, state)]
    return views_of(request).page(
        request,
        "subscriptions.html",
        heading="Subscriptions",
        rows=rows,
        state=state,
        states=_STATES,
        is_empty=not found,
    )


def _is_in(row: Mapping[str, Any], state: str) -> bool:
    """Return whether a subscription is of a state; ``failing`` are those, too, to which nothing is sent at all."""
    if state == "failing":
        return row["state"] != "enabled" or row["failing_since"] is not None
    return bool(row["state"] == state)


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
    """Return the fields of a form; raise `InvalidInput` for a length of time or a filter that is none."""
    schedule, timeout = text_of(form, "retry_schedule"), text_of(form, "timeout")
    fields: dict[str, Any] = {
        "url": text_of(form, "url"),
        "events": _chosen(form, "events"),
        "providers": _named(form, "providers"),
        "format": text_of(form, "format"),
        "description": text_of(form, "description"),
        "signature": text_of(form, "signature") or None,
        "retry_schedule": parse_schedule(schedule, "retry_schedule") if schedule else None,
        "timeout_s": parse_seconds(timeout, "timeout_s") if timeout else None,
        "max_per_second": parse_rate(rate) if (rate := text_of(form, "max_per_second")) else None,
        "filter": EventPattern.read(pattern).to_json() if (pattern := text_of(form, "filter")) else None,
    }
    if not is_new:
        return fields
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _chosen(form: FormData, name: str) -> list[str]:
    """Return what is ticked of several boxes."""
    return [each for each in form.getlist(name) if isinstance(each, str)]


def _named(form: FormData, name: str) -> list[str]:
    """Return the names that a field has, separated by commas."""
    return [each.strip() for each in text_of(form, name).split(",") if each.strip()]


async def create(request: Request) -> Response:
    """Make a subscription, and show its secret once."""
    form = await request.form()
    again = form.get("again") == "yes"
    stack, check = stack_of(request), None
    try:
        fields = _fields(form, is_new=True)
        if form.get("verify") == "yes":
            subscribe = endpoint_checks.subscribe
            _, signing, check = await run_in_threadpool(subscribe, stack, fields, again=again)
        else:
            _, signing = await run_in_threadpool(operations.subscribe, stack, fields, again=again)
    except TunehookError as error:
        return _form(request, _typed(form), str(error))
    return _secret(request, signing, "The subscription is made.", check)


def _typed(form: FormData) -> dict[str, Any]:
    """Return a form as it was typed, to be shown once more."""
    lists = {
        "events": _chosen(form, "events"),
        "providers": _named(form, "providers"),
    }
    texts = (
        "url",
        "format",
        "description",
        "signature",
        "retry_schedule",
        "timeout",
        "max_per_second",
        "filter",
        "verify",
    )
    return {name: text_of(form, name) for name in texts} | lists


def _secret(
    request: Request, signing: operations.SigningSecret, said: str, check: EndpointCheck | None = None
) -> Response:
    return views_of(request).page(
        request,
        "secret.html",
        heading=signing.subscription_id,
        signing=signing,
        said=said,
        check=check,
    )


def show(request: Request) -> Response:
    """Show a subscription, its health over five days, and its latest deliveries; for a task, whether it is told."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    tried = {name: request.query_params.get(name, "").strip() for name in ("task", "provider")}
    if not tried["task"]:
        return _page(request, stack, subscription_id)
    try:
        tested = filters.try_filter(stack, subscription_id, tried["task"], tried["provider"] or None)
    except InvalidInput as error:
        return _page(request, stack, subscription_id, problem=str(error), tried=tried)
    return _page(request, stack, subscription_id, tested=_told(tested), tried=tried)


def _told(tested: FilterTest) -> dict[str, Any]:
    """Return what came of trying a filter, with values and patterns as JSON."""

    def text(values: list[Any]) -> str:
        return ", ".join(json.dumps(each, ensure_ascii=False) for each in values)

    mismatches = [
        each.model_dump()
        | {"found": text(each.values) or "nothing", "wanted": json.dumps(each.pattern, ensure_ascii=False)}
        for each in tested.mismatches
    ]
    return tested.model_dump() | {"mismatches": mismatches}


def _page(request: Request, stack: Stack, subscription_id: str, **told: Any) -> Response:
    view = operations.get_subscription(stack, subscription_id)
    latest = deliveries.page_deliveries(stack, subscription=subscription_id, limit=LATEST).deliveries
    document = documents.subscription_document(
        view, operations.secret_versions(stack, view), latest
    ).to_json()
    values: dict[str, Any] = {"problem": None, "test": None, "recovery": None, "typed": {}, **told}
    values = {"tested": None, "check": None, "tried": {"task": "", "provider": ""}, **values}
    return views_of(request).page(
        request,
        "subscription.html",
        status=422 if values["problem"] else 200,
        heading=subscription_id,
        subscription=document,
        given=_given(document, view.item) | values["typed"],
        signed=_signed(view),
        **values,
        **_FORM,
    )


def _given(document: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a subscription as its form shows it: what is its own, and lengths of time as users write them."""
    waits_s = document["retry_schedule"] if item.get("retry_schedule") else None
    rate = document["max_per_second"]
    timeout_s = document["timeout_s"] if item.get("timeout_s") else None
    return {
        **document,
        "retry_schedule": duration_texts(waits_s) if waits_s else "",
        "timeout": duration_text(timeout_s) if timeout_s else "",
        "max_per_second": "" if rate is None else rate_text(rate),
        "filter": json.dumps(document["filter"], ensure_ascii=False) if document["filter"] else "",
    }


def _signed(view: SubscriptionView) -> str | None:
    """Return by what a subscription is signed now, where that is not the HMAC alone."""
    scheme = operations.signed_by(view)
    return None if scheme is SignatureScheme.V1 else scheme.value


def keys(request: Request) -> Response:
    """Show the public keys of a subscription: a part of its own, as the master secret is read for it."""
    found = operations.public_keys(stack_of(request), request.query_params.get("id", ""))
    return views_of(request).part("public_keys.html", public_keys=found.public_keys)


def health(request: Request) -> Response:
    """Show how the deliveries of the last days went: a part of its own, as it reads many entries of an index."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    now = now_ms()
    listed = stack.deliveries.listed(now, subscription_id=subscription_id, at_once=HEALTH_READ)
    since_ms = now - HEALTH_DAYS * _DAY_MS
    newest = takewhile(lambda each: each[0].at_ms > since_ms, islice(listed, HEALTH_READ))
    found = [(place.at_ms, each.status or "unknown") for place, each in newest]
    days = _by_day(found, now)
    return views_of(request).part(
        "health.html", days=days, is_all=len(found) < HEALTH_READ, counted_from=len(found)
    )


def _by_day(found: Iterable[tuple[int, str]], now: int) -> list[dict[str, Any]]:
    """Count deliveries by status for each of the last days, the oldest first."""
    counts = [Counter[str]() for _ in range(HEALTH_DAYS)]
    for at_ms, status in found:
        # One that another clock has made may be of the next moment.
        counts[min(max((now - at_ms) // _DAY_MS, 0), HEALTH_DAYS - 1)][status] += 1
    return [
        {"since_ms": now - (age + 1) * _DAY_MS, "counts": counts[age]}
        for age in range(HEALTH_DAYS - 1, -1, -1)
    ]


async def change(request: Request) -> Response:
    """Change the fields of a subscription."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    again, check = form.get("again") == "yes", None
    try:
        fields = _fields(form, is_new=False)
        if form.get("verify") == "yes":
            change = endpoint_checks.change_subscription
            _, check = await run_in_threadpool(change, stack, subscription_id, fields, again=again)
        else:
            change_it = operations.change_subscription
            await run_in_threadpool(change_it, stack, subscription_id, fields, again=again)
    except (InvalidInput, Conflict) as error:
        return await run_in_threadpool(
            _page, request, stack, subscription_id, problem=str(error), typed=_typed(form)
        )
    if check is not None:
        typed = {} if check.passed else _typed(form)
        return await run_in_threadpool(_page, request, stack, subscription_id, check=check, typed=typed)
    return went_well("/subscription", "changed", id=subscription_id)


async def test(request: Request) -> Response:
    """Send a test, and show what the receiver answered."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")

    def send() -> dict[str, Any]:
        subscription, delivery = operations.send_test(stack, subscription_id)
        after = operations.await_attempt(stack, delivery, TEST_WAIT_S)
        wrong = after.attempts and after.status is not DeliveryStatus.DELIVERED
        words = endpoint_checks.diagnose(after, subscription).words if wrong else None
        return {**documents.delivery_document(after).to_json(), "words": words}

    sent = await run_in_threadpool(send)
    return await run_in_threadpool(_page, request, stack, subscription_id, test=sent)


async def rotate(request: Request) -> Response:
    """Make a new secret, and show it once; the one before signs for a day more."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    rotated = await run_in_threadpool(operations.rotate_secret, stack, subscription_id, _DAY_MS)
    said = "The secret is rotated. The one before signs beside it for 24 hours."
    return _secret(request, rotated, said)


async def disable(request: Request) -> Response:
    """Send nothing more to a subscription."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    await run_in_threadpool(operations.disable_subscription, stack, subscription_id)
    return went_well("/subscription", "disabled", id=subscription_id)


async def enable(request: Request) -> Response:
    """Send to a subscription again; where that is asked for, only if a check of its endpoint passes."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    if (await request.form()).get("verify") == "yes":
        _, check = await run_in_threadpool(endpoint_checks.enable_subscription, stack, subscription_id)
        return await run_in_threadpool(_page, request, stack, subscription_id, check=check)
    await run_in_threadpool(operations.enable_subscription, stack, subscription_id)
    return went_well("/subscription", "enabled", id=subscription_id)


async def recover(request: Request) -> Response:
    """Send what failed or was missed in a time, or count it."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    typed = {
        "since": text_of(form, "since") or "1d",
        "of_events": _chosen(form, "of_events"),
        "of_providers": _named(form, "of_providers"),
        **{name: text_of(form, name) for name in ("until", "matching", "missing")},
    }
    dry_run = form.get("count") == "yes"
    try:
        scope = _scope(typed)
        done = await run_in_threadpool(recovery.recover, stack, subscription_id, scope, dry_run=dry_run)
    except (InvalidInput, Conflict) as error:
        return await run_in_threadpool(
            _page, request, stack, subscription_id, problem=str(error), typed=typed
        )
    return await run_in_threadpool(
        _page, request, stack, subscription_id, recovery=done, typed=typed if dry_run else {}
    )


def _scope(typed: Mapping[str, Any]) -> recovery.RecoveryScope:
    now = now_ms()
    return recovery.RecoveryScope(
        since_ms=now - parse_duration(typed["since"], "since", at_most="14d"),
        until_ms=now - parse_duration(typed["until"], "until") if typed["until"] else LATEST_MS,
        events=frozenset(typed["of_events"]),
        providers=frozenset(typed["of_providers"]),
        filter=EventPattern.read(typed["matching"]) if typed["matching"] else None,
        only_missing=typed["missing"] == "yes",
    )


async def delete(request: Request) -> Response:
    """Delete a subscription, once its name was typed."""
    stack, subscription_id = stack_of(request), request.query_params.get("id", "")
    form = await request.form()
    if text_of(form, "name") != subscription_id:
        problem = "name: type the subscription's id to delete it: its pending deliveries are aborted"
        typed = {"name": text_of(form, "name")}
        return await run_in_threadpool(_page, request, stack, subscription_id, problem=problem, typed=typed)
    await run_in_threadpool(operations.delete_subscription, stack, subscription_id)
    return went_well("/subscriptions", "deleted")
