"""The ApiRequests table: which requests of the API have begun and how they were answered, and who waits.

A request with an ``Idempotency-Key`` is recorded before anything is done, and its answer afterwards. Whoever sends it
again within a day gets that answer; nothing is done twice. Both writes carry a token of the worker that makes them, so
that a repeated call recognises its own, and a worker that was overtaken changes nothing.

A place to wait is an attribute of one item, with a moment at which it is free again: a worker that dies with it takes
nothing along.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway, Transaction, Write, WriteTokens
from tunehook.ids import digest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tunehook.aws.tasks import TasksTable

KEPT_S: Final = 24 * 3600
"""How long a request is remembered."""

IN_PROGRESS_MS: Final = 60_000
"""How long a request without an answer counts as under way: longer than the function may run."""

_STORED_MAX_BYTES: Final = 300_000
"""Of an answer, compressed: below DynamoDB's limit of 400 kB an item."""

_BEGUN, _FINISHED = "begun", "finished"
_OF_BEFORE: Final = ("status", "document", "omitted", "taken_over")
_WAITING: Final = {"request_id": "waiting"}
_WAITING_KEPT_S: Final = 24 * 3600
_CLAIMS_MAX: Final = 3


class State(Enum):
    """The result of beginning a request.

    ``BEGUN``: the caller does what it asks for. ``TAKEN_OVER``: so it does, and whoever began it before has left no
    answer: what it asks for may be done already. ``FINISHED``: it was answered. ``IN_PROGRESS``: another worker is at
    it. ``UNANSWERED``: it has left no answer, and was not to be taken over. ``OTHER_BODY``: its key was used for
    another body.
    """

    BEGUN = auto()
    TAKEN_OVER = auto()
    FINISHED = auto()
    IN_PROGRESS = auto()
    UNANSWERED = auto()
    OTHER_BODY = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: its status of HTTP, and its JSON document.

    `omitted` names the attributes of the document that are not kept, as they are secrets: whoever gives the answer
    again makes them anew. The document of a kept answer is None if it was too long: all of it is to be made anew.
    """

    status: int
    document: dict[str, Any] | None
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was begun: where it stands, and, if it was before, its `answer` and what it `intended`.

    `holder` is the token of the worker that is at it.
    """

    request_id: str
    state: State
    holder: str = ""
    answer: Answer | None = None
    intended: dict[str, Any] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the caller is to do what it asks for."""
        return self.state in (State.BEGUN, State.TAKEN_OVER)


@dataclass(frozen=True, slots=True)
class WaitingPlace:
    """A place to wait that `holder` has."""

    number: int
    holder: str


def idempotent_id(key_id: str, route: str, idempotency_key: str) -> str:
    """Return the id of a request with an ``Idempotency-Key``, which counts for one API key and one route."""
    return f"idempotent#{digest(key_id, route, idempotency_key)}"


def body_digest(body: object) -> str:
    """Return what stands for a JSON body, however its attributes are ordered."""
    return digest(json.dumps(body, sort_keys=True))


class ApiRequests(TableGateway):
    """The ApiRequests table."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        super().__init__(client, name)
        self._tokens = WriteTokens()

    def begin(
        self,
        request_id: str,
        body_digest: str,
        now_ms: int,
        *,
        intended: Mapping[str, Any] | None = None,
        takes_over: bool = True,
    ) -> Request:
        """Record that a request is begun, unless it was within a day.

        One that was begun `IN_PROGRESS_MS` ago or earlier and has no answer is taken over, by one of those that send
        it again; with `takes_over` False it never is, as what it asks for must not be done twice. `intended` is
        anything to be known then: no secrets.
        """
        with self._tokens.of(request_id) as token:
            values: dict[str, Any] = {
                "state": _BEGUN,
                "body": body_digest,
                "holder": token,
                "begun_at_ms": now_ms,
                "expires_at": now_ms // 1000 + KEPT_S,
            }
            if intended is not None:
                values["intended"] = dict(intended)
            # TTL removes an expired item up to days later.
            is_new = Attr("request_id").not_exists() | Attr("expires_at").lte(now_ms // 1000)
            write = self._table.update(
                {"request_id": request_id},
                set=values,
                remove=[*_OF_BEFORE, *({"intended"} - values.keys())],
                condition=is_new,
                mine=lambda item: item.get("holder") == token,
            )
            if write.done:
                # An earlier call, which was given up, may have taken it over.
                was_taken_over = write.found.get("taken_over", False)
                return Request(request_id, State.TAKEN_OVER if was_taken_over else State.BEGUN, token)
            found = _found(request_id, write.found, body_digest, now_ms)
            if found.state is not State.UNANSWERED or not takes_over:
                return found
            return self._take_over(found, write.found, token, now_ms)

    def _take_over(self, request: Request, item: Mapping[str, Any], token: str, now_ms: int) -> Request:
        write = self._table.update(
            {"request_id": request.request_id},
            set={"holder": token, "begun_at_ms": now_ms, "taken_over": True},
            condition=Attr("state").eq(_BEGUN) & Attr("holder").eq(item["holder"]),
            mine=lambda found: found.get("holder") == token,
        )
        if write.done:
            return Request(request.request_id, State.TAKEN_OVER, token, intended=request.intended)
        return _found(request.request_id, write.found, item["body"], now_ms)

    def finish(self, request: Request, answer: Answer) -> bool:
        """Record the answer to a request; return False if another worker has taken it over."""
        values = _answered(answer)
        write = self._table.update(
            {"request_id": request.request_id},
            set=values,
            condition=Attr("state").eq(_BEGUN) & Attr("holder").eq(request.holder),
            mine=lambda item: item.get("holder") == request.holder and values.items() <= item.items(),
        )
        return write.done

    def finish_with_task(
        self, request: Request, answer: Answer, tasks: TasksTable, item: Mapping[str, Any]
    ) -> Transaction:
        """Record the answer to a request and put the item of a task, which there must not be: both, or neither.

        The result's `found` is the request's item if another worker has taken it over, `existing` the task's if there
        is one.
        """
        values = _answered(answer)
        return self._table.update_and_create(
            {"request_id": request.request_id},
            set=values,
            condition=Attr("state").eq(_BEGUN) & Attr("holder").eq(request.holder),
            mine=lambda found: found.get("holder") == request.holder and values.items() <= found.items(),
            into=tasks.table,
            item=item,
            item_key=("task_id", "provider"),
        )

    def forget(self, request: Request) -> bool:
        """Forget a request for which nothing was done, so that it can be sent again, with another body too."""
        is_ours = Attr("state").eq(_BEGUN) & Attr("holder").eq(request.holder)
        return self._table.delete({"request_id": request.request_id}, is_ours).done

    def claim_wait(self, limit: int, holder: str, until_ms: int, now_ms: int) -> WaitingPlace | None:
        """Take one of `limit` places to wait, which is free again at `until_ms`; return None if all are taken.

        `holder` is a unique name of who waits. Nobody is waited for: where others are faster each time, there is none.
        """
        if limit <= 0:
            return None
        item = self._table.get(_WAITING) or {}
        for _ in range(_CLAIMS_MAX):
            taken = {name for name, value in item.items() if name.startswith("until_") and value > now_ms}
            if len(taken) >= limit:
                return None
            number = random.choice([each for each in range(limit) if f"until_{each}" not in taken])  # noqa: S311
            write = self._take_place(number, holder, until_ms, now_ms)
            if write.done:
                return WaitingPlace(number, holder)
            item = write.found
        return None

    def _take_place(self, number: int, holder: str, until_ms: int, now_ms: int) -> Write:
        until = f"until_{number}"
        values = {until: until_ms, f"holder_{number}": holder}
        return self._table.update(
            _WAITING,
            set=values | {"expires_at": until_ms // 1000 + _WAITING_KEPT_S},
            condition=Attr(until).not_exists() | Attr(until).lte(now_ms),
            mine=lambda found: values.items() <= found.items(),
        )

    def release_wait(self, place: WaitingPlace) -> None:
        """Give a place to wait back; one that another has meanwhile stays so."""
        until, by = f"until_{place.number}", f"holder_{place.number}"
        self._table.update(_WAITING, remove=[until, by], condition=Attr(by).eq(place.holder))


def _found(request_id: str, item: Mapping[str, Any], body_digest: str, now_ms: int) -> Request:
    if not item:  # it was forgotten at this very moment
        return Request(request_id, State.IN_PROGRESS)
    intended = item.get("intended")
    if item["body"] != body_digest:
        return Request(request_id, State.OTHER_BODY)
    if item["state"] == _FINISHED:
        return Request(request_id, State.FINISHED, answer=_answer(item), intended=intended)
    is_late = now_ms - item["begun_at_ms"] >= IN_PROGRESS_MS
    state = State.UNANSWERED if is_late else State.IN_PROGRESS
    return Request(request_id, state, intended=intended)


def _answered(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = {"state": _FINISHED, "status": answer.status}
    if answer.omitted:
        values["omitted"] = list(answer.omitted)
    if answer.document is not None:
        kept = _without(answer.document, answer.omitted)
        stored = zlib.compress(json.dumps(kept, ensure_ascii=False).encode())
        if len(stored) <= _STORED_MAX_BYTES:
            values["document"] = stored
    return values


def _answer(item: Mapping[str, Any]) -> Answer:
    stored: bytes | None = item.get("document")
    document = None if stored is None else json.loads(zlib.decompress(stored))
    return Answer(item["status"], document, tuple(item.get("omitted", ())))


def _without(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
