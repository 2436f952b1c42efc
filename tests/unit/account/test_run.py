from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from tests.account import __main__ as program
from tests.account.job import Job
from tests.account.removal import Removed
from tests.account.target import Target
from tests.support.aws import client
from tests.unit.account.evidence import good_evidence
from tests.unit.account.test_removal import deploy, there

from tunehook.errors import Unavailable

RUN = "tunehook-smoke-0badcafe"


class Deployed(Target):
    """moto's AWS, where deploying makes stacks that leave something behind, until something goes wrong."""

    embedded = False

    def __init__(self, folder: Path, trouble: BaseException | None = None) -> None:
        super().__init__(RUN, folder)
        self._trouble = trouble

    @property
    def region(self) -> str:
        return "eu-west-1"

    def _open_client(self, service: str) -> Any:
        return client(service)

    def variables(self) -> dict[str, str]:
        return {}

    def build(self) -> None:
        pass

    def deploy_main(self) -> None:
        deploy(self.name, tag=self.name)
        if self._trouble is not None:
            raise self._trouble

    def deploy_sandbox(self, parameters: Any) -> None:
        assert len(parameters["PathKey"]) == len(parameters["ApiKey"]) == 48
        assert parameters["PathKey"] != parameters["ApiKey"]
        deploy(self.sandbox_name, tag=self.name)

    def sandbox_parameters(self) -> dict[str, str]:
        return {}

    def url_of(self, function_url: str) -> str:
        return function_url


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(program, "outputs_of", lambda _stack: {"EventBusName": "bus"})
    monkeypatch.setattr(Job, "__init__", lambda *_given: None)
    monkeypatch.setattr(Job, "run", lambda _job, _started: good_evidence())
    with mock_aws():
        yield


def test_where_all_holds_it_says_so_and_removes_everything(tmp_path: Path) -> None:
    report = program.run(Deployed(tmp_path), keep=False)

    assert report.held
    assert there() == set()
    assert all(check.held for check in report.checks)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), Unavailable("`sam deploy` failed")])
def test_a_deployment_that_ends_in_the_middle_is_removed(tmp_path: Path, trouble: BaseException) -> None:
    report = program.run(Deployed(tmp_path, trouble), keep=False)

    assert there() == set()
    assert not report.held
    assert report.error in ("interrupted", "`sam deploy` failed")


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), Unavailable("hangs")])
def test_a_job_that_ends_in_the_middle_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    def ends(_job: Job, _started: float) -> None:
        raise trouble

    monkeypatch.setattr(Job, "run", ends)

    report = program.run(Deployed(tmp_path), keep=False)

    assert there() == set()
    assert not report.held


def test_a_fault_of_the_program_itself_leaves_nothing_behind_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_job: Job, _started: float) -> None:
        raise KeyError("x")

    monkeypatch.setattr(Job, "run", breaks)

    report = program.run(Deployed(tmp_path), keep=False)

    assert there() == set()
    assert not report.held
    assert report.error == "KeyError('x')"


def test_it_is_kept_on_request_and_said_how_to_remove_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = program.run(Deployed(tmp_path), keep=True)

    assert report.held
    assert RUN in there()
    assert f"--remove {RUN}" in capsys.readouterr().out


def test_an_interrupted_removal_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_removal: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.Removal, "run", interrupted)

    report = program.run(Deployed(tmp_path), keep=False)

    assert not report.held
    assert f"--remove {RUN}" in capsys.readouterr().out


def test_what_is_left_or_does_not_hold_or_was_never_judged_is_no_success(tmp_path: Path) -> None:
    report = program.run(Deployed(tmp_path), keep=False)
    assert report.held

    report.removed = Removed(left=["a bucket: AccessDenied"])
    assert not report.held
    report.removed = Removed()
    report.checks[0] = type(report.checks[0])("tasks end", held=False, expected="", seen="")
    assert not report.held
    report.checks = []
    assert not report.held


def test_the_report_is_json_and_has_no_account_and_no_secret(tmp_path: Path) -> None:
    report = program.run(Deployed(tmp_path), keep=False)
    path = tmp_path / "smoke-report.json"
    report.parameters = {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/b"}

    report.write(path, "123456789012")

    told = json.loads(path.read_text())
    assert (told["held"], told["region"], told["name"]) == (True, "eu-west-1", RUN)
    assert set(told["seconds"]) == {"build", "deploy", "job", "removal"}
    assert told["functions"]["poller"]["init_ms"] == 611.2
    assert 0 < told["cost"]["usd"] < 0.01
    assert {"name", "held", "expected", "seen"} == set(told["checks"][0])
    assert "123456789012" not in path.read_text()
