"""Which scope of a key each route of the HTTP API needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tunehook.api_keys import Scope

SCOPES: Final[Mapping[tuple[str, str], Scope | None]] = {
    ("GET", "/health"): None,
    ("GET", "/v1/openapi.json"): None,
    ("POST", "/v1/submissions"): Scope.WRITE,
    ("POST", "/v1/tasks"): Scope.WRITE,
    ("GET", "/v1/tasks"): Scope.READ,
    ("GET", "/v1/tasks/<provider>"): Scope.READ,
    ("DELETE", "/v1/tasks/<provider>"): Scope.WRITE,
    ("GET", "/v1/tasks/<provider>/results"): Scope.READ,
    ("POST", "/v1/tasks/<provider>/archive"): Scope.WRITE,
    ("GET", "/v1/tasks/<provider>/<task_id>"): Scope.READ,
    ("DELETE", "/v1/tasks/<provider>/<task_id>"): Scope.WRITE,
    ("GET", "/v1/tasks/<provider>/<task_id>/results"): Scope.READ,
    ("POST", "/v1/tasks/<provider>/<task_id>/archive"): Scope.WRITE,
    ("GET", "/v1/subscriptions"): Scope.READ,
    ("POST", "/v1/subscriptions"): Scope.ADMIN,
    ("GET", "/v1/subscriptions/<subscription_id>"): Scope.READ,
    ("PATCH", "/v1/subscriptions/<subscription_id>"): Scope.ADMIN,
    ("DELETE", "/v1/subscriptions/<subscription_id>"): Scope.ADMIN,
    ("POST", "/v1/subscriptions/<subscription_id>/rotate-secret"): Scope.ADMIN,
    ("GET", "/v1/subscriptions/<subscription_id>/public-keys"): Scope.READ,
    ("GET", "/v1/subscriptions/<subscription_id>/filter-test"): Scope.READ,
    ("POST", "/v1/subscriptions/<subscription_id>/test"): Scope.ADMIN,
    ("POST", "/v1/subscriptions/<subscription_id>/enable"): Scope.ADMIN,
    ("POST", "/v1/subscriptions/<subscription_id>/disable"): Scope.ADMIN,
    ("POST", "/v1/subscriptions/<subscription_id>/recover"): Scope.WRITE,
    ("GET", "/v1/deliveries"): Scope.READ,
    ("GET", "/v1/deliveries/<delivery_id>"): Scope.READ,
    ("POST", "/v1/deliveries/<delivery_id>/redeliver"): Scope.WRITE,
    ("GET", "/v1/status"): Scope.READ,
}
"""The scope that each route needs, by its method and its template; None for what answers anybody."""
