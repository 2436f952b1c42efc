"""`tunehook submit --body`: a task goes to its provider, once, and is watched at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.aws import items

from tunehook_local.sandbox import Sandbox, Scenario, parse, run_sandbox

HOOK = "http://127.0.0.1:9000/hook"
SCENARIO = {
    "tasks": [{"answers": [{"phase": "queued"}]}],
    "submissions": [{"kind": "qhaigc", "answers": [{"status": 402, "body": '{"message": "no credit"}'}]}],
}


@pytest.fixture
def sandbox(providers: Any) -> Iterator[Sandbox]:
    with run_sandbox(parse(Scenario, SCENARIO)) as running:
        providers(json.dumps(running.providers_secret()))
        yield running


@pytest.fixture
def song(tmp_path: Path) -> str:
    path = tmp_path / "song.json"
    path.write_text('{"prompt": "雨"}', encoding="utf-8")
    return str(path)


def test_a_task_is_submitted_with_the_body_of_a_file(tunehook: Any, sandbox: Sandbox, song: str) -> None:
    result = tunehook("submit", "suno", "--body", song, "--metadata", "order=7", "--timeout", "90")
    (noted,) = sandbox.submitted("suno")
    assert (result.exit_code, result.output) == (0, f"Submitted {noted.task_id} of suno.\n")
    item = {"task_id": noted.task_id, "provider": "suno", "metadata": {"order": "7"}, "timeout_s": 90}
    assert items("TasksTable") == [item]
    assert noted.fields["prompt"] == "雨"
    assert "/v1/callbacks/suno/" in noted.fields["notify_hook"]


def test_the_body_may_come_from_standard_input(tunehook: Any, sandbox: Sandbox) -> None:
    result = tunehook("submit", "musicmint", "--body", "-", "--action", "lyrics", input='{"topics": "rain"}')
    assert result.exit_code == 0
    assert sandbox.submitted("musicmint")[0].fields["topics"] == "rain"


def test_json_is_what_the_api_answers(tunehook: Any, sandbox: Sandbox, song: str) -> None:
    result = tunehook("submit", "suno", "--body", song, "--notify-hook", HOOK, "--json")
    told = json.loads(result.stdout)
    assert told["task_id"] == sandbox.submitted()[0].task_id
    assert told["signing_secret"].startswith("whsec_")
    assert (told["submission"]["action"], told["submission"]["with_callback"]) == ("music", True)


def test_the_same_key_submits_once(tunehook: Any, sandbox: Sandbox, song: str) -> None:
    command = ("submit", "suno", "--body", song, "--idempotency-key", "order-7")
    first, second = tunehook(*command), tunehook(*command)
    assert second.output == first.output.replace(".\n", " before, by the same key.\n")
    assert len(sandbox.submitted()) == 1


def test_a_refusal_is_told(tunehook: Any, sandbox: Sandbox, song: str) -> None:
    result = tunehook("submit", "qhaigc", "--body", song)
    assert result.exit_code == 2
    assert 'qhaigc refused the task: HTTP 402 {"message": "no credit"}' in result.stderr
    assert items("TasksTable") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["suno"], "TASK_ID: is missing: name a task, or submit one with --body"),
        (["suno", "task-1", "--body", "-"], "TASK_ID: is the provider's to give: leave it out with --body"),
        (["suno", "task-1", "--action", "music"], "--action: is for a submission with --body"),
        (["suno", "task-1", "--idempotency-key", "x"], "--idempotency-key: is for a submission with --body"),
        (["suno", "--body", "-", "--action", "video"], "--action: must be one of lyrics, music"),
        (["other", "--body", "-"], "PROVIDER: no provider other is configured"),
        (["suno", "--body", "/nowhere/song.json"], "--body: cannot read /nowhere/song.json: No such file"),
        (["suno", "--body", "-", "--idempotency-key", "a b"], "--idempotency-key: must be 1 to 255"),
    ],
    ids=str,
)
def test_what_is_not_acceptable_is_said(
    tunehook: Any, sandbox: Sandbox, arguments: list[str], said: str
) -> None:
    result = tunehook("submit", *arguments, input='{"prompt": "la"}')
    assert result.exit_code == 2
    assert f"tunehook: {said}" in result.stderr
    assert sandbox.submitted() == items("TasksTable") == []


@pytest.mark.parametrize("text", ["", "[]", "no JSON", '"text"', "\ufeff", "[" * 100_000])
def test_a_body_that_is_no_object_is_refused(tunehook: Any, sandbox: Sandbox, text: str) -> None:
    result = tunehook("submit", "suno", "--body", "-", input=text)
    assert (result.exit_code, result.stderr) == (2, "tunehook: --body: is no JSON object\n")
