"""`tunehook console`: a page on this machine for the stack, until Ctrl-C."""

from __future__ import annotations

import errno
import secrets
import socket
from typing import Annotated, Final

import typer

from tunehook.errors import Unavailable
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.output import Output, note
from tunehook_cli.stack import find_stack

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4582


def console(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on, on loopback; 0 takes a free port.")
    ] = DEFAULT_PORT,
    read_only: Annotated[bool, typer.Option("--read-only", help="Show everything, change nothing.")] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Serve a page for the stack on this machine, until Ctrl-C: tasks with players, webhooks with attempts.

    The address has a token: whoever has it can use the page as you can, from this machine alone.
    """
    out, found = Output(as_json), find_stack(stack)
    with _bind(port) as listening:
        taken, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        url = f"http://{HOST}:{taken}/?token={token}"
        out.json({"url": url, "stack": found.name, "read_only": read_only})
        out.line(url)
        note("Open it in a browser on this machine. Ctrl-C ends it.")
        # Heavy, and of no use to whoever mistypes an option.
        from tunehook_cli.console.server import serve

        serve(found, listening, token=token, read_only=read_only)


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"port {port} of {HOST} is in use: choose another with --port") from None
        raise Unavailable(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
