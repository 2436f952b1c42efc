from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.patience import until
from tests.support.serving import answering

from tunehook.errors import Misconfigured
from tunehook_local.embedded import ministack
from tunehook_local.embedded.process_identity import Process
from tunehook_local.embedded.state import Home, LocalEnvironment


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} is in use by another program"):
            ministack.start(Home(tmp_path), port)


PROGRAM = """#!{python}
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

function = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open(os.environ["STATE_DIR"] + "/function", "w") as file:
    file.write(str(function.pid))
HTTPServer((os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A checkout whose embedded AWS is a program that answers, and has a function run."""
    program = tmp_path / ".tunehook" / "tools" / "ministack" / "bin" / "ministack"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(ministack, "checkout", lambda: tmp_path)
    return Home(tmp_path / "home")


def processes_of(home: Home, environment: LocalEnvironment) -> tuple[Process, Process]:
    """The embedded AWS, and the function that it runs."""
    own, function = Process.of(environment.pid), Process.of(int((home.data / "function").read_text()))
    assert own is not None
    assert function is not None
    return own, function


def test_a_free_port_is_none_that_an_outgoing_connection_may_be_given() -> None:
    ports = {ministack.free_port() for _ in range(20)}
    assert len(ports) > 1
    assert all(1024 < port < 32_768 for port in ports)


def test_a_port_that_somebody_listens_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ministack.free_port()
    monkeypatch.setattr(ministack, "_LISTENING_PORTS", range(port, port + 2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert ministack.free_port() == port + 1


def wait_until_ended(process: Process) -> None:
    until(lambda: not process.is_alive, "its end")


@pytest.mark.parametrize("by", ["whoever has started it", "another command"])
def test_what_was_started_is_stopped_with_the_functions_that_it_runs(
    home: Home, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    environment = ministack.start(home, ministack.free_port())
    own, function = processes_of(home, environment)
    assert home.running() == environment
    child = ministack._started[environment.pid]
    if by == "another command":
        del ministack._started[environment.pid]
    ministack.stop(home, environment)
    child.wait()
    assert home.running() is None
    assert not (home.folder / "running.json").exists()
    wait_until_ended(own)
    wait_until_ended(function)


def test_one_that_is_interrupted_before_it_answers_is_stopped(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[LocalEnvironment] = []

    def interrupt(environment: LocalEnvironment, *_: object) -> None:
        started.append(environment)
        raise KeyboardInterrupt

    monkeypatch.setattr(ministack, "_wait_until_it_answers", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ministack.start(home, ministack.free_port())
    assert Process.of(started[0].pid) is None
    assert not (home.folder / "running.json").exists()


@pytest.mark.parametrize("started", ["Mon Nov  2 11:20:14 2026", None])
def test_a_process_that_has_the_id_of_an_embedded_aws_of_the_past_is_left_alone(
    tmp_path: Path, started: str | None
) -> None:
    home = Home(tmp_path)
    with (
        answering() as port,
        subprocess.Popen(["sleep", "600"], start_new_session=True) as innocent,
    ):
        environment = LocalEnvironment(
            f"http://127.0.0.1:{port}", "us-east-1", "test", "test", "tunehook", innocent.pid
        )
        home.write_record(environment)
        record = json.loads((tmp_path / "running.json").read_text())
        (tmp_path / "running.json").write_text(json.dumps(record | {"started": started}))
        try:
            assert home.running() is None
            ministack.stop(home, environment)
            assert innocent.poll() is None
        finally:
            innocent.kill()


def test_a_missing_tool_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ministack, "checkout", lambda: tmp_path)
    with pytest.raises(Misconfigured, match="run `make setup`"):
        ministack.start(Home(tmp_path / "home"))


def test_stream_positions_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.data.mkdir()
    kept = {"functions": {"data": {"f": 1}}}
    written = {"payload": kept | {"dynamodb_stream_positions": {"scoped": True, "data": {"mapping": 12}}}}
    (home.data / "lambda.json").write_text(json.dumps(written))

    ministack._reset_stream_positions(home)

    assert json.loads((home.data / "lambda.json").read_text()) == {
        "payload": kept | {"dynamodb_stream_positions": {"scoped": True, "data": {}}}
    }


def test_the_users_own_aws_and_proxies_do_not_reach_the_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example.com")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com")
    environment = ministack._environment(Home(tmp_path), 4566)
    assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL", "https_proxy"} & environment.keys()


def test_functions_are_sent_to_what_stands_before_the_embedded_aws(tmp_path: Path) -> None:
    environment = ministack._environment(
        Home(tmp_path), 4566, "127.0.0.9", functions_endpoint="http://127.0.0.1:8080"
    )
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8080"
    assert environment["GATEWAY_PORT"] == "4566"


def test_iam_is_enforced_and_loopback_alone_listened_on(tmp_path: Path) -> None:
    environment = ministack._environment(Home(tmp_path), 4566)
    assert (environment["AUTH"], environment["BIND_HOST"]) == ("true", "127.0.0.1")


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("a\nError: no such thing\nhint\n", "Error: no such thing"),
        ("a\n\nb\n\n", "b"),
        ("", "nothing"),
    ],
)
def test_the_last_words_of_a_log_are_its_error_if_there_is_one(
    tmp_path: Path, printed: str, words: str
) -> None:
    log = tmp_path / "log"
    log.write_text(printed)
    assert ministack.last_error_line(log) == words
