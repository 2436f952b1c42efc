"""The environment of the fulfillment function."""

from pydantic import BaseModel, Field

from tunehook.http.guard import NetworkPolicy


class FulfillmentSettings(BaseModel):
    """What the template declares for the fulfillment function."""

    tasks_table: str = Field(min_length=1)
    subscriptions_table: str = Field(min_length=1)
    deliveries_table: str = Field(min_length=1)
    deliveries_queue: str = Field(min_length=1)
    results_bucket: str = Field(min_length=1)
    event_bus: str = Field(min_length=1)
    network_policy: NetworkPolicy
