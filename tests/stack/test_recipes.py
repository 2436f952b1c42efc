"""A provider that a recipe describes, on a deployed stack: from the command to the webhook."""

from __future__ import annotations

import json
from pathlib import Path

from tests.stack.commanding import Command
from tests.stack.driving import DeployedStack, eventually, webhooks_about
from tests.support.recipes import SUNO

from tunehook_local.sandbox import Kind, Sandbox


def test_a_task_of_a_described_provider_ends_and_is_told_of_with_its_files(
    stack: DeployedStack, sandbox: Sandbox, unique: str, tmp_path: Path
) -> None:
    tunehook, name, task_id = Command(stack), f"described-{unique}", f"task-{unique}"
    recipe, known = tmp_path / "mine.toml", sandbox.providers_secret()["suno"]
    recipe.write_text(SUNO, encoding="utf-8")
    where = ("--recipe", str(recipe), "--base-url", known["base_url"], "--api-key", known["api_key"])
    done = tunehook("providers", "set", name, *where, "--json")
    assert (tunehook.status, done and done["recipe"]) == (0, "own"), tunehook.errors

    try:
        sandbox.create_task(Kind.SUNO, task_id, age_s=60)
        stack.put("TasksTable", task_id=task_id, provider=name)
        assert stack.ended_task(task_id, name)["status"] == "completed"
        (told,) = eventually(lambda: webhooks_about(sandbox, "main", task_id), moved=stack.moved)
    finally:
        tunehook("providers", "remove", name, "--yes")

    clips = json.loads(told.body)["data"]["clips"]
    assert clips
    assert {asset["status"] for clip in clips for asset in clip["assets"]} == {"archived"}
