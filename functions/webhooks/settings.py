"""The environment of the webhooks function."""

from pydantic import BaseModel

from tunehook.http.guard import NetworkPolicy
from tunehook.metrics import Observability


class WebhooksSettings(BaseModel):
    """What the template tells the function; each field is the variable of that name in capitals."""

    tasks_table: str
    deliveries_table: str
    deliveries_queue: str
    dead_letters: str
    subscriptions_table: str
    secret_versions_table: str
    gates_table: str
    event_bus: str
    results_bucket: str
    master_secret: str
    network_policy: NetworkPolicy
    observability: Observability = Observability.FULL
