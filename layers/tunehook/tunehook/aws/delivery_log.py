"""Looking deliveries up: by task, by subscription, by status, since a time; newest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from boto3.dynamodb.conditions import Attr, Key
from pydantic import Field

from tunehook.aws.deliveries import BY_SUBSCRIPTION_INDEX, BY_TASK_INDEX
from tunehook.aws.table import KEYS_A_CALL, Table
from tunehook.deliveries import Delivery, DeliveryStatus

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
    from mypy_boto3_dynamodb import DynamoDBClient

_PAGE: Final = 500


class LoggedDelivery(Delivery):
    """A delivery and its attempts, without its payload, which may be long."""

    payload: str = Field("", exclude=True, repr=False)


_READ: Final = [name for name in LoggedDelivery.model_fields if name != "payload"]


class DeliveryLog:
    """The Deliveries table, to be looked through.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._table = Table(client, name)

    def latest(
        self,
        *,
        task_id: str | None = None,
        subscription_id: str | None = None,
        statuses: Collection[DeliveryStatus] = (),
        since_ms: int = 0,
        limit: int | None = None,
    ) -> list[LoggedDelivery]:
        """Return deliveries, newest first. Without task and subscription, this reads the whole of an index.

        Parameters
        ----------
        task_id : str, optional
            Only those that tell of this task, of any provider.
        subscription_id : str, optional
            Only those to this subscription.
        statuses : collection of DeliveryStatus
            Only those that stand so; by default any.
        since_ms : int
            Only those that were created at or after this moment, in milliseconds since 1970.
        limit : int, optional
            At most so many.

        Returns
        -------
        list of LoggedDelivery
            As of all writes so far; one that was created within the last second may be missing.
        """
        if task_id is not None:
            ids = self._query(BY_TASK_INDEX, "task_id", task_id, statuses, since_ms)
        elif subscription_id is not None:
            ids = self._query(BY_SUBSCRIPTION_INDEX, "subscription_id", subscription_id, statuses, since_ms)
        else:
            ids = self._scan(statuses, since_ms, limit)
        found = (
            each
            for each in self._read(ids)
            if subscription_id in (None, each.subscription_id)
            # The indexes lag behind the table, and what they say of a status with them.
            and (not statuses or each.status in statuses)
        )
        return list(itertools.islice(found, limit))

    def _query(
        self, index: str, key: str, value: str, statuses: Collection[DeliveryStatus], since_ms: int
    ) -> Iterator[str]:
        found = self._table.query(
            Key(key).eq(value) & Key("created_at_ms").gte(since_ms),
            index=index,
            where=_stands_as(statuses) if statuses else None,
            attributes=["delivery_id"],
            newest_first=True,
            paging={"PageSize": _PAGE},
        )
        return (item["delivery_id"] for item in found)

    def _scan(self, statuses: Collection[DeliveryStatus], since_ms: int, limit: int | None) -> Iterator[str]:
        is_late = Attr("created_at_ms").gte(since_ms)
        items = self._table.scan(
            # It has all deliveries, and little of each: the table itself has payloads of up to 300 kB.
            index=BY_SUBSCRIPTION_INDEX,
            where=is_late & _stands_as(statuses) if statuses else is_late,
            attributes=["delivery_id", "created_at_ms"],
            consistent=False,
        )
        found = ((item["created_at_ms"], item["delivery_id"]) for item in items)
        newest = sorted(found, reverse=True) if limit is None else heapq.nlargest(limit, found)
        return map(itemgetter(1), newest)

    def _read(self, ids: Iterable[str]) -> Iterator[LoggedDelivery]:
        waiting = iter(ids)
        while batch := list(itertools.islice(waiting, KEYS_A_CALL)):
            items = self._table.get_many([{"delivery_id": each} for each in batch], attributes=_READ)
            found = {item["delivery_id"]: LoggedDelivery.model_validate(item) for item in items}
            # One whose time is over may be gone by now.
            yield from (found[each] for each in batch if each in found)


def _stands_as(statuses: Collection[DeliveryStatus]) -> ConditionBase:
    return Attr("status").is_in([status.value for status in sorted(statuses)])
