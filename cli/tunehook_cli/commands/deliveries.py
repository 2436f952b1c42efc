"""`tunehook deliveries`: what was sent to whom, what came of it, and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.signatures import notify_hook_subscription_id
from tunehook.subscriptions import WebhookType, check_subscription
from tunehook.times import now_ms
from tunehook_cli import delivery_words, output
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.commands.subscriptions import disabled, no_such_subscription
from tunehook_cli.commands.watch import no_such_task
from tunehook_cli.spans import parse_span
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from tunehook.aws.deliveries import LoggedDelivery
    from tunehook.deliveries import Attempt, Delivery, DeliveryStatus
    from tunehook.subscriptions import Subscription

app = typer.Typer(no_args_is_help=True, help="The webhooks that were sent, and every attempt.")

RECOVERED_AT_MOST: Final = "14d"
"""docs/webhook-contract.md, "Bookkeeping"."""

_CLOCKS_DIFFER_MS: Final = 600_000
"""A delivery is made after its task was found ended; by another clock, it may seem to be before."""

_SUBSCRIPTION: Final = "A subscription, or the URL of a notify hook."

DeliveryId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The delivery: what its webhook-id says.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(help="Only those made since then: 90s, 30m, 2h or 7d ago.", show_default="all"),
]


@app.command("list")
def list_deliveries(
    task: Annotated[
        str | None, typer.Option(help="Only those that tell of this task.", show_default=False)
    ] = None,
    subscription: Annotated[
        str | None, typer.Option(metavar="ID|URL", help=_SUBSCRIPTION, show_default=False)
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only those that are pending, delivered, failed or aborted.", show_default=False),
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List deliveries, the latest first. Without a task or a subscription this reads all there are."""
    statuses = () if status is None else (_status(status),)
    since_ms = 0 if since is None else now_ms() - parse_span(since, "--since")
    found = find_stack(stack)
    subscription_id = None if subscription is None else _subscription_id(subscription)
    deliveries = found.deliveries.latest(
        task_id=task,
        subscription_id=subscription_id,
        statuses=statuses,
        since_ms=since_ms,
        limit=limit + 1,
    )
    if not deliveries:
        _refuse_unknown(found, task, subscription)
    shown = deliveries[:limit]
    if as_json:
        output.print_json([each.model_dump(mode="json", exclude_none=True) for each in shown])
        return
    if not shown:
        narrowed = task or subscription or status or since
        output.note("There is no such delivery." if narrowed else "There is no delivery.")
        return
    headers = ("DELIVERY", "MADE", "EVENT", "STATUS", "TASK", "TO", "TRIES", "LAST ANSWER")
    output.print_table(headers, map(_row, shown))
    if len(deliveries) > limit:
        output.note(f"The latest {limit}; --limit shows more.")


def _status(text: str) -> DeliveryStatus:
    from tunehook.deliveries import DeliveryStatus

    if text not in tuple(DeliveryStatus):
        raise InvalidInput("--status", f"must be one of {', '.join(DeliveryStatus)}")
    return DeliveryStatus(text)


def _subscription_id(subscription: str) -> str:
    return notify_hook_subscription_id(subscription) if "://" in subscription else subscription


def _refuse_unknown(stack: Stack, task: str | None, subscription: str | None) -> None:
    """Tell nothing to be found from nothing of this name."""
    if task is not None and not (stack.tasks.of_id(task) or stack.deliveries.latest(task_id=task, limit=1)):
        raise InvalidInput("--task", f"{no_such_task(task, None)}: `tunehook tasks list` names them")
    if subscription is None:
        return
    subscription_id = _subscription_id(subscription)
    # The deliveries of one that was deleted are kept.
    if stack.subscriptions.get(subscription_id) is None and not stack.deliveries.latest(
        subscription_id=subscription_id, limit=1
    ):
        raise InvalidInput("--subscription", _nobody(subscription))


def _nobody(subscription: str) -> str:
    if "://" in subscription:
        return f"nothing was sent to a notify hook {output.printable(subscription)}"
    return no_such_subscription(subscription)


def _row(delivery: LoggedDelivery) -> tuple[object, ...]:
    return (
        delivery.delivery_id,
        output.clock_time(delivery.created_at_ms),
        delivery.type,
        delivery.status.value,
        delivery.task_id,
        delivery.url or delivery.subscription_id,
        len(delivery.attempts),
        delivery_words.came_back(delivery),
    )


@app.command("show")
def show_delivery(delivery_id: DeliveryId, as_json: AsJson = False, stack: StackName = None) -> None:
    """Show a delivery and every attempt."""
    from tunehook.deliveries import DeliveryStatus

    delivery = find_stack(stack).deliveries.get(delivery_id)
    if delivery is None:
        raise _unknown(delivery_id)
    if as_json:
        output.print_json(delivery.model_dump(mode="json", exclude_none=True))
        return
    pending = delivery.status is DeliveryStatus.PENDING
    output.print_fields(
        [
            ("delivery", delivery.delivery_id),
            ("event", delivery.type),
            ("task", delivery.task_id),
            ("provider", delivery.provider),
            ("to", f"notify hook {delivery.url}" if delivery.url else delivery.subscription_id),
            ("format", delivery.format.value),
            ("status", delivery.status.value),
            ("reason", delivery.reason),
            ("happened", output.moment(delivery.event_at_ms)),
            ("made", output.moment(delivery.created_at_ms)),
            ("run", delivery.run if delivery.run > 1 else None),
            ("next attempt", output.moment(delivery.next_attempt_at_ms) if pending else None),
        ]
    )
    if delivery.attempts:
        _print_attempts(delivery.attempts)


def _print_attempts(attempts: Sequence[Attempt]) -> None:
    rows = [
        (
            each.run,
            each.attempt,
            output.moment(each.at_ms),
            f"{each.duration_ms} ms",
            delivery_words.answer(each),
            each.excerpt,
        )
        for each in attempts
    ]
    headers = ("RUN", "ATTEMPT", "AT", "TOOK", "ANSWER", "ITS BEGINNING")
    output.print_section("Attempts", output.make_table(headers, rows))


@app.command("redeliver")
def redeliver(delivery_id: DeliveryId, as_json: AsJson = False, stack: StackName = None) -> None:
    """Deliver once more: a new run of the whole schedule, with the same webhook-id."""
    from tunehook.aws.deliveries import Redelivery

    found = find_stack(stack)
    delivery = found.deliveries.get(delivery_id)
    if delivery is None:
        raise _unknown(delivery_id)
    if delivery.url is None:
        _check_receiver(found, delivery.subscription_id, "ID")
    redelivery, now = found.redeliveries.begin(delivery_id, now_ms())
    if now is None:
        raise _unknown(delivery_id)
    if redelivery is Redelivery.PENDING:
        raise InvalidInput("ID", _still_pending(now))
    if as_json:
        output.print_json(now.model_dump(mode="json", exclude_none=True))
    elif redelivery is Redelivery.STARTED:
        print(f"Redelivering {now.delivery_id}: run {now.run}, its first attempt now.")
    else:
        print(
            f"{now.delivery_id} was pending and overdue: asked for its attempt {now.next_attempt} once more."
        )


def _still_pending(delivery: Delivery) -> str:
    due = output.moment(delivery.next_attempt_at_ms or delivery.created_at_ms)
    return (
        f"{delivery.delivery_id} is still pending, and a run beside the present one would double it: "
        f"its attempt {delivery.next_attempt} is due at {due}; wait until it has ended"
    )


@app.command("recover")
def recover(
    subscription: Annotated[
        str, typer.Argument(metavar="SUBSCRIPTION", help=_SUBSCRIPTION, show_default=False)
    ],
    since: Annotated[
        str,
        typer.Option(
            help=f"What ended or was made since then: 90s, 30m, 2h or 7d ago; at most {RECOVERED_AT_MOST}.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Redeliver all that failed or was given up, and have made what never was, as the subscription was disabled or new.

    What was never made is made from the tasks that ended since then, if their events and providers are those that the
    subscription wants.
    """
    from tunehook.aws.deliveries import Redelivery, withdrawn
    from tunehook.deliveries import DeliveryStatus

    since_ms = now_ms() - parse_span(since, "--since", at_most=RECOVERED_AT_MOST)
    found = find_stack(stack)
    is_hook = "://" in subscription
    wanted = None if is_hook else _check_receiver(found, subscription, "SUBSCRIPTION")
    lost = [
        each.delivery_id
        for each in found.deliveries.latest(
            subscription_id=_subscription_id(subscription),
            statuses=(DeliveryStatus.FAILED, DeliveryStatus.ABORTED),
            since_ms=since_ms,
        )
        if each.status is DeliveryStatus.FAILED or withdrawn(each)
    ]
    if not lost and is_hook:
        _refuse_unknown_hook(found, subscription)
    # The oldest first, as they came.
    outcomes = {each: found.redeliveries.begin(each, now_ms())[0] for each in reversed(lost)}
    recovered = [each for each, outcome in outcomes.items() if outcome is Redelivery.STARTED]
    # A hook is told of its task in any case: nothing can be missing.
    made = [] if wanted is None else _make_missing(found, wanted, since_ms)
    if as_json:
        output.print_json({"subscription": subscription, "recovered": recovered, "made": made})
        return
    if recovered:
        print(f"Redelivering {_deliveries(len(recovered))}.")
    if made:
        print(f"Making {_deliveries(len(made))} that {'was' if len(made) == 1 else 'were'} never made.")
    if not recovered and not made:
        missing = "" if is_hook else ", and none is missing"
        output.note(f"Nothing to recover: no delivery of the last {since} has failed{missing}.")


def _make_missing(stack: Stack, wanted: Subscription, since_ms: int) -> list[str]:
    """Ask for the deliveries of tasks that ended since then of which there is no record; return their ids."""
    from tunehook.deliveries import delivery_id
    from tunehook.delivery_request import DeliveryRequest

    subscription_id = wanted.subscription_id
    known = set(stack.deliveries.ids_of_subscription(subscription_id, since_ms=since_ms - _CLOCKS_DIFFER_MS))
    missing = {
        delivery_id(run.event_id, subscription_id): run
        for run in stack.tasks.ended(since_ms, wanted.providers)
        if wanted.wants(WebhookType.of_end(run.status), run.key.provider)
        and delivery_id(run.event_id, subscription_id) not in known
    }
    ids = sorted(missing, key=lambda each: missing[each].detected_at_ms)
    stack.ask_to_deliver(
        [
            DeliveryRequest(
                task_id=missing[each].key.task_id,
                provider=missing[each].key.provider,
                event_id=missing[each].event_id,
                subscription_id=subscription_id,
            )
            for each in ids
        ]
    )
    return ids


def _deliveries(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"


def _refuse_unknown_hook(stack: Stack, url: str) -> None:
    if not stack.deliveries.latest(subscription_id=_subscription_id(url), limit=1):
        raise InvalidInput("SUBSCRIPTION", _nobody(url))


def _check_receiver(stack: Stack, subscription_id: str, field: str) -> Subscription:
    """Return the subscription; refuse what would end at once, as there is nobody to send it to."""
    item = stack.subscriptions.get(subscription_id)
    if item is None:
        words = no_such_subscription(subscription_id)
        raise InvalidInput(
            field, words if field == "SUBSCRIPTION" else f"it went to a subscription of the past: {words}"
        )
    if item.get("enabled") is False:
        raise disabled(subscription_id, field)
    try:
        return check_subscription(item, stack.network_policy)
    except InvalidInput as error:
        name = output.printable(subscription_id)
        raise InvalidInput(field, f"{name} cannot be used as it stands: {error}") from None


def _unknown(delivery_id: str) -> InvalidInput:
    return InvalidInput(
        "ID",
        f"there is no delivery {output.printable(delivery_id)}: `tunehook deliveries list` names those of the "
        "last 30 days",
    )
