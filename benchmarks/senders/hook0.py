"""hook0: subscriptions by label in an application that is there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

import aiohttp

from benchmarks.senders.adapter import Endpoint, JsonApi, bearer, remove_all
from benchmarks.senders.books import uuid_of

_LABEL: Final = "endpoint"
_TYPE: Final = {"service": "senders", "resource_type": "task", "verb": "failed"}


class Hook0:
    """Follows ``api/openapi.snapshot.json`` (document version 1.0.2) of hook0/hook0 at 86a9d665, hook0-api 1.0.2.

    ``POST /api/v1/event_types/`` (also if it is there), ``POST /api/v1/subscriptions/``, ``POST /api/v1/event/``
    (accepted: 201) and ``DELETE /api/v1/subscriptions/{subscription_id}``. Subscriptions choose events by labels.

    Parameters
    ----------
    session : aiohttp.ClientSession
    url : str
        Of the API, without a path.
    key : str
        A service token or an application's secret.
    application : str
        The id of the application, a UUID.
    """

    name = "hook0"
    settle_s = 2.0

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, application: str) -> None:
        self._api = JsonApi(session, f"{url.rstrip('/')}/api/v1", bearer(key))
        self._application = {"application_id": application}
        self._type = ""
        self._endpoints: list[Endpoint] = []

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Make the event type if this is the first endpoint, and the subscription."""
        if not self._type:
            made = await self._api("POST", "/event_types/", self._application | _TYPE)
            self._type = made["event_type_name"]
        made = await self._api(
            "POST",
            "/subscriptions/",
            self._application
            | {
                "event_types": [self._type],
                "is_enabled": True,
                "labels": {_LABEL: name},
                "target": {"type": "http", "method": "POST", "url": url, "headers": {}},
            },
        )
        endpoint = Endpoint(name, made["subscription_id"], made["secret"])
        self._endpoints.append(endpoint)
        return endpoint

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Ingest an event."""
        await self._api(
            "POST",
            "/event/",
            self._application
            | {
                "event_id": uuid_of(event_id),
                "event_type": self._type,
                "labels": {_LABEL: endpoint.name},
                "occurred_at": datetime.now(UTC).isoformat(),
                "payload": json.dumps({"id": event_id, "text": text}),
                "payload_content_type": "application/json",
            },
        )

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Remove a subscription."""
        await self._api("DELETE", f"/subscriptions/{endpoint.id}", query=self._application)
        self._endpoints.remove(endpoint)

    async def close(self) -> None:
        """Remove the subscriptions that are left."""
        await remove_all(self, self._endpoints)
