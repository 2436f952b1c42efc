"""Who was told of a task while its files were still waited for: a note in S3, written before anybody is told.

It outlives what else might say it: the task may be put again, and a subscription may be changed, before the files are
settled. Several passes may write it at once, each under the condition that nobody else has since it read it.
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
    """Who may have been told by now, and of whom the messages are known to be on the queue; subscriptions' ids."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    receivers: frozenset[str] = frozenset()
    sent: frozenset[str] = frozenset()

    @property
    def is_done(self) -> bool:
        """Whether somebody was to be told, and all who were have been."""
        return bool(self.receivers) and self.receivers <= self.sent


@dataclass(frozen=True, slots=True)
class Notices:
    """The notices, in the results bucket, where they expire."""

    results: Results

    async def read(self, event_id: str) -> Notice:
        """Return the notice about an event, empty if there is none."""
        return (await self._read(event_id))[0]

    async def add(self, event_id: str, *, receivers: Iterable[str] = (), sent: Iterable[str] = ()) -> Notice:
        """Add to the notice about an event, and return what it says then.

        Raises
        ------
        Unavailable
            If others have written it each time.
        """
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
        found = await self.results.read(notice_key(event_id))
        if found is None:
            return Notice(), None
        try:
            return Notice.model_validate_json(found[0]), found[1]
        except ValidationError:  # what somebody else has put there is none
            return Notice(), found[1]
