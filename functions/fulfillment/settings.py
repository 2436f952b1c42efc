"""The environment of the fulfillment function."""

from typing import Final

from pydantic import BaseModel, Field

from fulfillment.archiver import MEMORY_MB
from fulfillment.results import OBJECT_MAX_BYTES
from tunehook.http.guard import NetworkPolicy
from tunehook.metrics import Observability

ARCHIVE_PATIENCE_MAX_S: Final = 600
"""As long as files are waited for at all."""


class FulfillmentSettings(BaseModel):
    """What the template declares for the fulfillment function."""

    tasks_table: str = Field(min_length=1)
    subscriptions_table: str = Field(min_length=1)
    secret_versions_table: str = Field(min_length=1)
    deliveries_table: str = Field(min_length=1)
    deliveries_queue: str = Field(min_length=1)
    fulfillment_queue: str = Field(min_length=1)
    dead_letters: str = Field(min_length=1)
    results_bucket: str = Field(min_length=1)
    event_bus: str = Field(min_length=1)
    network_policy: NetworkPolicy
    max_asset_bytes: int = Field(gt=0, le=OBJECT_MAX_BYTES)
    memory_mb: int = Field(MEMORY_MB, gt=0)
    archive_patience_s: int = Field(ge=0, le=ARCHIVE_PATIENCE_MAX_S)
    observability: Observability = Observability.FULL
