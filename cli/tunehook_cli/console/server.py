"""Runs the console on a socket that is bound already, until it is interrupted."""

from __future__ import annotations

import socket
import sys
from typing import Final

import uvicorn

from tunehook.operations.stack import Stack
from tunehook_cli.console.app import create_app

GRACE_S: Final = 1
"""How long the end waits for answers: a live list is an answer that never ends."""


def serve(stack: Stack, listening: socket.socket, *, token: str, read_only: bool) -> None:
    """Serve the console of a stack; `listening` is bound to loopback. Ctrl-C ends it."""
    app = create_app(stack, token=token, port=listening.getsockname()[1], read_only=read_only)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="off"
    )
    server = uvicorn.Server(config)
    sys.stdout.flush()
    # Uvicorn ends by the signal once more when it is done: for a page that was closed by Ctrl-C that is no failure.
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return
