"""The asset host of a run: it serves files, does wrong what is planned, and keeps a book of every answer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web
from tests.stack.faults.media import Media
from tests.stack.faults.plan import AssetTrouble
from tests.stack.faults.troubles import DIFFERS

from tunehook_local.sandbox import Kind, parse
from tunehook_local.sandbox.answer_sequence import AnswerSequence
from tunehook_local.sandbox.clips import file_behind
from tunehook_local.sandbox.ledger import utc_now
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.respond import respond
from tunehook_local.sandbox.scenario import AssetRule
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer

_TYPES: Final = {"mp3": "audio/mpeg", "jpeg": "image/jpeg", "mp4": "video/mp4"}
_REST: Final = re.compile(r"bytes=(\d+)-")
_PIECE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Served:
    """An answer of the asset host.

    Attributes
    ----------
    path : str
        What follows ``/assets/``.
    at : datetime
        When it was asked.
    status : int or None
        The answer's; None if there was none.
    start : int
        From which byte of the file on the answer has it.
    sent : int
        How many bytes of a file were sent; those of an answer that its client did not wait for do not count.
    whole : bool
        Whether who has the bytes before `start` has the whole file now, by the length that was announced.
    sha256 : str or None
        The digest of that file in hexadecimal. Where too few bytes were announced it is a shorter one.
    """

    path: str
    at: datetime
    status: int | None
    start: int
    sent: int
    whole: bool
    sha256: str | None


@dataclass(slots=True)
class _Entry:
    path: str
    at: datetime
    status: int | None = None
    start: int = 0
    sent: int = 0
    whole_bytes: int | None = None
    version: int = 0


class AssetHost:
    """Serves the files of a run at ``/assets/<path>``.

    Parameters
    ----------
    media : Media
        The files.
    troubles : iterable of AssetTrouble
        What goes wrong with which.
    """

    def __init__(self, media: Media, troubles: Iterable[AssetTrouble]) -> None:
        self._media = media
        self._troubles = {trouble.path: trouble for trouble in troubles}
        self._playbacks: dict[str, AnswerSequence[ScriptedAnswer]] = {}
        self._entries: defaultdict[str, list[_Entry]] = defaultdict(list)

    def add_routes(self, app: web.Application) -> None:
        """Put the host's paths into `app`."""
        app.router.add_get(f"/assets/{{kind:{'|'.join(Kind)}}}/{{task_id}}/{{name}}", self._handle)

    def served(self, path: str | None = None) -> list[Served]:
        """Return the answers to the questions for a file, or for any, in the order of the questions."""
        return list(self._served(path))

    def _served(self, path: str | None) -> Iterator[Served]:
        for asked in list(self._entries) if path is None else [path]:
            for entry in list(self._entries.get(asked, ())):
                whole_bytes = entry.whole_bytes
                yield Served(
                    path=entry.path,
                    at=entry.at,
                    status=entry.status,
                    start=entry.start,
                    sent=entry.sent,
                    whole=whole_bytes is not None,
                    sha256=None
                    if whole_bytes is None
                    else self._media.sha256(entry.path, whole_bytes, entry.version),
                )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        kind, task_id, name = (request.match_info[part] for part in ("kind", "task_id", "name"))
        if file_behind(Kind(kind), task_id, name) is None:
            raise web.HTTPNotFound
        path = f"{kind}/{task_id}/{name}"
        entry = _Entry(path, utc_now(), version=self._version(path))
        self._entries[path].append(entry)
        body = self._media.body(path, entry.version)
        etag = self._etag(path, entry.version)
        start = _start_of(request, etag)
        answer = self._play(path)
        if answer is not None and answer.status is not None:
            response = await respond(request, PlainResponse(), answer)
            entry.status = response.status
            return response
        if start >= len(body):
            entry.status = 416
            return web.Response(status=416, headers={"content-range": f"bytes */{len(body)}"})
        headers = {"content-type": _TYPES[name.rpartition(".")[2]]}
        if etag is not None:
            headers |= {"etag": etag, "accept-ranges": "bytes"}
        if start:
            headers["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        entry.start = start
        content = PlainResponse(206 if start else 200, headers, body[start:])
        if answer is None:
            return await _serve(request, content, entry)
        return await _disturb(request, content, answer, entry)

    def _version(self, path: str) -> int:
        """Return which version of a file the next answer has: where it differs a download, one more each time."""
        trouble = self._troubles.get(path)
        differs = trouble is not None and trouble.word == DIFFERS
        return len(self._entries[path]) if differs else 0

    def _etag(self, path: str, version: int) -> str | None:
        trouble = self._troubles.get(path)
        return f'"{path} {version}"' if trouble is None or trouble.resumable else None

    def _play(self, path: str) -> ScriptedAnswer | None:
        trouble = self._troubles.get(path)
        if trouble is None:
            return None
        if path not in self._playbacks:
            rule = parse(AssetRule, {"answers": trouble.answers})
            self._playbacks[path] = AnswerSequence(rule.answers, utc_now(), 0)
        return self._playbacks[path].take(utc_now())


def _start_of(request: web.Request, etag: str | None) -> int:
    """Return from which byte on the rest of a file is asked for; a host without ETags gives all of it."""
    rest = _REST.fullmatch(request.headers.get("range", ""))
    if rest is None or etag is None or request.headers.get("if-range", etag) != etag:
        return 0
    return int(rest[1])


async def _serve(request: web.Request, content: PlainResponse, entry: _Entry) -> web.StreamResponse:
    headers = {**content.headers, "content-length": str(len(content.body))}
    response = web.StreamResponse(status=content.status, headers=headers)
    await response.prepare(request)
    entry.status = content.status
    body = memoryview(content.body)
    for start in range(0, len(body), _PIECE_BYTES):
        piece = body[start : start + _PIECE_BYTES]
        await response.write(piece)
        entry.sent += len(piece)
    await response.write_eof()
    entry.whole_bytes = entry.start + len(body)
    return response


async def _disturb(
    request: web.Request, content: PlainResponse, answer: ScriptedAnswer, entry: _Entry
) -> web.StreamResponse:
    response = await respond(request, content, answer)
    if answer.reset and answer.cut_after_bytes is None:
        return response
    if not response.prepared:
        await response.prepare(request)
        await response.write_eof()
    length = len(content.body)
    announced = max(0, length + answer.length_off_by)
    sent = length if answer.cut_after_bytes is None else min(answer.cut_after_bytes, length)
    entry.status = response.status
    entry.sent = sent
    # In chunks, what ends without the last one has not come to its end.
    lacks_its_end = answer.chunked and answer.cut_after_bytes is not None
    if sent >= announced and not lacks_its_end:
        entry.whole_bytes = entry.start + announced
    return response
