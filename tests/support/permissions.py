"""What the command may do on AWS by docs/deploying.md, and clients that note what it does."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from tests.support.template import ROOT

_TITLE = "### Permissions of the operator"
_OF_NOBODY = frozenset({"sts:GetCallerIdentity"})
"""What everybody may."""

_ACTIONS = {
    # Of these an action has another name than the call. A transaction needs those of what it writes.
    "dynamodb:TransactWriteItems": "dynamodb:UpdateItem",
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
_NO_CALLS = frozenset({"can_paginate", "close", "get_waiter"})


class Watched:
    """A client that notes the actions that are taken by it.

    Parameters
    ----------
    client : Any
        The client, or a test's own in its place.
    service : str
        What boto3 calls the service.
    taken : list of str
        Where actions are noted, such as ``sqs:SendMessage``.
    """

    def __init__(self, client: Any, service: str, taken: list[str]) -> None:
        self._client = client
        self._service = service
        self._taken = taken

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in _NO_CALLS or not callable(found) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            return found
        if name in ("get_paginator", "generate_presigned_url"):
            return functools.partial(self._named, found)
        if name in ("exceptions", "meta"):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._note(name)
            return found(*arguments, **options)

        return call

    def _named(self, found: Any, operation: str, *arguments: Any, **options: Any) -> Any:
        self._note(operation)
        return found(operation, *arguments, **options)

    def _note(self, operation: str) -> None:
        call = "".join(part.capitalize() for part in operation.split("_"))
        call = f"{self._service}:{call}"
        self._taken.append(_ACTIONS.get(call, call))


@functools.cache
def documented() -> Mapping[str, frozenset[str]]:
    """Return the actions that each command may take, by its words, such as ``dlq list``; ``""`` is every command."""
    page = (ROOT / "docs" / "deploying.md").read_text()
    section = page.split(_TITLE)[1].split("\n#")[0]
    found: dict[str, frozenset[str]] = {}
    for commands, actions in re.findall(r"^\| (?!for )(.*?) \| (.*) \|$", section, re.MULTILINE):
        named = frozenset(re.findall(r"`([a-z0-9]+:\w+)`", actions))
        for command in re.findall(r"`(.*?)`", commands) or [""]:
            found[command] = named
    return found


def allowed(words: tuple[str, ...]) -> frozenset[str]:
    """Return the actions that a command line may take."""
    table = documented()
    for count in (2, 1):
        if (named := table.get(" ".join(words[:count]))) is not None:
            return named | table[""] | _OF_NOBODY
    return table[""] | _OF_NOBODY
