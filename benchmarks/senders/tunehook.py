"""tunehook: a subscription with a filter for each endpoint; an event is a task whose first answer ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from benchmarks.senders.adapter import EVENT_TYPE, Endpoint, JsonApi, Refused, bearer, remove_all
from tunehook_local.sandbox import Scenario, parse

REASON: Final = "the provider failed it"
SCENARIO: Final = parse(
    Scenario,
    {
        "tasks": [
            {
                "kind": "suno",
                "task_id": "senders-*",
                "answers": [{"phase": "failed", "reason": REASON}],
            }
        ]
    },
)
"""A provider whose tasks have failed when they are first asked about: no files, one event."""

AT_ONCE: Final = 8
"""Requests at once that hand over what is held."""

_TRIES: Final = 20
_PAUSE_S: Final = 2.0
_LOOKS: Final = 1_800
_AGAIN: Final = {
    0,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class Tunehook:
    """Follows ``docs/api/openapi.json`` (document version 1.0.0) of this repository.

    ``POST /v1/subscriptions``, ``POST /v1/tasks`` (accepted: 201), ``GET /v1/status``,
    ``POST /v1/subscriptions/{subscription_id}/recover`` and ``DELETE /v1/subscriptions/{subscription_id}``.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        The stack's output ``ApiUrl``.
    key : str
        An API key of the scope ``admin``.
    provider : str
        A provider of the deployment, of kind ``suno``, that answers by `SCENARIO`.
    """

    name = "tunehook"
    settle_s = 20.0  # a subscription takes effect within 15 s (docs/api.md)

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, provider: str) -> None:
        self._api = JsonApi(session, f"{url.rstrip('/')}/v1", bearer(key))
        self._provider = provider
        self._endpoints: list[Endpoint] = []
        self._since = ""

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make a subscription to the tasks that name the endpoint in their metadata."""
        made = await self._api(
            "POST",
            "/subscriptions",
            {"url": url, "events": [EVENT_TYPE], "filter": {"metadata": {"endpoint": [name]}}},
        )
        endpoint = Endpoint(name, made["subscription_id"], made["signing_secret"])
        self._endpoints.append(endpoint)
        return endpoint

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Put a task."""
        await self._put(endpoint.name, event_id, text)

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove a subscription."""
        await self._api("DELETE", f"/subscriptions/{endpoint.id}")
        self._endpoints.remove(endpoint)

    async def close(self) -> None:
        """Remove the subscriptions that are left."""
        await remove_all(self, self._endpoints)

    async def hold(self, name: str, event_ids: Collection[str], text: str) -> None:
        """Put tasks that no subscription wants yet, and wait until all have ended."""
        self._since = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
        waiting = iter(event_ids)

        async def put() -> None:
            for event_id in waiting:
                await _persistently(lambda event_id=event_id: self._put(name, event_id, text))  # type: ignore[misc]

        await asyncio.gather(*(put() for _ in range(AT_ONCE)))
        for _ in range(_LOOKS):
            if not await self._pending():
                return
            await asyncio.sleep(_PAUSE_S)
        raise Refused("GET /status", 0, "tasks have not ended")

    async def release(self, name: str, url: str) -> tuple[Endpoint, float]:
        """Make the subscription, and recover what it has missed."""
        endpoint = await self.add_endpoint(name, url)
        await asyncio.sleep(self.settle_s)
        began_s = time.monotonic()
        await _persistently(
            lambda: self._api("POST", f"/subscriptions/{endpoint.id}/recover", {"since": self._since})
        )
        return endpoint, began_s

    async def _put(self, name: str, event_id: str, text: str) -> None:
        metadata = {"endpoint": name, "text": text}
        await self._api(
            "POST", "/tasks", {"provider": self._provider, "task_id": event_id, "metadata": metadata}
        )

    async def _pending(self) -> int:
        """Return how many tasks have not ended, or whose end is not told."""
        status = await _persistently(lambda: self._api("GET", "/status"))
        tasks = status["tasks"]
        return int(tasks["pending"]) + int(tasks["event_not_out"]) if "pending" in tasks else 1


async def _persistently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again, a bounded number of times, while the API has too much to do."""
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except Refused as refused:
            if refused.status not in _AGAIN:
                raise
            await asyncio.sleep(_PAUSE_S)
    return await call()
