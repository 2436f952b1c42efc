"""The metrics of a pass."""

from __future__ import annotations

from typing import ClassVar

from tunehook import metrics
from tunehook.metrics import Observability
from tunehook.tasks import Status


class Metrics(metrics.Metrics):
    """Counts what a pass does, and writes it at its end.

    The age of the oldest pending task is written in lean only above `oldest_alarm_ms`, where an alarm goes off.
    """

    SERVICE = "poller"
    TOTALS: ClassVar = frozenset({"UnauthorisedAnswers", "KeysNoLongerAccepted"})
    LEAN: ClassVar = TOTALS | {"OldestPendingAge", "TasksEnded"}

    def __init__(
        self, observability: Observability = Observability.FULL, *, oldest_alarm_ms: int = 0
    ) -> None:
        super().__init__(observability)
        self._oldest_alarm_ms = oldest_alarm_ms
        self._pending = 0
        self._oldest_age_ms = 0

    def polled(self, provider: str, outcome: str) -> None:
        """Count an answer of a provider by what it came to."""
        self.add("Questions", provider=provider, outcome=outcome)
        if outcome == "unauthorised":
            self.add("UnauthorisedAnswers", provider=provider)

    def no_longer_accepted(self, provider: str) -> None:
        """Count an answer that refuses a key which the provider accepted before; it counts as a poll too."""
        self.add("KeysNoLongerAccepted", provider=provider)

    def ended(self, provider: str, status: Status, detection_delay_ms: int | None) -> None:
        """Count an ended task; the delay is None where the provider did not say when it ended."""
        self.add("TasksEnded", provider=provider, status=status.value)
        if detection_delay_ms is not None:
            self.add("DetectionDelay", detection_delay_ms, provider=provider)

    def paused(self, provider: str, reason: str) -> None:
        """Count a pause of a provider by the outcome that led to it."""
        self.add("ProviderPauses", provider=provider, reason=reason)

    def told_progress(self, provider: str) -> None:
        """Count a request to tell of a pending task's progress."""
        self.add("ProgressTold", provider=provider)

    def emitted_again(self, count: int) -> None:
        """Count events that another pass left over."""
        if count:
            self.add("EventsEmittedAgain", count)

    def backlog(self, pending: int, oldest_age_ms: int) -> None:
        """Note how many tasks are pending, and the age of the oldest in milliseconds; the largest values count."""
        self._pending = max(self._pending, pending)
        self._oldest_age_ms = max(self._oldest_age_ms, oldest_age_ms)

    def emit(self) -> None:
        """Write the metrics, in the size that the stack has.

        In full, ``Passes`` is always among them: that it stops coming is what an alarm watches. In lean nothing is
        written of a pass in which no task ended and nothing is wrong.
        """
        if not self._is_lean:
            self._write({}, {"Passes": [1], "PendingTasks": [self._pending]})
        if self._pending and (not self._is_lean or self._oldest_age_ms > self._oldest_alarm_ms):
            self.add("OldestPendingAge", self._oldest_age_ms)
        super().emit()
