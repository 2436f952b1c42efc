"""The provider layer: asks a provider about tasks and says what its answers mean.

Nothing of AWS is imported here, and no more than asking needs: what reads the configuration, and is heavy for its
models, stands apart in `tunehook.providers.config`.
"""

from tunehook.providers.adapter import Adapter, Answer, Request
from tunehook.providers.client import Provider
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    InlineFile,
    NotFound,
    Outcome,
    Pending,
    Phase,
    SeemsFailed,
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
    "Failed",
    "InlineFile",
    "NotFound",
    "Outcome",
    "Pending",
    "Phase",
    "Provider",
    "Request",
    "SeemsFailed",
    "TaskResult",
    "Throttled",
    "Transient",
    "Unauthorised",
]
