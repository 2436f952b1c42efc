"""The figures of a pass, as CloudWatch metrics (EMF lines in the log, namespace ``tunehook``)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from tunehook.metrics import Observability, function_dimension
from tunehook.tasks import Status

_REFUSED: Final = "unauthorised"


class Metrics:
    """Counts what a pass does, and tells it at its end.

    Parameters
    ----------
    observability : Observability, optional
        How much is told.
    oldest_alarm_ms : int, optional
        From which age of a pending task on an alarm goes off, in milliseconds; in lean its age is told only then.
    """

    def __init__(
        self, observability: Observability = Observability.FULL, *, oldest_alarm_ms: int = 0
    ) -> None:
        self._observability = observability
        self._oldest_alarm_ms = oldest_alarm_ms
        self._questions: Counter[tuple[str, str]] = Counter()
        self._no_longer_accepted: Counter[str] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._delays_ms: defaultdict[str, list[int]] = defaultdict(list)
        self._pauses: Counter[tuple[str, str]] = Counter()
        self._emitted_again = 0
        self._pending = 0
        self._oldest_age_ms = 0

    def question(self, provider: str, outcome: str) -> None:
        """Count an answer of a provider by what it came to."""
        self._questions[provider, outcome] += 1

    def no_longer_accepted(self, provider: str) -> None:
        """Count an answer that refuses a key which the provider accepted before; it is counted as a question too."""
        self._no_longer_accepted[provider] += 1

    def ended(self, provider: str, status: Status, detection_delay_ms: int | None) -> None:
        """Count an ended task; the delay is None where the provider did not say when it ended."""
        self._ended[provider, status.value] += 1
        if detection_delay_ms is not None:
            self._delays_ms[provider].append(detection_delay_ms)

    def paused(self, provider: str, reason: str) -> None:
        """Count a pause of a provider by the outcome that led to it."""
        self._pauses[provider, reason] += 1

    def emitted_again(self, count: int) -> None:
        """Count events that another pass left over."""
        self._emitted_again += count

    def backlog(self, pending: int, oldest_age_ms: int) -> None:
        """Note how many tasks are pending, and the age of the oldest in milliseconds; the largest values count."""
        self._pending = max(self._pending, pending)
        self._oldest_age_ms = max(self._oldest_age_ms, oldest_age_ms)

    def tell(self) -> None:
        """Write the metrics, in the size that the stack has.

        In full, ``Passes`` is always among them: that it stops coming is what an alarm watches. In lean nothing is
        written of a pass in which no task ended and nothing is wrong.
        """
        if self._observability is Observability.LEAN:
            self._tell_lean()
        else:
            self._tell_all()

    def _tell_lean(self) -> None:
        if self._oldest_age_ms > self._oldest_alarm_ms:
            self._write({}, ("OldestPendingAge", MetricUnit.Milliseconds, [self._oldest_age_ms]))
        if ended := self._ended.total():
            self._write({}, ("TasksEnded", MetricUnit.Count, [ended]))
        self._tell_of_refused_keys()

    def _tell_all(self) -> None:
        self._write(
            {}, ("Passes", MetricUnit.Count, [1]), ("PendingTasks", MetricUnit.Count, [self._pending])
        )
        if self._pending:
            self._write({}, ("OldestPendingAge", MetricUnit.Milliseconds, [self._oldest_age_ms]))
        if self._emitted_again:
            self._write({}, ("EventsEmittedAgain", MetricUnit.Count, [self._emitted_again]))
        for (provider, outcome), count in self._questions.items():
            self._write({"provider": provider, "outcome": outcome}, ("Questions", MetricUnit.Count, [count]))
            if outcome == _REFUSED:
                self._write({"provider": provider}, ("UnauthorisedAnswers", MetricUnit.Count, [count]))
        for provider, count in self._no_longer_accepted.items():
            self._write({"provider": provider}, ("KeysNoLongerAccepted", MetricUnit.Count, [count]))
        self._tell_of_refused_keys()
        for (provider, status), count in self._ended.items():
            self._write({"provider": provider, "status": status}, ("TasksEnded", MetricUnit.Count, [count]))
        for (provider, reason), count in self._pauses.items():
            self._write(
                {"provider": provider, "reason": reason}, ("ProviderPauses", MetricUnit.Count, [count])
            )
        for provider, delays_ms in self._delays_ms.items():
            self._write({"provider": provider}, ("DetectionDelay", MetricUnit.Milliseconds, delays_ms))

    def _tell_of_refused_keys(self) -> None:
        """Write what alarms watch, whichever provider it is."""
        if refused := sum(count for (_, outcome), count in self._questions.items() if outcome == _REFUSED):
            self._write({}, ("UnauthorisedAnswers", MetricUnit.Count, [refused]))
        if lost := self._no_longer_accepted.total():
            self._write({}, ("KeysNoLongerAccepted", MetricUnit.Count, [lost]))

    def _write(self, dimensions: Mapping[str, str], *metrics: tuple[str, MetricUnit, list[int]]) -> None:
        record = EphemeralMetrics(namespace="tunehook", service="poller")
        for dimension, label in (function_dimension() | dict(dimensions)).items():
            record.add_dimension(dimension, label)
        for name, unit, values in metrics:
            for value in values:
                record.add_metric(name, unit, value)
        if record.metric_set:  # with each 100th value Powertools has written all by itself
            record.flush_metrics()
