from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.serving import answering

from tunehook_local.embedded import state
from tunehook_local.embedded.state import HOME_VARIABLE, Home, LocalEnvironment


@pytest.fixture
def listener() -> Iterator[int]:
    with answering() as port:
        yield port


def environment(port: int, pid: int) -> LocalEnvironment:
    return LocalEnvironment(
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        stack_name="tunehook",
        pid=pid,
    )


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_was_remembered_runs_while_its_process_lives_and_listens(tmp_path: Path, listener: int) -> None:
    home = Home(tmp_path)
    home.write_record(environment(listener, os.getpid()))
    assert home.running() == environment(listener, os.getpid())


def test_a_process_that_is_gone_does_not_run(tmp_path: Path, listener: int) -> None:
    home = Home(tmp_path)
    home.write_record(environment(listener, dead_pid()))
    assert home.running() is None


def test_a_process_that_does_not_listen_does_not_run(tmp_path: Path, listener: int) -> None:
    home = Home(tmp_path)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        home.write_record(environment(closed.getsockname()[1], os.getpid()))
        assert home.running() is None


def test_another_process_that_has_the_id_now_does_not_run(tmp_path: Path, listener: int) -> None:
    home = Home(tmp_path)
    home.write_record(environment(listener, os.getpid()))
    record = json.loads((tmp_path / "running.json").read_text())
    for started in ("Mon Nov  2 11:20:14 2026", None):
        (tmp_path / "running.json").write_text(json.dumps(record | {"started": started}))
        assert home.running() is None
    del record["started"]
    (tmp_path / "running.json").write_text(json.dumps(record))
    assert home.running() is None


def test_another_program_that_answers_at_the_same_place_is_not_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with answering("/_localstack/health") as port:
        home.write_record(environment(port, os.getpid()))
        assert home.running() is None


def test_one_that_is_too_busy_to_answer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_ANSWERS_WITHIN_S", 0.1)
    home = Home(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        home.write_record(environment(busy.getsockname()[1], os.getpid()))
        assert home.running() is not None


def test_what_was_forgotten_does_not_run(tmp_path: Path, listener: int) -> None:
    home = Home(tmp_path)
    home.write_record(environment(listener, os.getpid()))
    home.delete_record()
    assert home.running() is None


@pytest.mark.parametrize("record", ["", "{}", '{"endpoint": 1}', "[]"])
def test_a_record_that_is_none_does_not_run(tmp_path: Path, record: str) -> None:
    (tmp_path / "running.json").write_text(record)
    assert Home(tmp_path).running() is None


def test_the_folder_can_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert Home().folder == tmp_path.resolve()


def test_the_variables_lead_boto3_and_the_command_to_the_stack() -> None:
    assert environment(4566, 1).variables() == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "",
        "TUNEHOOK_STACK": "tunehook",
    }


def test_the_checkout_is_the_folder_of_the_template() -> None:
    assert (state.checkout() / "template.yaml").is_file()
