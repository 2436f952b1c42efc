"""The console as a process: how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

PROGRAM = """
import socket
from types import SimpleNamespace
from unittest.mock import patch
from tunehook.operations.stack import Stack
from tunehook_cli.console import live
from tunehook_cli.console.server import serve

def open_client(service, **_):
    raise AssertionError(service)

stack = Stack("tunehook", "eu-west-1", {"ApiId": "a"}, {}, open_client)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
quiet = SimpleNamespace(refresh=lambda older: [], is_cut=False)
with patch.object(live, "newest_tasks", lambda *_, **__: quiet):
    serve(stack, listening, token="t", read_only=False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0_though_a_live_list_is_open(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes) as process:
        try:
            assert process.stdout is not None
            base = f"http://127.0.0.1:{process.stdout.readline().strip()}"
            port = base.rpartition(":")[2]
            with (
                httpx.Client(base_url=base, cookies={f"tunehook_console_{port}": "t"}, timeout=60) as client,
                client.stream("GET", "/tasks/live") as answer,
            ):
                lines = answer.iter_lines()
                assert next(lines).startswith("data: ")
                process.send_signal(number)
                # The stream ends by itself, whole.
                for _ in lines:
                    pass
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
