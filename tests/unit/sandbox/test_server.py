from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.patience import HANG_S, until

from tunehook.errors import InvalidInput
from tunehook_local.sandbox import Sandbox, Scenario, run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

SERVE = """
from pathlib import Path
import sys
from tunehook_local.sandbox import serve
serve("127.0.0.1", 0, None, on_ready=lambda sandbox: print(sandbox.url, flush=True))
print("stopped", flush=True)
"""


def post(url: str, body: bytes = b"") -> int:
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")) as response:
        return response.status


def test_it_runs_beside_synchronous_code() -> None:
    with run_sandbox() as sandbox:
        assert post(sandbox.receiver_url("shop"), b"x") == 204
        assert [request.body for request in sandbox.received("shop")] == [b"x"]


def test_it_is_gone_when_its_context_ends() -> None:
    threads = set(threading.enumerate())
    with run_sandbox() as sandbox:
        port = sandbox.port
    assert set(threading.enumerate()) == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_it_stops_soon_even_while_an_answer_hangs() -> None:
    scenario = Scenario.model_validate({"receivers": [{"answers": [{"hang": True}]}]})
    with run_sandbox(scenario) as sandbox:
        connection = socket.create_connection(("127.0.0.1", sandbox.port))
        connection.sendall(b"POST /receiver/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        until(lambda: sandbox.received("a"), "the request")
        started = time.monotonic()
    connection.close()
    assert time.monotonic() - started < HANG_S / 2  # aiohttp itself waits for a minute


def test_a_port_that_is_taken_is_an_error() -> None:
    threads = set(threading.enumerate())
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        run_sandbox(port=taken.getsockname()[1]),
    ):
        pass
    assert set(threading.enumerate()) == threads


def test_a_bad_scenario_file_is_an_error_before_anything_listens(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[[tasks]]\nanswers = []\n")
    with pytest.raises(InvalidInput, match=r"^tasks\.0\.answers: "):
        Sandbox(path)


def test_the_providers_secret_points_at_the_sandbox() -> None:
    with run_sandbox() as sandbox:
        secret: dict[str, Any] = json.loads(json.dumps(sandbox.providers_secret()))
    assert secret == {
        kind: {"kind": kind, "base_url": f"{sandbox.url}/{kind}", "api_key": f"sandbox-key-{kind}"}
        for kind in ("musicmint", "qhaigc", "suno")
    }


async def test_the_books_can_be_read_by_kind() -> None:
    async with Sandbox() as sandbox:
        sandbox.create_task("suno", "a")
        sandbox.create_task("qhaigc", "b", age_s=60)
        assert [record.task_id for record in sandbox.task_records("suno")] == ["a"]
        assert [record.outcome for record in sandbox.task_records()] == [None, "completed"]
        sandbox.ledger.reset()
        assert sandbox.task_records() == []


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process_it_runs_until_it_is_told_to_stop(signal_number: int) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert post(f"{url}/receiver/a") == 204
        process.send_signal(signal_number)
        assert process.stdout.readline() == "stopped\n"
    assert process.returncode == 0
