"""`make deploy`: what the SAM CLI is told for a new stack, and for one that is there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from tests.support.aws import REGION, client

from tunehook.errors import Misconfigured
from tunehook_cli import deploying
from tunehook_cli.deploying import LONGEST_NAME, Request, check_name, find_parameters, plan, prompt_parameters

DECLARED: dict[str, Any] = {
    "PythonVersion": {
        "Type": "String",
        "Default": "3.14",
        "AllowedValues": ["3.11", "3.14"],
        "Description": "p",
    },
    "Architecture": {
        "Type": "String",
        "Default": "arm64",
        "AllowedValues": ["arm64", "x86_64"],
        "Description": "a",
    },
    "ShardCount": {"Type": "Number", "Default": 1, "MinValue": 1, "MaxValue": 64, "Description": "s"},
    "NetworkPolicy": {
        "Type": "String",
        "Default": "public",
        "AllowedValues": ["public", "any"],
        "Description": "n",
    },
    "AlarmTopicArn": {"Type": "String", "Default": "", "Description": "t"},
    "ArchivePatienceSeconds": {"Type": "Number", "Default": 60, "Description": "w"},
    "WebhooksConcurrency": {
        "Type": "String",
        "Default": "4",
        "AllowedValues": ["4", "10", "100"],
        "Description": "c",
    },
}
OLD = {
    "PythonVersion": "3.11",
    "Architecture": "x86_64",
    "ShardCount": "4",
    "NetworkPolicy": "public",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:1:ops",
}
CONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "tunehook"
[prod.global.parameters]
stack_name = "tunehook-prod"
[prod.deploy.parameters]
parameter_overrides = "ShardCount=2 ArchivePatienceSeconds=30"
"""


class Deployment:
    """A checkout with a built stack, a stack that is there or not, and what the SAM CLI was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[Sequence[str]] = []
        self.stack: dict[str, Any] | None = None
        self.asked: list[str] = []
        self.answers: dict[str, str] = {}
        (folder / "samconfig.toml").write_text(CONFIG)
        (folder / "template.yaml").write_text(f"Parameters: {json.dumps(DECLARED)}\nA: !Ref B\n")
        self.layer(pythons=["3.11", "3.14"], processors=["x86_64", "aarch64"], byte_code=["3.11", "3.14"])

    def layer(self, **manifest: Sequence[str]) -> None:
        path = self.folder / "DependenciesLayer" / "python" / "built-for.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))

    def there(self, status: str = "UPDATE_COMPLETE", parameters: dict[str, str] = OLD) -> None:
        self.stack = {"StackStatus": status, "Parameters": parameters}

    def __call__(self, *parameters: str, **options: Any) -> dict[str, str]:
        """Deploy; return the parameters that the SAM CLI is given."""
        chosen = {"environment": "default", "stack": None, "yes": False, "sam": "sam", "asks": True} | options
        cloudformation = client("cloudformation")
        with Stubber(cloudformation) as stubber:
            if self.stack is None:
                stubber.add_client_error(
                    "describe_stacks", "ValidationError", "Stack with id tunehook does not exist"
                )
            else:
                listed = [
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in self.stack["Parameters"].items()
                ]
                stack = {"StackName": "tunehook", "CreationTime": 0, "StackStatus": self.stack["StackStatus"]}
                stubber.add_response("describe_stacks", {"Stacks": [stack | {"Parameters": listed}]})
            status = deploying.deploy(
                argparse.Namespace(parameters=list(parameters), **chosen),
                self.folder,
                lambda command: self.commands.append(command) or 0,
                self.ask if chosen["asks"] else None,
                lambda **_: cloudformation,
            )
        assert status == 0
        command = self.commands[-1]
        start = command.index("--parameter-overrides") + 1
        return dict(word.split("=", 1) for word in command[start:] if not word.startswith("--"))

    def ask(self, question: str, offered: str) -> str:
        name = question.splitlines()[-1]
        self.asked.append(name)
        return self.answers.pop(name, offered)


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.chdir(tmp_path)
    return Deployment(tmp_path)


def test_a_new_stack_is_asked_about(deploy: Deployment) -> None:
    deploy.answers = {"ShardCount": "3"}
    given = deploy()
    assert deploy.asked == list(DECLARED)
    defaults = {name: str(each["Default"]) for name, each in DECLARED.items()}
    assert given == defaults | {"ShardCount": "3", "AlarmTopicArn": '""'}
    assert "--confirm-changeset" in deploy.commands[0]


def test_an_answer_that_cannot_be_is_asked_for_again() -> None:
    given = iter(["65", "many", "64"])
    found = prompt_parameters({"ShardCount": DECLARED["ShardCount"]}, {}, lambda *_: next(given))
    assert found == {"ShardCount": "64"}


def test_a_pipeline_is_asked_nothing(deploy: Deployment) -> None:
    assert deploy("ShardCount=2", yes=True, asks=False) == {"ShardCount": "2"}
    assert (deploy.asked, "--no-confirm-changeset" in deploy.commands[0]) == ([], True)


def test_where_nobody_can_answer_nothing_is_begun(deploy: Deployment) -> None:
    with pytest.raises(Misconfigured, match="YES=1"):
        deploy(asks=False)
    assert deploy.commands == []


def test_a_stack_that_is_there_keeps_what_it_has_and_does_as_it_did(
    deploy: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy.there()
    given = deploy()
    assert given == {"ArchivePatienceSeconds": "600", "WebhooksConcurrency": "100"}
    assert deploy.asked == []
    told = capsys.readouterr().out
    assert (
        "ArchivePatienceSeconds is new: 600, which is what this stack did until now; a new stack has 60"
        in told
    )
    assert "WebhooksConcurrency is new: 100" in told


def test_what_a_stack_did_depends_on_its_network_policy(deploy: Deployment) -> None:
    deploy.there(parameters=OLD | {"NetworkPolicy": "any"})
    assert deploy()["WebhooksConcurrency"] == "10"


def test_what_is_named_is_changed_and_nothing_else(deploy: Deployment) -> None:
    deploy.there(parameters=OLD | {"ArchivePatienceSeconds": "60", "WebhooksConcurrency": "4"})
    assert deploy("PythonVersion=3.14", "AlarmTopicArn=") == {"PythonVersion": "3.14", "AlarmTopicArn": '""'}


def test_something_is_named_always_so_that_sam_takes_nothing_from_its_file(deploy: Deployment) -> None:
    deploy.there(parameters=OLD | {"ArchivePatienceSeconds": "60", "WebhooksConcurrency": "4"})
    assert deploy() == {"ShardCount": "4"}


def test_the_file_counts_where_the_stack_says_nothing_and_differences_are_told(
    deploy: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy.there()
    given = deploy(environment="prod", stack="another")
    assert given == {"ArchivePatienceSeconds": "30", "WebhooksConcurrency": "100"}
    assert "ShardCount stays 4; samconfig.toml says 2: PARAMETERS=ShardCount=2" in capsys.readouterr().out
    command = deploy.commands[0]
    assert command[command.index("--stack-name") + 1] == "another"
    assert command[command.index("--region") + 1] == REGION


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ROLLBACK_COMPLETE", "sam delete"),
        ("UPDATE_IN_PROGRESS", "wait"),
        ("DELETE_FAILED", "sam delete"),
    ],
)
def test_nothing_is_deployed_to_what_cannot_take_it(deploy: Deployment, status: str, words: str) -> None:
    deploy.there(status)
    with pytest.raises(Misconfigured, match=words):
        deploy()
    assert deploy.commands == []


def test_a_change_set_that_was_never_carried_out_is_no_stack(deploy: Deployment) -> None:
    deploy.there("REVIEW_IN_PROGRESS", {})
    assert deploy("ShardCount=2", yes=True) == {"ShardCount": "2"}


def test_a_stack_of_something_else_is_left_alone(deploy: Deployment) -> None:
    deploy.there(parameters={"Environment": "prod"})
    with pytest.raises(Misconfigured, match="no tunehook stack"):
        deploy()


@pytest.mark.parametrize("words", [["ShardCount=65"], ["Architecture=mips"], ["Shards=1"], ["ShardCount"]])
def test_what_is_no_parameter_or_no_value_stops_it(deploy: Deployment, words: list[str]) -> None:
    with pytest.raises(Misconfigured):
        deploy(*words)
    assert deploy.commands == []


def test_without_a_build_it_stops(deploy: Deployment) -> None:
    (deploy.folder / "template.yaml").unlink()
    with pytest.raises(Misconfigured, match="make build"):
        deploy()


@pytest.mark.parametrize(
    ("pythons", "processors"), [(["3.11"], ["x86_64", "aarch64"]), (["3.11", "3.14"], ["x86_64"])]
)
def test_a_layer_that_the_functions_could_not_run_with_stops_it(
    deploy: Deployment, pythons: list[str], processors: list[str]
) -> None:
    deploy.layer(pythons=pythons, processors=processors, byte_code=[])
    with pytest.raises(Misconfigured, match="the layer was built for"):
        deploy(yes=True)
    assert deploy.commands == []


def test_a_layer_without_byte_code_is_told_of(deploy: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deploy.layer(pythons=["3.11", "3.14"], processors=["x86_64", "aarch64"], byte_code=["3.11"])
    deploy(yes=True)
    assert "this machine has no Python 3.14" in capsys.readouterr().out
    deploy("PythonVersion=3.11", yes=True)
    assert "this machine has no Python" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["default", "a" * (LONGEST_NAME + 1), "1st", "a_b", ""])
def test_a_name_that_cloudformation_would_fail_over_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured):
        check_name(name)


def test_names_that_are_none_of_these_are_taken() -> None:
    for name in ("tunehook", "a" * LONGEST_NAME, "T-1"):
        check_name(name)


def test_the_words_of_the_file_are_read_as_sam_reads_them() -> None:
    assert deploying.parse_pairs('A=1 B="two words"') == {"A": "1", "B": "two words"}


def test_an_error_of_aws_is_an_error(deploy: Deployment) -> None:
    cloudformation = client("cloudformation")
    with Stubber(cloudformation) as stubber:
        stubber.add_client_error("describe_stacks", "AccessDenied", "no")
        with pytest.raises(cloudformation.exceptions.ClientError):
            find_parameters(cloudformation, "tunehook")


def test_a_plan_for_a_new_stack_prefers_what_was_named() -> None:
    request = Request("tunehook", {"ShardCount": "3"}, {"ShardCount": "2", "NetworkPolicy": "any"})
    assert plan(DECLARED, None, request).parameters == {"ShardCount": "3", "NetworkPolicy": "any"}
