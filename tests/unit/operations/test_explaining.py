"""How an answer was read, told with no secret in it: what was recognised, in what order, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.tasks import clip

from tunehook.operations.explaining import describe_outcome, explain, recognised
from tunehook.providers.adapter import Answer, Follow
from tunehook.providers.outcomes import (
    Completed,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Throttled,
    Unauthorised,
)

AT = datetime(2027, 1, 15, 8, tzinfo=UTC)
NOW = "2027-01-15T08:00:00.000Z"
NOTHING = dict.fromkeys(("prompt", "model", "audio_url", "cover_url"))
SONG = clip("c", title="Rain", tags=(), duration_s=1.0, created_at=AT, text="", **NOTHING)
SONG_TOLD = {"clip_id": "c", "title": "Rain", "duration_s": 1.0, "created_at": NOW}
FOLLOW = Follow(lambda _: pytest.fail("no request is made"), lambda _: NotFound())


def result(**fields: Any) -> TaskResult:
    given = {"clips": (SONG,), "submitted_at": AT, "started_at": None, "finished_at": None}
    return TaskResult(
        **(given | {"provider_object": {"status": "DONE"}, "unusable_links": ("audio: x",)} | fields)
    )


def told(outcome: Outcome | Follow, **options: bool) -> list[tuple[str, Any]]:
    found = list(recognised(outcome, **options))
    assert all(each.expression is None for each in found)
    return [(each.name, each.value) for each in found]


ENDS = [("clip 1", SONG_TOLD), ("unusable link", "audio: x")]
TIMES = [("submitted_at", NOW), ("started_at", None), ("finished_at", None)]


@pytest.mark.parametrize(
    ("outcome", "with_status", "without"),
    [
        (
            Pending("queued", "NEW", AT),
            [("status", "NEW"), ("class of the status", "queued"), ("submitted_at", NOW)],
            [],
        ),
        (
            Pending("queued", ""),
            [("status", None), ("class of the status", "queued"), ("submitted_at", None)],
            [],
        ),
        (
            Completed(result()),
            [("status", "DONE"), ("class of the status", "succeeded"), *TIMES, *ENDS],
            ENDS,
        ),
        (
            Failed("no", result(provider_object={"status": None, "state": "BAD"})),
            [("status", "BAD"), ("class of the status", "failed"), ("reason", "no"), *TIMES, *ENDS],
            ENDS,
        ),
        (
            SeemsFailed("no", result(provider_object={}), "word"),
            [("status", None), ("class of the status", "seems_failed"), ("reason", "no"), *TIMES, *ENDS],
            ENDS,
        ),
        (NotFound(), [], []),
        (FOLLOW, [], []),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_an_outcome_has_is_recognised(
    outcome: Outcome | Follow, with_status: list[Any], without: list[Any]
) -> None:
    assert told(outcome) == with_status
    assert told(outcome, with_status=False) == without


@pytest.mark.parametrize(
    ("known", "problem"), [(True, None), (False, "is unknown, and so the task counts as pending")]
)
def test_a_status_that_is_unknown_is_told_as_such(known: bool, problem: str | None) -> None:
    assert [each.problem for each in recognised(Pending("queued", "NEW", known=known))] == [
        problem,
        None,
        None,
    ]


def explained(outcomes: Sequence[Outcome | Follow], *answers: Answer) -> Any:
    left = list(outcomes)
    adapter: Any = SimpleNamespace(kind="suno", read=lambda _: left.pop(0))
    return explain(adapter, answers)


def test_a_second_answer_is_explained_only_where_the_first_leads_to_it() -> None:
    answers = [Answer(200, {"content-type": "application/json"}, b'{"a": 1}'), Answer(201, {}, b"[]")]
    first, second = explained([FOLLOW, NotFound()], *answers)
    assert (first.status, first.content_type, first.body) == (200, "application/json", {"a": 1})
    assert first.outcome == "succeeded, by its status: what it made is in the answer to a second question"
    assert (second.status, second.content_type, second.body) == (201, None, [])
    assert len(explained([NotFound()], *answers)) == 1
    assert explained([]) == []


def test_what_is_no_json_is_shown_from_its_beginning_and_without_the_key() -> None:
    body = b"<key sk-0123456789abcdef0123>" + b"x" * 30_000
    (told_of,) = explained([NotFound()], Answer(502, {}, body, secret="sk-0123456789abcdef0123"))
    assert "sk-0123456789abcdef0123" not in told_of.body
    assert told_of.body.startswith("<key ")
    (told_of,) = explained([NotFound()], Answer(502, {}, b"\xff" + b"x" * 20_000))
    assert told_of.body == "\N{REPLACEMENT CHARACTER}" + "x" * 19_999


@pytest.mark.parametrize(
    ("outcome", "options", "words"),
    [
        (NotFound(), {"was_asked": False}, "no request: this task id cannot be part of one"),
        (NotFound("gone"), {}, "not found: the provider accepts the key and has no such task: gone"),
        (Throttled(), {}, "throttled: the provider is throttling requests"),
        (Throttled(3.4, detail="slow"), {}, "throttled: the provider is throttling requests, for 3 s: slow"),
        (Unauthorised("no"), {}, "unauthorised: the provider refuses the key: no"),
        (
            Unauthorised("no"),
            {"was_accepted": True},
            "unauthorised: the provider no longer accepts the key (used up, expired or revoked): no",
        ),
        (
            Unauthorised("no", "credit"),
            {"was_accepted": True},
            "unauthorised: the provider refuses the key: no",
        ),
        (SeemsFailed("no", result(), "word"), {}, "pending, but it seems to have failed: no"),
        (Completed(result()), {}, "completed, with 1 clip"),
    ],
)
def test_an_outcome_has_words(outcome: Outcome, options: dict[str, bool], words: str) -> None:
    assert describe_outcome(outcome, **options) == words
