"""What the embedded AWS needs beside the template, which is written for AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tunehook_local.embedded.state import LocalEnvironment

EXPIRING: Final[Mapping[str, str]] = {
    "TasksTable": "expires_at",
    "DeliveriesTable": "expires_at",
    "ReceiverGatesTable": "expires_at",
}
"""The tables whose items expire, by logical id, and the attribute that says when."""

BATCHES: Final = ("sqs:SendMessage", "sqs:ChangeMessageVisibility")
"""What SQS does in batches under the permission for one message. The embedded AWS asks for one of batches, which AWS
does not know."""

_ACTION: Final = re.compile(rf"^( *)(- |(?:- )?Action: )({'|'.join(BATCHES)})$", re.MULTILINE)


def write_for_embedded(template: Path) -> Path:
    """Write a copy of a built template beside it that allows batches where AWS needs no leave for them; return it.

    Parameters
    ----------
    template : Path
        As `sam build` writes it: an action a line.
    """

    def with_batch(match: re.Match[str]) -> str:
        indent, before, action = match.groups()
        if before == "- ":
            return f"{indent}- {action}\n{indent}- {action}Batch"
        return f"{indent}{before}[{action}, {action}Batch]"

    copy = template.with_name("embedded.yaml")
    copy.write_text(_ACTION.sub(with_batch, template.read_text(encoding="utf-8")), encoding="utf-8")
    return copy


def let_items_expire(environment: LocalEnvironment) -> None:
    """Switch the expiry of items on, which the embedded AWS does not take from a template.

    Parameters
    ----------
    environment : LocalEnvironment
        Where the stack is deployed.
    """
    dynamodb = environment.client("dynamodb")
    found = environment.client("cloudformation").describe_stack_resources(StackName=environment.stack_name)
    for resource in found["StackResources"]:
        attribute = EXPIRING.get(resource["LogicalResourceId"])
        if attribute is None:
            continue
        table = resource["PhysicalResourceId"]
        told = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        if told["TimeToLiveStatus"] == "DISABLED":
            dynamodb.update_time_to_live(
                TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
            )
