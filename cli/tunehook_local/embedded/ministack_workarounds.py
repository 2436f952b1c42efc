"""What MiniStack needs beside the template, which is written for AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tunehook_local.embedded.state import LocalEnvironment

TTL_ATTRIBUTES: Final[Mapping[str, str]] = {
    "TasksTable": "expires_at",
    "DeliveriesTable": "expires_at",
    "ReceiverGatesTable": "expires_at",
    "ApiRequestsTable": "expires_at",
    "CallbackHintsTable": "expires_at",
}
"""The time-to-live attributes of tables, by the tables' logical ids."""

_ACTION: Final = re.compile(
    r"^( *)(- |(?:- )?Action: )(sqs:SendMessage|sqs:ChangeMessageVisibility)$", re.MULTILINE
)
"""Permissions for one message, which are enough for a batch on AWS. MiniStack wants an action for batches, which AWS
does not know."""

TIMEOUT_S: Final = 180
"""The timeout of functions that have at most `SHORT_S` on AWS: as long as the deliveries queue hides a message."""

SHORT_S: Final = 30
"""MiniStack counts a worker's start as its first invocation's time, which takes that long on a busy machine."""

_TIMEOUT: Final = re.compile(r"^( *Timeout: )(\d+)$", re.MULTILINE)


def write_for_ministack(template: Path) -> Path:
    """Write a copy of a built template beside it, with actions for batches and `TIMEOUT_S`; return its path.

    The template must be as `sam build` writes it: an action a line.
    """

    def with_batch(match: re.Match[str]) -> str:
        indent, before, action = match.groups()
        if before == "- ":
            return f"{indent}- {action}\n{indent}- {action}Batch"
        return f"{indent}{before}[{action}, {action}Batch]"

    def with_time(match: re.Match[str]) -> str:
        return f"{match[1]}{TIMEOUT_S}" if int(match[2]) <= SHORT_S else match[0]

    text = _ACTION.sub(with_batch, template.read_text(encoding="utf-8"))
    copy = template.with_name("embedded.yaml")
    copy.write_text(_TIMEOUT.sub(with_time, text), encoding="utf-8")
    return copy


def enable_ttl(environment: LocalEnvironment) -> None:
    """Switch the time to live of the tables on, which MiniStack does not take from a template."""
    dynamodb = environment.client("dynamodb")
    found = environment.client("cloudformation").describe_stack_resources(StackName=environment.stack_name)
    for resource in found["StackResources"]:
        attribute = TTL_ATTRIBUTES.get(resource["LogicalResourceId"])
        if attribute is None:
            continue
        table = resource["PhysicalResourceId"]
        current = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        if current["TimeToLiveStatus"] == "DISABLED":
            dynamodb.update_time_to_live(
                TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
            )
