"""Who was told of a task while its files were pending: a notice in S3, written before anybody is told.

It outlives task and subscription, which may be changed before the files are settled. Several passes may write it at
once, each on condition that nobody else has since it was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from fulfillment.results import PreconditionFailed, Results
from tunehook.errors import Unavailable
from tunehook.result_keys import notice_key

_ROUNDS: Final = 5


class Notice(BaseModel):
    """The ids of the subscriptions that may have been told, and of those whose messages are on the queue."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    receivers: frozenset[str] = frozenset()
    sent: frozenset[str] = frozenset()

    @property
    def is_done(self) -> bool:
        """Whether all who were to be told have been."""
        return bool(self.receivers) and self.receivers <= self.sent


@dataclass(frozen=True, slots=True)
class Notices:
    """The notices, in the results bucket, where they expire."""

    results: Results

    async def read(self, event_id: str) -> Notice:
        """Return the notice about an event, empty if there is none."""
        return (await self._read(event_id))[0]

    async def add(self, event_id: str, *, receivers: Iterable[str] = (), sent: Iterable[str] = ()) -> Notice:
        """Add to the notice about an event, and return it; raise `Unavailable` if others have written it each time."""
        for _ in range(_ROUNDS):
            notice, etag = await self._read(event_id)
            more = Notice(receivers=notice.receivers.union(receivers), sent=notice.sent.union(sent))
            if more == notice:
                return notice
            try:
                body = more.model_dump_json().encode()
                await self.results.put(notice_key(event_id), body, etag, ContentType="application/json")
            except PreconditionFailed:
                continue
            return more
        raise Unavailable("the notice was written by others each time")

    async def _read(self, event_id: str) -> tuple[Notice, str | None]:
        body, etag = await self.results.read(notice_key(event_id)) or (b"", None)
        try:
            return Notice.model_validate_json(body), etag
        except ValidationError:  # none yet, or what somebody else has put there
            return Notice(), etag
