"""The real template on an embedded AWS of its own, whose functions reach it through a proxy only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from tests.stack.driving import DeployedStack
from tests.stack.faults.hands import edit_items, move_subscription
from tests.stack.faults.kills import access_key_of, worker_pids
from tests.support.aws_proxy import AwsProxy, run_aws_proxy

from tunehook.aws.clients import client
from tunehook.operations.dead_letters import IntakeRun, run_intake
from tunehook.operations.queues import WORK_QUEUES
from tunehook.operations.stack import Stack
from tunehook_local.embedded import deploy, ministack
from tunehook_local.embedded.docker_network import LOOPBACK
from tunehook_local.embedded.state import Home

FUNCTIONS: Final = ("intake", "poller", "fulfillment", "webhooks")

_ALL: Final = 100_000


@dataclass(frozen=True)
class Deployment(DeployedStack):
    """A deployed stack that can be broken, restarted and upgraded.

    Attributes
    ----------
    home : Home
        Where its embedded AWS keeps its files.
    proxy : AwsProxy
        What its functions reach AWS through; clients of the tests go around it.
    """

    home: Home
    proxy: AwsProxy

    def function_name(self, function: str) -> str:
        """Return the whole name of ``intake``, ``poller``, ``fulfillment`` or ``webhooks``."""
        return self.outputs[f"{function.capitalize()}Function"]

    def worker_pids(self, function: str) -> list[int]:
        """Return the worker processes of a function."""
        return worker_pids(self.home, self.function_name(function))

    def function_keys(self) -> dict[str, str]:
        """Return which function signs its calls with which key, of those that have a worker now."""
        return {
            key: function
            for function in FUNCTIONS
            for pid in self.worker_pids(function)
            if (key := access_key_of(pid)) is not None
        }

    def restart(self) -> None:
        """Stop the embedded AWS and start it again, at the same place and with what it held."""
        running = self.home.running()
        assert running is not None, "the embedded AWS does not run"
        ministack.stop(self.home, running)
        port = urlsplit(running.endpoint).port
        assert port is not None
        ministack.start(self.home, port, functions_endpoint=self.proxy.url)

    def take_in_what_the_stream_lost(self) -> IntakeRun:
        """Have intake take in the items without a status, as an operator would by `tunehook dlq redrive intake`.

        AWS gives a function the records again that it could not handle, and keeps a stream for a day. The embedded AWS
        gives a record again only if the function as a whole failed, and forgets its streams when it ends.
        """
        return run_intake(self.as_operated(), _ALL)

    def as_operated(self) -> Stack:
        """Return the stack as the command `tunehook` has it."""
        return Stack(
            self.environment.stack_name,
            self.environment.region,
            outputs=self.outputs,
            parameters={},
            open_client=partial(_open_client, self),
        )

    def hide_messages_for(self, seconds: int) -> None:
        """Have messages come again so soon whose worker dies before it has said that it is at them.

        That is six times the function's time otherwise (docs/decisions/020), 24 minutes before fulfillment: longer than
        a run waits for anything.
        """
        for queue in WORK_QUEUES.values():
            self.client("sqs").set_queue_attributes(
                QueueUrl=self.outputs[queue], Attributes={"VisibilityTimeout": str(seconds)}
            )

    def edit_items(self, chance: Random, share: float) -> int:
        """Edit a share of the tasks' items as users do; return how many."""
        return edit_items(self, chance, share)

    def move_subscription(self, subscription_id: str, number: int) -> str | None:
        """Give a subscription another URL that leads to the same receiver, as users do; return it."""
        return move_subscription(self, subscription_id, number)

    def build(self) -> None:
        """Build the stack of this checkout, for `upgrade`."""
        deploy.build(self.home)

    def upgrade(self) -> None:
        """Deploy what was built last."""
        running = self.home.running()
        assert running is not None, "the embedded AWS does not run"
        deploy.deploy(self.home, running)


def _open_client(stack: DeployedStack, service: str, **settings: Any) -> Any:
    environment = stack.environment
    session = boto3.Session(
        environment.access_key_id, environment.secret_access_key, region_name=environment.region
    )
    return client(service, session=session, endpoint_url=environment.endpoint, **settings)


@contextmanager
def deployment(source: Path | None = None) -> Iterator[Deployment]:
    """Build and deploy the stack, for as long as the context lasts: that of this checkout, or of another folder."""
    with tempfile.TemporaryDirectory(prefix="tunehook-faults-") as folder:
        home = Home(Path(folder))
        port = ministack.free_port()
        with run_aws_proxy(f"http://{LOOPBACK}:{port}", kept=0) as proxy:
            environment = ministack.start(home, port, functions_endpoint=proxy.url)
            try:
                deploy.build(home, source)
                deploy.deploy(home, environment)
                yield Deployment(environment, environment.outputs(), home, proxy)
            finally:
                if (running := home.running()) is not None:
                    ministack.stop(home, running)
