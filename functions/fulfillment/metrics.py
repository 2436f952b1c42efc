"""The figures of archiving, as CloudWatch metrics (EMF lines in the log, namespace ``tunehook``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from tunehook.events import ArchivedAsset
from tunehook.metrics import Observability, function_dimension


class Metrics:
    """Writes what becomes of the files of tasks.

    Parameters
    ----------
    observability : Observability, optional
        How much is told. In lean that is the files that could not be had, where there are any.
    """

    def __init__(self, observability: Observability = Observability.FULL) -> None:
        self._is_lean = observability is Observability.LEAN

    def archived(
        self, provider: str, archive: str, assets: Sequence[ArchivedAsset], duration_ms: int
    ) -> None:
        """Write what was kept of a task.

        Parameters
        ----------
        provider : str
            Whose task it is.
        archive : str
            ``complete``, ``partial`` or ``empty``.
        assets : sequence of ArchivedAsset
            Its files. ``AssetsUnavailable``, which an alarm watches, counts those that could not be had.
        duration_ms : int
            From the moment when the task's end was noticed until its files were kept.
        """
        by_status = Counter(asset.status for asset in assets)
        if self._is_lean:
            if missing := by_status["unavailable"]:
                _write({}, AssetsUnavailable=(MetricUnit.Count, missing))
            return
        _write({"provider": provider, "archive": archive}, TasksArchived=(MetricUnit.Count, 1))
        _write({"provider": provider}, ArchiveDuration=(MetricUnit.Milliseconds, max(duration_ms, 0)))
        for status, count in by_status.items():
            _write({"provider": provider, "status": status}, Assets=(MetricUnit.Count, count))
        if assets:
            _write(
                {"provider": provider},
                BytesArchived=(MetricUnit.Bytes, sum(each.bytes or 0 for each in assets)),
            )
            _write({}, AssetsUnavailable=(MetricUnit.Count, by_status["unavailable"]))

    def coming_again(self, provider: str, missing: int) -> None:
        """Write how many files of a task did not come, and may come later."""
        if not self._is_lean:
            _write({"provider": provider}, AssetsWaitedFor=(MetricUnit.Count, missing))

    def told_pending(self, provider: str) -> None:
        """Write that the receivers of a task were told of its end before all of its files were settled."""
        if not self._is_lean:
            _write({"provider": provider}, TasksToldPending=(MetricUnit.Count, 1))


def _write(dimensions: Mapping[str, str], **metrics: tuple[MetricUnit, int]) -> None:
    record = EphemeralMetrics(namespace="tunehook", service="fulfillment")
    for dimension, label in (function_dimension() | dict(dimensions)).items():
        record.add_dimension(dimension, label)
    for name, (unit, value) in metrics.items():
        record.add_metric(name, unit, value)
    record.flush_metrics()
