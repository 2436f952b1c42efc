"""What an upgrade may not change of what a template deploys: what lies in it, and what others find it by.

`python -m tests.support.deployed COMMIT` records the template of a released commit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.support.template import ROOT, chosen, read_template

RECORD = ROOT / "tests" / "contract" / "deployed.json"

FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema", "LocalSecondaryIndexes", "TimeToLiveSpecification"),
    "AWS::S3::Bucket": ("BucketName", "ObjectLockEnabled"),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    # A change of what is generated or written makes another value of the secret.
    "AWS::SecretsManager::Secret": ("Name", "SecretString", "GenerateSecretString"),
    "AWS::Events::EventBus": ("Name",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
}
"""Of each kind of resource that holds something: what replaces the resource, or what it holds, when it changes."""


def shape(template: Mapping[str, Any], parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what an upgrade of a stack of this template must find again.

    Parameters
    ----------
    template : mapping
        The template as `tests.support.template` reads it.
    parameters : mapping, optional
        Other values than the defaults: what is there may hang on them.

    Returns
    -------
    dict
        ``resources``: by logical id, the kind, what is fixed of it, the policies that keep it, and of a table its
        attributes, indexes and stream. ``parameters``: the names of the template's.
    """
    return {
        "resources": {
            name: _of_resource(resource, lambda values: chosen(template, values, parameters))
            for name, resource in template["Resources"].items()
            if resource["Type"] in FIXED
        },
        "parameters": sorted(template["Parameters"]),
    }


def _of_resource(
    resource: Mapping[str, Any], those_there: Callable[[list[Any]], list[Any]]
) -> dict[str, Any]:
    properties = resource.get("Properties", {})
    found = {
        "Type": resource["Type"],
        **{name: resource[name] for name in ("DeletionPolicy", "UpdateReplacePolicy") if name in resource},
        **{name: properties[name] for name in FIXED[resource["Type"]] if name in properties},
    }
    if resource["Type"] == "AWS::DynamoDB::Table":
        found["attributes"] = {
            each["AttributeName"]: each["AttributeType"]
            for each in those_there(properties["AttributeDefinitions"])
        }
        found["indexes"] = {
            index["IndexName"]: {
                "KeySchema": index["KeySchema"],
                "Projection": {
                    name: sorted(value) if isinstance(value, list) else value
                    for name, value in index["Projection"].items()
                },
            }
            for index in those_there(properties.get("GlobalSecondaryIndexes", []))
        }
        if "StreamSpecification" in properties:
            found["stream"] = properties["StreamSpecification"]["StreamViewType"]
    return found


def main(commit: str) -> None:
    """Record the template of a commit."""
    text = subprocess.run(
        ["git", "show", f"{commit}:template.yaml"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    RECORD.write_text(json.dumps({"commit": commit, **shape(read_template(text))}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
