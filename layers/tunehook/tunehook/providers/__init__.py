"""The provider layer: asks a provider about tasks and says what its answers mean.

Nothing of AWS is imported here.
"""

from tunehook.providers.adapter import Adapter, Answer, Request
from tunehook.providers.client import Provider
from tunehook.providers.config import ConfiguredProviders, ProviderConfig, parse_providers, read_providers
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    Phase,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Answer",
    "Completed",
    "CompletedWithoutResults",
    "ConfiguredProviders",
    "Failed",
    "NotFound",
    "Outcome",
    "Pending",
    "Phase",
    "Provider",
    "ProviderConfig",
    "Request",
    "TaskResult",
    "Throttled",
    "Transient",
    "Unauthorised",
    "parse_providers",
    "read_providers",
]
