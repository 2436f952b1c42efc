"""The event bus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.messages import LightEventBridge
from tunehook.aws.resend import resend, resend_in_loop
from tunehook.events import SOURCE, size_of

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

_ENTRIES_MAX: Final = 10
_REQUEST_MAX_BYTES: Final = 240_000


class EventBus:
    """The bus that tunehook's events are emitted to."""

    def __init__(self, client: EventBridgeClient, name: str) -> None:
        # The client's stubs do not know requests that are put together.
        self._client: Any = client
        self._name = name

    def put(self, events: Sequence[BaseModel]) -> list[bool]:
        """Emit events of the models in `tunehook.events`, in as few calls as the service's limits allow.

        A model's name is its detail type. Entries that an answer with status 200 refuses are sent again. Return for
        each event whether the bus has it; after a call that failed, those behind it are not tried. Raise the error of
        boto3 if a call failed before the bus had any event.
        """
        accepted = [False] * len(events)
        try:
            for batch in _batches(events):
                resend(lambda waiting: self._put_batch(events, waiting, accepted), batch)
        except AWS_FAULTS:
            if not any(accepted):
                raise
        return accepted

    async def put_in_loop(self, events: Sequence[BaseModel]) -> list[bool]:
        """Emit events as `put` does, from the event loop, and without a thread where the client can do that."""
        accepted = [False] * len(events)

        async def put_batch(positions: list[int]) -> list[int]:
            request = self._request(events, positions)
            if isinstance(self._client, LightEventBridge):
                answer = await self._client.put_events_in_loop(**request)
            else:
                answer = await asyncio.to_thread(self._client.put_events, **request)
            return _refused(answer, positions, accepted)

        try:
            for batch in _batches(events):
                await resend_in_loop(put_batch, batch)
        except AWS_FAULTS:
            if not any(accepted):
                raise
        return accepted

    def _put_batch(
        self, events: Sequence[BaseModel], positions: list[int], accepted: list[bool]
    ) -> list[int]:
        answer = self._client.put_events(**self._request(events, positions))
        return _refused(answer, positions, accepted)

    def _request(self, events: Sequence[BaseModel], positions: list[int]) -> dict[str, Any]:
        entries = [
            {
                "EventBusName": self._name,
                "Source": SOURCE,
                "DetailType": type(events[position]).__name__,
                "Detail": events[position].model_dump_json(),
            }
            for position in positions
        ]
        return {"Entries": entries}


def _refused(answer: Mapping[str, Any], positions: list[int], accepted: list[bool]) -> list[int]:
    """Note which events an answer accepts, and return the positions of the others."""
    for position, entry in zip(positions, answer["Entries"], strict=True):
        accepted[position] = "ErrorCode" not in entry
    return [position for position in positions if not accepted[position]]


def _batches(events: Sequence[BaseModel]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for position, event in enumerate(events):
        event_size = size_of(event)
        if batch and (len(batch) == _ENTRIES_MAX or size + event_size > _REQUEST_MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += event_size
    if batch:
        yield batch
