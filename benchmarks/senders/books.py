"""What was accepted, what arrived, and when: the books of one phase, fed by the two sides of a sender alone."""

from __future__ import annotations

import re
import statistics
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

EVENT_ID: Final = re.compile(
    rb"senders-([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
)
"""How an event's id stands in a body, whatever the sender wraps around it."""


def new_event_id() -> str:
    """Return an id that no other event has; what follows ``senders-`` is a UUID, which some senders ask for."""
    return f"senders-{uuid.uuid4()}"


def uuid_of(event_id: str) -> str:
    """Return the UUID in an event's id."""
    return event_id.removeprefix("senders-")


def event_id_in(body: bytes) -> str | None:
    """Return the id of the event that a body is about, or None if it names none."""
    found = EVENT_ID.search(body)
    return None if found is None else found.group(0).decode("ascii")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request at the receiver: for which endpoint, and when, in seconds of the receiver's clock."""

    endpoint: str
    at_s: float


@dataclass
class Books:
    """The accounts of some events.

    Attributes
    ----------
    accepted : dict
        When the sender's answer had come that it has the event, in seconds of the receiver's clock.
    refused : set
        Events that the sender did not accept, or whose answer was lost: they count for nothing if they arrive.
    arrivals : dict
        The requests about each event, in their order.
    """

    accepted: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    arrivals: dict[str, list[Arrival]] = field(default_factory=dict)

    def arrive(self, event_id: str, endpoint: str, at_s: float) -> int:
        """Enter a request; return how many there were about this event."""
        requests = self.arrivals.setdefault(event_id, [])
        requests.append(Arrival(endpoint, at_s))
        return len(requests)

    def lost(self, among: Collection[str] | None = None) -> list[str]:
        """Return the events that were accepted and did not arrive."""
        return [each for each in (self.accepted if among is None else among) if self._is_lost(each)]

    def _is_lost(self, event_id: str) -> bool:
        return event_id in self.accepted and event_id not in self.arrivals

    @property
    def repeated(self) -> int:
        """How many of the accepted events arrived more than once."""
        return sum(len(self.arrivals.get(each, ())) > 1 for each in self.accepted)

    def delays_s(self, among: Collection[str] | None = None) -> list[float]:
        """Return how long after it was accepted each event first arrived; 0 for one that came before the answer."""
        return [
            max(0.0, self.arrivals[each][0].at_s - self.accepted[each])
            for each in (self.accepted if among is None else among)
            if each in self.accepted and each in self.arrivals
        ]

    def rate(self, since_s: float) -> float | None:
        """Return how many events a second first arrived from a moment until the last of them; None without any."""
        firsts = [self.arrivals[each][0].at_s for each in self.accepted if each in self.arrivals]
        if not firsts or max(firsts) <= since_s:
            return None
        return len(firsts) / (max(firsts) - since_s)

    def gap_s(self, event_id: str) -> float | None:
        """Return how long after an event's first request the second came; None if none did."""
        requests = self.arrivals.get(event_id, [])
        return requests[1].at_s - requests[0].at_s if len(requests) > 1 else None


def percentile_ms(delays_s: Collection[float], percent: int) -> float | None:
    """Return a percentile of delays in milliseconds; None of fewer than two."""
    if len(delays_s) < 2:
        return None
    return statistics.quantiles(delays_s, n=100, method="inclusive")[percent - 1] * 1000
