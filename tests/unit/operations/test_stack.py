"""Where the HTTP API of a stack is, on AWS and where clients are led elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, fault

from tunehook.errors import Misconfigured
from tunehook.operations.checks import State, examine
from tunehook.operations.stack import Stack, find_stack


def stack(endpoint: str, suffix: str = "amazonaws.com", **parameters: str) -> Stack:
    outputs = {"ApiId": "a1b2", "ApiUrl": f"https://a1b2.execute-api.eu-west-1.{suffix}"}

    def open_client(service: str, **_: Any) -> Any:
        return SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint))

    return Stack("tunehook", "eu-west-1", outputs, parameters, open_client)


@pytest.mark.parametrize(
    ("endpoint", "suffix"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", "amazonaws.com"),
        ("https://123456789012.ddb.eu-west-1.amazonaws.com", "amazonaws.com"),
        ("https://vpce-1-a.dynamodb.eu-west-1.vpce.amazonaws.com", "amazonaws.com"),
        ("https://dynamodb.eu-west-1.api.aws", "amazonaws.com"),
        ("https://dynamodb.cn-north-1.amazonaws.com.cn", "amazonaws.com.cn"),
    ],
)
def test_on_aws_the_api_is_where_its_output_says(endpoint: str, suffix: str) -> None:
    assert stack(endpoint, suffix).api_url == f"https://a1b2.execute-api.eu-west-1.{suffix}"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:4800", "http://127.0.0.1:4800/", "http://amazonaws.com.example:4800"]
)
def test_on_the_embedded_aws_it_is_below_a_path(endpoint: str) -> None:
    assert stack(endpoint).api_url == f"{endpoint.rstrip('/')}/_aws/execute-api/a1b2/$default"


def test_a_stack_without_it_says_how_it_gets_one() -> None:
    with pytest.raises(Misconfigured, match="HttpApi=on"):
        _ = stack("http://127.0.0.1:4800", HttpApi="off").api_url


@pytest.mark.parametrize(
    ("status", "words"),
    [
        *[
            (status, None)
            for status in (
                "CREATE_COMPLETE",
                "UPDATE_IN_PROGRESS",
                "UPDATE_COMPLETE",
                "UPDATE_FAILED",
                "UPDATE_ROLLBACK_FAILED",
                "IMPORT_COMPLETE",
            )
        ],
        ("CREATE_IN_PROGRESS", "wait until it is done"),
        ("CREATE_FAILED", "delete it and deploy it again"),
        ("ROLLBACK_COMPLETE", "delete it and deploy it again"),
        ("DELETE_IN_PROGRESS", "wait until it is done"),
    ],
)
def test_a_stack_is_used_once_it_was_made_and_while_it_is_updated(status: str, words: str | None) -> None:
    cloudformation = SimpleNamespace(
        meta=SimpleNamespace(region_name="eu-west-1"),
        describe_stacks=lambda StackName: {"Stacks": [{"StackName": StackName, "StackStatus": status}]},  # noqa: N803
    )
    if words is None:
        found = find_stack(lambda *_, **__: cloudformation, "a")
        assert (found.name, found.region, found.outputs, found.parameters) == ("a", "eu-west-1", {}, {})
        return
    with pytest.raises(Misconfigured) as raised:
        find_stack(lambda *_, **__: cloudformation, "a")
    assert str(raised.value) == f"the stack a in eu-west-1 is {status}: {words}"


def test_who_waits_is_told_after_two_tries_that_aws_cannot_be_asked(aws: None) -> None:
    opened: list[tuple[str, dict[str, Any]]] = []

    def open_client(service: str, **settings: Any) -> Any:
        opened.append((service, settings))
        return client(service)

    assert [each.state for each in examine(open_client, "other")] == [State.OK, State.FAIL]
    twice = {"retries": {"mode": "standard", "total_max_attempts": 2}}
    assert opened == [("sts", twice), ("cloudformation", twice)]


def test_what_hinders_the_search_for_a_stack_is_not_taken_for_its_absence() -> None:
    refused = fault("AccessDenied", "DescribeStacks")
    real = SimpleNamespace(meta=SimpleNamespace(region_name="r"), describe_stacks=lambda **_: {})
    asked = Faulty(real, describe_stacks=[refused])
    with pytest.raises(ClientError, match="AccessDenied"):
        find_stack(lambda *_, **__: asked, "tunehook")
