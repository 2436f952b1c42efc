"""A deployed stack on moto, and the command as a user runs it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.support.aws import REGION, client, create_table
from tests.support.permissions import Watched, allowed
from typer.testing import CliRunner, Result

import tunehook_cli.stack
from tunehook_local.main import app

MASTER_SECRET = "m" * 64
PROVIDERS_SECRET = "providers"
OUTPUTS = {
    "TasksTable": "TasksTable",
    "SubscriptionsTable": "SubscriptionsTable",
    "SecretVersionsTable": "SecretVersionsTable",
    "DeliveriesTable": "DeliveriesTable",
    "DeliveriesQueue": f"https://sqs.{REGION}.amazonaws.com/123456789012/deliveries",
    "FulfillmentQueue": f"https://sqs.{REGION}.amazonaws.com/123456789012/fulfillment",
    **{
        f"{name.capitalize()}DeadLetters": f"https://sqs.{REGION}.amazonaws.com/123456789012/{name}-dead"
        for name in ("fulfillment", "deliveries", "intake", "poller")
    },
    **{
        f"{name.capitalize()}Function": f"tunehook-{name}"
        for name in ("intake", "poller", "fulfillment", "webhooks", "api")
    },
    "PollerLeasesTable": "PollerLeasesTable",
    "ProviderStatesTable": "ProviderStatesTable",
    "ReceiverGatesTable": "ReceiverGatesTable",
    "ApiKeysTable": "ApiKeysTable",
    "ApiRequestsTable": "ApiRequestsTable",
    "CallbackHintsTable": "CallbackHintsTable",
    "ApiId": "a1b2c3",
    "ApiUrl": f"https://a1b2c3.execute-api.{REGION}.amazonaws.com",
    "ResultsBucket": "results",
    "ProvidersSecret": PROVIDERS_SECRET,
    "MasterSecret": "master",
}

Run = Callable[..., Result]

_MILLISECONDS = re.compile(r'"(\w+_ms)": ')


def deploy_stack(
    name: str = "tunehook", *, network_policy: str = "public", outputs: dict[str, str] = OUTPUTS
) -> None:
    """Make a stack that says of itself what a tunehook stack says."""
    body = {
        "Parameters": {"NetworkPolicy": {"Type": "String"}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": "NetworkPolicy", "ParameterValue": network_policy}],
    )


@pytest.fixture
def no_embedded_aws(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Let no embedded AWS run, whatever this machine has; the module can be given another `running`."""
    module = ModuleType("tunehook_local.embedded.state")
    module.running = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tunehook_local.embedded.state", module)
    return module


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actions of AWS that commands take, each as a policy has it, in the order in which they are taken."""
    taken: list[str] = []
    opened = tunehook_cli.stack._open_client
    monkeypatch.setattr(
        "tunehook_cli.stack._open_client",
        lambda service, **settings: Watched(opened(service, **settings), service, taken),
    )
    return taken


@pytest.fixture
def tunehook(monkeypatch: pytest.MonkeyPatch, no_embedded_aws: ModuleType, calls: list[str]) -> Run:
    """Return what runs the command; it may take no action but those that docs/deploying.md names for it."""
    for name in ("TUNEHOOK_STACK", "TUNEHOOK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: str, **options: Any) -> Result:
        calls.clear()
        result: Result = CliRunner().invoke(app, args, prog_name="tunehook", **options)
        undocumented = set(calls) - allowed(args)
        assert not undocumented, f"docs/deploying.md does not say that `{' '.join(args[:2])}` needs them"
        if "--json" in args:
            assert not set(_MILLISECONDS.findall(result.stdout)) - {"duration_ms"}, "a moment is no number"
        return result

    return run


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployed stack that sends webhooks anywhere, reached through clients that are made once for all tests."""
    monkeypatch.setattr("tunehook.aws.clients.client", lambda service, **_: client(service))
    for table in (
        "TasksTable",
        "SubscriptionsTable",
        "SecretVersionsTable",
        "DeliveriesTable",
        "ProviderStatesTable",
        "ReceiverGatesTable",
        "ApiKeysTable",
        "ApiRequestsTable",
        "CallbackHintsTable",
    ):
        create_table(table)
    client("sqs").create_queue(QueueName="deliveries")
    secrets = client("secretsmanager")
    secrets.create_secret(Name=PROVIDERS_SECRET, SecretString="{}")
    secrets.create_secret(Name="master", SecretString=MASTER_SECRET)
    deploy_stack(network_policy="any")
    return


@pytest.fixture
def operated(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack's leases and its other queues beside it, all empty."""
    monkeypatch.setattr("tunehook.operations.dead_letters._WAIT_S", 0)
    create_table("PollerLeasesTable")
    for name in (
        "fulfillment",
        *(f"{each}-dead" for each in ("fulfillment", "deliveries", "intake", "poller")),
    ):
        client("sqs").create_queue(QueueName=name)


@pytest.fixture
def providers(stack: None) -> Callable[..., dict[str, Any]]:
    """Return what reads the providers secret, after writing it if it is given a text."""

    def read_or_write(text: str | None = None) -> dict[str, Any]:
        secrets = client("secretsmanager")
        if text is not None:
            secrets.put_secret_value(SecretId=PROVIDERS_SECRET, SecretString=text)
        read: dict[str, Any] = json.loads(secrets.get_secret_value(SecretId=PROVIDERS_SECRET)["SecretString"])
        return read

    return read_or_write


@pytest.fixture
def deploy(aws: None) -> Callable[..., None]:
    """Return what makes a further stack."""
    return deploy_stack
