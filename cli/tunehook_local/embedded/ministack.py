"""The process of the embedded AWS."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from tunehook.errors import Misconfigured, Unavailable
from tunehook_local.embedded.docker_network import LOOPBACK
from tunehook_local.embedded.process_identity import Process
from tunehook_local.embedded.state import Home, LocalEnvironment, answers, checkout

DEFAULT_PORT: Final = 4566
REGION: Final = "us-east-1"
STACK_NAME: Final = "tunehook"

_KEY: Final = "test"
"""The access key that MiniStack accepts as the account's root user."""

_LISTENING_PORTS: Final = range(20_000, 32_768)
"""Linux gives those from 32,768 on to outgoing connections, macOS and Windows those from 49,152 on."""

_START_S: Final = 120.0
_STOP_S: Final = 120.0
"""It writes all of its state to files before it ends, and reads it before it answers: only a hang takes so long."""

_started: dict[int, subprocess.Popen[bytes]] = {}
"""The child processes of this process, which only it can wait for."""


def start(
    home: Home, port: int = DEFAULT_PORT, host: str = LOOPBACK, *, functions_endpoint: str | None = None
) -> LocalEnvironment:
    """Start the embedded AWS with IAM enforced, and wait until it answers.

    `host` is loopback, or what `docker_network.listening_address` returns; `functions_endpoint` is the URL at which the
    functions find it, where a proxy stands between.

    Raises `Misconfigured` if it is not installed, or the port is in use; `Unavailable` if it does not come up.
    """
    program = checkout() / ".tunehook" / "tools" / "ministack" / "bin" / "ministack"
    if not program.is_file():
        raise Misconfigured("the embedded AWS is not installed: run `make setup`")
    if not _is_free(host, port):
        raise Misconfigured(f"port {port} is in use by another program: choose another with --port")
    for folder in (home.data, home.temporary, home.log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    _reset_stream_positions(home)
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            [str(program)],
            cwd=home.folder,
            env=_environment(home, port, host, functions_endpoint),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started[process.pid] = process
    environment = LocalEnvironment(f"http://{host}:{port}", REGION, _KEY, _KEY, STACK_NAME, process.pid)
    try:
        home.write_record(environment)
        _wait_until_it_answers(environment, process, home)
    except BaseException:
        stop(home, environment)
        raise
    return environment


def stop(home: Home, environment: LocalEnvironment) -> None:
    """Let the embedded AWS write its state to files and end, with its functions; a second Ctrl-C kills it at once.

    Another process that has its id now is left alone.
    """
    child = _started.get(environment.pid)
    process = home.process_of(environment)
    if child is not None and child.returncode is None:
        # No other process can have its id before this one has waited for it.
        process = Process.of(environment.pid)
    if child is None and process is None:
        return
    try:
        if process is not None and process.exists:
            _end(process)
    finally:
        if child is not None:
            child.wait()
            del _started[environment.pid]
        if home.process_of(environment) is not None:
            home.delete_record()
        shutil.rmtree(home.temporary, ignore_errors=True)


def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    try:
        deadline = time.monotonic() + _STOP_S
        while process.is_alive and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        # It is the leader of its process group, in which the functions are.
        if not process.is_replaced:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """Return a free port of loopback, below those that systems give to outgoing connections.

    A client that connects to one of those while its server restarts may get this very port, and is connected to itself.
    """
    ports = list(_LISTENING_PORTS)
    random.shuffle(ports)  # several may be started at once
    return next(port for port in ports if _is_free(LOOPBACK, port))


def _reset_stream_positions(home: Home) -> None:
    """Make stream mappings read from the beginning: MiniStack keeps their positions, but not the stream's records."""
    state = home.data / "lambda.json"
    if not state.is_file():
        return
    content = json.loads(state.read_text(encoding="utf-8"))
    positions = content.get("payload", {}).get("dynamodb_stream_positions")
    if positions:
        positions["data"] = {}
        state.write_text(json.dumps(content), encoding="utf-8")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _environment(
    home: Home, port: int, host: str = LOOPBACK, functions_endpoint: str | None = None
) -> dict[str, str]:
    """Return the user's environment without variables that would lead AWS clients of the functions elsewhere."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MINISTACK_", "LAMBDA_")) and not name.lower().endswith("_proxy")
    }
    # By default MiniStack sends its functions to loopback.
    if functions_endpoint is None and host != LOOPBACK:
        functions_endpoint = f"http://{host}:{port}"
    endpoint = {} if functions_endpoint is None else {"AWS_ENDPOINT_URL": functions_endpoint}
    own = {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": host,
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.data),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.data / "s3"),
        "TMPDIR": str(home.temporary),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    return inherited | endpoint | own


def _wait_until_it_answers(
    environment: LocalEnvironment, process: subprocess.Popen[bytes], home: Home
) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(environment.endpoint, if_busy=False):
            return
        time.sleep(0.1)
    raise Unavailable(f"the embedded AWS did not start: {last_error_line(home.log)} (log: {home.log})")


def last_error_line(log: Path) -> str:
    """Return the last line of a log that names an error, if one of the last 20 does; else the last line."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines[-20:] if "error" in line.lower()]
    return (errors or lines or ["nothing"])[-1]
