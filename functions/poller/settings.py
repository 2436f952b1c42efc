"""The environment of the poller function."""

from pydantic import BaseModel, Field

from tunehook.metrics import Observability


class PollerSettings(BaseModel):
    """What the template declares for the poller function."""

    tasks_table: str = Field(min_length=1)
    tasks_stream: str = Field(min_length=1)
    intake_function: str = Field(min_length=1)
    fulfillment_function: str = Field(min_length=1)
    webhooks_function: str = Field(min_length=1)
    leases_table: str = Field(min_length=1)
    provider_states_table: str = Field(min_length=1)
    callback_hints_table: str = Field(min_length=1)
    subscriptions_table: str = Field(min_length=1)
    fulfillment_queue: str = Field(min_length=1)
    results_bucket: str = Field(min_length=1)
    event_bus: str = Field(min_length=1)
    fulfillment_dead_letters: str = Field(min_length=1)
    deliveries_dead_letters: str = Field(min_length=1)
    intake_dead_letters: str = Field(min_length=1)
    poller_dead_letters: str = Field(min_length=1)
    providers_secret: str = Field(min_length=1)
    shard_count: int = Field(ge=1)
    callbacks_take_in: bool
    observability: Observability = Observability.FULL
    oldest_pending_alarm_s: int = Field(default=0, ge=0)
