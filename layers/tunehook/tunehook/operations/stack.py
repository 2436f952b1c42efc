"""The handle on a deployed stack, found by its CloudFormation outputs: its tables, queues, secrets and clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from tunehook.errors import Misconfigured
from tunehook.http.guard import NetworkPolicy

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from tunehook.aws.api_keys import ApiKeysTable
    from tunehook.aws.api_requests import ApiRequests
    from tunehook.aws.circuits import CircuitsTable
    from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable, Redeliveries
    from tunehook.aws.provider_states import ProviderStates
    from tunehook.aws.secret_versions import SecretVersionsTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable
    from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest

T = TypeVar("T")

OpenClient: TypeAlias = Callable[..., Any]
"""Takes a service's name and settings of its client, as `tunehook.aws.clients.client` does."""


_OTHER_SUFFIXES: Final = (".api.aws", ".api.amazonwebservices.com.cn")
"""How the hosts of AWS's endpoints end that are reached by IPv6 too."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack: what CloudFormation says of it, and what makes clients for its region and account.

    What works on a part of it is imported when that part is used: a command uses few of them, and is to start fast.
    """

    name: str
    region: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    open_client: OpenClient
    status: str = "CREATE_COMPLETE"

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def output(self, name: str) -> str:
        """Return the value of an output; raise `Misconfigured` if the stack has none of this name."""
        try:
            return self.outputs[name]
        except KeyError:
            raise Misconfigured(
                f"the stack {self.name} in {self.region} has no output {name}: it is not a tunehook stack, or has "
                "another version; deploy it again with `make deploy`"
            ) from None

    @property
    def shard_count(self) -> int:
        return int(self.parameters.get("ShardCount", 1))

    @property
    def has_lists(self) -> bool:
        """Whether there are the indexes that list tasks and deliveries by pages, as there are beside the HTTP API."""
        return "ApiId" in self.outputs

    @property
    def network_policy(self) -> NetworkPolicy:
        return NetworkPolicy(self.parameters.get("NetworkPolicy", NetworkPolicy.PUBLIC))

    def client(self, service: str, **settings: Any) -> Any:
        """Return a boto3 client for its region and account; without `settings` it is made once."""
        if settings:
            return self.open_client(service, **settings)
        if service not in self._clients:
            self._clients[service] = self.open_client(service)
        return self._clients[service]

    @cached_property
    def s3(self) -> Any:
        """The client of the results bucket, whose links work in every region."""
        from tunehook.aws.links import s3_client

        return s3_client(self.open_client, read_timeout=60)

    @cached_property
    def tasks(self) -> TasksTable:
        from tunehook.aws.tasks import TasksTable

        return TasksTable(self.client("dynamodb"), self.output("TasksTable"))

    @cached_property
    def subscriptions(self) -> SubscriptionsTable:
        from tunehook.aws.subscriptions import SubscriptionsTable

        return SubscriptionsTable(self.client("dynamodb"), self.output("SubscriptionsTable"))

    @cached_property
    def secret_versions(self) -> SecretVersionsTable:
        from tunehook.aws.secret_versions import SecretVersionsTable

        return SecretVersionsTable(self.client("dynamodb"), self.output("SecretVersionsTable"))

    @cached_property
    def deliveries(self) -> DeliveriesTable:
        from tunehook.aws.deliveries import DeliveriesTable

        return DeliveriesTable(self.client("dynamodb"), self.output("DeliveriesTable"))

    @cached_property
    def provider_states(self) -> ProviderStates:
        from tunehook.aws.provider_states import ProviderStates

        return ProviderStates(self.client("dynamodb"), self.output("ProviderStatesTable"))

    @cached_property
    def circuits(self) -> CircuitsTable:
        from tunehook.aws.circuits import CircuitsTable

        return CircuitsTable(self.client("dynamodb"), self.output("ReceiverGatesTable"))

    @cached_property
    def api_keys(self) -> ApiKeysTable:
        from tunehook.aws.api_keys import ApiKeysTable

        return ApiKeysTable(self.client("dynamodb"), self.output("ApiKeysTable"))

    @cached_property
    def api_requests(self) -> ApiRequests:
        from tunehook.aws.api_requests import ApiRequests

        return ApiRequests(self.client("dynamodb"), self.output("ApiRequestsTable"))

    @property
    def api_url(self) -> str:
        """The URL of the HTTP API, without a slash at its end; raises `Misconfigured` where it is switched off.

        Where the clients are led to another endpoint than AWS's, as to the embedded AWS, that has the API below a path:
        no name server knows the host of the output.
        """
        if self.parameters.get("HttpApi") == "off":
            raise Misconfigured(
                f"the stack {self.name} in {self.region} has no HTTP API: deploy it with HttpApi=on"
            )
        url, endpoint = self.output("ApiUrl"), self.client("dynamodb").meta.endpoint_url
        suffix = url.partition(f".execute-api.{self.region}.")[2]
        if str(urlsplit(endpoint).hostname).endswith((f".{suffix}", *_OTHER_SUFFIXES)):
            return url
        return f"{endpoint.rstrip('/')}/_aws/execute-api/{self.output('ApiId')}/$default"

    @cached_property
    def deliveries_queue(self) -> DeliveriesQueue:
        from tunehook.aws.deliveries import DeliveriesQueue

        return DeliveriesQueue(self.client("sqs"), self.output("DeliveriesQueue"))

    @cached_property
    def redeliveries(self) -> Redeliveries:
        from tunehook.aws.deliveries import Redeliveries

        return Redeliveries(self.deliveries, self.deliveries_queue)

    def request_fulfillment(self, requests: Sequence[ArchiveRequest | DeliveryRequest]) -> None:
        """Send requests to the fulfillment queue.

        Raises `Unavailable` if the queue refuses some of them; those before are on their way.
        """
        from tunehook.aws.fulfillment_queue import FulfillmentQueue

        FulfillmentQueue(self.client("sqs"), self.output("FulfillmentQueue")).send(requests)

    def master_secret(self) -> str:
        from tunehook.aws.secrets import read_secret

        return read_secret(self.client("secretsmanager"), self.output("MasterSecret"))

    def providers_json(self) -> str:
        from tunehook.aws.secrets import read_secret

        return read_secret(self.client("secretsmanager"), self.output("ProvidersSecret"))

    def change_providers(self, change: Callable[[str], tuple[str, T]]) -> T:
        """Change the text of the providers secret, as `tunehook.aws.secrets.change_secret` does."""
        from tunehook.aws.secrets import change_secret

        return change_secret(self.client("secretsmanager"), self.output("ProvidersSecret"), change)


def find_stack(open_client: OpenClient, name: str) -> Stack:
    """Find a stack by its name.

    Raises `Misconfigured` if there is no such stack, or it is not in a state to be used.

    >>> find_stack(client, "tunehook").output("ResultsBucket")
    'results'
    """
    # One more try is enough for somebody who waits.
    cloudformation = open_client("cloudformation", retries={"mode": "standard", "total_max_attempts": 2})
    region = cloudformation.meta.region_name
    try:
        found: StackTypeDef = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Misconfigured(
            f"no stack named {name} in {region}: deploy it with `make deploy`, "
            "or start the embedded one with `tunehook local up`"
        ) from None
    status = found["StackStatus"]
    # An update leaves the stack usable meanwhile, and also when it fails.
    if status != "CREATE_COMPLETE" and not status.startswith(("UPDATE_", "IMPORT_")):
        wait = status.endswith("_IN_PROGRESS")
        advice = "wait until it is done" if wait else "delete it and deploy it again"
        raise Misconfigured(f"the stack {name} in {region} is {status}: {advice}")
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())}
    return Stack(name, region, outputs, parameters, open_client, status)
