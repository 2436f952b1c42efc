"""The ReceiverGates table: the circuit of each receiver, which all workers share.

A receiver that hangs holds up the worker that waits for it. So one that has not answered lately is probed by one worker
of the fleet at a time, and after failures it is left alone for a while. An item is worth nothing after ten minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway, ValueOf

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TRIAL_MS: Final = 20_000
"""How long a probe counts: longer than an attempt, so that only that of a worker that has died is replaced."""

PROVEN_MS: Final = 60_000
"""How long a circuit stays closed after an answer without another call."""

LONGEST_WAIT_MS: Final = 600_000
"""How long a circuit stays open at most."""

_KEPT_S: Final = 3600

_TRIAL: Final = ("trial_since_ms", "trial_by")
_FAILURES: Final = ("failure_1_ms", "failure_2_ms", "failure_3_ms")


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of a receiver; times in milliseconds since 1970, 0 for none.

    The circuit is closed until `proven_until_ms` and open until `shut_until_ms`; between the two it is half-open, and
    probed since `trial_since_ms`. `wait_ms` is how long it was open the last time since its last answer;
    `third_last_failure_ms` is when the last but two of the failures since then was.
    """

    proven_until_ms: int = 0
    trial_since_ms: int = 0
    shut_until_ms: int = 0
    wait_ms: int = 0
    third_last_failure_ms: int = 0


class CircuitsTable(TableGateway):
    """The circuits of all receivers, for one worker, which probes a receiver once at a time."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        super().__init__(client, name)
        self._worker = token_hex(8)

    def failing(self, receivers: Collection[str] | None = None) -> dict[str, Circuit]:
        """Return the circuits that were opened since their receivers' last answers: of these receivers, or of all.

        The items of all are few: they are gone an hour after the last attempt.
        """
        if receivers is None:
            items = list(self._table.scan(where=Attr("wait_ms").gt(0)))
        else:
            items = self._table.get_many([{"receiver": each} for each in sorted(receivers)])
        circuits = {item["receiver"]: _circuit(item) for item in items}
        return {receiver: circuit for receiver, circuit in circuits.items() if circuit.wait_ms}

    def acquire_probe(self, receiver: str, now_ms: int) -> tuple[bool, Circuit]:
        """Begin a trial, unless the receiver is proven, being tried, or left alone.

        `receiver` stands for its URL. A moment further ahead than can be was written by a clock that was wrong, and is
        void. Return whether the caller makes the probe, and what is known of the receiver.
        """
        write = self._table.update(
            {"receiver": receiver},
            set={"trial_since_ms": now_ms, "trial_by": self._worker, "expires_at": now_ms // 1000 + _KEPT_S},
            condition=~Attr("proven_until_ms").between(now_ms + 1, now_ms + PROVEN_MS)
            & ~Attr("shut_until_ms").between(now_ms + 1, now_ms + LONGEST_WAIT_MS)
            & (
                ~Attr("trial_since_ms").between(now_ms - TRIAL_MS + 1, now_ms + TRIAL_MS)
                # One of this worker that it does not know of: the answer to its beginning was lost.
                | Attr("trial_by").eq(self._worker)
            ),
            read=True,
        )
        return write.done, _circuit(write.found)

    def close(self, receiver: str, now_ms: int) -> None:
        """Say that the receiver has answered, and forget what went before."""
        self._table.update(
            {"receiver": receiver},
            set={"proven_until_ms": now_ms + PROVEN_MS, "expires_at": now_ms // 1000 + _KEPT_S},
            remove=[*_TRIAL, "shut_until_ms", "wait_ms", *_FAILURES, "failed"],
        )

    def record_failure(self, receiver: str, now_ms: int, *, trial: bool = False) -> Circuit | None:
        """Say that no connection or no answer came, and return what is known with that.

        The failure of a `trial` counts only while it is the present one. None, and nothing is changed, if another
        worker has begun a trial since, or has had an answer: what it finds out counts.
        """
        token = token_hex(8)
        condition = Attr("failed").ne(token)
        write = self._table.update(
            {"receiver": receiver},
            set={
                "failure_3_ms": ValueOf("failure_2_ms", 0),
                "failure_2_ms": ValueOf("failure_1_ms", 0),
                "failure_1_ms": now_ms,
                # So that a second try of this very call does not count as a second failure.
                "failed": token,
                "expires_at": now_ms // 1000 + _KEPT_S,
            },
            remove=["proven_until_ms"],
            condition=condition & Attr("trial_by").eq(self._worker) if trial else condition,
            mine=lambda item: item.get("failed") == token,
            read=True,
        )
        return _circuit(write.found) if write.done else None

    def open(self, receiver: str, now_ms: int, wait_ms: int, *, after_ms: int) -> bool:
        """Leave the receiver alone for `wait_ms`, if it was left alone for `after_ms` the last time, 0 being never.

        Return False if another worker has changed that meanwhile.
        """
        shut = {"shut_until_ms": now_ms + wait_ms, "wait_ms": wait_ms}
        write = self._table.update(
            {"receiver": receiver},
            set=shut,
            remove=[*_TRIAL, "proven_until_ms"],
            condition=Attr("wait_ms").eq(after_ms) if after_ms else Attr("wait_ms").not_exists(),
            mine=lambda item: shut.items() <= item.items(),
        )
        return write.done

    def release_probe(self, receiver: str) -> None:
        """End a trial of one's own that showed nothing; another's goes on."""
        self._table.update({"receiver": receiver}, remove=_TRIAL, condition=Attr("trial_by").eq(self._worker))


def _circuit(item: Mapping[str, Any]) -> Circuit:
    known = {**item, "third_last_failure_ms": item.get("failure_3_ms", 0)}
    return Circuit(**{each.name: known.get(each.name, 0) for each in fields(Circuit)})
