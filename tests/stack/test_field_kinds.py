"""What gateways and hosts really do, on the embedded stack: one run of the sandbox, a task a kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stack.driving import DeployedStack, eventually, webhooks_about

from tunehook_cli import sandbox as sandbox_package
from tunehook_cli.sandbox import Sandbox, run_sandbox

SCENARIO = Path(sandbox_package.__file__).with_name("scenarios") / "kinds.toml"
KINDS = ("lyrics", "quota", "failure", "refused", "m4a", "signed")


class Run:
    """A task a kind, each of a provider of its own, so that a refused key holds up no other."""

    def __init__(self, stack: DeployedStack, sandbox: Sandbox) -> None:
        self.stack = stack
        self.sandbox = sandbox
        self.last_errors: dict[str, set[str]] = {kind: set() for kind in KINDS}

    def begin(self) -> None:
        for kind in KINDS:
            hook = self.sandbox.receiver_url("kinds")
            self.stack.put(
                "TasksTable", task_id=kind, provider=f"kind-{kind}", timeout_s=60, notify_hook=hook
            )

    def ended(self) -> dict[str, dict[str, Any]] | None:
        items = {kind: self.stack.task(kind, f"kind-{kind}") for kind in KINDS}
        for kind, item in items.items():
            if item.get("status") == "pending" and "last_error" in item:
                self.last_errors[kind].add(item["last_error"])
        return items if all(item.get("status") not in (None, "pending") for item in items.values()) else None

    def told(self, kind: str) -> dict[str, Any]:
        (request,) = eventually(lambda: webhooks_about(self.sandbox, "kinds", kind), within_s=30)
        told: dict[str, Any] = json.loads(request.body)
        return told


@pytest.fixture(scope="module")
def run(stack: DeployedStack) -> Iterator[Run]:
    with run_sandbox(SCENARIO) as sandbox:
        base_url = sandbox.base_url("suno")
        providers = {
            f"kind-{kind}": {"kind": "suno", "base_url": base_url, "api_key": "sandbox-key-suno"}
            for kind in KINDS
        }
        with stack.configured(providers):
            run = Run(stack, sandbox)
            run.begin()
            run.items = eventually(run.ended, within_s=150)  # type: ignore[attr-defined]
            yield run


def item(run: Run, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = run.items[kind]  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_ends_as_completed_and_is_told_so(run: Run, kind: str) -> None:
    assert item(run, kind)["status"] == "completed", item(run, kind).get("failure")
    told = run.told(kind)
    assert told["type"] == "task.completed"
    assert {asset["status"] for clip in told["data"]["clips"] for asset in clip["assets"]} == {"archived"}


def test_lyrics_are_a_text_and_a_file(run: Run) -> None:
    (clip,) = run.told("lyrics")["data"]["clips"]
    assert (clip["clip_id"], clip["title"], clip["text"]) == ("text-1", "Rain", "[Verse]\nIt rains on 夏")
    assert "results/kind-lyrics/lyrics/text-1/lyrics.txt" in run.stack.keys("kind-lyrics", "lyrics")
    assert "user_id" not in item(run, "lyrics")["provider_object"]


@pytest.mark.parametrize(
    ("kind", "words"), [("quota", "no longer accepts the key"), ("refused", "refuses the key")]
)
def test_a_key_that_was_accepted_is_told_from_one_that_never_was(run: Run, kind: str, words: str) -> None:
    (said,) = run.last_errors[kind]
    assert words in said
    assert "Invalid token" in said
    assert item(run, kind)["detected_at_ms"] > item(run, kind)["deadline_ms"]


def test_the_clips_of_a_failure_that_is_none_are_kept(run: Run) -> None:
    assert len(run.told("failure")["data"]["clips"]) == 2


def test_an_m4a_called_mp3_is_kept_as_what_it_is(run: Run) -> None:
    audio = [
        asset
        for clip in run.told("m4a")["data"]["clips"]
        for asset in clip["assets"]
        if asset["type"] == "audio"
    ]
    assert {(asset["content_type"], asset["key"].rpartition("/")[2]) for asset in audio} == {
        ("audio/mp4", "audio.m4a")
    }


def test_a_signed_link_is_asked_for_as_it_is_spelled(run: Run) -> None:
    assert all("%2F" in clip["audio_url"] for clip in item(run, "signed")["clips"])
