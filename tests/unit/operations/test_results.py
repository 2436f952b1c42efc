"""The archived files of a task: what is read of the bucket, and what is asked of fulfillment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, fault, put
from tests.unit.operations.conftest import ASSET, FILE

from tunehook.aws.links import LINK_LIFE_S
from tunehook.errors import Conflict, InvalidInput, NotFound, Unavailable
from tunehook.fulfillment_requests import ArchiveRequest
from tunehook.operations import results
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import get_task
from tunehook.times import LATEST_MS

NOW_MS = 1_800_000_000_000
MANIFEST = "results/suno/task-1/manifest.json"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[ArchiveRequest]:
    """What fulfillment is asked for, at a moment that stands."""
    sent: list[ArchiveRequest] = []
    monkeypatch.setattr(Stack, "request_fulfillment", lambda _, wanted: sent.extend(wanted))
    monkeypatch.setattr(results, "now_ms", lambda: NOW_MS)
    return sent


def ended(**fields: Any) -> None:
    item = {"task_id": "task-1", "provider": "suno", "status": "completed", "event_id": "evt_1"}
    put("TasksTable", item | fields)


@pytest.mark.parametrize("manifest", ["no JSON", "[]", "{}", '{"assets": 1}', '{"assets": [{"status": 1}]}'])
def test_a_manifest_that_is_none_is_told_with_what_makes_it_again(found: Stack, manifest: str) -> None:
    client("s3").put_object(Bucket="results", Key=MANIFEST, Body=manifest.encode())
    with pytest.raises(Unavailable, match="`tunehook archive task-1` creates it again"):
        results.get_files(found, get_task(found, "task-1"))


def test_what_hinders_the_reading_of_a_manifest_is_not_taken_for_its_absence(found: Stack) -> None:
    task = get_task(found, "task-1")
    client("s3").delete_object(Bucket="results", Key=MANIFEST)
    with pytest.raises(NotFound, match="no files are kept of task-1"):
        results.get_manifest(found, task)
    found.__dict__["s3"] = Faulty(client("s3"), get_object=[fault("AccessDenied", "GetObject")])
    with pytest.raises(ClientError, match="AccessDenied"):
        results.get_manifest(found, task)


def test_a_file_is_read_from_anywhere_on(found: Stack) -> None:
    assert b"".join(results.read_file(found, FILE, 0)) == b"the-bytes"
    assert b"".join(results.read_file(found, FILE, 8)) == b"s"
    assert list(results.read_file(found, FILE, 9)) == []
    for start in (0, 9):
        with pytest.raises(ClientError, match="NoSuchKey"):
            list(results.read_file(found, f"{FILE}x", start))


def test_that_there_is_nothing_so_far_into_a_file_is_no_answer_where_all_of_it_is_wanted(
    found: Stack,
) -> None:
    found.__dict__["s3"] = Faulty(client("s3"), get_object=[fault("InvalidRange", "GetObject")])
    with pytest.raises(ClientError, match="InvalidRange"):
        list(results.read_file(found, FILE, 0))


def test_a_link_ends_when_it_says(found: Stack, requests: list[ArchiveRequest]) -> None:
    assert results.get_link(found, FILE).expires_at_ms == NOW_MS + LINK_LIFE_S * 1000


def test_no_more_files_are_listed_than_anybody_looks_at(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_LISTED_AT_MOST", 1)
    assert list(results.stored_at(found, get_task(found, "task-1"))) == [FILE]


@pytest.mark.parametrize(
    ("archived_at_ms", "asked_at_ms"),
    [(None, NOW_MS), (NOW_MS - 1, NOW_MS), (NOW_MS, NOW_MS + 1), (NOW_MS + 500, NOW_MS + 501)],
)
def test_files_are_asked_for_later_than_they_were_archived_whatever_the_clock_says(
    found: Stack, requests: list[ArchiveRequest], archived_at_ms: int | None, asked_at_ms: int
) -> None:
    ended(archived_at_ms=archived_at_ms)
    assert results.request_archive(found, "task-1", "suno").archived_at_ms == archived_at_ms
    request = ArchiveRequest(task_id="task-1", provider="suno", requested_at_ms=asked_at_ms)
    assert requests == [request]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "cancelled"}, Conflict),
        ({"status": "pending", "event_id": None}, Conflict),
        ({"archived_at_ms": LATEST_MS}, InvalidInput),
    ],
)
def test_what_has_no_files_is_asked_for_none(
    found: Stack, requests: list[ArchiveRequest], fields: dict[str, Any], error: type[Exception]
) -> None:
    ended(**fields)
    with pytest.raises(error):
        results.request_archive(found, "task-1")
    assert requests == []


def test_a_task_is_looked_at_until_it_was_archived_again_or_the_time_is_over(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        slept.append(seconds)
        if len(slept) == 3:
            ended(archived_at_ms=8, assets=[ASSET])

    monkeypatch.setattr(results, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    before = get_task(found, "task-1")
    with pytest.raises(Unavailable, match="no outcome within 1 s"):
        results.await_archive(found, before, 1.0)
    assert slept == [1.0, 1.0]
    assert results.await_archive(found, before, 1.0).archived_at_ms == 8
    assert (
        results.await_archive(found, before.model_copy(update={"archived_at_ms": None}), 0).archived_at_ms
        == 8
    )
