"""The webhooks of a run, read as a receiver reads them: verified when they come, then parsed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from tests.stack.faults import world
from tests.stack.faults.books import Receipt

from tunehook.times import to_ms


class Reader:
    """Reads every request that the receivers of a run get.

    Parameters
    ----------
    secrets : mapping of str to str
        What each receiver's webhooks are signed with, by its name.
    task_ids : collection of str
        The tasks that webhooks may tell of.
    """

    def __init__(self, secrets: Mapping[str, str], task_ids: Collection[str]) -> None:
        self._secrets = {name: Webhook(secret) for name, secret in secrets.items()}
        self._task_ids = frozenset(task_ids)
        self._faults: list[str] = []

    def verify(self, received: list[world.Receipt]) -> None:
        """Verify what has come since the last time. Soon after it came: the library wants no old timestamps."""
        for receipt in received[len(self._faults) :]:
            self._faults.append(self._fault(receipt))

    def read(self, received: list[world.Receipt]) -> Iterator[Receipt]:
        """Yield all that has come, parsed."""
        self.verify(received)
        for receipt, fault in zip(received, self._faults, strict=True):
            yield self._receipt(receipt, fault)

    def _fault(self, receipt: world.Receipt) -> str:
        request = receipt.request
        webhook = self._secrets.get(request.name)
        if webhook is None:
            return "there is no such receiver"
        try:
            webhook.verify(request.body, request.headers)
        except (WebhookVerificationError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def _receipt(self, receipt: world.Receipt, fault: str) -> Receipt:
        request = receipt.request
        body = _parsed(request.body)
        data = body.get("data") if isinstance(body.get("type"), str) else None
        data = data if isinstance(data, dict) else {}
        assets = [asset for clip in data.get("clips", ()) for asset in clip.get("assets", ())]
        return Receipt(
            receiver=request.name,
            delivery_id=request.headers.get("webhook-id", ""),
            task_id=next((text for text in _texts(body) if text in self._task_ids), ""),
            at_ms=to_ms(request.received_at),
            status=receipt.status,
            answered_at_ms=None if receipt.answered_at is None else to_ms(receipt.answered_at),
            fault=fault,
            told_status=_told_status(body["type"], data) if data else "",
            told_files={asset["key"]: asset["sha256"] for asset in assets if asset.get("key")},
            is_rest=bool(data) and body["type"] == "task.archived",
        )


def _told_status(kind: str, data: dict[str, Any]) -> str:
    if kind == "task.archived":
        return "completed" if data.get("status") == "completed" else "failed"
    return kind.removeprefix("task.")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in a document: in whatever field, one of them is the task's id, in each of the formats."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
