"""The handle on the stack that the function is a part of, from its environment: no call to CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger
from pydantic import BaseModel

from api.settings import ApiSettings
from tunehook.aws.clients import client
from tunehook.aws.errors import code_of
from tunehook.operations.stack import Stack
from tunehook.settings import load_settings

if TYPE_CHECKING:
    from tunehook.operations.kept_secrets import KeptSecrets

logger = Logger(child=True)

_OUTPUTS: Final = {
    "tasks_table": "TasksTable",
    "subscriptions_table": "SubscriptionsTable",
    "secret_versions_table": "SecretVersionsTable",
    "deliveries_table": "DeliveriesTable",
    "leases_table": "PollerLeasesTable",
    "provider_states_table": "ProviderStatesTable",
    "gates_table": "ReceiverGatesTable",
    "api_keys_table": "ApiKeysTable",
    "api_requests_table": "ApiRequestsTable",
    "callback_hints_table": "CallbackHintsTable",
    "results_bucket": "ResultsBucket",
    "deliveries_queue": "DeliveriesQueue",
    "fulfillment_queue": "FulfillmentQueue",
    "fulfillment_dead_letters": "FulfillmentDeadLetters",
    "deliveries_dead_letters": "DeliveriesDeadLetters",
    "intake_dead_letters": "IntakeDeadLetters",
    "poller_dead_letters": "PollerDeadLetters",
    "providers_secret": "ProvidersSecret",
    "master_secret": "MasterSecret",
    "poller_function": "PollerFunction",
    "api_id": "ApiId",
    "api_url": "ApiUrl",
}
"""The settings that are outputs of the stack, and their names there."""

_PARAMETERS: Final = {
    "shard_count": "ShardCount",
    "network_policy": "NetworkPolicy",
    "api_max_waiting": "ApiMaxWaiting",
    "callbacks_take_in": "CallbacksTakeIn",
    "http_api": "HttpApi",
}
"""The settings that are parameters of the stack, and their names there."""


class _Runtime(BaseModel):
    aws_region: str = ""  # set by Lambda, and declared by no template


@dataclass(frozen=True)
class ApiStack(Stack):
    """The stack of an execution environment, which serves many requests."""

    @cached_property
    def kept_secrets(self) -> KeptSecrets:
        """The secrets, kept for a minute."""
        from tunehook.operations.kept_secrets import KeptSecrets

        return KeptSecrets(
            self, on_fault=lambda error: logger.error("secrets_not_read", error=code_of(error))
        )


def stack_of(settings: ApiSettings) -> ApiStack:
    """Return the stack that a function's environment describes; its clients are made when they are needed."""
    values = settings.model_dump(mode="json")
    return ApiStack(
        settings.stack_name,
        load_settings(_Runtime).aws_region,
        {output: values[name] for name, output in _OUTPUTS.items() if values[name]},
        {parameter: str(values[name]) for name, parameter in _PARAMETERS.items()},
        client,
    )
