"""A recipe of a task API that there is not, and its answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tunehook.providers.adapter import Answer
from tunehook.providers.recipes.described import DescribedAdapter
from tunehook.providers.recipes.recipe_file import read_recipe

NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)

TEXT = """
about = "An API that there is not"
base_url = "https://api.h.example/base"
headers = { x-version = "3" }

[ask]
path = "/tasks/{task_id}?full=1"

[task]
object = "data"
status = ["status", "state"]
reason = ["error.message", "error"]
submitted_at = "created"

[words]
queued = ["waiting in line"]
processing = ["running", 1]
succeeded = ["done", true, 2]
failed = ["broken"]

[clips]
each = ["songs", "song"]
id = "id"
title = ["title", "$.title"]
duration_s = "length"
audio_url = "url"
stream_url = "stream"
text = "words"

[answers]
code = ["code", "error.code"]
not_found = { statuses = [404], codes = ["no_task", 7] }
throttled = { statuses = [420], codes = ["slow down"] }
refused = { statuses = [402], codes = ["bad_key"] }
"""


def adapter(text: str = TEXT) -> DescribedAdapter:
    return DescribedAdapter(read_recipe(text))


def replaced(*changes: tuple[str, str], text: str = TEXT) -> str:
    """The recipe with texts of it replaced; each must be there."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, content, NOW, "sk-0123456789", "https://api.h.example/base")


def task(status: Any, **fields: Any) -> dict[str, Any]:
    return {"data": {"status": status, **fields}}
