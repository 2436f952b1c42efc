from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tunehook.operations.stack import Stack
from tunehook_cli.stack import find_stack, is_on_this_machine
from tunehook_local.embedded.state import LocalEnvironment

LOCAL = LocalEnvironment(
    endpoint="http://127.0.0.1:9",
    region="us-east-1",
    access_key_id="key",
    secret_access_key="secret",
    stack_name="embedded",
    pid=1,
)


def test_a_stack_is_found_by_its_name(stack: None, deploy: Any) -> None:
    deploy("second", outputs={"TasksTable": "its own"})
    assert find_stack(None).output("TasksTable") == "TasksTable"
    assert find_stack("second").output("TasksTable") == "its own"


def test_the_name_may_stand_in_the_environment(tunehook: Any, stack: None) -> None:
    result = tunehook("tasks", "list", env={"TUNEHOOK_STACK": "other"})
    assert "no stack named other in eu-west-1" in result.stderr


def test_a_stack_that_is_not_there_is_one_line_with_advice(tunehook: Any, aws: None) -> None:
    result = tunehook("tasks", "list")
    assert (result.exit_code, result.output) == (
        2,
        "tunehook: no stack named tunehook in eu-west-1: deploy it with `make deploy`, or start the "
        "embedded one with `tunehook local up`\n",
    )


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("CREATE_IN_PROGRESS", "wait until it is done"),
        ("DELETE_IN_PROGRESS", "wait until it is done"),
        ("ROLLBACK_COMPLETE", "delete it and deploy it again"),
        ("CREATE_FAILED", "delete it and deploy it again"),
    ],
)
def test_a_stack_that_is_not_finished_is_an_error(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch, status: str, advice: str
) -> None:
    set_status(monkeypatch, status)
    result = tunehook("tasks", "list")
    assert result.stderr == f"tunehook: the stack tunehook in eu-west-1 is {status}: {advice}\n"


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_is_used_while_it_is_updated(
    tunehook: Any, stack: None, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    set_status(monkeypatch, status)
    assert tunehook("tasks", "list").exit_code == 0


def set_status(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    from moto.cloudformation.models import CloudFormationBackend

    describe = CloudFormationBackend.describe_stacks

    def describe_so(self: Any, *args: Any) -> Any:
        stacks = describe(self, *args)
        for each in stacks:
            each.status = status
        return stacks

    monkeypatch.setattr(CloudFormationBackend, "describe_stacks", describe_so)


def test_a_missing_output_is_named(tunehook: Any, aws: None, deploy: Any) -> None:
    deploy(outputs={"Other": "x"})
    result = tunehook("tasks", "list")
    assert result.exit_code == 2
    assert result.stderr.startswith("tunehook: the stack tunehook in eu-west-1 has no output TasksTable: ")


def test_the_embedded_aws_is_used_where_the_environment_says_nothing(
    tunehook: Any, no_embedded_aws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_credentials(monkeypatch)
    no_embedded_aws.running = lambda: LOCAL  # type: ignore[attr-defined]
    result = tunehook("tasks", "list")
    first, second = result.stderr.splitlines()
    assert first == "using the embedded AWS at http://127.0.0.1:9"
    assert second == (
        "tunehook: the embedded AWS at http://127.0.0.1:9 does not answer; start it: `tunehook local up`"
    )


def test_a_shell_that_an_earlier_embedded_aws_left_behind_is_told_where_one_runs(
    tunehook: Any, no_embedded_aws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its credentials are not for the tests to come.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    no_embedded_aws.running = lambda: LOCAL  # type: ignore[attr-defined]
    result = tunehook("tasks", "list")
    assert result.exit_code == 2
    assert result.stderr == (
        "tunehook: the embedded AWS at http://127.0.0.1:10 does not answer; start it: `tunehook local up`; "
        'one runs at http://127.0.0.1:9: eval "$(tunehook local env)" leads there\n'
    )


def test_the_embedded_stack_has_a_name_of_its_own(
    stack: None, no_embedded_aws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class CloudFormation:
        class meta:  # noqa: N801 - boto3's name for it
            region_name = "us-east-1"

        def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - boto3's name for it
            asked.append(StackName)
            raise ClientError({"Error": {"Code": "X"}}, "DescribeStacks")

    forget_credentials(monkeypatch)
    no_embedded_aws.running = lambda: LOCAL  # type: ignore[attr-defined]
    monkeypatch.setattr("tunehook.aws.clients.client", lambda *args, **options: CloudFormation())
    for name in (None, "mine"):
        with pytest.raises(ClientError):
            find_stack(name)
    assert asked == ["embedded", "mine"]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"])
def test_what_the_environment_says_wins_over_the_embedded_aws(
    tunehook: Any, no_embedded_aws: ModuleType, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    forget_credentials(monkeypatch)
    monkeypatch.setenv(variable, "http://127.0.0.1:10")
    no_embedded_aws.running = lambda: LOCAL  # type: ignore[attr-defined]
    result = tunehook("tasks", "list")
    assert result.exit_code == 2
    assert "using the embedded AWS" not in result.stderr


def forget_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def test_no_credentials_are_one_line(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_credentials(monkeypatch)
    result = tunehook("tasks", "list")
    assert result.exit_code == 2
    assert result.output.startswith("tunehook: no AWS credentials: set AWS_PROFILE or ")
    assert result.output.count("\n") == 1


def test_no_region_is_one_line(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    result = tunehook("tasks", "list")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("tunehook: no AWS region: set AWS_DEFAULT_REGION")


def test_an_unknown_profile_is_one_line(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    result = tunehook("tasks", "list")
    assert (result.exit_code, result.output) == (
        2,
        "tunehook: AWS: The config profile (nope) could not be found\n",
    )


def test_an_endpoint_that_is_no_url_is_one_line(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nope")
    result = tunehook("tasks", "list")
    assert (result.exit_code, result.output) == (2, "tunehook: Invalid endpoint: nope\n")


@pytest.mark.parametrize(
    ("endpoint", "expected"), [("http://172.17.0.1:4566", True), ("http://172.17.0.2:4566", False)]
)
def test_the_embedded_aws_is_on_this_machine_where_it_listens_for_containers(
    no_embedded_aws: ModuleType, endpoint: str, expected: bool
) -> None:
    no_embedded_aws.running = lambda: replace(LOCAL, endpoint="http://172.17.0.1:4566")  # type: ignore[attr-defined]
    dynamodb = SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint))
    stack = Stack("s", "r", outputs={}, parameters={}, open_client=lambda _: dynamodb)
    assert is_on_this_machine(stack) is expected


def test_a_stack_tells_its_shard_count() -> None:
    def stack(**parameters: str) -> Stack:
        return Stack("s", "r", outputs={}, parameters=parameters, open_client=lambda _: None)

    assert (stack(ShardCount="8").shard_count, stack().shard_count) == (8, 1)


def test_a_client_without_settings_of_its_own_is_made_once() -> None:
    made: list[dict[str, Any]] = []
    stack = Stack(
        "s", "r", outputs={}, parameters={}, open_client=lambda _, **settings: made.append(settings) or {}
    )
    assert stack.client("sqs") is stack.client("sqs")
    assert stack.client("sqs") is not stack.client("lambda", read_timeout=60)
    assert made == [{}, {"read_timeout": 60}]
