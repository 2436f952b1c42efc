"""Looking deliveries up: by task, by subscription, by status, since a time; newest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from tunehook.aws.deliveries import BY_SUBSCRIPTION_INDEX, BY_TASK_INDEX
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.deliveries import Delivery, DeliveryStatus

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PAGE: Final = 500
_BATCH: Final = 100
"""How many items BatchGetItem takes at once."""


class LoggedDelivery(Delivery):
    """A delivery and its attempts, without its payload, which may be long."""

    payload: str = Field("", exclude=True, repr=False)


_READ: Final = {
    f"#{number}": name for number, name in enumerate(LoggedDelivery.model_fields) if name != "payload"
}


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
        self._client = client
        self._name = name

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
        names, values = {"#key": key}, {":key": value, ":since_ms": since_ms}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=index,
            KeyConditionExpression="#key = :key AND created_at_ms >= :since_ms",
            ProjectionExpression="delivery_id",
            ScanIndexForward=False,
            PaginationConfig={"PageSize": _PAGE},
            **_filtered([], statuses, names, values),
        )
        for page in pages:
            yield from (from_attributes(attributes)["delivery_id"] for attributes in page["Items"])

    def _scan(self, statuses: Collection[DeliveryStatus], since_ms: int, limit: int | None) -> Iterator[str]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._name,
            # It has all deliveries, and little of each: the table itself has payloads of up to 300 kB.
            IndexName=BY_SUBSCRIPTION_INDEX,
            ProjectionExpression="delivery_id, created_at_ms",
            **_filtered(["created_at_ms >= :since_ms"], statuses, {}, {":since_ms": since_ms}),
        )
        found = (
            (item["created_at_ms"], item["delivery_id"])
            for page in pages
            for item in map(from_attributes, page["Items"])
        )
        newest = sorted(found, reverse=True) if limit is None else heapq.nlargest(limit, found)
        return map(itemgetter(1), newest)

    def _read(self, ids: Iterable[str]) -> Iterator[LoggedDelivery]:
        waiting = iter(ids)
        while batch := list(itertools.islice(waiting, _BATCH)):
            found = self._read_batch(batch)
            # One whose time is over may be gone by now.
            yield from (found[each] for each in batch if each in found)

    def _read_batch(self, ids: list[str]) -> dict[str, LoggedDelivery]:
        request: Any = {
            self._name: {
                "Keys": [to_attributes({"delivery_id": each}) for each in ids],
                "ConsistentRead": True,
                "ProjectionExpression": ", ".join(_READ),
                "ExpressionAttributeNames": _READ,
            }
        }
        found = {}
        while request:
            answer = self._client.batch_get_item(RequestItems=request)
            for attributes in answer["Responses"].get(self._name, ()):
                delivery = LoggedDelivery.model_validate(from_attributes(attributes))
                found[delivery.delivery_id] = delivery
            request = answer.get("UnprocessedKeys")
        return found


def _filtered(
    conditions: Sequence[str],
    statuses: Collection[DeliveryStatus],
    names: Mapping[str, str],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a query or a scan takes to see those alone that meet the conditions and stand as wanted."""
    wanted = {f":status{number}": status.value for number, status in enumerate(sorted(statuses))}
    if wanted:
        conditions = [*conditions, f"#status IN ({', '.join(wanted)})"]
        names = {**names, "#status": "status"}
    expressions: dict[str, Any] = {"ExpressionAttributeValues": to_attributes({**values, **wanted})}
    if names:
        expressions["ExpressionAttributeNames"] = names
    if conditions:
        expressions["FilterExpression"] = " AND ".join(conditions)
    return expressions
