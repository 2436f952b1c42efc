"""When the attempts of a limited subscription may begin, in the ReceiverGates table, which all workers share.

One item a subscription has the first moment that nobody has reserved. Who needs slots moves it on by as many intervals,
in one conditional write, and has what lies between. Where the moment has passed, slots begin at the present one: what
was not used is not made up for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import Increased, TableGateway
from tunehook.errors import Unavailable
from tunehook.ids import digest
from tunehook.rate_limits import UNSENT_MAX_MS, RateLimit

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
    from mypy_boto3_dynamodb import DynamoDBClient

FORMER_LIMIT_MS: Final = 16_000
"""How long slots of a former limit may still be used: a worker knows it for 15 s, and a slot is a second long."""

CLOCKS_DIFFER_MS: Final = 60_000
"""What was reserved so much later than now was reserved by a clock that was wrong, or has jumped back: it is void."""

_FURTHEST_MS: Final = UNSENT_MAX_MS + CLOCKS_DIFFER_MS
_KEPT_S: Final = UNSENT_MAX_MS // 1000 + 3600
_TRIES: Final = 8
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Reserved:
    """Slots in the order in which they were asked for: moments in microseconds since 1970, None for those too late.

    `former` is another limit whose slots lie ahead, so that nothing was reserved: the limit, as the table has it.
    """

    at_us: tuple[int | None, ...] = ()
    former: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Start:
    """Where slots would begin, and what must hold for that. `goes_on`: after those of the same limit."""

    at_us: int
    condition: ConditionBase
    goes_on: bool = False


class SendSlots(TableGateway):
    """The slots of all limited subscriptions, for one worker; threads may share it."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        super().__init__(client, name)
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = Lock()

    def reserve(
        self,
        subscription_id: str,
        limit: RateLimit,
        latest_ms: Sequence[int],
        now_ms: int,
        *,
        former: tuple[int, int] | None = None,
    ) -> Reserved:
        """Reserve a slot for each of some attempts, in one write where no other worker interferes.

        Parameters
        ----------
        latest_ms : sequence of int
            For each attempt the moment after which a slot is of no use; the next one may have it then.
        former : tuple of int, optional
            What `Reserved.former` said, if `limit` was read after that: it takes the place of that one.

        Raises
        ------
        Unavailable, botocore.exceptions.ClientError
            If other workers interfered each time, or DynamoDB did not answer. At worst some slots are not used.
        """
        receiver = f"limit_{digest(subscription_id)}"
        known, is_read = self._known.get(receiver, {}), False
        for _ in range(_TRIES):
            of_known = (known.get("interval_us", 0), known.get("since_ms", 0))
            if not _is_ahead(known, now_ms):
                start = _Start(now_ms * 1000, Attr("next_us").not_exists() | ~_is_ahead_now(now_ms))
            elif of_known == (limit.interval_us, limit.since_ms):
                start = _Start(known["next_us"], _is_ahead_now(now_ms) & _is_of(limit), goes_on=True)
            elif of_known == former:
                begins_us = min(known["next_us"], (now_ms + FORMER_LIMIT_MS) * 1000)
                start = _Start(begins_us, Attr("reserved_by").eq(known["reserved_by"]))
            else:
                return Reserved(former=of_known)
            numbers, latest_us = _numbered(start.at_us, limit.interval_us, latest_ms)
            taken = sum(each is not None for each in numbers)
            if not taken and (is_read or not known):
                return Reserved(tuple(None for _ in latest_ms))
            if not taken:  # as far as is remembered; a refusal shows how it is
                known = {}
                continue
            first_us, known = self._take(receiver, limit, now_ms, start, taken, latest_us)
            is_read = True
            if first_us is not None:
                at_us = (None if each is None else first_us + each * limit.interval_us for each in numbers)
                return Reserved(tuple(at_us))
        raise Unavailable("other workers have reserved slots each time")

    def _take(
        self, receiver: str, limit: RateLimit, now_ms: int, start: _Start, count: int, latest_us: int
    ) -> tuple[int | None, dict[str, Any]]:
        """Reserve `count` slots; return the moment of the first, None if that was refused, and the item."""
        token, length_us = token_hex(8), count * limit.interval_us
        condition = start.condition
        if start.goes_on:
            # A second try of this very call reserves nothing more.
            condition = condition & Attr("next_us").lte(latest_us) & Attr("reserved_by").ne(token)
        write = self._table.update(
            {"receiver": receiver},
            set={
                "next_us": Increased(length_us) if start.goes_on else start.at_us + length_us,
                "interval_us": limit.interval_us,
                "since_ms": limit.since_ms,
                "reserved_at_ms": now_ms,
                "reserved_by": token,
                "expires_at": now_ms // 1000 + _KEPT_S,
            },
            condition=condition,
            mine=lambda item: item.get("reserved_by") == token,
            read=True,
        )
        item = write.found
        with self._lock:
            self._known[receiver] = item
            self._known.move_to_end(receiver)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return (item["next_us"] - length_us if write.done else None), item


def _is_ahead(item: dict[str, Any], now_ms: int) -> bool:
    """Return whether slots are reserved up to a moment that has not passed, by a clock that can be believed."""
    if not item or item["reserved_at_ms"] > now_ms + CLOCKS_DIFFER_MS:
        return False
    return bool(now_ms * 1000 <= item["next_us"] <= (now_ms + _FURTHEST_MS) * 1000)


def _is_ahead_now(now_ms: int) -> ConditionBase:
    """Return the condition that says what `_is_ahead` says."""
    is_believed = Attr("reserved_at_ms").lte(now_ms + CLOCKS_DIFFER_MS)
    return is_believed & Attr("next_us").between(now_ms * 1000, (now_ms + _FURTHEST_MS) * 1000)


def _is_of(limit: RateLimit) -> ConditionBase:
    return Attr("interval_us").eq(limit.interval_us) & Attr("since_ms").eq(limit.since_ms)


def _numbered(
    start_us: int, interval_us: int, latest_ms: Sequence[int]
) -> tuple[tuple[int | None, ...], int]:
    """Number the attempts by their slots from a first one on; also return how late that one may be at most.

    >>> _numbered(1, 1_000_000, [1_000, 500, 5_000])
    ((0, None, 1), 1000000)
    """
    numbers: list[int | None] = []
    taken, latest_us = 0, start_us + _FURTHEST_MS * 1000
    for each in latest_ms:
        late_us = each * 1000 - taken * interval_us
        numbers.append(taken if start_us <= late_us else None)
        if start_us <= late_us:
            taken, latest_us = taken + 1, min(latest_us, late_us)
    return tuple(numbers), latest_us
