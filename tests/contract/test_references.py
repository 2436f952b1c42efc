"""Every reference of the translated template points at something that is there, and at something of the right kind.

CloudFormation and Lambda would say so, late; the embedded AWS makes a mapping of a function that does not exist, and
calls it made.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from tests.support.template import translated

PSEUDO: Final = {
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackName",
    "AWS::URLSuffix",
}
ATTRIBUTES: Final[Mapping[str, set[str]]] = {
    "AWS::CloudWatch::Alarm": {"Arn"},
    "AWS::DynamoDB::Table": {"Arn", "StreamArn"},
    "AWS::Events::Archive": {"Arn"},
    "AWS::Events::EventBus": {"Arn"},
    "AWS::Events::Rule": {"Arn"},
    "AWS::IAM::Role": {"Arn"},
    "AWS::Lambda::Function": {"Arn"},
    "AWS::Logs::LogGroup": {"Arn"},
    "AWS::S3::Bucket": {"Arn"},
    "AWS::SQS::Queue": {"Arn", "QueueName"},
    "AWS::SecretsManager::Secret": {"Id"},
}
"""What is asked of each kind of resource, and what AWS has of it."""

API, FUNCTION, QUEUE, ROLE, TABLE = (
    "AWS::ApiGatewayV2::Api",
    "AWS::Lambda::Function",
    "AWS::SQS::Queue",
    "AWS::IAM::Role",
    "AWS::DynamoDB::Table",
)
KINDS: Final[Mapping[tuple[str, str], set[str]]] = {
    ("AWS::ApiGatewayV2::Authorizer", "ApiId"): {API},
    ("AWS::ApiGatewayV2::Integration", "ApiId"): {API},
    ("AWS::ApiGatewayV2::Integration", "IntegrationUri"): {FUNCTION},
    ("AWS::ApiGatewayV2::Route", "ApiId"): {API},
    ("AWS::ApiGatewayV2::Route", "Target"): {"AWS::ApiGatewayV2::Integration"},
    ("AWS::ApiGatewayV2::Stage", "ApiId"): {API},
    ("AWS::Lambda::EventSourceMapping", "FunctionName"): {FUNCTION},
    ("AWS::Lambda::EventSourceMapping", "EventSourceArn"): {QUEUE, TABLE},
    ("AWS::Lambda::EventInvokeConfig", "FunctionName"): {FUNCTION},
    ("AWS::Lambda::Permission", "FunctionName"): {FUNCTION},
    (FUNCTION, "Layers"): {"AWS::Lambda::LayerVersion"},
    (FUNCTION, "Role"): {ROLE},
    ("AWS::SQS::QueuePolicy", "Queues"): {QUEUE},
    ("AWS::S3::BucketPolicy", "Bucket"): {"AWS::S3::Bucket"},
    ("AWS::Events::Rule", "EventBusName"): {"AWS::Events::EventBus"},
    ("AWS::Events::EventBusPolicy", "EventBusName"): {"AWS::Events::EventBus"},
    ("AWS::Events::Archive", "SourceArn"): {"AWS::Events::EventBus"},
}
"""Of what kind those resources must be that a property of a resource names."""


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """What a value refers to: the name, and the attribute if one is asked for."""
    match value:
        case {"Ref": str(name)}:
            yield name, None
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            yield name, attribute
        case {"Fn::GetAtt": str(text)}:
            name, _, attribute = text.partition(".")
            yield name, attribute
        case {"Fn::Sub": str(text)}:
            for variable in re.findall(r"\$\{([^!}][^}]*)\}", text):
                name, _, attribute = variable.partition(".")
                yield name, attribute or None
        case {"Fn::Sub": _}:
            raise AssertionError(f"a text with variables of its own, which this test does not read: {value}")
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def conditions(described: Mapping[str, Any]) -> Iterator[str]:
    """The conditions that a resource or an output hangs on, whole or in parts; those of its policies are others."""
    if "Condition" in described and isinstance(described["Condition"], str):
        yield described["Condition"]
    yield from ifs(described)


def ifs(value: Any) -> Iterator[str]:
    """The conditions that parts of a value hang on."""
    match value:
        case {"Fn::If": [str(name), *rest]}:
            yield name
            yield from ifs(rest)
        case dict():
            for each in value.values():
                yield from ifs(each)
        case list():
            for each in value:
                yield from ifs(each)


def implied(condition: str | None) -> set[str]:
    """The condition itself, and those without which it does not hold."""
    if condition is None:
        return set()
    parts = translated()["Conditions"][condition].get("Fn::And", ())
    return {condition} | {each["Condition"] for each in parts if "Condition" in each}


def faults(template: Mapping[str, Any]) -> list[str]:
    """What points at nothing, or at something of another kind."""
    resources, parameters = template["Resources"], template["Parameters"]
    found: list[str] = []
    for section in ("Conditions", "Resources", "Outputs"):
        for where, described in template[section].items():
            for name, attribute in references(described):
                if name in resources:
                    known = ATTRIBUTES.get(resources[name]["Type"], set())
                    if attribute is not None and attribute not in known:
                        found.append(f"{where}: {name} has no {attribute}")
                elif attribute is not None or name not in {*parameters, *PSEUDO}:
                    found.append(f"{where}: there is no {name}")
            found += [
                f"{where}: there is no condition {name}"
                for name in conditions(described)
                if name not in template["Conditions"]
            ]
    for where, resource in resources.items():
        after = resource.get("DependsOn", [])
        for name in [after] if isinstance(after, str) else after:
            if name not in resources:
                found.append(f"{where}: there is no {name} to wait for")
        for name, value in resource.get("Properties", {}).items():
            kinds = KINDS.get((resource["Type"], name))
            named = [each for each, _ in references(value)]
            if kinds is not None:
                found += [
                    f"{where}: {name} is no {' or '.join(sorted(kinds))}"
                    for each in named or [""]
                    if each not in resources or resources[each]["Type"] not in kinds
                ]
    return found


def test_every_reference_points_at_something() -> None:
    assert faults(translated()) == []


def test_no_mapping_is_read_that_is_not_there() -> None:
    assert "Fn::FindInMap" not in str(translated()) or "Mappings" in translated()


def test_what_is_there_on_a_condition_is_named_where_it_is_there_alone() -> None:
    """A resource that is left out cannot be referred to by one that is not."""
    resources = translated()["Resources"]
    for where, described in {**resources, **translated()["Outputs"]}.items():
        for name, _ in references(described):
            needed = resources.get(name, {}).get("Condition")
            if needed is not None and needed not in implied(described.get("Condition")):
                assert needed in set(ifs(described)), f"{where} names {name}"


@pytest.mark.parametrize(
    ("resource", "changes", "fault"),
    [
        ("PollerFunction", {"Role": {"Fn::GetAtt": ["PolerRole", "Arn"]}}, "there is no PolerRole"),
        ("PollerFunction", {"Role": {"Fn::GetAtt": ["TasksTable", "Arn"]}}, "Role is no AWS::IAM::Role"),
        ("PollerFunction", {"Layers": [{"Ref": "TasksTable"}]}, "Layers is no AWS::Lambda::LayerVersion"),
        ("PollerFunction", {"Description": {"Fn::Sub": "${TasksTable.Name}"}}, "TasksTable has no Name"),
        ("PollerFunction", {"Description": {"Ref": "Nothing"}}, "there is no Nothing"),
        ("PollerFunction", {"Description": {"Fn::If": ["Never", "a", "b"]}}, "no condition Never"),
        ("IntakeFunctionNewTask", {"FunctionName": "intake"}, "FunctionName is no AWS::Lambda::Function"),
    ],
)
def test_a_fault_is_found(resource: str, changes: dict[str, Any], fault: str) -> None:
    wrong = copy.deepcopy(translated())
    wrong["Resources"][resource]["Properties"] |= changes
    assert fault in " ".join(faults(wrong))


def test_a_wait_for_nothing_is_found() -> None:
    wrong = copy.deepcopy(translated())
    wrong["Resources"]["PollerFunction"]["DependsOn"] = ["Nothing"]
    assert "there is no Nothing to wait for" in " ".join(faults(wrong))
