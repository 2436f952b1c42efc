"""The figures of a batch, as CloudWatch metrics (EMF lines in the log, namespace ``tunehook``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from tunehook.deliveries import DeliveryStatus
from tunehook.metrics import Observability, function_dimension
from webhooks.subscription_health import Change

if TYPE_CHECKING:
    from webhooks.delivery import Outcome

_CHANGES = {
    Change.FAILING: "SubscriptionsFailing",
    Change.WARNED: "SubscriptionsWarned",
    Change.DISABLED: "SubscriptionsDisabled",
}


class Metrics:
    """Counts what the messages of a batch led to, and tells it at its end.

    Parameters
    ----------
    observability : Observability, optional
        How much is told.
    """

    def __init__(self, observability: Observability = Observability.FULL) -> None:
        self._observability = observability
        self._messages: Counter[str] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._ended: Counter[str] = Counter()
        self._changes: Counter[Change] = Counter()
        self._durations_ms: list[int] = []
        self._delays_ms: list[int] = []

    def fault(self) -> None:
        """Count a message that comes again through a fault of ours."""
        self._messages["fault"] += 1

    def given_up(self) -> None:
        """Count a message that nothing can come of."""
        self._messages["given_up"] += 1

    def outcome(self, outcome: Outcome) -> None:
        """Count a message by what it led to."""
        self._messages[outcome.step.value] += 1
        self._changes[outcome.change] += 1
        if outcome.status not in (None, DeliveryStatus.PENDING):
            self._ended[outcome.status.value] += 1
        delivery, attempt = outcome.delivery, outcome.attempt
        if delivery is None or attempt is None:
            return
        delivered = outcome.status is DeliveryStatus.DELIVERED
        error = attempt.error or ("none" if delivered else f"{(attempt.status_code or 0) // 100}xx")
        self._attempts["delivered" if delivered else "failed", error] += 1
        self._durations_ms.append(attempt.duration_ms)
        if attempt.run == attempt.attempt == 1:
            self._delays_ms.append(max(attempt.at_ms - delivery.event_at_ms, 0))

    def tell(self) -> None:
        """Write the metrics, in the size that the stack has.

        In lean ``DeliveriesEnded``, ``DeliveriesGivenUp`` and ``SubscriptionsDisabled``, without a dimension. In full:
        ``Messages`` by step; ``Attempts`` by outcome and error class (the class of a status such as ``5xx``, or an
        error such as ``DeadlineExceeded``); ``DeliveriesEnded`` by status; ``DeliveriesGivenUp``; ``AttemptDuration``
        and ``EventToFirstAttempt`` in ms; ``SubscriptionsFailing`` (began to), ``SubscriptionsWarned``,
        ``SubscriptionsDisabled``.
        """
        if self._observability is Observability.LEAN:
            self._tell_lean()
        else:
            self._tell_all()

    def _tell_lean(self) -> None:
        if ended := self._ended.total():
            self._write({}, "DeliveriesEnded", [ended])
        self._tell_of_given_up()
        if disabled := self._changes[Change.DISABLED]:
            self._write({}, "SubscriptionsDisabled", [disabled])

    def _tell_all(self) -> None:
        for step, count in self._messages.items():
            self._write({"step": step}, "Messages", [count])
        for (outcome, error), count in self._attempts.items():
            self._write({"outcome": outcome, "error": error}, "Attempts", [count])
        for status, count in self._ended.items():
            self._write({"status": status}, "DeliveriesEnded", [count])
        self._tell_of_given_up()
        for change, name in _CHANGES.items():
            if count := self._changes[change]:
                self._write({}, name, [count])
        self._write({}, "AttemptDuration", self._durations_ms, MetricUnit.Milliseconds)
        self._write({}, "EventToFirstAttempt", self._delays_ms, MetricUnit.Milliseconds)

    def _tell_of_given_up(self) -> None:
        if given_up := self._ended[DeliveryStatus.FAILED.value]:
            self._write({}, "DeliveriesGivenUp", [given_up])

    def _write(
        self,
        dimensions: Mapping[str, str],
        name: str,
        values: list[int],
        unit: MetricUnit = MetricUnit.Count,
    ) -> None:
        if not values:
            return
        record = EphemeralMetrics(namespace="tunehook", service="webhooks")
        for dimension, label in (function_dimension() | dict(dimensions)).items():
            record.add_dimension(dimension, label)
        for value in values:
            record.add_metric(name, unit, value)
        if record.metric_set:  # with each 100th value Powertools has written all by itself
            record.flush_metrics()
