"""The metrics of archiving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from tunehook import metrics
from tunehook.events import ArchivedAsset, archived_part


class Metrics(metrics.Metrics):
    """Writes what becomes of the files of tasks; in lean only ``AssetsUnavailable``, which an alarm watches."""

    SERVICE = "fulfillment"
    LEAN: ClassVar = frozenset({"AssetsUnavailable"})

    def archived(self, provider: str, assets: Sequence[ArchivedAsset], duration_ms: int) -> None:
        """Write what was archived of a task, and how long after its end was detected."""
        by_status = Counter(asset.status for asset in assets)
        self.add("TasksArchived", provider=provider, archive=archived_part(assets))
        self.add("ArchiveDuration", max(duration_ms, 0), provider=provider)
        for status, count in by_status.items():
            self.add("Assets", count, provider=provider, status=status)
        if assets:
            self.add("BytesArchived", sum(each.bytes or 0 for each in assets), provider=provider)
            self.add("AssetsUnavailable", by_status["unavailable"])
        self.emit()

    def waiting_for(self, provider: str, missing: int) -> None:
        """Write how many files of a task did not come, and may come later."""
        self.add("AssetsWaitedFor", missing, provider=provider)
        self.emit()

    def delivered_pending(self, provider: str) -> None:
        """Write that a task's end was delivered before all of its files were settled."""
        self.add("TasksToldPending", provider=provider)
        self.emit()
