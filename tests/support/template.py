"""template.yaml as the tests read it: CloudFormation's short tags kept as plain dicts."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


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
    return yaml.load((ROOT / "template.yaml").read_text(), Loader=_Loader)


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
    kept = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {"TableName": logical_id} | {name: properties[name] for name in kept if name in properties}
