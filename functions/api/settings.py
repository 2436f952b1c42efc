"""The environment of the api function."""

from typing import Literal

from pydantic import BaseModel, Field

from tunehook.http.guard import NetworkPolicy


class ApiSettings(BaseModel):
    """What the template declares for the api function; `api_id` and `api_url` are there where `http_api` is on."""

    stack_name: str = Field(min_length=1)
    tasks_table: str = Field(min_length=1)
    subscriptions_table: str = Field(min_length=1)
    secret_versions_table: str = Field(min_length=1)
    deliveries_table: str = Field(min_length=1)
    leases_table: str = Field(min_length=1)
    provider_states_table: str = Field(min_length=1)
    gates_table: str = Field(min_length=1)
    api_keys_table: str = Field(min_length=1)
    api_requests_table: str = Field(min_length=1)
    callback_hints_table: str = Field(min_length=1)
    results_bucket: str = Field(min_length=1)
    deliveries_queue: str = Field(min_length=1)
    fulfillment_queue: str = Field(min_length=1)
    fulfillment_dead_letters: str = Field(min_length=1)
    deliveries_dead_letters: str = Field(min_length=1)
    intake_dead_letters: str = Field(min_length=1)
    poller_dead_letters: str = Field(min_length=1)
    providers_secret: str = Field(min_length=1)
    master_secret: str = Field(min_length=1)
    poller_function: str = Field(min_length=1)
    shard_count: int = Field(ge=1)
    network_policy: NetworkPolicy
    api_max_waiting: int = Field(ge=0)
    callbacks_take_in: Literal["on", "off"]
    http_api: Literal["on", "off"]
    api_id: str = ""
    api_url: str = ""
