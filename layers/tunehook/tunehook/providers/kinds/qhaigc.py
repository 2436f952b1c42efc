"""qhaigc: one task a query, `GET /v1/music/tasks/{id}`; submitted by `POST /v1/music/generations`."""

from __future__ import annotations

from types import MappingProxyType

from tunehook.providers.adapter import Request, encoded_id
from tunehook.providers.newapi import NewApiAdapter


class Qhaigc(NewApiAdapter):
    """Clips are in camel case; no query-many is known."""

    kind = "qhaigc"
    actions = MappingProxyType({"music": "/v1/music/generations"})

    def request(self, task_id: str) -> Request:
        return Request("GET", f"/v1/music/tasks/{encoded_id(task_id)}")


ADAPTER = Qhaigc()
