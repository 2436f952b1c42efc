"""suno: any gateway of the new-api / Suno-API family.

`GET /suno/fetch/{id}`, `POST /suno/fetch`; submitted by `POST /suno/submit/{action}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tunehook.cadence import GATEWAY, GATEWAY_ONE_BY_ONE
from tunehook.providers import coerce
from tunehook.providers.adapter import Answer, Request, Screening, encoded_id
from tunehook.providers.newapi import NewApiAdapter, read_task
from tunehook.providers.outcomes import Outcome
from tunehook.providers.results import unwrapped

_MAX_ID = 512


class Suno(NewApiAdapter):
    """Query-many answers with whole tasks, in any order, and leaves unknown ids out."""

    kind = "suno"
    ids_per_call = 100
    pace = GATEWAY
    pace_one_by_one = GATEWAY_ONE_BY_ONE
    actions = MappingProxyType({"music": "/suno/submit/music", "lyrics": "/suno/submit/lyrics"})
    callback_field = "notify_hook"

    def request(self, task_id: str) -> Request:
        return Request("GET", f"/suno/fetch/{encoded_id(task_id)}")

    def many_request(self, task_ids: Sequence[str], _page: int, /) -> Request:
        """Return the request for up to 100 tasks, which has one page."""
        return Request("POST", "/suno/fetch", {"ids": list(task_ids)})

    def read_many_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Screening | Outcome | None:
        """Read the list of tasks; `data: null` is an empty one."""
        data = unwrapped(payload.get("data"))
        if not self.worked(answer.status, payload) or not isinstance(data, list | None):
            return None
        tasks = ((coerce.first(task, "task_id", "taskId"), task) for task in coerce.objects(data))
        named = ((coerce.text(task_id, _MAX_ID), task) for task_id, task in tasks)
        return Screening({task_id: read_task(task, answer.origin) for task_id, task in named if task_id})


ADAPTER = Suno()
