"""What filters look at of a task, whatever its item and its manifest hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.aws import client, put

from tunehook.errors import Conflict, InvalidInput
from tunehook.operations.filters import data_of_run, data_on, try_filter
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.tasks import TaskKey
from tunehook.times import from_ms, iso

NOW_MS = 1_800_000_000_000
KEY = TaskKey("t", "suno")
ASSET = {"clip_id": "c", "type": "audio", "status": "archived", "key": "k", "bytes": 9}
NOW = iso(from_ms(NOW_MS))
MANIFEST: dict[str, Any] = {
    "task_id": "t",
    "provider": "suno",
    "event_id": "evt_t",
    "status": "completed",
    "submitted_at": NOW,
    "finished_at": None,
    "detected_at": NOW,
    "metadata": {"from": "manifest"},
    "clips": [],
    "assets": [ASSET],
}


def put_ended(manifest: Any = None, **fields: Any) -> dict[str, Any]:
    item = {"task_id": "t", "provider": "suno", "status": "completed", "event_id": "evt_t"}
    item |= {"submitted_at_ms": NOW_MS, "detected_at_ms": NOW_MS, "metadata": {"from": "item"}, **fields}
    put("TasksTable", item)
    if manifest is not None:
        body = json.dumps(manifest).encode()
        client("s3").put_object(Bucket="results", Key="results/suno/t/manifest.json", Body=body)
    return item


@pytest.mark.parametrize(
    ("manifest", "source", "archive"),
    [
        (MANIFEST, "manifest", "complete"),
        (None, "item", "empty"),
        ([], "item", "empty"),
        (MANIFEST | {"event_id": "evt_other"}, "item", "empty"),
        (MANIFEST | {"submitted_at": "by hand"}, "item", "empty"),
    ],
    ids=["of the run", "none", "no object", "of another run", "by hand"],
)
def test_the_manifest_of_the_run_counts_and_otherwise_the_item(
    found: Stack, manifest: Any, source: str, archive: str
) -> None:
    put_ended(manifest)
    data = data_of_run(found, KEY)
    assert data is not None
    assert (data["metadata"], data["archive"]) == ({"from": source}, archive)
    assert data["manifest"] == {"bucket": "results", "key": "results/suno/t/manifest.json"}


def test_a_failed_task_is_read_from_its_manifest_as_such(found: Stack) -> None:
    failure = {"code": "provider_failed", "reason": "no"}
    manifest = MANIFEST | {"status": "failed", "failure": failure, "assets": []}
    put_ended(manifest, status="failed", failure=failure)
    data = data_of_run(found, KEY)
    assert data is not None
    assert (data["status"], data["metadata"]["from"], data["failure"]["reason"]) == (
        "failed",
        "manifest",
        "no",
    )


def test_files_that_somebody_wrote_by_hand_are_left_out(found: Stack) -> None:
    clips = [{"clip_id": "c", "title": "x"}]
    item = put_ended(clips=clips, assets=["by hand", {"status": "?"}, ASSET], archived_at_ms=NOW_MS)
    data = data_on(found, TaskView.of(item))
    assert [asset["key"] for clip in data["clips"] for asset in clip["assets"]] == ["k"]
    assert data_on(found, TaskView.of(item | {"event_id": None})) == {}


@pytest.mark.parametrize(("event_id", "is_it"), [(None, True), ("evt_t", True), ("evt_other", False)])
def test_a_run_is_known_by_its_event(found: Stack, event_id: str | None, is_it: bool) -> None:
    put_ended()
    assert (data_of_run(found, KEY, event_id) is not None) is is_it
    put_ended(event_id=None)
    assert data_of_run(found, KEY, event_id) is None


@pytest.mark.parametrize(
    ("fields", "fields_told"),
    [
        ({}, []),
        ({"enabled": False}, [("enabled", [True], [False])]),
        ({"events": ["task.failed"]}, [("events", ["task.failed"], ["task.archived"])]),
        ({"providers": ["b", "a"]}, [("providers", ["a", "b"], ["suno"])]),
        (
            {"format": "provider", "events": ["task.failed"]},
            [("events", ["task.failed"], ["task.archived"]), ("format", ["provider"], ["task.archived"])],
        ),
    ],
)
def test_why_a_subscription_is_not_told_of_files(
    found: Stack, fields: dict[str, Any], fields_told: list[tuple[str, list[Any], list[Any]]]
) -> None:
    put_ended(MANIFEST)
    item = {"subscription_id": "a", "url": "https://x.example/", "events": ["task.archived"]}
    put("SubscriptionsTable", item | fields)
    tested = try_filter(found, "a", "t", None, "task.archived")
    assert [(each.field, each.pattern, each.values) for each in tested.mismatches] == fields_told
    assert {each.path for each in tested.mismatches} <= {""}
    assert tested.matches is (not fields_told)
    assert (tested.subscription_id, tested.task_id, tested.provider, tested.type) == (
        *("a", "t", "suno"),
        "task.archived",
    )


@pytest.mark.parametrize(("status", "other"), [("completed", "task.failed"), ("failed", "task.completed")])
def test_a_task_has_ended_in_one_way(found: Stack, status: str, other: str) -> None:
    put_ended(
        status=status, failure={"code": "provider_failed", "reason": "r"} if status == "failed" else None
    )
    put("SubscriptionsTable", {"subscription_id": "a", "url": "https://x.example/"})
    assert try_filter(found, "a", "t").type == f"task.{status}"
    assert try_filter(found, "a", "t", "suno", f"task.{status}").matches
    with pytest.raises(InvalidInput, match=f"must be task.{status} or task.archived"):
        try_filter(found, "a", "t", None, other)
    with pytest.raises(InvalidInput, match="must be one of"):
        try_filter(found, "a", "t", None, "task.progress")
    put_ended(status="pending", event_id=None)
    with pytest.raises(Conflict, match=r"t has no event of its end \(status pending\)"):
        try_filter(found, "a", "t")
