"""The webhooks: a list with filters, a page for each with its attempts and its request, and sending again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tunehook.aws.deliveries import Redelivery
from tunehook.deliveries import DeliveryStatus
from tunehook.errors import Conflict, InvalidInput, NotFound, TunehookError
from tunehook.operations import deliveries as operations
from tunehook.operations.deliveries import RequestNow
from tunehook.operations.documents import delivery_document
from tunehook.operations.stack import Stack
from tunehook_cli.console.filters import since_ms_of, wanted_of
from tunehook_cli.console.views import link, stack_of, views_of, went_well
from tunehook_cli.rendering.deliveries import further_attempts

PAGE: Final = 50
LOOKED_AT: Final = 1_000
"""How many of the newest deliveries a filter looks through by itself; further, when it is asked to."""

LOOKED_AT_ONCE: Final = 200
"""How many of them one answer looks through: the page asks on by itself, and shows what it has."""

RESENT_AT_MOST: Final = 200
"""How many deliveries one answer sends again."""

_FILTERS: Final = ("status", "subscription", "task", "since")


def listing(request: Request) -> Response:
    """Show the newest deliveries that meet the filters."""
    wanted, problem = wanted_of(request.query_params, _FILTERS), None
    page: dict[str, Any] = {"rows": [], "next_cursor": None, "looked": 0}
    try:
        page = _read(stack_of(request), wanted, None, 0)
    except InvalidInput as error:
        problem = str(error)
    return views_of(request).page(
        request,
        "deliveries.html",
        status=422 if problem else 200,
        heading="Deliveries",
        wanted=wanted,
        statuses=[each.value for each in DeliveryStatus],
        problem=problem,
        is_first=problem is None,
        **_row_values(wanted, page),
    )


def more_rows(request: Request) -> Response:
    """Return the rows that follow those of a page."""
    query = request.query_params
    wanted, looked = wanted_of(query, _FILTERS), query.get("looked", "")
    page = _read(stack_of(request), wanted, query.get("cursor"), int(looked) if looked.isdecimal() else 0)
    return views_of(request).part("delivery_rows.html", is_first=False, **_row_values(wanted, page))


def _row_values(wanted: Mapping[str, str], page: Mapping[str, Any]) -> dict[str, Any]:
    is_filtered = any(wanted.values())
    goes_on = is_filtered and len(page["rows"]) < PAGE and page["looked"] < LOOKED_AT
    place = link("/deliveries/rows", cursor=page["next_cursor"], looked=page["looked"], **wanted)
    return {**page, "is_filtered": is_filtered, "goes_on_by_itself": goes_on, "more_at": place}


def _read(stack: Stack, wanted: Mapping[str, str], cursor: str | None, looked: int) -> dict[str, Any]:
    page = operations.page_deliveries(
        stack,
        task_id=wanted["task"] or None,
        subscription=wanted["subscription"] or None,
        status=wanted["status"] or None,
        since_ms=since_ms_of(wanted),
        limit=PAGE,
        cursor=cursor,
        look_at=LOOKED_AT_ONCE,
    )
    held = operations.held_back(stack, page.deliveries)
    rows = [delivery_document(each, held=held.get(each.delivery_id)).to_json() for each in page.deliveries]
    return {"rows": rows, "next_cursor": page.next_cursor, "looked": looked + page.looked_at}


def show(request: Request) -> Response:
    """Show a delivery: every attempt, and the request as it would be sent now."""
    stack, delivery_id = stack_of(request), request.query_params.get("id", "")
    delivery = operations.get_delivery(stack, delivery_id)
    held = operations.held_back(stack, [delivery]).get(delivery_id)
    now: RequestNow | None = None
    problem = None
    try:
        now = operations.request_now(stack, delivery)
    except (InvalidInput, NotFound) as error:
        problem = f"It cannot be sent now: {error.reason}"
    waits_s = operations.next_waits_s(stack, delivery)
    return views_of(request).page(
        request,
        "delivery.html",
        heading=delivery.delivery_id,
        delivery=delivery_document(delivery, held=held, request=now, waits_s=waits_s).to_json(),
        schedule=further_attempts(delivery, waits_s),
        problem=problem,
        curl=None if now is None else curl(now),
    )


def curl(request: RequestNow) -> str:
    """Return the request as a command for a shell, with everything masked that the request has masked."""
    parts = ["curl", "--request", request.method, request.url]
    for name, value in request.headers.items():
        parts += ["--header", f"{name}: {value}"]
    return shlex.join([*parts, "--data-binary", request.body])


async def resend(request: Request) -> Response:
    """Send a delivery again."""
    stack, delivery_id = stack_of(request), request.query_params.get("id", "")
    redelivery, now = await run_in_threadpool(operations.redeliver, stack, delivery_id)
    if redelivery is Redelivery.PENDING:
        raise Conflict(
            "delivery_id",
            f"is still pending, and a second run would send duplicates: attempt {now.next_attempt} is to come",
        )
    return went_well("/delivery", "resent", id=delivery_id)


async def resend_many(request: Request) -> Response:
    """Send the chosen deliveries again, once how many they are was shown and confirmed."""
    form = await request.form()
    ids = list(dict.fromkeys(each for each in form.getlist("id") if isinstance(each, str)))
    if not ids:
        raise InvalidInput("id", "nothing is chosen: tick the rows that are to be sent again")
    if len(ids) > RESENT_AT_MOST:
        raise InvalidInput("id", f"choose at most {RESENT_AT_MOST}")
    if form.get("confirmed") != "yes":
        return views_of(request).page(
            request, "confirm_resend.html", heading=f"Send {len(ids)} again?", ids=ids
        )
    outcomes = await run_in_threadpool(_resend_all, stack_of(request), ids)
    return views_of(request).page(request, "resent.html", heading="Sent again", outcomes=outcomes)


def _resend_all(stack: Stack, ids: list[str]) -> list[tuple[str, str]]:
    outcomes = []
    for each in ids:
        try:
            redelivery, _ = operations.redeliver(stack, each)
        except TunehookError as error:
            outcomes.append((each, str(error)))
        else:
            is_pending = redelivery is Redelivery.PENDING
            outcomes.append((each, "is still pending, and was left alone" if is_pending else "sent again"))
    return outcomes
