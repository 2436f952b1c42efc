"""A light client of DynamoDB: the calls of the tables, and of those from the event loop what is called often."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tunehook.aws.light import Answer, LightClient


class LightDynamoDB(LightClient):
    """A client of DynamoDB; threads may share it. Its items have bytes where JSON has base64."""

    def get_item(self, **request: Any) -> dict[str, Any]:
        answer = self._call("GetItem", request)
        _decode_items(answer, "Item")
        return answer

    def put_item(self, **request: Any) -> dict[str, Any]:
        return self._write("PutItem", request)

    def update_item(self, **request: Any) -> dict[str, Any]:
        return self._write("UpdateItem", request)

    def delete_item(self, **request: Any) -> dict[str, Any]:
        return self._write("DeleteItem", request)

    def query(self, **request: Any) -> dict[str, Any]:
        return self._read_page("Query", request)

    def scan(self, **request: Any) -> dict[str, Any]:
        return self._read_page("Scan", request)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        answer = self._call("BatchGetItem", request)
        for items in answer.get("Responses", {}).values():
            items[:] = map(_decode_item, items)
        for unread in answer.get("UnprocessedKeys", {}).values():
            unread["Keys"] = list(map(_decode_item, unread["Keys"]))
        return answer

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        return self._call("TransactWriteItems", request)

    def get_paginator(self, operation_name: str) -> Any:
        pages = {"query": self.query, "scan": self.scan}
        if operation_name in pages:
            return _Paginator(pages[operation_name])
        paginators: Any = self._client
        return paginators.get_paginator(operation_name)

    def _write(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._call(operation, request)
        _decode_items(answer, "Attributes")
        return answer

    def _read_page(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._call(operation, request)
        if "Items" in answer:
            answer["Items"] = list(map(_decode_item, answer["Items"]))
        _decode_items(answer, "LastEvaluatedKey")
        return answer

    async def put_item_in_loop(self, **request: Any) -> dict[str, Any]:
        """Do as `put_item` does, from the event loop and without a thread."""
        return await self._write_in_loop("PutItem", request)

    async def update_item_in_loop(self, **request: Any) -> dict[str, Any]:
        """Do as `update_item` does, from the event loop and without a thread."""
        return await self._write_in_loop("UpdateItem", request)

    async def _write_in_loop(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = await self._call_in_loop(operation, request)
        _decode_items(answer, "Attributes")
        return answer

    def _error(self, operation: str, answer: Answer, attempt: int) -> Exception:
        _decode_items(answer.body, "Item")
        for reason in answer.body.get("CancellationReasons", ()):
            _decode_items(reason, "Item")
        return super()._error(operation, answer, attempt)


class _Paginator:
    """Reads page after page, as boto3's paginator does."""

    def __init__(self, read: Callable[..., dict[str, Any]]) -> None:
        self._read = read

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        """Yield pages of ``PageSize`` items, until ``MaxItems`` were read or there is no more."""
        config: Mapping[str, int] = request.pop("PaginationConfig", {})
        left = config.get("MaxItems")
        if "PageSize" in config:
            request["Limit"] = config["PageSize"]
        while True:
            page = self._read(**request)
            if left is not None:
                page["Items"] = page["Items"][:left]
                left -= len(page["Items"])
            yield page
            if "LastEvaluatedKey" not in page or left == 0:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _decode_items(answer: dict[str, Any], name: str) -> None:
    if answer.get(name):
        answer[name] = _decode_item(answer[name])


def _decode_item(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with bytes where JSON has base64."""
    for name, attribute in item.items():
        for kind in attribute:
            if kind in _NESTED:
                item[name] = _decode(attribute)
    return item


_NESTED: Final = frozenset({"B", "BS", "L", "M"})


def _decode(attribute: dict[str, Any]) -> dict[str, Any]:
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(value)}
        case "BS":
            return {kind: list(map(base64.b64decode, value))}
        case "L":
            return {kind: list(map(_decode, value))}
        case "M":
            return {kind: _decode_item(value)}
    return attribute
