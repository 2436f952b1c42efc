"""tunehook's stack on an embedded AWS, started for the measurement: its API, its provider, its processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.stack.faults.kills import kill_workers

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.senders.tunehook import SCENARIO
from tunehook.api_keys import Scope
from tunehook.operations.keys import create_key
from tunehook_local.sandbox import Kind

PROVIDER = Kind.SUNO.value


@dataclass(frozen=True)
class Started:
    """What runs: how the API is called, and what can be done to it."""

    stack: EmbeddedStack
    url: str
    key: str

    @property
    def pids(self) -> Sequence[int]:
        """The embedded AWS, which starts the workers of the functions."""
        return [self.stack.environment.pid]

    def kill(self) -> None:
        """Send SIGKILL to each worker of each function."""
        resources = self.stack.environment.client("cloudformation").describe_stack_resources(
            StackName=self.stack.environment.stack_name
        )["StackResources"]
        for resource in resources:
            if resource["ResourceType"] == "AWS::Lambda::Function":
                kill_workers(self.stack.home, resource["PhysicalResourceId"])


@contextmanager
def started() -> Iterator[Started]:
    """Build and deploy the stack, for as long as the context lasts."""
    with embedded_stack(SCENARIO) as stack:
        deployed = stack.operations()
        yield Started(stack, deployed.api_url, create_key(deployed, "senders", Scope.ADMIN).text)
