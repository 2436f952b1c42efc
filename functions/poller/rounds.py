"""Who is asked next where more tasks are due than a provider has turns: the least recently asked, over passes.

A pass knows when it has asked each of its tasks, and nothing of the questions of the passes before. So it goes round in
one order (by `Place`), and leaves to the next pass with whom to go on. That is noted with the lease, and costs a write
only while a provider is behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from tunehook.aws.leases import Place
from tunehook.tasks import WorkItem

BEHIND_FROM_MS: Final = 12_000
"""How long a task waits for its turn until its provider is behind: longer than any one question takes."""


class Asked(Protocol):
    """A task of a pass, and when the pass has had its last answer about it; 0 before the first."""

    task: WorkItem
    asked_at_ms: int


class Rounds:
    """The providers of a pass that are behind, and with whom their rounds go on."""

    def __init__(self) -> None:
        self._next: dict[str, Place] = {}

    def resume(self, left: Mapping[str, Place]) -> None:
        """Go on where the pass before stopped."""
        self._next = dict(left)

    def is_behind(self, provider: str) -> bool:
        """Return whether a provider has more tasks due than turns."""
        return provider in self._next

    def turn(self, provider: str, watched: Asked) -> tuple[int, bool, Place]:
        """Return what tasks of a provider are ordered by, the least recently asked first."""
        place = Place(watched.task.since_ms, watched.task.key.task_id)
        return watched.asked_at_ms, place < self._next.get(provider, place), place

    def observe(self, waited_ms: Mapping[str, int], unasked: Iterable[str]) -> None:
        """Take in how long tasks of each provider have waited for their turn, and who has some that were not asked yet.

        Parameters
        ----------
        waited_ms : mapping
            The longest wait that goes on, by the providers' names.
        unasked : iterable of str
            The providers with tasks that this pass has had no answer about. One that was behind stays so while it has
            any: until then its round is not through.
        """
        late = {name for name, each_ms in waited_ms.items() if each_ms >= BEHIND_FROM_MS}
        kept = late | (self._next.keys() & set(unasked))
        self._next = {name: self._next.get(name, Place(0, "")) for name in kept}

    def noted(self, tasks: Iterable[Asked]) -> dict[str, Place]:
        """Return with whom the next pass is to go on, by the names of the providers that are behind."""
        if not self._next:
            return {}
        first: dict[str, tuple[int, bool, Place]] = {}
        for each in tasks:
            name = each.task.key.provider
            if name in self._next:
                turn = self.turn(name, each)
                first[name] = min(first.get(name, turn), turn)
        return {name: place for name, (_, _, place) in first.items()}
