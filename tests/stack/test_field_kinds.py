"""What gateways and hosts really do, on the embedded stack: one run of `tunehook sandbox`, a task a kind."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from tests.stack.commanding import ARGUMENTS, environment
from tests.stack.driving import HANG_S, DeployedStack, eventually

from tunehook_local.sandbox import KINDS_SCENARIO

KINDS = ("lyrics", "quota", "failure", "refused", "m4a", "signed", "undelivered", "unfinished")
SPOKEN = {"undelivered": "sunoapi", "unfinished": "piapi"}
"""The kinds of provider that are not `suno`; the sandbox has their paths below these names."""


@dataclass
class Run:
    """A task a kind, each of a provider of its own, so that a refused key holds up no other."""

    stack: DeployedStack
    sandbox_url: str
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_errors: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})

    def begin(self) -> None:
        for kind in KINDS:
            self.stack.put(
                "TasksTable",
                task_id=kind,
                provider=f"kind-{kind}",
                timeout_s=60,
                notify_hook=f"{self.sandbox_url}/receiver/kinds",
            )

    def have_ended(self) -> bool:
        self.items = {kind: self.stack.task(kind, f"kind-{kind}") for kind in KINDS}
        for kind, item in self.items.items():
            if item.get("status") == "pending" and "last_error" in item:
                self.last_errors[kind].add(item["last_error"])
        return all(item.get("status") not in (None, "pending") for item in self.items.values())

    def told(self, kind: str) -> dict[str, Any]:
        """Return the one webhook about a task."""

        def look() -> list[dict[str, Any]]:
            received = httpx.get(
                f"{self.sandbox_url}/control/received", trust_env=False, timeout=HANG_S
            ).json()
            bodies = [json.loads(request["body"]) for request in received]
            return [body for body in bodies if body["data"]["task_id"] == kind]

        (told,) = eventually(look, moved=self.stack.moved)
        return told


@contextmanager
def running_sandbox(stack: DeployedStack) -> Iterator[str]:
    """Run the command, and yield where it says that it listens."""
    command = [*ARGUMENTS, "sandbox", "--port", "0", "--scenario", str(KINDS_SCENARIO)]
    with subprocess.Popen(command, env=environment(stack), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            listens = re.fullmatch(r"The sandbox listens at (http://\S+)\. .*\n", first)
            assert listens, first
            yield listens[1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def run(stack: DeployedStack) -> Iterator[Run]:
    with running_sandbox(stack) as url:
        spoken = {kind: SPOKEN.get(kind, "suno") for kind in KINDS}
        entries = {
            f"kind-{kind}": {"kind": name, "base_url": f"{url}/{name}", "api_key": "sandbox-key-suno"}
            for kind, name in spoken.items()
        }
        with stack.configured(entries):
            run = Run(stack, url)
            run.begin()
            eventually(run.have_ended, moved=stack.moved)
            yield run


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_ends_as_completed_and_is_told_so_with_all_its_files(run: Run, kind: str) -> None:
    assert run.items[kind]["status"] == "completed", run.items[kind].get("failure")
    told = run.told(kind)
    assert told["type"] == "task.completed"
    assets = [asset for clip in told["data"]["clips"] for asset in clip["assets"]]
    assert {asset["status"] for asset in assets} == {"archived"}, assets


def test_lyrics_are_a_text_and_a_file(run: Run) -> None:
    (clip,) = run.told("lyrics")["data"]["clips"]
    assert (clip["title"], clip["text"]) == ("Rain", "[Verse]\nIt rains on 夏")
    (asset,) = clip["assets"]
    assert (asset["type"], asset["content_type"]) == ("lyrics", "text/plain; charset=utf-8")
    assert asset["key"] == f"results/kind-lyrics/lyrics/{clip['clip_id']}/lyrics.txt"
    assert httpx.get(asset["url"], trust_env=False).content.decode("utf-8") == clip["text"]


def test_what_is_the_gateways_own_business_is_not_kept(run: Run) -> None:
    kept = json.loads(run.items["lyrics"]["provider_object"])
    assert kept["task_id"] == "lyrics"
    assert not {"user_id", "channel_id", "group", "quota"} & kept.keys()


@pytest.mark.parametrize(
    ("kind", "words"), [("quota", "no longer accepts the key"), ("refused", "refuses the key")]
)
def test_a_key_that_was_accepted_is_told_from_one_that_never_was(run: Run, kind: str, words: str) -> None:
    (said,) = run.last_errors[kind]
    assert words in said
    assert "Invalid token" in said


@pytest.mark.parametrize("kind", ["quota", "refused"])
def test_a_task_that_could_not_be_asked_ends_after_its_deadline_by_the_late_answer(
    run: Run, kind: str
) -> None:
    item = run.items[kind]
    assert item["detected_at_ms"] > item["deadline_ms"]
    assert "last_error" not in item


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


def test_the_tasks_of_resellers_have_their_songs(run: Run) -> None:
    for kind, word in (("undelivered", "CALLBACK_EXCEPTION"), ("unfinished", "Completed")):
        assert json.loads(run.items[kind]["provider_object"])["status"] == word
        clips = run.told(kind)["data"]["clips"]
        assert [{asset["type"] for asset in clip["assets"]} for clip in clips] == [{"audio", "cover"}] * 2


def test_a_signed_link_is_asked_for_as_it_is_spelled(run: Run) -> None:
    # The host refuses any other spelling, and has given all of the files (the first test).
    clips = run.items["signed"]["clips"]
    assert len(clips) == 2
    assert all("%2F" in clip["audio_url"] for clip in clips)
