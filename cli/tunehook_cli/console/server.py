"""Runs the console on a socket that is bound already, until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from tunehook.operations.stack import Stack
from tunehook_cli.console.app import create_app
from tunehook_cli.signals import handled_signals

GRACE_S: Final = 1
"""How long the end waits for answers: a live list is an answer that never ends."""


def serve(stack: Stack, listening: socket.socket, *, token: str, read_only: bool) -> None:
    """Serve the console of a stack; `listening` is bound to loopback. SIGINT, SIGTERM and SIGHUP end it."""
    app = create_app(stack, token=token, port=listening.getsockname()[1], read_only=read_only)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="off"
    )
    sys.stdout.flush()
    _Server(config, app.state.stopping).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends by a signal as the other commands that serve do: with the exit code 0, and all open answers ended."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals while it serves; uvicorn's own would raise them once more in the end."""
        before = {number: signal.signal(number, self.handle_exit) for number in handled_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live lists, which would go on for ever, and then what is still being answered."""
        self._stopping.set()
        await super().shutdown(sockets)
