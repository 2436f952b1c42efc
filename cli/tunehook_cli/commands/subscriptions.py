"""`tunehook subscribe` and `tunehook subscriptions`: who gets webhooks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook.subscriptions import SUBSCRIBABLE, Subscription, check_subscription
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName, refused_as
from tunehook_cli.stack import Stack, find_stack

app = typer.Typer(no_args_is_help=True, help="The receivers of webhooks.")

SHOWN_DELIVERIES: Final = 10

SubscriptionId = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


def subscribe(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where webhooks are sent to.", show_default=False)
    ],
    event: Annotated[
        list[str] | None,
        typer.Option(help=f"{' or '.join(SUBSCRIBABLE)}; may be given more than once.", show_default="all"),
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
    description: Annotated[
        str | None, typer.Option(help="What it is for; for people.", show_default=False)
    ] = None,
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
        "description": description,
    }
    item = {name: value for name, value in fields.items() if value}
    with refused_as(url="URL", events="--event", providers="--provider", format="--format"):
        subscription = check_subscription(item, found.network_policy)
    secret = derive_secret(found.master_secret(), subscription.subscription_id, 1)
    found.subscriptions.create(item)
    if as_json:
        output.print_json(item | {"signing_secret": secret})
        return
    print(f"Subscribed {url} as {subscription.subscription_id}.")
    print(f"Signing secret: {secret}")


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
    if as_json:
        output.print_json(
            _without_header_values(item)
            | {"deliveries": [each.model_dump(mode="json", exclude_none=True) for each in deliveries]}
        )
        return
    output.print_fields(_fields(item, found.network_policy))
    if deliveries:
        print_deliveries(deliveries)


def _fields(item: Mapping[str, Any], policy: NetworkPolicy) -> list[tuple[str, object]]:
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
        ("events", _events(subscription)),
        ("providers", _providers(subscription)),
        ("format", subscription.format.value),
        *last,
    ]


@app.command("delete")
def delete_subscription(subscription_id: SubscriptionId, stack: StackName = None) -> None:
    """Delete a subscription. Its webhooks that are under way are given up."""
    if not find_stack(stack).subscriptions.delete(subscription_id):
        raise _unknown(subscription_id)
    print(f"Deleted {output.printable(subscription_id)}.")


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
        subscription_id, version = subscription, _secret_version(_item(found, subscription))
    secret = derive_secret(found.master_secret(), subscription_id, version)
    if as_json:
        output.print_json({"subscription_id": subscription_id, "signing_secret": secret})
    else:
        print(secret)


def _secret_version(item: Mapping[str, Any]) -> int:
    version = item.get("secret_version", 1)
    if not isinstance(version, int) or version < 1:
        raise InvalidInput("secret_version", "the item's is no whole number from 1")
    return version


def _item(stack: Stack, subscription_id: str) -> dict[str, Any]:
    item = stack.subscriptions.get(subscription_id)
    if item is None:
        raise _unknown(subscription_id)
    return item


def _unknown(subscription_id: str) -> InvalidInput:
    return InvalidInput("ID", f"there is no subscription {output.printable(subscription_id)}")


def _checked(item: Mapping[str, Any], policy: NetworkPolicy) -> Subscription | InvalidInput:
    try:
        return check_subscription(item, policy)
    except InvalidInput as error:
        return error


def _state(subscription: Subscription) -> str:
    return "enabled" if subscription.enabled else "disabled"


def _events(subscription: Subscription) -> str:
    if subscription.events == frozenset(SUBSCRIBABLE):
        return "all"
    return ", ".join(sorted(subscription.events))


def _providers(subscription: Subscription) -> str:
    return ", ".join(sorted(subscription.providers)) or "all"


def _without_header_values(item: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription's own headers are there to carry secrets."""
    headers = item.get("headers")
    return dict(item) | ({"headers": dict.fromkeys(headers, "****")} if isinstance(headers, Mapping) else {})
