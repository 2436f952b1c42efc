"""One DynamoDB table: conditional writes that recognise themselves, and reads as plain Python values.

boto3 repeats a call whose answer was lost. If the first try was applied, the second one is refused by what the first
wrote. So every conditional write asks for the item that refused it, and its caller says how that item looks if this
very call has written it (`mine`). The same holds for a write that boto3 gave up and that its caller makes again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from secrets import token_hex
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr, ConditionExpressionBuilder
from botocore.exceptions import BotoCoreError, ClientError

from tunehook.aws.dynamodb import LightDynamoDB
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
_CONFLICTS_MAX: Final = 4
_UNANSWERED_MAX: Final = 1_000
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Write:
    """The result of a write: whether it was applied, by this try or by one whose answer was lost.

    `item` is the item after the write, if that was asked for, or the one that refused it; None if there is none.
    """

    done: bool
    item: dict[str, Any] | None = None

    @property
    def found(self) -> dict[str, Any]:
        """The item, empty if there is none."""
        return self.item or {}


@dataclass(frozen=True, slots=True)
class Appended:
    """In place of a value to set: the attribute's list, empty if there is none, with these values at its end."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class ValueOf:
    """In place of a value to set: what the item has as `attribute` before the write, or `default` if it has none."""

    attribute: str
    default: Any


@dataclass(frozen=True, slots=True)
class Increased:
    """In place of a value to set: the attribute's number, which must be there, and this much more."""

    by: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """The result of an update and a creation that are made together: whether both were applied, or neither.

    If neither was: `found` is the item whose condition refused the update, `existing` the one that has the key of the
    item to create. None where that part would have been applied, or where there is no item.
    """

    done: bool
    found: dict[str, Any] | None = None
    existing: dict[str, Any] | None = None


class _Unanswered(OrderedDict[Any, Any]):
    """What is remembered of the latest writes that have failed without an answer."""

    def remember(self, name: Any, value: Any) -> None:
        self[name] = value
        if len(self) > _UNANSWERED_MAX:
            self.popitem(last=False)


class WriteTokens:
    """Tokens that writes leave on items, so that the process recognises its own; a failed write's is used again."""

    def __init__(self) -> None:
        self._failed = _Unanswered()

    @contextmanager
    def of(self, name: str) -> Iterator[str]:
        """Give a token for the write that the context makes; `name` says what is written."""
        token = self._failed.pop(name, None) or token_hex(8)
        try:
            yield token
        except AWS_FAULTS:
            self._failed.remember(name, token)
            raise


@dataclass(frozen=True, slots=True)
class Parameter:
    """In place of a value in a `PreparedCondition`: what is given for each write, by this name."""

    name: str


@dataclass(frozen=True, slots=True)
class BuiltCondition:
    """A condition as a request has it: its expression, and the names and plain values of its placeholders."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Any]


class PreparedCondition:
    """A condition for many writes, put together once: that takes longer than all else that a request is made by."""

    def __init__(self, condition: ConditionBase) -> None:
        built = ConditionExpressionBuilder().build_expression(condition)
        self._expression = built.condition_expression
        self._names = built.attribute_name_placeholders
        self._values = built.attribute_value_placeholders

    def given(self, **values: Any) -> BuiltCondition:
        """Return the condition with a value for each of its parameters; raise `KeyError` if one is missing."""
        filled = {
            placeholder: values[value.name] if isinstance(value, Parameter) else value
            for placeholder, value in self._values.items()
        }
        return BuiltCondition(self._expression, self._names, filled)


class _Expressions:
    """The expressions of one request, and their names and values."""

    def __init__(self) -> None:
        self._builder = ConditionExpressionBuilder()
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def condition(self, condition: ConditionBase | BuiltCondition, *, is_key: bool = False) -> str:
        if isinstance(condition, BuiltCondition):
            self._names |= condition.names
            self._values |= condition.values
            return condition.expression
        built = self._builder.build_expression(condition, is_key_condition=is_key)
        self._names |= built.attribute_name_placeholders
        self._values |= built.attribute_value_placeholders
        return built.condition_expression

    def names(self, attributes: Iterable[str]) -> str:
        placeholders = {f"#{name}": name for name in attributes}
        self._names |= placeholders
        return ", ".join(placeholders)

    def assignment(self, name: str, value: Any) -> str:
        target, placeholder = self.names([name]), f":{name}"
        match value:
            case Appended():
                self._values |= {placeholder: list(value.values), ":no_values": []}
                return f"{target} = list_append(if_not_exists({target}, :no_values), {placeholder})"
            case ValueOf():
                self._values[placeholder] = value.default
                return f"{target} = if_not_exists({self.names([value.attribute])}, {placeholder})"
            case Increased():
                self._values[placeholder] = value.by
                return f"{target} = {target} + {placeholder}"
        self._values[placeholder] = value
        return f"{target} = {placeholder}"

    def update(self, changes: Mapping[str, Any], remove: Iterable[str]) -> str:
        clauses = []
        if changes:
            clauses.append("SET " + ", ".join(self.assignment(*each) for each in changes.items()))
        if removed := list(remove):
            clauses.append("REMOVE " + self.names(removed))
        return " ".join(clauses)

    def placeholders(self) -> dict[str, Any]:
        """Return the names and values as parameters of the call; DynamoDB refuses empty ones."""
        values = to_attributes(self._values)
        given = {"ExpressionAttributeNames": self._names, "ExpressionAttributeValues": values}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class _Conditional:
    """A write, to be made in a thread or from the loop; `mine` and `only_in_doubt` are those of `Table.update`."""

    operation: str
    key: Mapping[str, Any]
    request: Mapping[str, Any]
    condition: ConditionBase | BuiltCondition | None
    expressions: _Expressions = field(default_factory=_Expressions)
    mine: Callable[[dict[str, Any]], bool] | None = None
    only_in_doubt: bool = False


class Table:
    """A table; threads may share it."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        # The client's stubs do not know expressions that are put together.
        self._client: Any = client
        self._name = name
        self._unanswered = _Unanswered()

    def get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an item (strongly consistent), or None."""
        answer = self._client.get_item(TableName=self._name, Key=to_attributes(key), ConsistentRead=True)
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def get_many(
        self, keys: Sequence[Mapping[str, Any]], *, attributes: Sequence[str] = (), consistent: bool = True
    ) -> list[dict[str, Any]]:
        """Return the items that exist of any number of keys, in no order, with these attributes or with all.

        Raises `Unavailable` if DynamoDB left some unread each time.
        """
        expressions = _Expressions()
        options: dict[str, Any] = {"ConsistentRead": consistent}
        if attributes:
            options["ProjectionExpression"] = expressions.names(attributes)
        options |= expressions.placeholders()
        found: list[dict[str, Any]] = []

        def read(waiting: list[dict[str, Any]]) -> list[dict[str, Any]]:
            answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": waiting} | options})
            found.extend(from_attributes(each) for each in answer["Responses"].get(self._name, ()))
            unread: dict[str, Any] = answer.get("UnprocessedKeys", {}).get(self._name, {})
            return list(unread.get("Keys", []))

        for start in range(0, len(keys), KEYS_A_CALL):
            batch = [to_attributes(key) for key in keys[start : start + KEYS_A_CALL]]
            if left := resend(read, batch, attempts=_READ_ATTEMPTS):
                raise Unavailable(f"DynamoDB left {len(left)} items of {self._name} unread")
        return found

    def query(
        self,
        condition: ConditionBase | None,
        *,
        index: str | None = None,
        where: ConditionBase | None = None,
        attributes: Sequence[str] = (),
        newest_first: bool = False,
        consistent: bool = False,
        paging: Mapping[str, int] = _NOTHING,
        after: Mapping[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items that a `Key` condition finds, page by page, with these attributes or with all; None scans.

        `index` is one to read, which lags behind the table by up to a second and cannot be read strongly consistent.
        `where` is a condition on other attributes; `newest_first` begins with the largest range key; `paging` is
        boto3's ``MaxItems`` and ``PageSize``. `after` has the keys, of the index and of the table, of the item that
        those to come follow.
        """
        expressions = _Expressions()
        request: dict[str, Any] = {"ConsistentRead": consistent, "PaginationConfig": dict(paging)}
        if condition is not None:
            request["KeyConditionExpression"] = expressions.condition(condition, is_key=True)
            request["ScanIndexForward"] = not newest_first
        if index is not None:
            request["IndexName"] = index
        if where is not None:
            request["FilterExpression"] = expressions.condition(where)
        if attributes:
            request["ProjectionExpression"] = expressions.names(attributes)
        if after is not None:
            request["ExclusiveStartKey"] = to_attributes(after)
        request |= expressions.placeholders()
        paginator = self._client.get_paginator("scan" if condition is None else "query")
        for page in paginator.paginate(TableName=self._name, **request):
            yield from map(from_attributes, page["Items"])

    def scan(
        self,
        *,
        index: str | None = None,
        where: ConditionBase | None = None,
        attributes: Sequence[str] = (),
        consistent: bool = True,
        after: Mapping[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield every item of the table or of an index, in no order; the parameters are those of `query`."""
        return self.query(
            None, index=index, where=where, attributes=attributes, consistent=consistent, after=after
        )

    def pages(
        self, after: Mapping[str, Any] | None = None, *, where: ConditionBase
    ) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any] | None]]:
        """Scan the table (strongly consistent) from the key `after` on, page by page of about a megabyte.

        Yields the items of a page for which `where` holds, as DynamoDB's own attribute values, and the key to go on
        after, None after the last page.
        """
        expressions = _Expressions()
        request = {"FilterExpression": expressions.condition(where)} | expressions.placeholders()
        if after is not None:
            request["ExclusiveStartKey"] = to_attributes(after)
        while True:
            answer = self._client.scan(TableName=self._name, ConsistentRead=True, **request)
            key = answer.get("LastEvaluatedKey")
            yield answer["Items"], None if key is None else from_attributes(key)
            if key is None:
                return
            request["ExclusiveStartKey"] = key

    def update(
        self,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any] = _NOTHING,  # noqa: A002 - DynamoDB's own word
        remove: Iterable[str] = (),
        condition: ConditionBase | BuiltCondition | None = None,
        mine: Callable[[dict[str, Any]], bool] | None = None,
        only_in_doubt: bool = False,
        read: bool = False,
    ) -> Write:
        """Change an item in one conditional write; one that does not exist is made, unless the condition forbids it.

        `set` may have `Appended`, `ValueOf` and `Increased` for what depends on the item. `mine` says whether the item
        that refused the write shows this very write; it is not needed where the condition still holds after the write.
        With `only_in_doubt` it is asked only where an answer may have been lost, as boto3 has repeated the call or an
        earlier write of this item has failed: for writes that another may make just the same. `read` returns the item
        as it is after the write.
        """
        expressions, request = _update(key, set, remove, read=read)
        write = _Conditional("update_item", key, request, condition, expressions, mine, only_in_doubt)
        return self._write(write)

    async def update_in_loop(
        self,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any],  # noqa: A002 - DynamoDB's own word
        remove: Iterable[str] = (),
        condition: ConditionBase | BuiltCondition | None = None,
        mine: Callable[[dict[str, Any]], bool] | None = None,
        only_in_doubt: bool = False,
        read: bool = False,
    ) -> Write:
        """Change an item as `update` does, from the event loop, and without a thread where the client can do that."""
        expressions, request = _update(key, set, remove, read=read)
        write = _Conditional("update_item", key, request, condition, expressions, mine, only_in_doubt)
        return await self._write_in_loop(write)

    def create(
        self,
        key: Mapping[str, Any],
        item: Mapping[str, Any],
        *,
        mine: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Write:
        """Put an item, unless one with its key exists; one with the very same content is this call's own.

        Where others may put just the same, `mine` says whether the item that is there may be this call's; it is asked
        only where an answer may have been lost.
        """
        return self._write(_creation(key, item, mine))

    async def create_in_loop(self, key: Mapping[str, Any], item: Mapping[str, Any]) -> Write:
        """Put an item as `create` does, from the event loop, and without a thread where the client can do that."""
        return await self._write_in_loop(_creation(key, item))

    def update_and_create(
        self,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any],  # noqa: A002 - DynamoDB's own word
        remove: Iterable[str] = (),
        condition: ConditionBase,
        mine: Callable[[dict[str, Any]], bool],
        into: Table,
        item: Mapping[str, Any],
        item_key: Sequence[str],
    ) -> Transaction:
        """Change an item, and create `item` in the table `into`, in one transaction: both are done, or neither.

        The item is created unless one with its key exists; `item_key` names the attributes of that key. `mine` says
        whether the item whose condition refused the update shows this very write, with which the other item was
        created too, whatever has become of it since. A transaction costs twice the write units of its writes.

        Raises `Unavailable` if other writes of the two items were under way each time.
        """
        changes, creation = _Expressions(), _Expressions()
        update = {
            "TableName": self._name,
            "Key": to_attributes(key),
            "UpdateExpression": changes.update(set, remove),
            "ConditionExpression": changes.condition(condition),
        }
        put = {
            "TableName": into._name,
            "Item": to_attributes(item),
            "ConditionExpression": creation.condition(Attr(item_key[0]).not_exists()),
        }
        old = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        request = {
            "TransactItems": [
                {"Update": update | changes.placeholders() | old},
                {"Put": put | creation.placeholders() | old},
            ],
            # DynamoDB itself recognises what boto3 sends again.
            "ClientRequestToken": token_hex(16),
        }
        refusals: list[dict[str, Any]] = []

        def send(waiting: list[dict[str, Any]]) -> list[dict[str, Any]]:
            try:
                self._client.transact_write_items(**request)
            except ClientError as error:
                reasons: Any = error.response.get("CancellationReasons", [])
                codes = [each.get("Code") for each in reasons]
                if "ConditionalCheckFailed" in codes:
                    refusals.extend(reasons)
                elif "TransactionConflict" in codes:
                    return waiting
                else:
                    raise
            return []

        if resend(send, [request], attempts=_CONFLICTS_MAX):
            raise Unavailable(f"items of {self._name} and {into._name} are being written by others")
        if not refusals:
            return Transaction(done=True)
        found, existing = (
            from_attributes(each["Item"]) if each.get("Item") else None for each in refusals[:2]
        )
        return Transaction(found is not None and mine(found), found, existing)

    def put(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put an item, and return the one that it replaces, or None."""
        attributes = to_attributes(item)
        answer = self._client.put_item(TableName=self._name, Item=attributes, ReturnValues="ALL_OLD")
        replaced = from_attributes(answer["Attributes"]) if "Attributes" in answer else None
        # What an earlier try has put replaces nothing.
        return None if was_repeated(answer) and replaced == from_attributes(attributes) else replaced

    async def put_in_loop(self, item: Mapping[str, Any]) -> None:
        """Put an item, whatever it replaces, from the event loop, and without a thread where the client can do that."""
        await self._call_in_loop("put_item", {"TableName": self._name, "Item": to_attributes(item)})

    def delete(self, key: Mapping[str, Any], condition: ConditionBase | None = None) -> Write:
        """Delete an item, and say whether that was done: one that does not exist cannot be deleted."""
        exists = Attr(next(iter(key))).exists()
        condition = exists if condition is None else exists & condition
        return self._write(_Conditional("delete_item", key, {"Key": to_attributes(key)}, condition))

    def _write(self, write: _Conditional) -> Write:
        try:
            answer = getattr(self._client, write.operation)(**self._request(write))
        except (ClientError, BotoCoreError) as error:
            return self._refused(write, error)
        return self._done(write.key, answer)

    async def _write_in_loop(self, write: _Conditional) -> Write:
        try:
            answer = await self._call_in_loop(write.operation, self._request(write))
        except (ClientError, BotoCoreError) as error:
            return self._refused(write, error)
        return self._done(write.key, answer)

    async def _call_in_loop(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if isinstance(self._client, LightDynamoDB):
            call = getattr(self._client, f"{operation}_in_loop")
            answer: dict[str, Any] = await call(**request)
            return answer
        return await asyncio.to_thread(getattr(self._client, operation), **request)

    def _request(self, write: _Conditional) -> dict[str, Any]:
        request = {"TableName": self._name, **write.request}
        if write.condition is not None:
            request["ConditionExpression"] = write.expressions.condition(write.condition)
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return request | write.expressions.placeholders()

    def _refused(self, write: _Conditional, error: ClientError | BotoCoreError) -> Write:
        """Return the result of a write whose condition does not hold; raise any other error, and remember it."""
        item_key = tuple(write.key.values())
        if not isinstance(error, ClientError) or not is_condition_failure(error):
            self._unanswered.remember(item_key, True)
            raise error
        in_doubt = self._unanswered.pop(item_key, False) or was_repeated(error.response)
        found: Any = error.response.get("Item")
        if not found:
            return Write(done=write.operation == "delete_item" and in_doubt)
        item = from_attributes(found)
        mine = write.mine
        return Write(mine is not None and (in_doubt or not write.only_in_doubt) and mine(item), item)

    def _done(self, key: Mapping[str, Any], answer: Mapping[str, Any]) -> Write:
        self._unanswered.pop(tuple(key.values()), None)
        return Write(True, from_attributes(answer["Attributes"]) if "Attributes" in answer else None)


def _creation(
    key: Mapping[str, Any], item: Mapping[str, Any], mine: Callable[[dict[str, Any]], bool] | None = None
) -> _Conditional:
    attributes = to_attributes(item)
    wanted = from_attributes(attributes)
    return _Conditional(
        "put_item",
        key,
        {"Item": attributes},
        _has_no(next(iter(key))),
        mine=mine or (lambda it: it == wanted),
        only_in_doubt=mine is not None,
    )


@cache
def _has_no(attribute: str) -> BuiltCondition:
    return PreparedCondition(Attr(attribute).not_exists()).given()


def _update(
    key: Mapping[str, Any],
    changes: Mapping[str, Any],
    remove: Iterable[str],
    *,
    read: bool,
) -> tuple[_Expressions, dict[str, Any]]:
    expressions = _Expressions()
    request: dict[str, Any] = {
        "Key": to_attributes(key),
        "UpdateExpression": expressions.update(changes, remove),
    }
    if read:
        request["ReturnValues"] = "ALL_NEW"
    return expressions, request


class TableGateway:
    """Base of the classes that each have the reads and writes of one table."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._table = Table(client, name)

    @property
    def table(self) -> Table:
        """The table itself, for a transaction that writes to another one too."""
        return self._table
