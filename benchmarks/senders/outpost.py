"""Hookdeck Outpost, self-hosted: a tenant for the run, and a destination for each endpoint."""

from __future__ import annotations

import uuid

import aiohttp

from benchmarks.senders.adapter import EVENT_TYPE, Endpoint, JsonApi, bearer


class Outpost:
    """Follows ``docs/apis/openapi.yaml`` (document version 0.0.1) of hookdeck/outpost at f67ae011, after v1.2.0.

    ``PUT /tenants/{tenant_id}``, ``POST /tenants/{tenant_id}/destinations``, ``POST /publish`` to one destination
    (accepted: 202), ``DELETE .../destinations/{destination_id}`` and ``DELETE /tenants/{tenant_id}``, below ``/api/v1``
    as the server has them.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        Of the server, without a path.
    key : str
        Its ``API_KEY``.
    """

    name = "outpost"
    settle_s = 2.0

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._api = JsonApi(session, f"{url.rstrip('/')}/api/v1", bearer(key))
        self._tenant = ""

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make the tenant if this is the first endpoint, and the destination."""
        if not self._tenant:
            tenant = f"senders-{uuid.uuid4().hex[:12]}"
            await self._api("PUT", f"/tenants/{tenant}")
            self._tenant = tenant
        made = await self._api(
            "POST",
            f"/tenants/{self._tenant}/destinations",
            {"type": "webhook", "topics": [EVENT_TYPE], "config": {"url": url}},
        )
        return Endpoint(name, made["id"], made.get("credentials", {}).get("secret"))

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Publish an event."""
        await self._api(
            "POST",
            "/publish",
            {
                "id": event_id,
                "tenant_id": self._tenant,
                "destination_id": endpoint.id,
                "topic": EVENT_TYPE,
                "eligible_for_retry": True,
                "data": {"id": event_id, "text": text},
            },
        )

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove a destination."""
        await self._api("DELETE", f"/tenants/{self._tenant}/destinations/{endpoint.id}")

    async def close(self) -> None:
        """Remove the tenant."""
        if self._tenant:
            await self._api("DELETE", f"/tenants/{self._tenant}")
