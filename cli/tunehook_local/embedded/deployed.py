"""What is deployed to the embedded AWS."""

from __future__ import annotations

from tunehook.aws.errors import AWS_FAULTS
from tunehook_local.embedded.state import LocalEnvironment


def stack_status(environment: LocalEnvironment) -> str | None:
    """Return the stack's status as CloudFormation calls it, or None if there is no stack."""
    cloudformation = environment.client("cloudformation")
    try:
        stacks = cloudformation.describe_stacks(StackName=environment.stack_name)["Stacks"]
    except AWS_FAULTS:
        return None
    return stacks[0]["StackStatus"] if stacks else None
