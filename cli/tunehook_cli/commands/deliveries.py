"""`tunehook deliveries`: what was sent to whom, what came of it, and sending it again."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tunehook.aws.deliveries import Redelivery
from tunehook.errors import InvalidInput, NotFound
from tunehook.event_patterns import EventPattern
from tunehook.operations import deliveries
from tunehook.operations import recovery as operations
from tunehook.operations.documents import delivery_document
from tunehook.operations.recovery import Recovery, RecoveryScope
from tunehook.operations.text import counted
from tunehook.subscriptions import SUBSCRIBABLE
from tunehook.times import LATEST_MS, now_ms
from tunehook_cli.commands.options import AsJson, Filter, StackName, pattern_in
from tunehook_cli.durations import parse_duration
from tunehook_cli.output import Output, clock_time, make_table, moment
from tunehook_cli.rendering.deliveries import answer, further_attempts, next_attempt, outcome, print_request
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)

RECOVERED_AT_MOST: Final = "14d"
"""docs/webhook-contract.md, "Bookkeeping"."""

_SUBSCRIPTION: Final = "A subscription, or the URL of a notify hook."

DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="The delivery's id, which is its webhook-id.")]


@app.command("list")
def list_deliveries(
    task: Annotated[str | None, typer.Option(help="Filter by task.")] = None,
    subscription: Annotated[str | None, typer.Option(metavar="ID|URL", help=_SUBSCRIPTION)] = None,
    status: Annotated[
        str | None, typer.Option(help="Filter by status: pending, delivered, failed or aborted.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only deliveries created since then: 90s, 30m, 2h or 7d ago.", show_default="all"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List deliveries, the latest first. Without a task or a subscription this reads the whole table."""
    out = Output(as_json)
    deployed = find_stack(stack)
    found = deliveries.list_deliveries(
        deployed,
        task=task,
        subscription=subscription,
        status=status,
        since_ms=0 if since is None else now_ms() - parse_duration(since, "since"),
        # One more tells whether there is more.
        limit=limit + 1,
    )
    held = deliveries.held_back(deployed, found[:limit])
    out.json([delivery_document(each, held=held.get(each.delivery_id)) for each in found[:limit]])
    if not found:
        narrowed = task or subscription or status or since
        out.note("No deliveries match." if narrowed else "There are no deliveries.")
        return
    rows = [
        (
            each.delivery_id,
            clock_time(each.created_at_ms),
            each.type,
            each.status.value,
            each.task_id,
            each.url or each.subscription_id,
            len(each.attempts),
            outcome(each, held.get(each.delivery_id)),
        )
        for each in found[:limit]
    ]
    out.table(("DELIVERY", "MADE", "EVENT", "STATUS", "TASK", "TO", "TRIES", "RESPONSE"), rows)
    if len(found) > limit:
        out.note(f"The latest {limit}; --limit shows more.")


@app.command("show")
def show_delivery(
    delivery_id: DeliveryId,
    links: Annotated[
        bool,
        typer.Option(
            "--links",
            help="Print whole download links. Anyone with a link can download the file for an hour.",
        ),
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Show a delivery, every attempt with its response, and the request as it would be sent now.

    The values of your own headers, the signature and the query of download links are masked, with --json too.
    """
    out, found = Output(as_json), find_stack(stack)
    delivery = deliveries.get_delivery(found, delivery_id)
    held = deliveries.held_back(found, [delivery]).get(delivery_id)
    waits_s = deliveries.next_waits_s(found, delivery)
    request, problem = None, None
    try:
        request = deliveries.request_now(found, delivery, links=links)
    except (InvalidInput, NotFound) as error:
        problem = f"cannot be sent now: {error.reason}"
    out.json(delivery_document(delivery, held=held, request=request, waits_s=waits_s))
    out.fields(
        [
            ("delivery", delivery.delivery_id),
            ("event", delivery.type),
            ("task", delivery.task_id),
            ("provider", delivery.provider),
            ("to", f"notify hook {delivery.url}" if delivery.url else delivery.subscription_id),
            ("format", delivery.format.value),
            ("status", delivery.status.value),
            ("reason", delivery.reason),
            ("happened", moment(delivery.event_at_ms)),
            ("made", moment(delivery.created_at_ms)),
            ("run", delivery.run if delivery.run > 1 else None),
            ("next attempt", next_attempt(delivery, held)),
            ("after that", further_attempts(delivery, waits_s)),
            ("request", problem),
        ]
    )
    rows = [
        (
            each.run,
            each.attempt,
            moment(each.at_ms),
            f"{each.duration_ms} ms",
            f"{answer(each)} ({each.detail})" if each.detail else answer(each),
            each.excerpt,
        )
        for each in delivery.attempts
    ]
    if rows:
        headers = ("RUN", "ATTEMPT", "AT", "TOOK", "RESPONSE", "RESPONSE BODY")
        out.section("Attempts", make_table(headers, rows))
    if request is not None:
        print_request(out, request)


@app.command("redeliver")
def redeliver(delivery_id: DeliveryId, as_json: AsJson = False, stack: StackName = None) -> None:
    """Deliver again: a new run of the whole schedule, with the same webhook-id."""
    out = Output(as_json)
    redelivery, now = deliveries.redeliver(find_stack(stack), delivery_id)
    if redelivery is Redelivery.PENDING:
        due = moment(now.next_attempt_at_ms or now.created_at_ms)
        raise InvalidInput(
            "delivery_id",
            f"{now.delivery_id} is still pending, and a second run would send duplicates: "
            f"its attempt {now.next_attempt} is due at {due}; wait until it has ended",
        )
    out.json(now)
    if redelivery is Redelivery.STARTED:
        out.line(f"Redelivering {now.delivery_id}: run {now.run}, its first attempt now.")
    else:
        out.line(
            f"{now.delivery_id} was pending and overdue: requested its attempt {now.next_attempt} again."
        )


@app.command("recover")
def recover(
    subscription: Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help=_SUBSCRIPTION)],
    since: Annotated[
        str,
        typer.Option(help=f"How far back: 90s, 30m, 2h or 7d; at most {RECOVERED_AT_MOST}."),
    ],
    until: Annotated[
        str | None,
        typer.Option(help="Up to how long ago: 90s, 30m, 2h or 7d.", show_default="now"),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help=f"Only {', '.join(SUBSCRIBABLE)}; may be given more than once.",
            show_default="all",
        ),
    ] = None,
    providers: Annotated[
        list[str] | None,
        typer.Option(
            "--provider", help="Only tasks of this provider; may be given more than once.", show_default="all"
        ),
    ] = None,
    filter: Filter = None,  # noqa: A002 - the name of the field
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Redeliver nothing that failed; create what is missing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many there are, and do nothing.")
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Redeliver all that failed or was aborted, and create the deliveries that are missing.

    Deliveries are missing if the subscription was disabled, or did not exist yet, when a task ended. They are created
    for tasks that ended since then and match the subscription's events, providers and filter, and those given here.
    """
    out, now = Output(as_json), now_ms()
    scope = RecoveryScope(
        since_ms=now - parse_duration(since, "since", at_most=RECOVERED_AT_MOST),
        until_ms=LATEST_MS if until is None else now - parse_duration(until, "until"),
        events=frozenset(events or ()),
        providers=frozenset(providers or ()),
        filter=EventPattern.read(pattern_in(filter)) if filter else None,
        only_missing=only_missing,
    )
    recovery = operations.recover(find_stack(stack), subscription, scope, dry_run=dry_run)
    out.json(recovery.model_dump(exclude={"next_cursor"}))
    _tell(out, recovery, since)


def _tell(out: Output, recovery: Recovery, since: str) -> None:
    recovered, made = len(recovery.recovered), len(recovery.made)
    would = "It would be: " if recovery.dry_run else ""
    if recovered:
        out.line(f"{would}Redelivering {counted(recovered, 'delivery', 'deliveries')}.")
    if made:
        was = "was" if made == 1 else "were"
        which = ", but for what the filter excludes" if recovery.filtered else ""
        out.line(f"{would}Creating {counted(made, 'delivery', 'deliveries')} that {was} missing{which}.")
    if not recovered and not made:
        missing = "" if "://" in recovery.subscription else ", and none is missing"
        out.note(f"Nothing to recover: no delivery of the last {since} has failed{missing}.")
