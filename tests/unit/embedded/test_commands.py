from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dropped_signals import close_what_nobody_holds
from tests.support.serving import answering
from typer.testing import CliRunner

from tunehook_local.commands import local as commands
from tunehook_local.embedded import sam_environment
from tunehook_local.embedded.state import HOME_VARIABLE, Home, LocalEnvironment
from tunehook_local.main import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return Home()


@pytest.fixture
def running(home: Home) -> Iterator[LocalEnvironment]:
    with answering() as port:
        endpoint = f"http://127.0.0.1:{port}"
        environment = LocalEnvironment(endpoint, "us-east-1", "test", "test", "tunehook", os.getpid())
        home.write_record(environment)
        yield environment


def test_up_for_containers_starts_nothing_where_there_is_no_docker(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["local", "up", "--detach", "--containers"])
    assert result.exit_code == 2
    assert "no `docker` on PATH" in result.stderr
    assert not home.folder.exists()


def test_env_for_sam_is_the_environment_file_and_nothing_else(
    running: LocalEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sam_environment, "environment_file", lambda given: {"F": {"ENDPOINT": given.endpoint}}
    )
    result = CliRunner().invoke(app, ["local", "env", "--sam"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"F": {"ENDPOINT": running.endpoint}}


def test_env_alone_is_what_a_shell_evaluates(running: LocalEnvironment) -> None:
    result = CliRunner().invoke(app, ["local", "env"])
    assert f"export AWS_ENDPOINT_URL='{running.endpoint}'" in result.stdout.splitlines()


def test_env_puts_the_command_on_path(running: LocalEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "case ... export PATH=/here ..."
    monkeypatch.setattr(commands, "path_line", lambda: line)
    assert CliRunner().invoke(app, ["local", "env"]).stdout.splitlines()[-1] == line
    assert "PATH" not in CliRunner().invoke(app, ["local", "env", "--json"]).stdout


def test_env_as_json_is_the_same_variables(running: LocalEnvironment) -> None:
    result = CliRunner().invoke(app, ["local", "env", "--json"])
    assert json.loads(result.stdout) == running.variables()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[LocalEnvironment]:
    """What was stopped; nothing is in truth."""
    seen: list[LocalEnvironment] = []

    def stop(home: Home, environment: LocalEnvironment) -> None:
        seen.append(environment)
        home.delete_record()

    monkeypatch.setattr(commands.ministack, "stop", stop)
    monkeypatch.setattr(LocalEnvironment, "stack_status", lambda _: "CREATE_COMPLETE")
    return seen


def end_oneself(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_of_ending_up_stops_the_embedded_aws(
    running: LocalEnvironment,
    stopped: list[LocalEnvironment],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    monkeypatch.setattr(commands, "bring_up", lambda *_, **__: running)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line == "Ctrl-C stops it":
            end_oneself(number)

    monkeypatch.setattr(commands, "print_on_stderr", say)
    result = CliRunner().invoke(app, ["local", "up", "--json"])
    assert (result.exit_code, stopped) == (0, [running])
    assert said[-1] == "stopped; its data is kept"
    assert json.loads(result.stdout)["endpoint"] == running.endpoint


def test_a_signal_that_python_drops_ends_up_too(
    running: LocalEnvironment, stopped: list[LocalEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "bring_up", lambda *_, **__: running)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it goes on"))

    def say(line: str) -> None:
        if line == "Ctrl-C stops it":
            close_what_nobody_holds(signal.SIGTERM)

    monkeypatch.setattr(commands, "print_on_stderr", say)
    result = CliRunner().invoke(app, ["local", "up"])
    assert (result.exit_code, stopped) == (0, [running])


def test_what_up_prints_at_its_end_names_a_command_that_the_shell_finds(
    running: LocalEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "bring_up", lambda *_, **__: running)
    monkeypatch.setattr(commands, "own_name", lambda: "'/a b/tunehook'")
    result = CliRunner().invoke(app, ["local", "up", "--detach"])
    assert """eval "$('/a b/tunehook' local env)"\n""" in result.stderr
    assert "'/a b/tunehook' local down\n" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_that_is_told_to_end_before_it_is_up_stops_what_it_has_started(
    home: Home, stopped: list[LocalEnvironment], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with answering() as port:
        started = LocalEnvironment(f"http://127.0.0.1:{port}", "us-east-1", "t", "t", "tunehook", os.getpid())

        def bring_up(home: Home, *_: object, **__: object) -> LocalEnvironment:
            home.write_record(started)
            end_oneself(number)
            raise AssertionError("it went on")

        monkeypatch.setattr(commands, "bring_up", bring_up)
        result = CliRunner().invoke(app, ["local", "up"])
    assert (result.exit_code, stopped) == (128 + number, [started])


def test_up_that_is_told_to_end_while_it_updates_one_that_ran_leaves_it_running(
    running: LocalEnvironment, stopped: list[LocalEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "bring_up", lambda *_, **__: end_oneself(signal.SIGTERM))
    assert CliRunner().invoke(app, ["local", "up"]).exit_code == 143
    assert stopped == []


def test_the_end_of_the_terminal_that_nohup_hides_is_none(
    running: LocalEnvironment, stopped: list[LocalEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(commands, "bring_up", lambda *_, **__: [end_oneself(signal.SIGHUP), running][1])
        assert CliRunner().invoke(app, ["local", "up", "--detach"]).exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stopped == []


def test_down_stops_what_runs_and_says_whether_that_was_anything(
    running: LocalEnvironment, stopped: list[LocalEnvironment]
) -> None:
    assert json.loads(CliRunner().invoke(app, ["local", "down", "--json"]).stdout) == {"stopped": True}
    result = CliRunner().invoke(app, ["local", "down", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"stopped": False})
    assert stopped == [running]


def test_status_tells_one_that_runs_from_one_that_does_not(
    running: LocalEnvironment, stopped: list[LocalEnvironment]
) -> None:
    result = CliRunner().invoke(app, ["local", "status", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["stack_status"]) == (0, "CREATE_COMPLETE")
    CliRunner().invoke(app, ["local", "down"])
    result = CliRunner().invoke(app, ["local", "status"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split("  ")[0] == "embedded AWS"
    assert result.stdout.splitlines()[0].endswith("  not running")
    assert result.stderr == "start it: `tunehook local up --detach`\n"
    assert not {"False", "None", "-"} & set(result.stdout.split())


def test_status_says_where_it_runs_and_how_its_stack_is(
    running: LocalEnvironment, stopped: list[LocalEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = CliRunner().invoke(app, ["local", "status"]).stdout
    assert f"running at {running.endpoint}" in out
    assert "tunehook, CREATE_COMPLETE" in out
    monkeypatch.setattr(LocalEnvironment, "stack_status", lambda _: None)
    result = CliRunner().invoke(app, ["local", "status"])
    assert result.exit_code == 1
    assert "not deployed: `tunehook local up`" in result.stdout


@pytest.fixture
def asked(running: LocalEnvironment, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports that `bring_up` was called with."""
    ports: list[int] = []

    def bring_up(home: Home, port: int, **_: object) -> LocalEnvironment:
        ports.append(port)
        return running

    monkeypatch.setattr(commands, "bring_up", bring_up)
    return ports


def test_up_at_another_port_says_where_it_runs(running: LocalEnvironment, asked: list[int]) -> None:
    result = CliRunner().invoke(app, ["local", "up", "--detach", "--port", "4701"])
    assert result.exit_code == 0
    assert (
        f"the embedded AWS runs already, at {running.endpoint} and not at port 4701: "
        in result.stderr.splitlines()[0]
    )
    for same in (["--port", str(running.port)], []):
        assert "already" not in CliRunner().invoke(app, ["local", "up", "--detach", *same]).stderr


def test_up_without_a_port_takes_the_last_one(
    home: Home, running: LocalEnvironment, asked: list[int]
) -> None:
    for port in ([], ["--port", str(running.port)], []):
        CliRunner().invoke(app, ["local", "up", "--detach", *port])
    assert asked == [4566, running.port, running.port]
