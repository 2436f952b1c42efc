from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.account import target
from tests.account.bundle import FOLDER
from tests.account.target import RealAccount, checked_parameter, deploy_arguments
from tests.support.template import ROOT, read_template, template

from tunehook.errors import Misconfigured

RUN = "tunehook-smoke-0badcafe"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealAccount:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return RealAccount(RUN, tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was run, instead of running it."""
    calls: list[list[str]] = []

    class Process:
        pid = 1

        def __init__(self, arguments: list[str], **_given: Any) -> None:
            calls.append(arguments)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Process)
    return calls


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_nothing_is_asked_and_no_file_of_the_user_decides(account: RealAccount, ran: list[list[str]]) -> None:
    account.deploy_main()

    (arguments,) = ran
    assert "--guided" not in arguments
    assert {"--no-confirm-changeset", "--resolve-s3"} <= set(arguments)
    assert option(arguments, "--stack-name") == RUN
    assert option(arguments, "--tags") == f"tunehook-smoke={RUN}"
    assert option(arguments, "--capabilities") == "CAPABILITY_IAM"
    config = Path(option(arguments, "--config-file"))
    assert config.parent == account.folder
    assert config.read_text() == "version = 0.1\n"
    assert not config.is_relative_to(ROOT)


def test_every_parameter_is_told_what_it_is(account: RealAccount, ran: list[list[str]]) -> None:
    account.deploy_main()

    (arguments,) = ran
    start = arguments.index("--parameter-overrides") + 1
    told = dict(each.split("=", 1) for each in arguments[start:])
    declared = template()["Parameters"]
    assert told.keys() == {name for name, each in declared.items() if str(each.get("Default", "")) != ""}
    assert told["NetworkPolicy"] == "public"
    assert told["LogRetentionDays"] == "1"
    assert not [text for text in arguments[start:] if any(mark in text for mark in " \"'")]


def test_the_sandbox_runs_on_what_the_stack_runs_on(account: RealAccount, ran: list[list[str]]) -> None:
    account.deploy_sandbox({"EventBusName": "bus"})

    (arguments,) = ran
    assert option(arguments, "--stack-name") == f"{RUN}-sandbox"
    start = arguments.index("--parameter-overrides") + 1
    told = dict(each.split("=", 1) for each in arguments[start:])
    declared = template()["Parameters"]
    assert told == {
        "PythonVersion": declared["PythonVersion"]["Default"],
        "Architecture": declared["Architecture"]["Default"],
        "EventBusName": "bus",
    }


def test_an_embedded_aws_that_runs_beside_it_is_not_meant(account: RealAccount) -> None:
    variables = account.variables()

    assert not Path(variables["TUNEHOOK_HOME"]).exists()
    assert variables["TUNEHOOK_STACK"] == RUN


def test_a_parameter_that_the_stack_has_not_is_refused(account: RealAccount, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no parameter Colour"):
        RealAccount(RUN, tmp_path, {"Colour": "blue"}).parameters()


@pytest.mark.parametrize("text", ["", "ShardCount", "=2", "ShardCount=", "A=b c", 'A="b"', "A=b,c"])
def test_a_parameter_is_a_name_and_a_plain_value(text: str) -> None:
    with pytest.raises(Misconfigured, match="NAME=VALUE"):
        checked_parameter(text)


def test_an_arn_is_a_plain_value() -> None:
    arn = "arn:aws:iam::123456789012:policy/b"

    assert checked_parameter(f"PermissionsBoundaryArn={arn}") == ("PermissionsBoundaryArn", arn)


def test_without_a_region_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(Misconfigured, match="AWS_REGION"):
        RealAccount(RUN, tmp_path)


def test_a_parameter_without_a_value_is_left_to_its_default(tmp_path: Path) -> None:
    arguments = deploy_arguments("s", RUN, tmp_path, tmp_path, {"AlarmTopicArn": ""})

    assert "--parameter-overrides" not in arguments


def test_an_interrupted_tool_is_ended_before_anything_is_removed(
    account: RealAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Process:
        pid = 4242

        def __init__(self, *_arguments: Any, start_new_session: bool, **_given: Any) -> None:
            assert start_new_session

        def wait(self) -> int:
            done.append("wait")
            if len(done) == 1:
                raise KeyboardInterrupt
            return 0

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(target.os, "killpg", lambda pid, _signal: done.append(f"kill {pid}"))

    with pytest.raises(KeyboardInterrupt):
        account.deploy_main()

    assert done == ["wait", "kill 4242", "wait"]


def test_the_sandbox_is_open_to_nobody_without_a_long_key_and_writes_its_own_books_alone() -> None:
    sandbox = read_template((FOLDER / "template.yaml").read_text())

    for key in ("PathKey", "ApiKey"):
        assert sandbox["Parameters"][key]["NoEcho"] is True
        assert sandbox["Parameters"][key]["MinLength"] >= 32
    (policy,) = sandbox["Resources"]["SandboxRole"]["Properties"]["Policies"]
    resources = [each["Resource"] for each in policy["PolicyDocument"]["Statement"]]
    assert resources == [{"Fn::GetAtt": "BooksTable.Arn"}, {"Fn::GetAtt": "SandboxLogs.Arn"}]
    kept = [each for each in sandbox["Resources"].values() if each.get("DeletionPolicy") == "Retain"]
    assert kept == []
