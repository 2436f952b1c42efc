"""`tunehook subscribe` and `tunehook subscriptions`: who gets webhooks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput, Unavailable
from tunehook.http.guard import NetworkPolicy
from tunehook.http.headers import check_headers
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.subscriptions import ENDS, SUBSCRIBABLE, Subscription, check_subscription
from tunehook.times import from_ms, iso, now_ms
from tunehook_cli import delivery_words, output
from tunehook_cli.commands.options import AsJson, StackName, refused_as
from tunehook_cli.spans import parse_span
from tunehook_cli.stack import Stack, find_stack

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery
    from tunehook.secret_versions import SecretVersions

app = typer.Typer(no_args_is_help=True, help="The receivers of webhooks.")

SHOWN_DELIVERIES: Final = 10

LONGEST_GRACE: Final = "7d"
"""docs/webhook-contract.md, "The request"."""

DISABLED_BY_HAND: Final = "disabled by hand"

_LOOK_EVERY_S: Final = 0.5

SubscriptionId = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


def subscribe(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where webhooks are sent to.", show_default=False)
    ],
    event: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(SUBSCRIBABLE)}; may be given more than once.", show_default=" and ".join(ENDS)
        ),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Only tasks of this provider; may be given more than once.", show_default="all"),
    ] = None,
    body_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="The body: standard, provider or cloudevents.", show_default="standard"
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="'NAME: VALUE' that each request carries; up to 10 times.", show_default=False),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="What it is for; for people.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Although the URL is subscribed to the same already.")
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Have webhooks sent to a URL, and print the secret that signs them."""
    found = find_stack(stack)
    fields = {
        "subscription_id": f"sub_{secrets.token_hex(8)}",
        "url": url,
        "events": event,
        "providers": provider,
        "format": body_format,
        "headers": _headers(header or []),
        "description": description,
    }
    item = {name: value for name, value in fields.items() if value}
    with refused_as(url="URL", events="--event", providers="--provider", format="--format"):
        subscription = check_subscription(item, found.network_policy)
    if not again:
        _refuse_doubles(found, subscription)
    secret = derive_secret(found.master_secret(), subscription.subscription_id, 1)
    found.subscriptions.create(item)
    if as_json:
        output.print_json(_without_header_values(item) | {"signing_secret": secret})
        return
    print(f"Subscribed {url} as {subscription.subscription_id}.")
    print(f"Signing secret: {secret}")


def _refuse_doubles(stack: Stack, new: Subscription) -> None:
    for item in stack.subscriptions.all():
        known = _checked(item, stack.network_policy)
        if isinstance(known, Subscription) and known.doubles(new):
            name = output.printable(known.subscription_id)
            raise InvalidInput(
                "URL",
                f"is subscribed already, as {name} ({_state(known)}): the same would come twice, under different ids. "
                f"`tunehook subscriptions secret {name}` prints its secret; --again subscribes it once more",
            )


def _headers(texts: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise InvalidInput("--header", "must be 'NAME: VALUE'")
        if name in headers:
            raise InvalidInput(f"--header {output.printable(name)}", "given twice")
        headers[name] = value.strip(" ")
    try:
        check_headers(headers)
    except InvalidInput as error:
        _, dot, name = error.field.partition(".")
        raise InvalidInput(f"--header {name}" if dot else "--header", error.reason) from None
    return headers


@app.command("list")
def list_subscriptions(as_json: AsJson = False, stack: StackName = None) -> None:
    """List the subscriptions."""
    found = find_stack(stack)
    items = sorted(found.subscriptions.all(), key=lambda item: str(item["subscription_id"]))
    if as_json:
        output.print_json([_without_header_values(item) for item in items])
        return
    if not items:
        output.note("Nobody is subscribed: `tunehook subscribe URL` changes that.")
        return
    output.print_table(
        ("ID", "STATE", "EVENTS", "PROVIDERS", "FORMAT", "URL"),
        [_row(item, found.network_policy) for item in items],
    )


def _row(item: Mapping[str, Any], policy: NetworkPolicy) -> tuple[object, ...]:
    subscription = _checked(item, policy)
    if isinstance(subscription, InvalidInput):
        return item["subscription_id"], "unusable", None, None, None, str(subscription)
    return (
        subscription.subscription_id,
        _state(subscription),
        _events(subscription),
        _providers(subscription),
        subscription.format.value,
        subscription.url,
    )


@app.command("show")
def show_subscription(
    subscription_id: SubscriptionId, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Show a subscription and its latest webhooks."""
    from tunehook_cli.commands.tasks import print_deliveries

    found = find_stack(stack)
    item = _item(found, subscription_id)
    ids = found.deliveries.ids_of_subscription(subscription_id, SHOWN_DELIVERIES)
    deliveries = [each for each in map(found.deliveries.get, ids) if each is not None]
    secret = found.secret_versions.of(item)
    if as_json:
        output.print_json(
            _without_header_values(item)
            | {"secret_version": secret.present}
            | {"deliveries": [each.model_dump(mode="json", exclude_none=True) for each in deliveries]}
        )
        return
    output.print_fields(_fields(item, found.network_policy, secret))
    if deliveries:
        print_deliveries(deliveries)


def _fields(
    item: Mapping[str, Any], policy: NetworkPolicy, secret: SecretVersions
) -> list[tuple[str, object]]:
    subscription = _checked(item, policy)
    headers = item.get("headers")
    first = [("subscription", item["subscription_id"]), ("url", item.get("url"))]
    last = [
        ("headers", ", ".join(headers) if isinstance(headers, Mapping) else None),
        ("description", item.get("description")),
    ]
    if isinstance(subscription, InvalidInput):
        return [*first, ("state", f"unusable: {subscription}"), *last]
    return [
        *first,
        ("state", _state(subscription)),
        ("reason", item.get("disabled_reason")),
        ("failing since", _moment(item.get("failing_since_ms"))),
        ("events", _events(subscription)),
        ("providers", _providers(subscription)),
        ("format", subscription.format.value),
        ("secret", _secret_words(secret)),
        *last,
    ]


def _secret_words(secret: SecretVersions) -> str | None:
    """Say how far the secret has been rotated."""
    if secret.present == 1:
        return None
    words = f"version {secret.present}"
    if len(secret.signing(now_ms())) == 1:
        return words
    return f"{words}; the one before signs too until {_moment(secret.previous_until_ms)}"


def _moment(at_ms: object) -> str | None:
    return output.moment(at_ms) if isinstance(at_ms, int) else None


@app.command("delete")
def delete_subscription(
    subscription_id: SubscriptionId, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Delete a subscription. Its webhooks that are under way are given up."""
    if not find_stack(stack).subscriptions.delete(subscription_id):
        raise _unknown(subscription_id)
    if as_json:
        output.print_json({"subscription_id": subscription_id, "deleted": True})
    else:
        print(f"Deleted {output.printable(subscription_id)}.")


@app.command("disable")
def disable_subscription(
    subscription_id: SubscriptionId, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Send no more webhooks to a subscription. Those that are under way are given up."""
    found = find_stack(stack)
    name = output.printable(subscription_id)
    was_disabled = _item(found, subscription_id).get("enabled") is False
    if not was_disabled:
        found.subscriptions.disable(subscription_id, DISABLED_BY_HAND)
    if as_json:
        output.print_json(
            {"subscription_id": subscription_id, "enabled": False, "was_enabled": not was_disabled}
        )
    elif was_disabled:
        print(f"{name} is disabled already.")
    else:
        print(
            f"Disabled {name}. This counts within 15 seconds; `tunehook subscriptions enable {name}` undoes it."
        )


@app.command("enable")
def enable_subscription(
    subscription_id: SubscriptionId, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Send webhooks to a subscription again, and forget how it has failed."""
    found = find_stack(stack)
    item = _item(found, subscription_id)
    # One that cannot be used would be enabled in name alone.
    check_subscription({**item, "enabled": True}, found.network_policy)
    if not found.subscriptions.enable(subscription_id):
        raise _unknown(subscription_id)
    if as_json:
        was_enabled = item.get("enabled") is not False
        output.print_json({"subscription_id": subscription_id, "enabled": True, "was_enabled": was_enabled})
        return
    name = output.printable(subscription_id)
    print(f"Enabled {name}. This counts within 15 seconds.")
    if item.get("enabled") is False:
        print(
            f"What it missed: `tunehook deliveries recover {name} --since 2h`, or as long ago as it was disabled, "
            "at most 14d."
        )


@app.command("rotate-secret")
def rotate_secret(
    subscription_id: SubscriptionId,
    grace: Annotated[
        str, typer.Option(help="How long the old secret signs too, such as 90s, 12h; 0s to 7d.")
    ] = "24h",
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Sign with a new secret, and for a while with the old one too; print the new one."""
    grace_ms = parse_span(grace, "--grace", at_most=LONGEST_GRACE)
    found = find_stack(stack)
    item = _item(found, subscription_id)
    before, now = found.secret_versions.of(item), now_ms()
    # First, so that whoever may not read the master secret gets to know it while nothing has happened yet.
    secret = derive_secret(found.master_secret(), subscription_id, before.present + 1)
    until_ms = now + grace_ms
    rotated = found.secret_versions.rotate(
        item, before, previous_until_ms=until_ms, rotation=secrets.token_hex(8)
    )
    if rotated is None:
        raise Unavailable(
            f"{output.printable(subscription_id)} was rotated at the same moment: look at it with "
            "`tunehook subscriptions show`, and try again"
        )
    for retired in before.signing(now)[1:]:
        output.warn(
            f"the secret of version {retired} would have signed until {_moment(before.previous_until_ms)}; "
            "it has stopped"
        )
    if as_json:
        output.print_json(
            {
                "subscription_id": subscription_id,
                "secret_version": rotated.present,
                "signing_secret": secret,
                "previous_secret_until": iso(from_ms(until_ms)),
            }
        )
        return
    print(f"New signing secret: {secret}")
    if grace_ms:
        print(f"It signs within 15 seconds. The old one signs too until {_moment(until_ms)}.")
    else:
        print("It signs within 15 seconds, and the old one no more.")


@app.command("test")
def send_test(
    subscription_id: SubscriptionId,
    wait: Annotated[
        float, typer.Option(min=0, max=300, help="Seconds to wait for the receiver's answer.")
    ] = 30,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Send a `webhook.test` to a subscription; exit with 1 if it is not taken within the time to wait."""
    from tunehook.deliveries import DeliveryStatus, message_for
    from tunehook_cli.sample_event import sample_delivery

    found = find_stack(stack)
    subscription = check_subscription(_item(found, subscription_id), found.network_policy)
    if not subscription.enabled:
        raise disabled(subscription_id)
    delivery = sample_delivery(subscription, now_ms())
    found.deliveries.create(delivery)
    found.deliveries_queue.send(message_for(delivery), now_ms())
    delivery = _tried(found, delivery, wait)
    if as_json:
        output.print_json(delivery.model_dump(mode="json", exclude_none=True))
    else:
        print(f"Sent {delivery.delivery_id} to {subscription.url}: {_came_of_it(delivery)}.")
    if wait and delivery.status is not DeliveryStatus.DELIVERED:
        raise typer.Exit(1)


def _tried(stack: Stack, delivery: Delivery, wait_s: float) -> Delivery:
    """Return a delivery as it is after its first attempt, or when the time is over."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until and not delivery.attempts and delivery.reason is None:
        time.sleep(_LOOK_EVERY_S)
        delivery = stack.deliveries.get(delivery.delivery_id) or delivery
    return delivery


def _came_of_it(delivery: Delivery) -> str:
    if not delivery.attempts:
        look = f"`tunehook deliveries show {delivery.delivery_id}` tells what comes of it"
        return f"{delivery.reason or 'no attempt yet'}; {look}"
    return f"{delivery_words.came_back(delivery)} ({delivery.attempts[-1].duration_ms} ms)"


@app.command("secret")
def print_secret(
    subscription: Annotated[
        str,
        typer.Argument(
            metavar="ID|URL", help="A subscription, or the notify hook of a task.", show_default=False
        ),
    ],
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Print the secret that signs the webhooks of a subscription, or those to a task's own notify hook."""
    found = find_stack(stack)
    if "://" in subscription:
        subscription_id, version = notify_hook_subscription_id(subscription), 1
    else:
        item = _item(found, subscription)
        subscription_id, version = subscription, found.secret_versions.of(item).present
    secret = derive_secret(found.master_secret(), subscription_id, version)
    if as_json:
        output.print_json({"subscription_id": subscription_id, "signing_secret": secret})
    else:
        print(secret)


def _item(stack: Stack, subscription_id: str) -> dict[str, Any]:
    item = stack.subscriptions.get(subscription_id)
    if item is None:
        raise _unknown(subscription_id)
    return item


def _unknown(subscription_id: str) -> InvalidInput:
    return InvalidInput("ID", no_such_subscription(subscription_id))


def no_such_subscription(subscription_id: str) -> str:
    """Return what to say where no subscription has this id."""
    return f"there is no subscription {output.printable(subscription_id)}: `tunehook subscriptions list` names them"


def disabled(subscription_id: str, field: str = "ID") -> InvalidInput:
    """Return the error that a disabled subscription gets nothing."""
    name = output.printable(subscription_id)
    return InvalidInput(field, f"{name} is disabled: `tunehook subscriptions enable {name}` first")


def _checked(item: Mapping[str, Any], policy: NetworkPolicy) -> Subscription | InvalidInput:
    try:
        return check_subscription(item, policy)
    except InvalidInput as error:
        return error


def _state(subscription: Subscription) -> str:
    return "enabled" if subscription.enabled else "disabled"


def _events(subscription: Subscription) -> str:
    if subscription.events == frozenset(ENDS):
        return "ends"
    return ", ".join(sorted(subscription.events))


def _providers(subscription: Subscription) -> str:
    return ", ".join(sorted(subscription.providers)) or "all"


def _without_header_values(item: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription's own headers are there to carry secrets."""
    headers = item.get("headers")
    return dict(item) | ({"headers": dict.fromkeys(headers, "****")} if isinstance(headers, Mapping) else {})
