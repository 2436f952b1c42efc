from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunehook_cli.local import invocation
from tunehook_cli.local.state import HOME_VARIABLE, Home, LocalEnvironment
from tunehook_cli.main import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return Home()


@pytest.fixture
def running(home: Home) -> Iterator[LocalEnvironment]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = LocalEnvironment(endpoint, "us-east-1", "test", "test", "tunehook", os.getpid())
        home.remember(environment)
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
    monkeypatch.setattr(invocation, "environment_file", lambda given: {"F": {"ENDPOINT": given.endpoint}})
    result = CliRunner().invoke(app, ["local", "env", "--sam"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"F": {"ENDPOINT": running.endpoint}}


def test_env_alone_is_what_a_shell_evaluates(running: LocalEnvironment) -> None:
    result = CliRunner().invoke(app, ["local", "env"])
    assert f"export AWS_ENDPOINT_URL='{running.endpoint}'" in result.stdout.splitlines()
