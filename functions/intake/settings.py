"""The environment of the intake function."""

from pydantic import BaseModel, Field

from tunehook.http.guard import NetworkPolicy


class IntakeSettings(BaseModel):
    """What the template declares for the intake function."""

    tasks_table: str = Field(min_length=1)
    tasks_stream: str = Field(min_length=1)
    leases_table: str = Field(min_length=1)
    provider_states_table: str = Field(min_length=1)
    event_bus: str = Field(min_length=1)
    poller_function: str = Field(min_length=1)
    fulfillment_queue: str = Field(min_length=1)
    shard_count: int = Field(ge=1)
    network_policy: NetworkPolicy
