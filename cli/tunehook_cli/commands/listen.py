"""`tunehook listen`: a receiver of webhooks on this machine, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import typer

from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import InvalidInput, Unavailable
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.ids import digest
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import listen_as
from tunehook.subscriptions import ENDS, SUBSCRIBABLE
from tunehook_cli import listener
from tunehook_cli.commands.options import AsJson, BodyFormat, StackName
from tunehook_cli.output import note
from tunehook_cli.rendering import webhooks
from tunehook_cli.stack import find_stack, is_on_this_machine

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4581

Show = Callable[[listener.ReceivedWebhook], None]


def listen(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on, on loopback; 0 takes a free port.")
    ] = DEFAULT_PORT,
    forward: Annotated[
        str | None, typer.Option(help="Forward verified webhooks to this URL, and return its response.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The public URL of a tunnel to this port. A stack on AWS needs one.")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help=f"{', '.join(SUBSCRIBABLE)}; may be given more than once.",
            show_default=" and ".join(ENDS),
        ),
    ] = None,
    format: BodyFormat = None,  # noqa: A002 - the name of the field
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print the bodies, too.")] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Receive webhooks on this machine, until Ctrl-C: verify, print and forward them.

    Each webhook is a line: time, whether its signature is verified, type, task and titles, and the response.
    With --json it is a line of JSON. The command creates a subscription at the start and removes it at the end.
    """
    if forward is not None:
        check_url(forward, NetworkPolicy.ANY, field="forward")
    found = find_stack(stack)
    reaches_loopback = is_on_this_machine(found) and found.network_policy is NetworkPolicy.ANY
    if url is None and not reaches_loopback:
        raise InvalidInput(
            "url",
            f"the stack {found.name} in {found.region} cannot reach this machine's localhost: "
            "use a tunnel (ngrok, cloudflared) to "
            f"http://{HOST}:{port or DEFAULT_PORT}, and pass its public https URL",
        )
    show = webhooks.print_whole_webhook if verbose else webhooks.print_webhook
    wanted = {name: value for name, value in (("events", events), ("format", format)) if value}
    with _bind(port) as listening:
        _listen(found, listening, url, wanted, forward, webhooks.print_json_webhook if as_json else show)


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"port {port} of {HOST} is in use: choose another with --port") from None
        raise Unavailable(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None


def _listen(
    stack: Stack,
    listening: socket.socket,
    public_url: str | None,
    wanted: Mapping[str, str | list[str]],
    forward: str | None,
    show: Show,
) -> None:
    local_url = f"http://{HOST}:{listening.getsockname()[1]}/"
    target = public_url or local_url
    # The same URL has the same id, so that what a killed listener left behind is taken over by the next.
    subscription_id = f"listen_{digest(target)[:16]}"
    item = {"subscription_id": subscription_id, "url": target, "description": "tunehook listen", **wanted}
    secret = listen_as(stack, item).signing_secret

    def subscribe() -> None:
        try:
            if not stack.subscriptions.create(item):
                stack.subscriptions.delete(subscription_id)
                stack.subscriptions.create(item)
        except AWS_FAULTS:
            # An answer that was lost may have been a yes.
            with contextlib.suppress(*AWS_FAULTS):
                stack.subscriptions.delete(subscription_id)
            raise
        by_way_of = f" with {public_url}" if public_url else ""
        note(f"Listening at {local_url}, subscribed as {subscription_id}{by_way_of}.")
        note(f"Signing secret: {secret}")
        note("This takes effect within 15 seconds. Ctrl-C ends it and removes the subscription.")

    def unsubscribe() -> None:
        stack.subscriptions.delete(subscription_id)
        note(f"Removed the subscription {subscription_id}.")

    async def run() -> None:
        server = listener.Listener(listening, secret, forward)
        await listener.listen(server, subscribe=subscribe, unsubscribe=unsubscribe, show=show)

    try:
        asyncio.run(run())
    except listener.Interrupted:
        raise Unavailable(
            f"ended before the subscription {subscription_id} was removed: "
            f"`tunehook subscriptions delete {subscription_id}` removes it, and so does the next `tunehook listen`"
        ) from None
