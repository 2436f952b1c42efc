"""template.yaml as the tests read it: CloudFormation's short tags kept as plain dicts, and what SAM makes of it."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
STACK = "tunehook"
ACCOUNT = "123456789012"
NOTHING = {"Ref": "AWS::NoValue"}

SAM_PYTHON = ROOT / ".tunehook" / "tools" / "sam" / "bin" / "python"
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref X`` as ``{"Ref": "X"}`` and ``!Sub X`` as ``{"Fn::Sub": "X"}``."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix == "Ref" else f"Fn::{suffix}"
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_tag)


@functools.cache
def template() -> dict[str, Any]:
    """Return the whole template."""
    return read_template((ROOT / "template.yaml").read_text())


def read_template(text: str) -> dict[str, Any]:
    """Return a template as plain values."""
    return yaml.load(text, Loader=_Loader)


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def function_name(logical_id: str) -> str:
    """Return the folder of a function: ``IntakeFunction`` is ``intake``."""
    return logical_id.removesuffix("Function").lower()


def table_definition(logical_id: str) -> dict[str, Any]:
    """Return what CreateTable takes of a table of the template, under its logical id as its name."""
    properties = resources("AWS::DynamoDB::Table")[logical_id]
    kept = ("BillingMode", "KeySchema")
    lists = ("AttributeDefinitions", "GlobalSecondaryIndexes")
    return (
        {"TableName": logical_id}
        | {name: properties[name] for name in kept if name in properties}
        | {name: chosen(template(), properties[name]) for name in lists if name in properties}
    )


def chosen(
    whole: Mapping[str, Any], values: list[Any], parameters: Mapping[str, str] | None = None
) -> list[Any]:
    """Return a list of a template without what is not there with these parameters, by default with none given.

    Of conditions, it reads those that compare a parameter with a value: the template as SAM makes it costs seconds.
    """
    found = []
    for value in values:
        if isinstance(value, dict) and "Fn::If" in value:
            name, yes, no = value["Fn::If"]
            compared, wanted = whole["Conditions"][name]["Fn::Equals"]
            parameter = compared["Ref"]
            default = whole["Parameters"][parameter]["Default"]
            value = yes if (parameters or {}).get(parameter, default) == wanted else no
        if value != NOTHING:
            found.append(value)
    return found


@functools.cache
def translated() -> dict[str, Any]:
    """Return the CloudFormation template that the SAM CLI's own translator makes of the template."""
    finished = subprocess.run(
        [
            str(SAM_PYTHON),
            str(Path(__file__).with_name("translate.py")),
            str(ROOT / "template.yaml"),
            REGION,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def translated_resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return all resources of a type of the translated template, by logical id, with what stands beside Properties."""
    return {name: each for name, each in translated()["Resources"].items() if each["Type"] == kind}


def statements(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every statement of every policy of a template, with the logical id of what it is attached to.

    Of what hangs on a condition, whatever it may come to.
    """
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [each["PolicyDocument"] for each in properties.get("Policies", ())]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                for each in statement.get("Fn::If", ("", statement))[1:]:
                    if each != NOTHING:
                        yield name, each


def many(value: Any) -> list[Any]:
    """Return a policy's value as the list that it may be written as."""
    return value if isinstance(value, list) else [value]


def resolved(value: Any, parameters: Mapping[str, Any] | None = None) -> Any:
    """Return a value of the translated template as CloudFormation would, with its parameters' defaults.

    A reference to a resource becomes its name if the template gives it one, and else its logical id; an attribute
    becomes `<that>.<attribute>`.

    Parameters
    ----------
    value : Any
        What to resolve.
    parameters : mapping, optional
        Other values than the defaults, by parameter; also of pseudo parameters such as ``AWS::Region``.
    """
    match value:
        case {"Ref": str(name)}:
            return _reference(name, parameters or {})
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"{_reference(name, parameters or {})}.{attribute}"
        case {"Fn::Sub": str(text)}:
            return substituted(text, parameters)
        case {"Fn::If": [str(condition), yes, no]}:
            holds = _holds(translated()["Conditions"][condition], parameters or {})
            return resolved(yes if holds else no, parameters)
        case dict():
            pairs = ((key, resolved(each, parameters)) for key, each in value.items())
            return {key: each for key, each in pairs if each is not None}
        case list():
            found = (resolved(each, parameters) for each in value)
            return [each for each in found if each is not None]
    return value


def substituted(text: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Return a text of `Fn::Sub` with what stands for its variables."""

    def replace(match: re.Match[str]) -> str:
        name, _, attribute = match[1].partition(".")
        if name.startswith("!"):
            return "${" + match[1].removeprefix("!") + "}"
        reference = str(_reference(name, parameters or {}))
        return f"{reference}.{attribute}" if attribute else reference

    return _VARIABLE.sub(replace, text)


def is_made(described: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> bool:
    """Return whether a resource or an output of the translated template is there with these parameters."""
    condition = described.get("Condition")
    return condition is None or _holds(translated()["Conditions"][condition], parameters or {})


def _reference(name: str, parameters: Mapping[str, Any]) -> Any:
    pseudo = {"AWS::StackName": STACK, "AWS::Region": REGION, "AWS::NoValue": None}
    pseudo |= {"AWS::Partition": "aws", "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com"}
    if name in pseudo:
        return parameters.get(name, pseudo[name])
    whole = translated()
    if name in whole["Parameters"]:
        return parameters.get(name, whole["Parameters"][name].get("Default"))
    named = whole["Resources"][name]["Properties"]
    given = named.get("FunctionName") if whole["Resources"][name]["Type"] == "AWS::Lambda::Function" else None
    return name if given is None else resolved(given, parameters)


def _holds(condition: Any, parameters: Mapping[str, Any]) -> bool:
    match condition:
        case {"Condition": str(name)}:
            return _holds(translated()["Conditions"][name], parameters)
        case {"Fn::Not": [inner]}:
            return not _holds(inner, parameters)
        case {"Fn::And": [*parts]}:
            return all(_holds(each, parameters) for each in parts)
        case {"Fn::Or": [*parts]}:
            return any(_holds(each, parameters) for each in parts)
        case {"Fn::Equals": [one, other]}:
            return bool(resolved(one, parameters) == resolved(other, parameters))
    raise AssertionError(f"a condition of a kind that these tests do not read: {condition}")
