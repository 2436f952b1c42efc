"""Convoy: endpoints and their subscriptions in a project that is there."""

from __future__ import annotations

import aiohttp

from benchmarks.senders.adapter import EVENT_TYPE, Endpoint, JsonApi, bearer, remove_all
from benchmarks.senders.books import uuid_of

_RATE: tuple[int, int] = (1_000_000, 1)
"""Requests, and the seconds that they may go out in: a project's own limit would be what is measured."""


class Convoy:
    """Follows ``docs/v3/openapi3.json`` (document version 26.3.5) of frain-dev/convoy at 2b60cc652, VERSION v26.6.6.

    ``POST /v1/projects/{projectID}/endpoints``, ``.../subscriptions`` and ``.../events`` (accepted: 201), and
    ``DELETE`` of an endpoint, below ``/api`` as the server has them.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        Of the server, without a path.
    key : str
        An API key of the project.
    project : str
        The id of an outgoing project.
    """

    name = "convoy"
    settle_s = 15.0  # an agent reads new subscriptions every 10 s (cmd/agent)

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, project: str) -> None:
        self._api = JsonApi(session, f"{url.rstrip('/')}/api/v1/projects/{project}", bearer(key))
        self._endpoints: list[Endpoint] = []

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make an endpoint and the subscription that gives it its events."""
        requests, seconds = _RATE
        made = await self._api(
            "POST",
            "/endpoints",
            {
                "name": f"senders-{name}",
                "url": url,
                "rate_limit": requests,
                "rate_limit_duration": seconds,
            },
        )
        data = made["data"]
        secrets = data.get("secrets") or [{}]
        endpoint = Endpoint(name, data["uid"], secrets[-1].get("value"))
        self._endpoints.append(endpoint)
        await self._api(
            "POST",
            "/subscriptions",
            {
                "name": f"senders-{name}",
                "endpoint_id": endpoint.id,
                "filter_config": {"event_types": [EVENT_TYPE]},
            },
        )
        return endpoint

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Create an event of one endpoint."""
        await self._api(
            "POST",
            "/events",
            {
                "endpoint_id": endpoint.id,
                "event_type": EVENT_TYPE,
                "idempotency_key": uuid_of(event_id),
                "data": {"id": event_id, "text": text},
            },
        )

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint, and with it its subscription."""
        await self._api("DELETE", f"/endpoints/{endpoint.id}")
        self._endpoints.remove(endpoint)

    async def close(self) -> None:
        """Remove the endpoints that are left."""
        await remove_all(self, self._endpoints)
