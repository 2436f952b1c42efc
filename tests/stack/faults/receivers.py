"""The receivers of a run: they keep every webhook, do wrong what is planned, and note what they have answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from tests.stack.faults.plan import ReceiverTrouble
from tests.stack.faults.troubles import TRIPWIRE

from tunehook_local.sandbox import ReceivedRequest, parse
from tunehook_local.sandbox.ledger import utc_now
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.respond import respond
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer


@dataclass(frozen=True, slots=True)
class Receipt:
    """A webhook that came, and what became of it.

    Attributes
    ----------
    request : ReceivedRequest
        As it came.
    number : int
        Which request of the delivery that is, from 1.
    word : str
        The trouble that it met; empty for none.
    status : int or None
        What it was answered with, to the last byte; None if nothing, or if its sender went away before that.
    answered_at : datetime or None
        When the last byte of the answer had been sent.
    """

    request: ReceivedRequest
    number: int
    word: str = ""
    status: int | None = None
    answered_at: datetime | None = None

    @property
    def delivery_id(self) -> str:
        """Its ``webhook-id``."""
        return self.request.headers.get("webhook-id", "")

    @property
    def accepted(self) -> bool:
        """Whether its receiver has taken it."""
        return self.status is not None and 200 <= self.status <= 299


class Receivers:
    """Takes webhooks at ``/receiver/<name>``.

    Parameters
    ----------
    troubles : iterable of ReceiverTrouble
        What goes wrong with which delivery.
    tripwire : callable
        Returns where redirects lead: to where no request may go.
    """

    def __init__(self, troubles: Iterable[ReceiverTrouble], tripwire: Callable[[], str]) -> None:
        self._troubles = {(trouble.receiver, trouble.task_id): trouble for trouble in troubles}
        self._tripwire = tripwire
        self._numbers: Counter[str] = Counter()
        self._receipts: list[Receipt] = []

    def add_routes(self, app: web.Application) -> None:
        """Put the receivers' paths into `app`."""
        app.router.add_route("*", "/receiver/{name}", self._handle)

    def received(self) -> list[Receipt]:
        """Return everything that came, in the order of its coming."""
        return list(self._receipts)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        body = await request.read()
        headers = {key.lower(): ", ".join(request.headers.getall(key)) for key in request.headers}
        came = ReceivedRequest(utc_now(), name, request.method, request.path_qs, headers, body)
        delivery_id = headers.get("webhook-id", "")
        self._numbers[delivery_id] += 1
        number = self._numbers[delivery_id]
        word, answer = self._answer(name, task_id_in(body), number)
        place = len(self._receipts)
        self._receipts.append(Receipt(came, number, word))
        response = await respond(request, PlainResponse(204), answer)
        if answer is not None and answer.reset:
            return response
        await response.prepare(request)
        await response.write_eof()
        receipt = self._receipts[place]
        self._receipts[place] = replace(receipt, status=response.status, answered_at=utc_now())
        return response

    def _answer(self, name: str, task_id: str | None, number: int) -> tuple[str, ScriptedAnswer | None]:
        trouble = self._troubles.get((name, task_id or ""))
        if trouble is None or number > len(trouble.answers):
            return "", None
        document = dict(trouble.answers[number - 1])
        headers = document.get("headers", {})
        document["headers"] = {
            key: value.replace(TRIPWIRE, self._tripwire()) for key, value in headers.items()
        }
        return trouble.word, parse(ScriptedAnswer, document)


def task_id_in(body: bytes) -> str | None:
    """Return which task a webhook tells of, in whichever of the three formats it is; None if it does not say."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    data = document.get("data")
    if isinstance(data, dict) and "task_id" in data:
        return str(data["task_id"])
    # The provider's own object; musicmint calls it otherwise.
    task_id = document.get("task_id", document.get("id"))
    return None if task_id is None else str(task_id)
