"""What the sandbox is asked, as it happens: each request with its answer, and what it was about.

Headers are not noted, since one carries the API key, nor are query strings.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from tunehook.operations.text import counted
from tunehook_local.sandbox.ledger import Clock, ReceivedRequest

_REMARK: Final = web.RequestKey("remark", str)
_RECEIVED: Final = web.RequestKey("received", ReceivedRequest)
_CUT_OFF: Final = web.RequestKey("cut_off", bool)
"""Keys of a request, by which its handler says what is noted of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """A request and its answer.

    `status` is None where none was sent: the scenario wants that, or the client gave up. `remark` says what it was
    about; `received` is what reached a receiver.
    """

    at: datetime
    method: str
    path: str
    status: int | None
    remark: str | None = None
    received: ReceivedRequest | None = None


OnRequest = Callable[[LoggedRequest], None]


def remark(request: web.Request, text: str) -> None:
    """Say what a request is about."""
    request[_REMARK] = text


def received(request: web.Request, webhook: ReceivedRequest, times: int) -> None:
    """Say that a request is a webhook; `times` counts those that had its ``webhook-id``, this one included."""
    request[_RECEIVED] = webhook
    request[_REMARK] = describe_webhook(webhook.body, times)


def cut_off(request: web.Request) -> None:
    """Say that a request has no answer."""
    request[_CUT_OFF] = True


def describe_webhook(body: bytes, times: int = 1) -> str:
    """Return type and task of a webhook's body, and that it is a duplicate if it is one.

    >>> describe_webhook(b'{"type": "task.completed", "data": {"task_id": "t-1"}}', 2)
    'task.completed t-1, duplicate (2nd time)'
    """
    try:
        content: Any = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return f"{counted(len(body), 'byte')} of no JSON object"
    data = content.get("data")
    task_id = data.get("task_id") if isinstance(data, dict) else None
    # In the format `provider` the body is the provider's own: it has a status and no type.
    kind = content.get("type") or f"status {content.get('status')}"
    words = f"{kind} {task_id or content.get('task_id') or content.get('id') or ''}".rstrip()
    return words if times < 2 else f"{words}, duplicate ({times}{_ORDINALS.get(times, 'th')} time)"


_ORDINALS: Final = {2: "nd", 3: "rd"}


def noting(on_request: OnRequest, clock: Clock) -> Any:
    """Return the middleware that calls `on_request` once a request is answered."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        at, status = clock(), None
        try:
            response = await handler(request)
            status = None if request.get(_CUT_OFF) else response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except asyncio.CancelledError:
            raise
        except Exception:
            status = web.HTTPInternalServerError.status_code
            raise
        finally:
            on_request(
                LoggedRequest(
                    at=at,
                    method=request.method,
                    path=request.path,
                    status=status,
                    remark=request.get(_REMARK),
                    received=request.get(_RECEIVED),
                )
            )

    return note
