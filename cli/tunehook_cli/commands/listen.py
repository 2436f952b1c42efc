"""`tunehook listen`: a receiver on this machine, for as long as it runs."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Annotated, Final

import typer

from tunehook.errors import InvalidInput, Unavailable
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.ids import digest
from tunehook.signatures import derive_secret
from tunehook.subscriptions import check_subscription
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName, refused_as
from tunehook_cli.stack import Stack, find_stack

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4581


def listen(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen on loopback; 0 takes a free port.")
    ] = DEFAULT_PORT,
    forward: Annotated[
        str | None,
        typer.Option(
            help="Send on what is verified, as it came; the answer is answered.", show_default=False
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="The public URL of a tunnel to this port; a stack on AWS needs one.", show_default=False
        ),
    ] = None,
    body_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="The body: standard, provider or cloudevents.", show_default="standard"
        ),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Receive webhooks on this machine: verify them, print them, forward them; until Ctrl-C.

    This subscribes a URL, and removes the subscription at the end. With --json, each webhook is a line of JSON.
    """
    if forward is not None:
        check_url(forward, NetworkPolicy.ANY, field="--forward")
    found = find_stack(stack)
    if url is None and not _reaches_loopback(found):
        raise InvalidInput(
            "--url",
            f"the stack {found.name} in {found.region} cannot reach this machine's loopback: let a tunnel lead to "
            f"http://{HOST}:{port or DEFAULT_PORT}, and give its public https URL",
        )
    with _bound(port) as listening:
        _listen(found, listening, url, forward, body_format, as_json=as_json)


def _reaches_loopback(stack: Stack) -> bool:
    return stack.is_on_this_machine and stack.network_policy is NetworkPolicy.ANY


def _bound(port: int) -> socket.socket:
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
    forward: str | None,
    body_format: str | None,
    *,
    as_json: bool,
) -> None:
    import asyncio

    from tunehook.aws.errors import AWS_FAULTS
    from tunehook_cli.arrivals import print_arrival, print_json_arrival
    from tunehook_cli.listener import Hurried, Listener
    from tunehook_cli.listener import listen as receive

    local_url = f"http://{HOST}:{listening.getsockname()[1]}/"
    target = public_url or local_url
    # The same URL has the same id, so that what a killed listener left behind is taken over by the next.
    item = {
        "subscription_id": f"listen_{digest(target)[:16]}",
        "url": target,
        "description": "tunehook listen",
    }
    if body_format is not None:
        item["format"] = body_format
    with refused_as(url="--url", format="--format"):
        subscription_id = check_subscription(item, stack.network_policy).subscription_id
    # One that was rotated is signed so when it is made anew, too.
    secret = derive_secret(stack.master_secret(), subscription_id, stack.secret_versions.of(item).present)

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
        output.note(f"Listening at {local_url}, subscribed as {subscription_id}" + _by_way_of(public_url))
        output.note(f"Signing secret: {secret}")
        output.note("New events arrive from 15 seconds on. Ctrl-C ends it and removes the subscription.")

    def unsubscribe() -> None:
        stack.subscriptions.delete(subscription_id)
        output.note(f"Removed the subscription {subscription_id}.")

    async def run() -> None:
        await receive(
            Listener(listening, secret, forward),
            subscribe=subscribe,
            unsubscribe=unsubscribe,
            show=print_json_arrival if as_json else print_arrival,
        )

    try:
        asyncio.run(run())
    except Hurried:
        raise Unavailable(
            f"ended before the subscription {subscription_id} was removed for certain: "
            f"`tunehook subscriptions delete {subscription_id}` does that, and so does the next `tunehook listen`"
        ) from None


def _by_way_of(public_url: str | None) -> str:
    return f" with {public_url}." if public_url else "."
