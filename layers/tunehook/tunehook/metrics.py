"""Metrics of all functions: lines in the log in CloudWatch's embedded metric format (EMF), namespace ``tunehook``.

CloudWatch bills each combination of a metric's name and dimensions by itself, for every hour in which it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from pydantic import BaseModel

from tunehook.settings import load_settings

_UNITS: Final = {"BytesArchived": MetricUnit.Bytes} | dict.fromkeys(
    ("ArchiveDuration", "AttemptDuration", "DetectionDelay", "EventToFirstAttempt", "OldestPendingAge"),
    MetricUnit.Milliseconds,
)
"""The units of metrics that are no counts: each of their values is written. Counts are added up."""


class Observability(StrEnum):
    """How much a stack writes about itself: the parameter ``Observability`` of the template.

    ``full`` is all that the dashboard shows and the alarms watch, by provider, outcome and status. ``lean`` is how many
    tasks and deliveries ended, and what an alarm can watch: without those dimensions, and nothing where it is zero.
    """

    LEAN = "lean"
    FULL = "full"


class _Runtime(BaseModel):
    aws_lambda_function_name: str = ""  # unset outside of Lambda


class Metrics:
    """Collects metrics, and writes them in the size that the stack has.

    All have the dimensions ``service`` and, in Lambda, ``function_name``, which begins with the stack's name.
    """

    SERVICE: ClassVar[str]
    # What full has without further dimensions too, for an alarm; and what lean has.
    TOTALS: ClassVar[frozenset[str]] = frozenset()
    LEAN: ClassVar[frozenset[str]]

    def __init__(self, observability: Observability = Observability.FULL) -> None:
        self._is_lean = observability is Observability.LEAN
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}

    def add(self, name: str, value: int = 1, **dimensions: str) -> None:
        """Add to a count, or to the values of a metric that is none."""
        keys = {tuple(dimensions.items())}
        if self._is_lean:
            keys = {()} if value and name in self.LEAN else set()
        elif name in self.TOTALS:
            keys |= {()}
        for key in keys:
            values = self._values.setdefault((name, key), [])
            if name in _UNITS or not values:
                values.append(value)
            else:
                values[0] += value

    def emit(self) -> None:
        """Write what was added since the last time, those without further dimensions at the end."""
        collected, self._values = self._values, {}
        for (name, dimensions), values in sorted(collected.items(), key=lambda each: not each[0][1]):
            self._write(dict(dimensions), {name: values})

    def _write(self, dimensions: Mapping[str, str], metrics: Mapping[str, Sequence[int]]) -> None:
        record = EphemeralMetrics(namespace="tunehook", service=self.SERVICE)
        if function_name := load_settings(_Runtime).aws_lambda_function_name:
            record.add_dimension("function_name", function_name)
        for dimension, label in dimensions.items():
            record.add_dimension(dimension, label)
        for name, values in metrics.items():
            for value in values:
                record.add_metric(name, _UNITS.get(name, MetricUnit.Count), value)
        if record.metric_set:  # with each 100th value Powertools has written all by itself
            record.flush_metrics()
