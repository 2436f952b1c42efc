"""The sandbox as a function behind a function URL: three providers, their asset host, and a webhook receiver.

Nothing is remembered between invocations but what is in the table of books. Every path begins with a key that nobody
guesses; the providers ask for their API key besides.

=============================================  =============================================================
``<key>/musicmint|qhaigc|suno/...``            what the family answers, from the very modules of the sandbox
``<key>/assets/<kind>/<task>/<file>``          the files of the clips
``<key>/receiver/<name>``                      keeps what comes; refuses first as often as its entry says
=============================================  =============================================================
"""

from __future__ import annotations

import base64
import hmac
import json
import mimetypes
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from tests.account.sandbox.books import Books, PlannedTask, is_large

from tunehook_local.sandbox import musicmint, new_api, qhaigc, suno
from tunehook_local.sandbox.clips import Clip, file_behind
from tunehook_local.sandbox.model import Kind, Phase, Song
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.task_snapshot import CLIPS_OF_A_SUCCESS, TaskSnapshot

LARGE_BYTES = 4 * 1024 * 1024
"""The size of a large file: in base64 it just fits what a function may answer."""

NOT_FOUND = PlainResponse(404, {"content-type": "text/plain"}, b"not found\n")


@dataclass(frozen=True)
class Request:
    """One request as a function URL hands it over."""

    method: str
    path: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    origin: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Request:
        """Read the payload of a function URL (format 2.0)."""
        context = event["requestContext"]
        body = event.get("body") or ""
        return cls(
            method=context["http"]["method"],
            path=tuple(event["rawPath"].strip("/").split("/")),
            headers={name.lower(): value for name, value in event.get("headers", {}).items()},
            body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
            request_id=context["requestId"],
            origin=origin_of(context),
        )

    def json(self) -> Any:
        """Return the body as JSON; None if it is none."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            return None


def origin_of(context: Mapping[str, Any]) -> str:
    """Return the function's own address, as others reach it.

    The embedded AWS gives its functions its endpoint, and answers below a path there: its host names do not resolve.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return f"https://{context['domainName']}"
    return f"{endpoint}/_aws/lambda-url/{context['apiId']}"


class Sandbox:
    """What answers.

    Parameters
    ----------
    open_books : callable
        Returns the plans, and what has come. It is called when they are first needed: files are served without.
    path_key, api_key : str
        What a path begins with; what a provider takes for a key.
    """

    def __init__(self, open_books: Callable[[], Books], path_key: str, api_key: str) -> None:
        self._open_books = open_books
        self._path_key = path_key
        self._api_key = api_key

    @cached_property
    def _books(self) -> Books:
        return self._open_books()

    def answer(self, request: Request, now_ms: int) -> PlainResponse:
        """Return what a request gets."""
        key, *rest = request.path
        if not hmac.compare_digest(key.encode(), self._path_key.encode()):
            return NOT_FOUND
        match rest:
            case ["assets", kind, task_id, name] if kind in set(Kind):
                return self._asset(Kind(kind), task_id, name)
            case ["receiver", name]:
                return self._receive(request, name, now_ms)
            case [kind, *path] if kind in set(Kind):
                return self._provider(request, Kind(kind), path, now_ms)
        return NOT_FOUND

    def _provider(self, request: Request, kind: Kind, path: list[str], now_ms: int) -> PlainResponse:
        now = _moment(now_ms)
        if not self._accepts_key(request):
            return musicmint.unauthorised(now) if kind is Kind.MUSICMINT else new_api.unauthorised()
        match kind, request.method, path:
            case (Kind.MUSICMINT, "POST", ["api", "v1", "task", task_id]):
                view = self._view(request, kind, task_id, now_ms)
                return musicmint.not_found(now) if view is None else musicmint.one(view)
            case (Kind.MUSICMINT, "POST", ["api", "v1", "tasks"]):
                known = self._views(request, kind, self._books.task_ids(kind), now_ms)
                newest_first = sorted(known, key=lambda each: each.submitted_at, reverse=True)
                return musicmint.many(newest_first, request.json(), now)
            case (Kind.QHAIGC, "GET", ["v1", "music", "tasks", task_id]):
                view = self._view(request, kind, task_id, now_ms)
                return new_api.not_found() if view is None else qhaigc.one(view)
            case (Kind.SUNO, "GET", ["suno", "fetch", task_id]):
                view = self._view(request, kind, task_id, now_ms)
                return new_api.not_found() if view is None else suno.one(view)
            case (Kind.SUNO, "POST", ["suno", "fetch"]):
                query = request.json()
                ids = query.get("ids") if isinstance(query, dict) else None
                wanted = [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []
                asked = list(dict.fromkeys(wanted))
                return suno.many(self._views(request, kind, asked, now_ms), requested=len(asked))
        return NOT_FOUND

    def _accepts_key(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(key.encode(), self._api_key.encode())

    def _views(self, request: Request, kind: Kind, task_ids: list[str], now_ms: int) -> list[TaskSnapshot]:
        views = (self._view(request, kind, task_id, now_ms) for task_id in task_ids)
        return [view for view in views if view is not None]

    def _view(self, request: Request, kind: Kind, task_id: str, now_ms: int) -> TaskSnapshot | None:
        plan = self._books.asked_about(kind, task_id, now_ms)
        assets_url = f"{request.origin}/{self._path_key}/assets"
        return None if plan is None else view_of(plan, assets_url, now_ms)

    def _asset(self, kind: Kind, task_id: str, name: str) -> PlainResponse:
        path = file_behind(kind, task_id, name)
        if path is None:
            return NOT_FOUND
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        content = path.read_bytes()
        if is_large(task_id) and path.suffix == ".mp3":
            content = enlarged(content)
        return PlainResponse(200, {"content-type": content_type}, content)

    def _receive(self, request: Request, name: str, now_ms: int) -> PlainResponse:
        nth = self._books.count_arrival(name)
        if nth is None:
            return NOT_FOUND
        refusing, number = nth
        status = 503 if number <= refusing else 204
        self._books.keep(name, f"{now_ms}#{request.request_id}", request.headers, request.body, status)
        return PlainResponse(status)


def view_of(plan: PlannedTask, assets_url: str, now_ms: int) -> TaskSnapshot:
    """Return a task as its provider sees it now: queued for a fifth of its time, at work, ended."""
    ended_ms = plan.begun_ms + plan.seconds * 1000
    if now_ms >= ended_ms:
        phase = Phase.COMPLETED if plan.fails_for is None else Phase.FAILED
    elif now_ms - plan.begun_ms < plan.seconds * 200:
        phase = Phase.QUEUED
    else:
        phase = Phase.PROCESSING
    count = CLIPS_OF_A_SUCCESS[plan.kind] if phase is Phase.COMPLETED and not plan.lyrics else 0
    return TaskSnapshot(
        task_id=plan.task_id,
        phase=phase,
        word=None,
        reason=(plan.fails_for or "") if phase is Phase.FAILED else "",
        song=Song(title=plan.title),
        video=plan.video,
        lyrics=plan.lyrics,
        clips=tuple(Clip(plan.kind, plan.task_id, index) for index in range(count)),
        assets_url=assets_url,
        submitted_at=_moment(plan.begun_ms),
        updated_at=_moment(min(now_ms, ended_ms)),
        now=_moment(now_ms),
        ended_at=_moment(ended_ms) if phase.final else None,
    )


def enlarged(content: bytes) -> bytes:
    """Return a recording again and again, of `LARGE_BYTES`: frames of MPEG audio may follow each other so."""
    return (content * (LARGE_BYTES // len(content) + 1))[:LARGE_BYTES]


def response_of(content: PlainResponse) -> dict[str, Any]:
    """Write an answer as a function URL takes it."""
    return {
        "statusCode": content.status,
        "headers": dict(content.headers),
        "body": base64.b64encode(content.body).decode(),
        "isBase64Encoded": True,
    }


def _moment(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@cache
def _sandbox() -> Sandbox:
    def open_books() -> Books:
        import boto3

        return Books(boto3.client("dynamodb"), os.environ["BOOKS_TABLE"])

    return Sandbox(open_books, os.environ["PATH_KEY"], os.environ["API_KEY"])


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request of the function URL."""
    return response_of(_sandbox().answer(Request.of(event), time.time_ns() // 1_000_000))
