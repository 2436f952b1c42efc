"""One DynamoDB table: conditional writes that know themselves again, and reads as plain Python values.

boto3 repeats a call whose answer did not come. If the first try was applied all the same, the second one finds an item
that its condition does not hold for, by the doing of nobody else. So every conditional write asks for the item that
refused it, and its caller says what the item looks like if it was written by this very call (`mine`). The same holds
for a write that boto3 gave up, and that its caller makes again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr, ConditionExpressionBuilder
from botocore.exceptions import BotoCoreError, ClientError

from tunehook.aws.errors import AWS_FAULTS, is_condition_failure, was_repeated
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.resend import resend
from tunehook.errors import Unavailable

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS_A_CALL: Final = 100
"""How many items BatchGetItem reads at most."""

_READ_ATTEMPTS: Final = 5
_UNANSWERED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Write:
    """What became of a write.

    Attributes
    ----------
    done : bool
        Whether it was applied, by this try or by one whose answer was lost.
    item : dict or None
        The item as plain values: after the write, if that was asked for; the one that refused it, if it was not done.
        None if there is none.
    """

    done: bool
    item: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """In place of a value to set: the attribute's list, empty if there is none, with these values at its end."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class ValueOf:
    """In place of a value to set: what the item has as `attribute` before the write, or `default` if it has none."""

    attribute: str
    default: Any


class Tokens:
    """Tokens that writes leave on items, for the process to know its own: one whose write has failed is used again."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, str] = OrderedDict()

    @contextmanager
    def of(self, name: str) -> Iterator[str]:
        """Give a token for a write, which the context holds; `name` says what is written."""
        token = self._failed.pop(name, None) or token_hex(8)
        try:
            yield token
        except AWS_FAULTS:
            self._failed[name] = token
            if len(self._failed) > _UNANSWERED_MAX:
                self._failed.popitem(last=False)
            raise


class Table:
    """A table; threads may share it.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        # Its stubs do not know expressions that are put together.
        self._client: Any = client
        self._name = name
        self._unanswered: OrderedDict[Any, None] = OrderedDict()

    def get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an item (strongly consistent), or None."""
        answer = self._client.get_item(TableName=self._name, Key=to_attributes(key), ConsistentRead=True)
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def get_many(
        self, keys: Sequence[Mapping[str, Any]], *, attributes: Sequence[str] = (), consistent: bool = True
    ) -> list[dict[str, Any]]:
        """Return the items that are there of these keys, in no order.

        Parameters
        ----------
        keys : sequence of mapping
            Any number of them.
        attributes : sequence of str
            Which attributes; by default all.
        consistent : bool
            Whether to read strongly consistent.

        Raises
        ------
        Unavailable
            If DynamoDB left some unread each time.
        """
        options: dict[str, Any] = {"ConsistentRead": consistent} | _projection(attributes)
        found: list[dict[str, Any]] = []

        def read(waiting: list[dict[str, Any]]) -> list[dict[str, Any]]:
            answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": waiting} | options})
            found.extend(from_attributes(each) for each in answer["Responses"].get(self._name, ()))
            unread: list[dict[str, Any]] = (
                answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            )
            return unread

        for start in range(0, len(keys), KEYS_A_CALL):
            batch = [to_attributes(key) for key in keys[start : start + KEYS_A_CALL]]
            if left := resend(read, batch, attempts=_READ_ATTEMPTS):
                raise Unavailable(f"DynamoDB left {len(left)} items of {self._name} unread")
        return found

    def query(
        self,
        condition: ConditionBase,
        *,
        index: str | None = None,
        where: ConditionBase | None = None,
        attributes: Sequence[str] = (),
        newest_first: bool = False,
        consistent: bool = False,
        paging: Mapping[str, int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items that a condition on their key finds, page by page.

        Parameters
        ----------
        condition : ConditionBase
            Of `boto3.dynamodb.conditions.Key`.
        index : str, optional
            The index to look into; it lags behind the table by up to a second.
        where : ConditionBase, optional
            A condition on other attributes.
        attributes : sequence of str
            Which attributes; by default all.
        newest_first : bool
            Whether to begin with the largest range key.
        consistent : bool
            Whether to read strongly consistent, which an index cannot.
        paging : mapping, optional
            boto3's ``MaxItems`` and ``PageSize``.
        """
        built = ConditionExpressionBuilder()
        key = built.build_expression(condition, is_key_condition=True)
        request: dict[str, Any] = {
            "KeyConditionExpression": key.condition_expression,
            "ExpressionAttributeNames": key.attribute_name_placeholders,
            "ExpressionAttributeValues": key.attribute_value_placeholders,
            "ScanIndexForward": not newest_first,
            "ConsistentRead": consistent,
        }
        if index is not None:
            request["IndexName"] = index
        return self._pages("query", request, built, where, attributes, paging)

    def scan(
        self,
        *,
        index: str | None = None,
        where: ConditionBase | None = None,
        attributes: Sequence[str] = (),
        consistent: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield every item of the table or of an index, in no order; the parameters are those of `query`."""
        request: dict[str, Any] = {"ConsistentRead": consistent}
        if index is not None:
            request["IndexName"] = index
        return self._pages("scan", request, ConditionExpressionBuilder(), where, attributes, None)

    def pages(
        self, after: Mapping[str, Any] | None = None, *, where: ConditionBase
    ) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any] | None]]:
        """Read the table page by page (strongly consistent), in no order.

        Parameters
        ----------
        after : mapping, optional
            The key where an earlier reading stopped, to go on from there.
        where : ConditionBase
            A condition on attributes.

        Yields
        ------
        items : list of dict
            Those of about a megabyte of the table, as DynamoDB's own attribute values.
        stopped_at : dict or None
            The key to go on after; None after the last page.
        """
        built = ConditionExpressionBuilder().build_expression(where)
        request: dict[str, Any] = {
            "FilterExpression": built.condition_expression,
            "ConsistentRead": True,
        } | _placeholders(built.attribute_name_placeholders, built.attribute_value_placeholders)
        if after is not None:
            request["ExclusiveStartKey"] = to_attributes(after)
        while True:
            answer = self._client.scan(TableName=self._name, **request)
            key = answer.get("LastEvaluatedKey")
            yield answer["Items"], None if key is None else from_attributes(key)
            if key is None:
                return
            request["ExclusiveStartKey"] = key

    def _pages(
        self,
        operation: str,
        request: dict[str, Any],
        built: ConditionExpressionBuilder,
        where: ConditionBase | None,
        attributes: Sequence[str],
        paging: Mapping[str, int] | None,
    ) -> Iterator[dict[str, Any]]:
        projection = _projection(attributes)
        names = request.get("ExpressionAttributeNames", {}) | projection.pop("ExpressionAttributeNames", {})
        values = request.get("ExpressionAttributeValues", {})
        if where is not None:
            matching = built.build_expression(where)
            request["FilterExpression"] = matching.condition_expression
            names |= matching.attribute_name_placeholders
            values |= matching.attribute_value_placeholders
        request |= projection | _placeholders(names, values)
        pages = self._client.get_paginator(operation).paginate(
            TableName=self._name, **request, PaginationConfig=dict(paging or {})
        )
        for page in pages:
            for item in page["Items"]:
                yield from_attributes(item)

    def update(
        self,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - DynamoDB's own word
        remove: Iterable[str] = (),
        condition: ConditionBase | None = None,
        mine: Callable[[dict[str, Any]], bool] | None = None,
        only_in_doubt: bool = False,
        read: bool = False,
    ) -> Write:
        """Change an item in one conditional write.

        Parameters
        ----------
        key : mapping
            Of the item. One that is not there is made, unless the condition forbids it.
        set : mapping, optional
            Attributes and their values; see `Appended` and `ValueOf` for what depends on the item.
        remove : iterable of str
            Attributes to remove.
        condition : ConditionBase, optional
            Of `boto3.dynamodb.conditions.Attr`.
        mine : callable, optional
            Says of the item that refused the write whether this very write is what it shows. Without it, nothing of
            one's own can have refused the write: where its condition still holds after it, for example.
        only_in_doubt : bool
            Whether to ask `mine` only where an answer may have been lost: where boto3 has repeated the call, or an
            earlier write of this item has failed. For writes that another may make just the same.
        read : bool
            Whether to return the item as it is after the write.

        Returns
        -------
        Write
        """
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        clauses = []
        if set:
            clauses.append("SET " + ", ".join(_assignment(*each, names, values) for each in set.items()))
        if removed := list(remove):
            names |= {f"#{name}": name for name in removed}
            clauses.append("REMOVE " + ", ".join(f"#{name}" for name in removed))
        request: dict[str, Any] = {"Key": to_attributes(key), "UpdateExpression": " ".join(clauses)}
        if read:
            request["ReturnValues"] = "ALL_NEW"
        return self._write("update_item", key, request, condition, mine, only_in_doubt, names, values)

    def create(self, key: Mapping[str, Any], item: Mapping[str, Any]) -> Write:
        """Put an item, unless one with its key is there; one with the very same content is this call's own.

        Parameters
        ----------
        key : mapping
            The item's key.
        item : mapping
            All of it.
        """
        attributes = to_attributes(item)
        condition = Attr(next(iter(key))).not_exists()
        return self._write(
            "put_item",
            key,
            {"Item": attributes},
            condition,
            lambda found: found == from_attributes(attributes),
        )

    def put(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put an item, and return the one that it replaces, or None."""
        answer = self._client.put_item(TableName=self._name, Item=to_attributes(item), ReturnValues="ALL_OLD")
        replaced = from_attributes(answer["Attributes"]) if "Attributes" in answer else None
        # What a try before this one has put replaces nothing.
        return None if was_repeated(answer) and replaced == from_attributes(to_attributes(item)) else replaced

    def delete(self, key: Mapping[str, Any], condition: ConditionBase | None = None) -> Write:
        """Delete an item, and say whether that was done: one that was not there cannot be deleted."""
        is_there = Attr(next(iter(key))).exists()
        return self._write(
            "delete_item",
            key,
            {"Key": to_attributes(key)},
            is_there if condition is None else is_there & condition,
        )

    def _write(
        self,
        operation: str,
        key: Mapping[str, Any],
        request: dict[str, Any],
        condition: ConditionBase | None,
        mine: Callable[[dict[str, Any]], bool] | None = None,
        only_in_doubt: bool = False,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Write:
        names, values = dict(names or {}), dict(values or {})
        if condition is not None:
            built = ConditionExpressionBuilder().build_expression(condition)
            request |= {
                "ConditionExpression": built.condition_expression,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            names |= built.attribute_name_placeholders
            values |= built.attribute_value_placeholders
        request |= _placeholders(names, values)
        item_key = tuple(key.values())
        try:
            answer = getattr(self._client, operation)(TableName=self._name, **request)
        except ClientError as error:
            if not is_condition_failure(error):
                self._remember_unanswered(item_key)
                raise
            in_doubt = self._forget_unanswered(item_key) or was_repeated(error.response)
            found: Any = error.response.get("Item")
            if not found:
                return Write(done=operation == "delete_item" and in_doubt)
            item = from_attributes(found)
            return Write(mine is not None and (in_doubt or not only_in_doubt) and mine(item), item)
        except BotoCoreError:
            self._remember_unanswered(item_key)
            raise
        self._forget_unanswered(item_key)
        return Write(
            done=True, item=from_attributes(answer["Attributes"]) if "Attributes" in answer else None
        )

    def _remember_unanswered(self, item_key: Any) -> None:
        self._unanswered[item_key] = None
        if len(self._unanswered) > _UNANSWERED_MAX:
            self._unanswered.popitem(last=False)

    def _forget_unanswered(self, item_key: Any) -> bool:
        return self._unanswered.pop(item_key, self) is None


def _assignment(name: str, value: Any, names: dict[str, str], values: dict[str, Any]) -> str:
    names[f"#{name}"] = name
    match value:
        case Appended():
            values |= {f":{name}": list(value.values), ":no_values": []}
            return f"#{name} = list_append(if_not_exists(#{name}, :no_values), :{name})"
        case ValueOf():
            names[f"#{value.attribute}"] = value.attribute
            values[f":{name}"] = value.default
            return f"#{name} = if_not_exists(#{value.attribute}, :{name})"
        case _:
            values[f":{name}"] = value
            return f"#{name} = :{name}"


def _projection(attributes: Sequence[str]) -> dict[str, Any]:
    if not attributes:
        return {}
    names = {f"#{name}": name for name in attributes}
    return {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}


def _placeholders(names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call; DynamoDB takes none that is empty."""
    given: dict[str, Any] = {}
    if names:
        given["ExpressionAttributeNames"] = dict(names)
    if values:
        given["ExpressionAttributeValues"] = to_attributes(values)
    return given
