"""Finding a deployed stack, on a real account and on the embedded AWS alike, by its CloudFormation outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tunehook.errors import Misconfigured
from tunehook.http.guard import NetworkPolicy

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from tunehook.aws.deliveries import DeliveriesTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable
    from tunehook_cli.local.state import LocalEnvironment

DEFAULT_NAME: Final = "tunehook"

OpenClient: TypeAlias = Callable[..., Any]
"""Takes a service's name and settings of its client, as `tunehook.aws.clients.client` does."""

_CHOSEN_BY: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables by which somebody has said which AWS is meant."""


class Stack:
    """A deployed stack.

    Parameters
    ----------
    name, region : str
        Which stack it is.
    outputs, parameters : mapping
        What CloudFormation says of it.
    open_client : callable
        Makes clients for its region and account.
    """

    def __init__(
        self,
        name: str,
        region: str,
        *,
        outputs: Mapping[str, str],
        parameters: Mapping[str, str],
        open_client: OpenClient,
    ) -> None:
        self.name = name
        self.region = region
        self._outputs = outputs
        self._parameters = parameters
        self._open_client = open_client

    def output(self, name: str) -> str:
        """Return the value of an output.

        Raises
        ------
        Misconfigured
            If the stack has no such output.
        """
        try:
            return self._outputs[name]
        except KeyError:
            raise Misconfigured(
                f"the stack {self.name} in {self.region} has no output {name}: it is no tunehook stack, or one of "
                "another version; deploy it again with `sam build && sam deploy`"
            ) from None

    @property
    def network_policy(self) -> NetworkPolicy:
        """Where webhooks may be sent to."""
        return NetworkPolicy(self._parameters.get("NetworkPolicy", NetworkPolicy.PUBLIC))

    @cached_property
    def tasks(self) -> TasksTable:
        """The Tasks table."""
        from tunehook.aws.tasks import TasksTable

        return TasksTable(self._dynamodb, self.output("TasksTable"))

    @cached_property
    def subscriptions(self) -> SubscriptionsTable:
        """The Subscriptions table."""
        from tunehook.aws.subscriptions import SubscriptionsTable

        return SubscriptionsTable(self._dynamodb, self.output("SubscriptionsTable"))

    @cached_property
    def deliveries(self) -> DeliveriesTable:
        """The Deliveries table."""
        from tunehook.aws.deliveries import DeliveriesTable

        return DeliveriesTable(self._dynamodb, self.output("DeliveriesTable"))

    @cached_property
    def _dynamodb(self) -> Any:
        return self._open_client("dynamodb")

    @cached_property
    def _secrets(self) -> Any:
        return self._open_client("secretsmanager")

    def master_secret(self) -> str:
        """Return what the webhook signing secrets are derived from."""
        from tunehook.aws.secrets import read_secret

        return read_secret(self._secrets, self.output("MasterSecret"))

    def providers_json(self) -> str:
        """Return the text of the providers secret."""
        from tunehook.aws.secrets import read_secret

        return read_secret(self._secrets, self.output("ProvidersSecret"))

    def write_providers_json(self, text: str) -> None:
        """Replace the text of the providers secret."""
        from tunehook.aws.secrets import write_secret

        write_secret(self._secrets, self.output("ProvidersSecret"), text)


def find_stack(name: str | None) -> Stack:
    """Find a stack.

    Region and credentials are what boto3 finds. Where the environment says nothing of them and an embedded AWS of
    this checkout runs, it is taken, and a line on stderr says so.

    Parameters
    ----------
    name : str or None
        The stack's name; by default that of the embedded AWS, or ``tunehook``.

    Returns
    -------
    Stack
        The stack.

    Raises
    ------
    Misconfigured
        If there is no such stack, or it is not in a state to be used.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If AWS cannot be asked.
    """
    account = _account()
    stack_name = name or account.stack_name
    # One more try is enough for somebody who waits.
    cloudformation = account.open_client(
        "cloudformation", retries={"mode": "standard", "total_max_attempts": 2}
    )
    region = cloudformation.meta.region_name
    description = _describe(cloudformation, stack_name, region)
    return Stack(
        stack_name,
        region,
        outputs={each["OutputKey"]: each["OutputValue"] for each in description.get("Outputs", ())},
        parameters={
            each["ParameterKey"]: each["ParameterValue"] for each in description.get("Parameters", ())
        },
        open_client=account.open_client,
    )


@dataclass(frozen=True, slots=True)
class _Account:
    open_client: OpenClient
    stack_name: str


def _account() -> _Account:
    local = None if any(os.environ.get(variable) for variable in _CHOSEN_BY) else _embedded()
    if local is None:
        return _Account(_open_client, DEFAULT_NAME)
    print(f"using the embedded AWS at {local.endpoint}", file=sys.stderr)
    return _Account(_embedded_client(local), local.stack_name)


def _embedded() -> LocalEnvironment | None:
    from tunehook_cli.local.state import running

    return running()


def _embedded_client(local: LocalEnvironment) -> OpenClient:
    import boto3

    session = boto3.Session(
        aws_access_key_id=local.access_key_id,
        aws_secret_access_key=local.secret_access_key,
        region_name=local.region,
    )

    def open_client(service: str, **settings: Any) -> Any:
        return _open_client(service, session=session, endpoint_url=local.endpoint, **settings)

    return open_client


def _open_client(service: str, **settings: Any) -> Any:
    from tunehook.aws.clients import client

    try:
        return client(service, **settings)
    except ValueError as error:
        # What botocore makes of an AWS_ENDPOINT_URL that is no URL.
        raise Misconfigured(str(error)) from None


def _describe(cloudformation: Any, name: str, region: str) -> StackTypeDef:
    from botocore.exceptions import ClientError

    try:
        stack: StackTypeDef = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Misconfigured(
            f"no stack named {name} in {region}: deploy it with `sam deploy --guided`, "
            "or start the embedded one with `tunehook local up`"
        ) from None
    status = stack["StackStatus"]
    # An update leaves the stack usable meanwhile, and also when it fails.
    if status == "CREATE_COMPLETE" or status.startswith(("UPDATE_", "IMPORT_")):
        return stack
    advice = "wait until it is done" if status.endswith("_IN_PROGRESS") else "delete it and deploy it again"
    raise Misconfigured(f"the stack {name} in {region} is {status}: {advice}")
