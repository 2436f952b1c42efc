"""Svix, open source: an application for the run, and a channel for each endpoint."""

from __future__ import annotations

import uuid

import aiohttp

from benchmarks.senders.adapter import EVENT_TYPE, Endpoint, JsonApi, bearer


class Svix:
    """Follows ``server/openapi.json`` (document version 1.1.1) of svix/svix-webhooks at 4fc0cfb8b, svix-server 1.100.0.

    ``POST /api/v1/app``, ``POST /api/v1/app/{app_id}/endpoint``, ``GET .../endpoint/{endpoint_id}/secret``,
    ``POST /api/v1/app/{app_id}/msg`` (accepted: 202), ``DELETE /api/v1/app/{app_id}/endpoint/{endpoint_id}`` and
    ``DELETE /api/v1/app/{app_id}``. An endpoint with a channel gets the messages of that channel alone.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        Of the server, without a path.
    key : str
        A token, as ``svix-server jwt generate`` prints it.
    """

    name = "svix"
    settle_s = 35.0  # a worker of another process keeps an application's endpoints for 30 s (worker.rs)

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._api = JsonApi(session, url, bearer(key))
        self._app = ""

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make the application if this is the first endpoint, and the endpoint."""
        if not self._app:
            made = await self._api("POST", "/api/v1/app", {"name": f"senders-{uuid.uuid4().hex[:12]}"})
            self._app = made["id"]
        endpoints = f"/api/v1/app/{self._app}/endpoint"
        made = await self._api("POST", endpoints, {"url": url, "channels": [name]})
        secret = await self._api("GET", f"{endpoints}/{made['id']}/secret")
        return Endpoint(name, made["id"], secret["key"])

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Create a message."""
        await self._api(
            "POST",
            f"/api/v1/app/{self._app}/msg",
            {
                "eventType": EVENT_TYPE,
                "eventId": event_id,
                "channels": [endpoint.name],
                "payload": {"id": event_id, "text": text},
            },
            query={"with_content": "false"},
        )

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint."""
        await self._api("DELETE", f"/api/v1/app/{self._app}/endpoint/{endpoint.id}")

    async def close(self) -> None:
        """Remove the application."""
        if self._app:
            await self._api("DELETE", f"/api/v1/app/{self._app}")
