from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from tunehook.errors import Misconfigured
from tunehook_local.embedded import sam_environment
from tunehook_local.embedded.state import LocalEnvironment

REGION = "us-east-1"
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "FunctionName": "tunehook-poller",
        "Runtime": "python3.13",
        "Handler": "poller.app.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": "def handler(event, context): pass"},
        "Environment": {
            "Variables": {"TASKS_TABLE": {"Ref": "Table"}, "AWS_ENDPOINT_URL": "http://elsewhere"}
        },
    },
}
TEMPLATE = {
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "tasks-17",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "task_id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "task_id", "KeyType": "HASH"}],
            },
        },
        "PollerFunction": FUNCTION,
    }
}


class MotosEnvironment(LocalEnvironment):
    """An embedded AWS that is moto's."""

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)


@pytest.fixture
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> LocalEnvironment:
    monkeypatch.setattr(
        sam_environment, "url_for_containers", lambda url: url.replace("127.0.0.1", "the-host")
    )
    return MotosEnvironment("http://127.0.0.1:4566", REGION, "test", "test", "tunehook", 1)


def test_each_function_has_the_variables_of_the_deployed_one_and_the_endpoint_as_containers_call_it(
    environment: LocalEnvironment,
) -> None:
    environment.client("cloudformation").create_stack(
        StackName="tunehook", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM"]
    )
    assert sam_environment.environment_file(environment) == {
        "PollerFunction": {"TASKS_TABLE": "tasks-17", "AWS_ENDPOINT_URL": "http://the-host:4566"}
    }


def test_without_the_stack_there_is_no_environment_file(environment: LocalEnvironment) -> None:
    with pytest.raises(Misconfigured, match="`tunehook local up`"):
        sam_environment.environment_file(environment)
