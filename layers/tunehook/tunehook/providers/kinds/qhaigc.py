"""qhaigc: one task a query, `GET /v1/music/tasks/{id}`."""

from __future__ import annotations

from tunehook.providers.adapter import Request, encoded_id
from tunehook.providers.newapi import NewApiAdapter


class Qhaigc(NewApiAdapter):
    """Clips are in camel case; no query-many is known."""

    kind = "qhaigc"

    def request(self, task_id: str) -> Request:
        return Request("GET", f"/v1/music/tasks/{encoded_id(task_id)}")


ADAPTER = Qhaigc()
