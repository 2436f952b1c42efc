"""`tunehook subscribe` and `tunehook subscriptions`: who gets webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from tunehook.deliveries import Delivery
from tunehook.errors import Conflict, InvalidInput
from tunehook.http.headers import check_headers
from tunehook.operations import endpoint_checks, filters, subscriptions
from tunehook.operations.deliveries import held_back
from tunehook.operations.documents import delivery_document
from tunehook.operations.endpoint_checks import EndpointCheck
from tunehook.operations.filters import FilterMismatch
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import SigningSecret, SubscriptionView
from tunehook.operations.text import counted
from tunehook.rate_limits import parse_rate, rate_text
from tunehook.secret_versions import SecretVersions
from tunehook.signatures import SignatureScheme
from tunehook.subscriptions import ENDS, SUBSCRIBABLE, Subscription
from tunehook.times import from_ms, iso, now_ms
from tunehook_cli.asking import Yes, confirm, is_terminal
from tunehook_cli.commands.options import (
    Again,
    AsJson,
    BodyFormat,
    Filter,
    ProviderName,
    RateLimit,
    RetrySchedule,
    Signature,
    StackName,
    Timeout,
    Verify,
    pattern_in,
)
from tunehook_cli.durations import (
    duration_text,
    duration_texts,
    parse_duration,
    parse_schedule,
    parse_seconds,
)
from tunehook_cli.output import Output, moment, printable, warn
from tunehook_cli.rendering.deliveries import next_attempt, outcome, print_webhooks
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)

LONGEST_GRACE: Final = "7d"
"""docs/webhook-contract.md, "The request"."""

Id = Annotated[str, typer.Argument(metavar="ID")]


def subscribe(
    url: Annotated[str, typer.Argument(metavar="URL", help="The URL that gets the webhooks.")],
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help=f"{', '.join(SUBSCRIBABLE)}; may be given more than once.",
            show_default=" and ".join(ENDS),
        ),
    ] = None,
    providers: Annotated[
        list[str] | None,
        typer.Option(
            "--provider", help="Only tasks of this provider; may be given more than once.", show_default="all"
        ),
    ] = None,
    format: BodyFormat = None,  # noqa: A002 - the name of the field
    header: Annotated[
        list[str] | None, typer.Option(help="A header for each request, as 'NAME: VALUE'; up to 10 times.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="A note for people.")] = None,
    signature: Signature = None,
    retry_schedule: RetrySchedule = None,
    timeout_s: Timeout = None,
    max_per_second: RateLimit = None,
    filter: Filter = None,  # noqa: A002 - the name of the field
    again: Again = False,
    verify: Verify = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Send webhooks to a URL, and print the secret that signs them.

    With --verify the subscription is created disabled, its endpoint is sent one test by the stack, and it is enabled
    if that is accepted. Otherwise it stays disabled, and the command exits with 1.
    """
    out, found = Output(as_json), find_stack(stack)
    fields = {
        "url": url,
        "events": events,
        "providers": providers,
        "format": format,
        "headers": _headers(header or []),
        "description": description,
        "signature": signature,
        "retry_schedule": parse_schedule(retry_schedule, "retry_schedule") if retry_schedule else None,
        "timeout_s": parse_seconds(timeout_s, "timeout_s") if timeout_s else None,
        "max_per_second": parse_rate(max_per_second) if max_per_second else None,
        "filter": pattern_in(filter) if filter else None,
    }
    item = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    try:
        new, secret, check = _subscribe(found, item, again=again, verify=verify)
    except Conflict as error:
        if not is_terminal():
            raise
        warn(f"{printable(url)} {error.reason}")
        confirm(lambda: "Subscribe it again?")
        new, secret, check = _subscribe(found, item, again=True, verify=verify)
    if as_json:
        from tunehook.operations.documents import created_subscription_document

        out.json(created_subscription_document(new, secret).to_json() | _checked(check))
    out.line(f"Subscribed {url} as {secret.subscription_id}.")
    _print_keys(out, secret, "Signing secret", "Public key")
    enable = f"`tunehook subscriptions enable {secret.subscription_id} --verify`"
    _end_check(out, check, f"It is disabled: {enable} checks it again, and enables it if that passes.")


def _subscribe(
    found: Stack, item: Mapping[str, Any], *, again: bool, verify: bool
) -> tuple[SubscriptionView, SigningSecret, EndpointCheck | None]:
    if verify:
        return endpoint_checks.subscribe(found, item, again=again)
    return *subscriptions.subscribe(found, item, again=again), None


def _checked(check: EndpointCheck | None) -> dict[str, Any]:
    """Return what a document has more where an endpoint was checked."""
    return {} if check is None else {"check": check.model_dump(mode="json")}


def _end_check(out: Output, check: EndpointCheck | None, otherwise: str) -> None:
    """Print what a check has found, if there was one; if it has failed, say what that means and exit with 1."""
    if check is None:
        return
    out.line(f"The check {'passed' if check.passed else 'failed'}: {printable(check.words)}.")
    if not check.passed:
        out.line(otherwise)
        raise typer.Exit(1)


def _print_keys(out: Output, secret: SigningSecret, of_secret: str, of_key: str) -> None:
    """Print what verifies the webhooks: the secret, the public key, or both, as they are signed."""
    if secret.signature is not SignatureScheme.V1A:
        out.line(f"{of_secret}: {secret.signing_secret}")
    if secret.public_key is not None:
        out.line(f"{of_key}: {secret.public_key}")


def _headers(texts: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise InvalidInput("--header", "must be 'NAME: VALUE'")
        if name in headers:
            raise InvalidInput(f"--header {printable(name)}", "given twice")
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
    out, found = Output(as_json), subscriptions.list_subscriptions(find_stack(stack))
    out.json(found)
    if found:
        out.table(
            ("ID", "STATE", "EVENTS", "PROVIDERS", "FILTER", "FORMAT", "SIGNED", "TRIES", "URL"),
            map(_row, found),
        )
    else:
        out.note("There are no subscriptions: add one with `tunehook subscribe URL`.")


def _row(view: SubscriptionView) -> tuple[object, ...]:
    subscription_id, subscription = view.item["subscription_id"], view.subscription
    if subscription is None:
        return subscription_id, view.state, *(None,) * 6, str(view.error)
    filtered = None if subscription.filter is None else "yes"
    about = _events(subscription), _providers(subscription), filtered, subscription.format.value
    tries = len(subscription.retry_schedule) + 1
    return subscription_id, view.state, *about, _signed(subscription), tries, subscription.url


@app.command("show")
def show_subscription(subscription_id: Id, as_json: AsJson = False, stack: StackName = None) -> None:
    """Show a subscription and its latest webhooks."""
    out, found = Output(as_json), find_stack(stack)
    view = subscriptions.get_subscription(found, subscription_id)
    deliveries = subscriptions.latest_deliveries(found, subscription_id)
    secret = subscriptions.secret_versions(found, view)
    held = held_back(found, deliveries)
    if as_json:
        from tunehook.operations.documents import subscription_document

        out.json(subscription_document(view, secret, deliveries, held))
    out.fields(_fields(view, secret))
    print_webhooks(out, deliveries, held)


def _fields(view: SubscriptionView, secret: SecretVersions) -> list[tuple[str, object]]:
    item, subscription = view.item, view.subscription
    headers = item.get("headers")
    first = [("subscription", item["subscription_id"]), ("url", item.get("url"))]
    last = [
        ("headers", ", ".join(headers) if isinstance(headers, Mapping) else None),
        ("description", item.get("description")),
    ]
    if subscription is None:
        return [*first, ("state", f"{view.state}: {view.error}"), *last]
    return [
        *first,
        ("state", view.state),
        ("reason", item.get("disabled_reason")),
        ("failing since", _moment(item.get("failing_since_ms"))),
        ("events", _events(subscription)),
        ("providers", _providers(subscription)),
        ("filter", None if subscription.filter is None else subscription.filter.text),
        ("format", subscription.format.value),
        ("signature", _signature(subscription)),
        ("secret", _secret(secret)),
        ("retries", f"after {duration_texts(subscription.retry_schedule)}"),
        ("timeout", duration_text(subscription.timeout_s)),
        ("limit", _limit(subscription)),
        *last,
    ]


def _limit(subscription: Subscription) -> str | None:
    limit = subscription.rate_limit
    return None if limit is None else f"{rate_text(limit.per_second)} a second"


def _signed(subscription: Subscription) -> str:
    return subscription.signed_by(now_ms()).value


def _signature(subscription: Subscription) -> str:
    asked = subscription.signature.value
    if _signed(subscription) == asked:
        return asked
    return f"{asked}; both until {moment(subscription.signature_both_until_ms)}"


def _secret(secret: SecretVersions) -> str | None:
    if secret.present == 1:
        return None
    version = f"version {secret.present}"
    if len(secret.signing(now_ms())) == 1:
        return version
    return f"{version}; the one before signs too until {moment(secret.previous_until_ms)}"


def _moment(at_ms: object) -> str | None:
    return moment(at_ms) if isinstance(at_ms, int) else None


def _events(subscription: Subscription) -> str:
    return "ends" if subscription.events == frozenset(ENDS) else ", ".join(sorted(subscription.events))


def _providers(subscription: Subscription) -> str:
    return ", ".join(sorted(subscription.providers)) or "all"


@app.command("delete")
def delete_subscription(
    subscription_id: Id, yes: Yes = False, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Delete a subscription. On a terminal this prompts first. Its pending webhooks are discarded."""
    out, found = Output(as_json), find_stack(stack)
    confirm(lambda: _loss(found, subscription_id), yes=yes)
    subscriptions.delete_subscription(found, subscription_id)
    out.json({"subscription_id": subscription_id, "deleted": True})
    out.line(f"Deleted {printable(subscription_id)}.")


def _loss(stack: Stack, subscription_id: str) -> str:
    view = subscriptions.get_subscription(stack, subscription_id)
    pending = subscriptions.pending_deliveries(stack, subscription_id)
    at_least = "at least " if pending == 100 else ""
    lost = (
        f"{at_least}{counted(pending, 'pending webhook')} will be discarded" if pending else "none is pending"
    )
    return f"Delete {printable(subscription_id)}, {printable(str(view.item.get('url')))} ({lost})?"


@app.command("set")
def set_subscription(
    subscription_id: Id,
    url: Annotated[
        str | None, typer.Option(help="The URL that gets the webhooks from now on.", show_default="as it is")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help=f"{', '.join(SUBSCRIBABLE)}; in place of those before; may be given more than once.",
            show_default="as they are",
        ),
    ] = None,
    providers: Annotated[
        list[str] | None,
        typer.Option(
            "--provider",
            help="Only tasks of this provider; replaces the present ones; '' for all; may be given more than once.",
            show_default="as they are",
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the name of the field
        str | None,
        typer.Option(
            help="The format of the body: standard, provider or cloudevents.", show_default="as it is"
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            help="A header for each request, as 'NAME: VALUE'; replaces the present ones; '' for none."
        ),
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="A note for people.", show_default="as it is")
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(
            help="v1 (HMAC-SHA256), v1a (Ed25519) or both. A change is signed by both for 24 hours.",
            show_default="as it is",
        ),
    ] = None,
    retry_schedule: Annotated[
        str | None,
        typer.Option(
            metavar="WAITS",
            help="The waits between attempts, such as 5s,5m,1h; '' for the default ones.",
            show_default="as it is",
        ),
    ] = None,
    timeout_s: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            help="How long an attempt may take, 1s to 15s; '' for the default.",
            show_default="as it is",
        ),
    ] = None,
    max_per_second: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="How many attempts may begin in a second, 0.1 to 1000; '' for no limit.",
            show_default="as it is",
        ),
    ] = None,
    filter: Annotated[  # noqa: A002 - the name of the field
        str | None,
        typer.Option(
            "--filter",
            metavar="JSON|@FILE",
            help="Only what matches this pattern, in EventBridge's language; '' for all.",
            show_default="as it is",
        ),
    ] = None,
    again: Again = False,
    verify: Verify = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Change a subscription. Its id, its secret and what you do not name stay as they are.

    With --verify the endpoint, as it would be then, is sent one test by the stack first. If that is not accepted,
    nothing is changed, and the command exits with 1.
    """
    out, found = Output(as_json), find_stack(stack)
    fields = {
        "url": url,
        "events": events or None,
        "providers": [each for each in providers if each] if providers else None,
        "format": format,
        "headers": _headers([each for each in header if each]) if header else None,
        "description": description,
        "signature": signature,
    }
    changes: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if retry_schedule is not None:
        changes["retry_schedule"] = (
            parse_schedule(retry_schedule, "retry_schedule") if retry_schedule else None
        )
    if timeout_s is not None:
        changes["timeout_s"] = parse_seconds(timeout_s, "timeout_s") if timeout_s else None
    if max_per_second is not None:
        changes["max_per_second"] = parse_rate(max_per_second) if max_per_second else None
    if filter is not None:
        changes["filter"] = pattern_in(filter) if filter else None
    if not changes:
        raise InvalidInput("ID", "nothing to change: name a field, such as --event or --url")
    check = None
    if verify:
        view, check = endpoint_checks.change_subscription(found, subscription_id, changes, again=again)
    else:
        view = subscriptions.change_subscription(found, subscription_id, changes, again=again)
    if as_json:
        from tunehook.operations.documents import subscription_document

        out.json(subscription_document(view).to_json() | _checked(check))
    if check is None or check.passed:
        out.line(f"Changed {printable(subscription_id)}. This takes effect within 15 seconds.")
    _end_check(out, check, f"{printable(subscription_id)} is as it was before.")


@app.command("disable")
def disable_subscription(subscription_id: Id, as_json: AsJson = False, stack: StackName = None) -> None:
    """Stop sending webhooks to a subscription. Pending ones are discarded."""
    out, name = Output(as_json), printable(subscription_id)
    was_enabled = subscriptions.disable_subscription(find_stack(stack), subscription_id)
    out.json({"subscription_id": subscription_id, "enabled": False, "was_enabled": was_enabled})
    undo = f"`tunehook subscriptions enable {name}` undoes it"
    done = f"Disabled {name}. This takes effect within 15 seconds; {undo}."
    out.line(done if was_enabled else f"{name} is disabled already.")


@app.command("enable")
def enable_subscription(
    subscription_id: Id, verify: Verify = False, as_json: AsJson = False, stack: StackName = None
) -> None:
    """Send webhooks to a subscription again, and reset its failures.

    With --verify its endpoint is sent one test by the stack first. If that is not accepted, it is not enabled, and the
    command exits with 1.
    """
    out, name, check = Output(as_json), printable(subscription_id), None
    found = find_stack(stack)
    if verify:
        was_enabled, check = endpoint_checks.enable_subscription(found, subscription_id)
    else:
        was_enabled = subscriptions.enable_subscription(found, subscription_id)
    is_enabled = was_enabled or check is None or check.passed
    told = {"subscription_id": subscription_id, "enabled": is_enabled, "was_enabled": was_enabled}
    out.json(told | _checked(check))
    if check is None or check.passed:
        out.line(f"Enabled {name}. This takes effect within 15 seconds.")
    _end_check(out, check, f"{name} is as it was before.")
    if not was_enabled:
        out.line(
            f"To send what it missed: `tunehook deliveries recover {name} --since 2h` also covers tasks that "
            "ended while it was disabled. Set --since to the time since then, at most 14d."
        )


@app.command("rotate-secret")
def rotate_secret(
    subscription_id: Id,
    grace: Annotated[
        str, typer.Option(help="How long the old secret signs too, such as 90s or 12h; 0s to 7d.")
    ] = "24h",
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Create a new signing secret and print it. The old one signs too for a while."""
    out = Output(as_json)
    grace_ms = parse_duration(grace, "grace", at_most=LONGEST_GRACE)
    rotated = subscriptions.rotate_secret(find_stack(stack), subscription_id, grace_ms)
    if (stopped := rotated.stopped_version) is not None:
        until = moment(rotated.stopped_until_ms)
        warn(f"the secret of version {stopped} was valid until {until}; it no longer signs")
    out.json(
        {
            "subscription_id": subscription_id,
            "secret_version": rotated.secret_version,
            "signing_secret": rotated.signing_secret,
            "public_key": rotated.public_key,
            "previous_secret_until": iso(from_ms(rotated.previous_until_ms)),
        }
    )
    _print_keys(out, rotated, "New signing secret", "New public key")
    if grace_ms:
        until = moment(rotated.previous_until_ms)
        out.line(f"It takes effect within 15 seconds. The old one signs too until {until}.")
    else:
        out.line("It takes effect within 15 seconds. The old one is no longer used.")


@app.command("test")
def send_test(
    subscription_id: Id,
    wait: Annotated[
        float, typer.Option(min=0, max=300, help="Seconds to wait for the receiver's response.")
    ] = 30,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Send a `webhook.test` to a subscription; exit with 1 if it is not accepted in time."""
    out, found = Output(as_json), find_stack(stack)
    subscription, delivery = subscriptions.send_test(found, subscription_id)
    delivery = subscriptions.await_attempt(found, delivery, wait)
    print_answer(out, found, delivery, subscription.url)
    if delivery.attempts and delivery.status.value != "delivered":
        out.line(f"What is wrong: {printable(endpoint_checks.diagnose(delivery, subscription).words)}.")
    if wait and delivery.status.value != "delivered":
        raise typer.Exit(1)


@app.command("filter-test")
def try_filter(
    subscription_id: Id,
    task_id: Annotated[str, typer.Option("--task", metavar="TASK_ID", help="A task that has ended.")],
    provider: ProviderName = None,
    event: Annotated[
        str | None,
        typer.Option(help="task.archived, for the webhook about its files.", show_default="the task's end"),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Say whether a subscription is told of a task, and if not, why; exit with 1 then. Nothing is sent.

    The subscription and the task are taken as they are now: a filter on files may have seen others at the time.
    """
    out = Output(as_json)
    tested = filters.try_filter(find_stack(stack), subscription_id, task_id, provider, event)
    out.json(tested)
    name, task = printable(subscription_id), printable(f"{tested.provider}/{tested.task_id}")
    if tested.matches:
        out.line(f"{name} matches: it is told of {task} ({tested.type}).")
        return
    out.line(f"{name} does not match: it is not told of {task} ({tested.type}).")
    for each in tested.mismatches:
        out.line(f"  {printable(_mismatch(each))}")
    raise typer.Exit(1)


def _mismatch(mismatch: FilterMismatch) -> str:
    wanted = json.dumps(mismatch.pattern, ensure_ascii=False)
    if mismatch.field == "filter" and not mismatch.path:
        return f"filter: each field matches, but not all of them in one element of a list: {wanted}"
    where = mismatch.field if not mismatch.path else f"{mismatch.field}.{mismatch.path}"
    there = ", ".join(json.dumps(each, ensure_ascii=False) for each in mismatch.values)
    return f"{where}: there is {there or 'nothing'}, and it must be {wanted}"


def print_answer(out: Output, found: Stack, delivery: Delivery, url: str) -> None:
    """Print what came of a webhook that was sent by hand."""
    held = None if delivery.attempts or delivery.reason else held_back(found, [delivery])
    why = (held or {}).get(delivery.delivery_id)
    if delivery.attempts:
        came_of_it = f"{outcome(delivery)} ({delivery.attempts[-1].duration_ms} ms)"
    else:
        look = f"`tunehook deliveries show {delivery.delivery_id}` tells what comes of it"
        waits = "no attempt yet" if why is None else next_attempt(delivery, why)
        came_of_it = f"{delivery.reason or waits}; {look}"
    out.json(delivery_document(delivery, held=why))
    out.line(f"Sent {delivery.delivery_id} to {printable(url)}: {came_of_it}.")


@app.command("secret")
def print_secret(
    subscription_id: Annotated[
        str, typer.Argument(metavar="ID|URL", help="A subscription, or the notify hook of a task.")
    ],
    public: Annotated[bool, typer.Option("--public", help="Print the public keys (Ed25519) alone.")] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Print what verifies the webhooks of a subscription, or those to a task's own notify hook.

    That is the secret, the public key where they are signed by Ed25519, or both in this order. --public prints the
    public keys alone, whether the subscription asks for such signatures or not: during a rotation two, newest first.
    """
    out, found = Output(as_json), find_stack(stack)
    if public:
        keys = subscriptions.public_keys(found, subscription_id)
        out.json(keys)
        for key in keys.public_keys:
            out.line(key)
        return
    secret = subscriptions.signing_secret(found, subscription_id)
    out.json(secret)
    if secret.signature is not SignatureScheme.V1A:
        out.line(secret.signing_secret)
    if secret.public_key is not None:
        out.line(secret.public_key)
