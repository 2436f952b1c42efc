"""Recipes for tests of what is around them."""

from __future__ import annotations

from typing import Any

BASE_URL = "https://api.example.com"

RECIPE: dict[str, Any] = {
    "about": "An API of the tests",
    "base_url": BASE_URL,
    "ask": {"path": "/tasks/{task_id}"},
    "task": {"status": "status", "reason": "error"},
    "words": {"queued": ["waiting"], "processing": ["running"], "succeeded": ["done"], "failed": ["broken"]},
    "clips": {"each": "songs", "id": "id", "title": "name", "audio_url": "url"},
}

TOML = """\
about = "An API of the tests"
base_url = "https://api.example.com"

[ask]
path = "/tasks/{task_id}"

[task]
status = "status"
reason = "error"

[words]
queued = ["waiting"]
processing = ["running"]
succeeded = ["done"]
failed = ["broken"]

[clips]
each = "songs"
id = "id"
title = "name"
audio_url = "url"
"""
"""The same, as it is written."""

IN_TWO_QUESTIONS: dict[str, Any] = RECIPE | {"result": {"path": "/tasks/{task_id}/result"}}
"""A recipe of an API that says in a second answer what a task has made."""

KEY_IN_QUERY: dict[str, Any] = RECIPE | {"key": {"in": "query", "name": "api_key"}}

ENTRY: dict[str, Any] = {"kind": "described", "recipe": RECIPE, "api_key": "sk-0123456789abcdef"}

DONE: dict[str, Any] = {
    "status": "done",
    "songs": [{"id": "s1", "name": "Rain", "url": f"{BASE_URL}/s1.mp3"}],
}
"""The answer about a task that has ended well."""

SUNO = """\
about = "The sandbox's gateway, as a recipe"

[ask]
path = "/suno/fetch/{task_id}"

[submit]
actions = { music = "/suno/submit/music" }
callback = "notify_hook"
id = "data"

[task]
object = "data"
status = "status"
reason = "fail_reason"
submitted_at = "submit_time"
time_unit = "s"

[words]
queued = ["NOT_START", "SUBMITTED", "QUEUED"]
processing = ["IN_PROGRESS"]
succeeded = ["SUCCESS"]
failed = ["FAILURE"]

[clips]
each = "data"
id = "id"
title = "title"
audio_url = "audio_url"
"""
"""A recipe for a gateway that also has a kind, as the sandbox plays it."""
