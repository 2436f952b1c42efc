"""Requests with an ``Idempotency-Key``: done once, and answered the same for a day."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

from aws_lambda_powertools import Logger

from api.problems import Problem
from api.request import Call
from tunehook.aws.api_requests import Answer, Request, State, body_digest, idempotent_id
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.times import now_ms

logger = Logger(child=True)

HEADER = "Idempotency-Key"
_AGAIN_S = 2


class Work(Protocol):
    """What a request asks for; `is_repeated` if an earlier try may have done it and left no answer."""

    def __call__(self, *, is_repeated: bool) -> Answer: ...


def answered_once(
    call: Call, route: str, key: str | None, body: object, work: Work, *, can_repeat: bool
) -> Answer:
    """Do what a request asks for, unless one of this key, route and `Idempotency-Key` was answered: then that answer.

    `body` is all that the request says. With `can_repeat`, doing it twice is as doing it once: what fails is forgotten
    then, so that it can be sent again at once. Otherwise it can be a minute later, as `tunehook.aws.api_requests` says.

    Raises `Problem`: 422 if the key was used for something else, 409 while another worker is at it.
    """
    if key is None:
        return work(is_repeated=False)
    requests = call.stack.api_requests
    request = requests.begin(idempotent_id(call.key_id, route, key), body_digest(body), now_ms())
    if not request.is_ours:
        return _earlier(request)
    try:
        answer = work(is_repeated=request.state is State.TAKEN_OVER)
    except Exception:
        if can_repeat:
            _quietly(request, lambda: requests.forget(request))
        raise
    # What was done is done: without the record, the same is done and answered again.
    _quietly(request, lambda: requests.finish(request, answer))
    return answer


def _quietly(request: Request, write: Callable[[], Any]) -> None:
    """Make a write whose failure changes nothing for who is answered now."""
    try:
        write()
    except AWS_FAULTS as error:
        logger.warning("request_not_recorded", request_id=request.request_id, error=code_of(error))


def _earlier(request: Request) -> Answer:
    if request.answer is not None:
        return request.answer
    if request.state is State.OTHER_BODY:
        detail = f"{HEADER}: was used within 24 h for a request that said something else"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail, field=HEADER)
    detail = f"{HEADER}: the request of this key is being answered: send it again in a moment"
    headers = {"Retry-After": str(_AGAIN_S)}
    raise Problem(HTTPStatus.CONFLICT, "in_progress", detail, field=HEADER, headers=headers)
