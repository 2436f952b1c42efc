"""The provider layer: polls the tasks of a provider and reads its answers.

The models of the configuration are heavy to import, and only in `tunehook.providers.config`.
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
