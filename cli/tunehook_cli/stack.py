"""Finding a deployed stack, on a real account and on the embedded AWS alike, by its CloudFormation outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from tunehook.errors import Misconfigured, Unavailable
from tunehook.http.guard import NetworkPolicy

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from tunehook.archive_request import ArchiveRequest
    from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable, Redeliveries
    from tunehook.aws.provider_states import ProviderStates
    from tunehook.aws.secret_versions import SecretVersionsTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable
    from tunehook.delivery_request import DeliveryRequest
    from tunehook_cli.kept_files import KeptFiles
    from tunehook_cli.local.state import LocalEnvironment

DEFAULT_NAME: Final = "tunehook"

Told = TypeVar("Told")

_MESSAGES_AT_ONCE: Final = 10
"""How many SQS takes in one call."""

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

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


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
    status : str, optional
        What CloudFormation says of its last change.
    """

    def __init__(
        self,
        name: str,
        region: str,
        *,
        outputs: Mapping[str, str],
        parameters: Mapping[str, str],
        open_client: OpenClient,
        status: str = "CREATE_COMPLETE",
    ) -> None:
        self.name = name
        self.region = region
        self.status = status
        self._outputs = outputs
        self._parameters = parameters
        self._open_client = open_client
        self._clients: dict[str, Any] = {}

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
                "another version; deploy it again with `make deploy`"
            ) from None

    @property
    def shard_count(self) -> int:
        """How many shards new tasks are put into."""
        return int(self._parameters.get("ShardCount", 1))

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
    def secret_versions(self) -> SecretVersionsTable:
        """Which version of each subscription's secret signs."""
        from tunehook.aws.secret_versions import SecretVersionsTable

        return SecretVersionsTable(self._dynamodb, self.output("SecretVersionsTable"))

    @cached_property
    def deliveries(self) -> DeliveriesTable:
        """The Deliveries table."""
        from tunehook.aws.deliveries import DeliveriesTable

        return DeliveriesTable(self._dynamodb, self.output("DeliveriesTable"))

    @cached_property
    def deliveries_queue(self) -> DeliveriesQueue:
        """The queue that says which attempt is due."""
        from tunehook.aws.deliveries import DeliveriesQueue

        return DeliveriesQueue(self._open_client("sqs"), self.output("DeliveriesQueue"))

    @cached_property
    def redeliveries(self) -> Redeliveries:
        """What begins new runs of deliveries."""
        from tunehook.aws.deliveries import Redeliveries

        return Redeliveries(self.deliveries, self.deliveries_queue)

    @cached_property
    def provider_states(self) -> ProviderStates:
        """What pollers remember of the providers."""
        from tunehook.aws.provider_states import ProviderStates

        return ProviderStates(self._dynamodb, self.output("ProviderStatesTable"))

    @property
    def is_on_this_machine(self) -> bool:
        """Whether this AWS runs on this machine, as the embedded one does, and so reaches its loopback."""
        host = urlsplit(self._dynamodb.meta.endpoint_url).hostname
        if host in _LOOPBACK:
            return True
        embedded = _embedded()
        # For containers to reach it, it listens on another address of this machine.
        return embedded is not None and embedded.host == host

    def client(self, service: str, **settings: Any) -> Any:
        """Return a low-level boto3 client for its region and account.

        Parameters
        ----------
        service : str
            The service's name for boto3, such as ``sqs``.
        **settings
            Of the client, as `tunehook.aws.clients.client` takes them; without any it is made once.
        """
        if settings:
            return self._open_client(service, **settings)
        if service not in self._clients:
            self._clients[service] = self._open_client(service)
        return self._clients[service]

    @cached_property
    def kept_files(self) -> KeptFiles:
        """The results bucket."""
        from tunehook.aws.links import s3_client
        from tunehook_cli.kept_files import KeptFiles

        return KeptFiles(s3_client(self._open_client, read_timeout=60), self.output("ResultsBucket"))

    def ask_to_archive(self, request: ArchiveRequest) -> None:
        """Have copied what is missing of a task's files."""
        self._open_client("sqs").send_message(
            QueueUrl=self.output("FulfillmentQueue"), MessageBody=request.model_dump_json()
        )

    def ask_to_deliver(self, requests: Sequence[DeliveryRequest]) -> None:
        """Have deliveries made that were never made.

        Raises
        ------
        Unavailable
            If the queue does not take some of them; those before are on their way.
        """
        sqs, url = self._open_client("sqs"), self.output("FulfillmentQueue")
        for start in range(0, len(requests), _MESSAGES_AT_ONCE):
            entries = [
                {"Id": str(number), "MessageBody": request.model_dump_json()}
                for number, request in enumerate(requests[start : start + _MESSAGES_AT_ONCE])
            ]
            if refused := sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed"):
                raise Unavailable(
                    f"the fulfillment queue does not take {len(refused)} messages ({refused[0]['Code']}): try again"
                )

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

    def change_providers(self, change: Callable[[str], tuple[str, Told]]) -> Told:
        """Change the text of the providers secret, as `tunehook.aws.secrets.change_secret` does."""
        from tunehook.aws.secrets import change_secret

        return change_secret(self._secrets, self.output("ProvidersSecret"), change)


def find_stack(name: str | None, account: Account | None = None) -> Stack:
    """Find a stack.

    Parameters
    ----------
    name : str or None
        The stack's name; by default that of the embedded AWS, or ``tunehook``.
    account : Account, optional
        Where to look; by default what `find_account` finds.

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
    account = account or find_account()
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
        status=description["StackStatus"],
    )


@dataclass(frozen=True, slots=True)
class Account:
    """The AWS to work with: what makes its clients, and the name that a stack has there by default."""

    open_client: OpenClient
    stack_name: str


def find_account() -> Account:
    """Return the AWS to work with.

    Region and credentials are what boto3 finds. Where the environment says nothing of them and an embedded AWS of
    this checkout runs, it is taken, and a line on stderr says so.
    """
    local = None if any(os.environ.get(variable) for variable in _CHOSEN_BY) else _embedded()
    if local is None:
        return Account(_open_client, DEFAULT_NAME)
    print(f"using the embedded AWS at {local.endpoint}", file=sys.stderr)
    return Account(_embedded_client(local), local.stack_name)


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
            f"no stack named {name} in {region}: deploy it with `make deploy`, "
            "or start the embedded one with `tunehook local up`"
        ) from None
    status = stack["StackStatus"]
    # An update leaves the stack usable meanwhile, and also when it fails.
    if status == "CREATE_COMPLETE" or status.startswith(("UPDATE_", "IMPORT_")):
        return stack
    advice = "wait until it is done" if status.endswith("_IN_PROGRESS") else "delete it and deploy it again"
    raise Misconfigured(f"the stack {name} in {region} is {status}: {advice}")
