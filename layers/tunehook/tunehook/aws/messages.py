"""Light clients of EventBridge and SQS: the calls by which events and messages are sent."""

from __future__ import annotations

from typing import Any

from tunehook.aws.light import LightClient


class LightEventBridge(LightClient):
    """A client of EventBridge; threads may share it."""

    def put_events(self, **request: Any) -> dict[str, Any]:
        return self._call("PutEvents", request)

    async def put_events_in_loop(self, **request: Any) -> dict[str, Any]:
        """Do as `put_events` does, from the event loop and without a thread."""
        return await self._call_in_loop("PutEvents", request)


class LightSQS(LightClient):
    """A client of SQS; threads may share it."""

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("SendMessageBatch", request)

    async def send_message_batch_in_loop(self, **request: Any) -> dict[str, Any]:
        """Do as `send_message_batch` does, from the event loop and without a thread."""
        return await self._call_in_loop("SendMessageBatch", request)
