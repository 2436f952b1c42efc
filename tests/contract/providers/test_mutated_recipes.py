"""Whatever is done to an answer or to a recipe: nothing raises, and no task ends without a word of its recipe."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jmespath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.providers.test_mutated import (
    BYTE_EDITS,
    ODD_DELAYS,
    STATUSES,
    Edit,
    as_json,
    edited,
    edits,
    leniently,
    written,
)

from tunehook.errors import InvalidInput
from tunehook.providers.adapter import Answer, Follow, ManyUnknown, Screening
from tunehook.providers.outcomes import Completed, CompletedWithoutResults, Failed, Outcome
from tunehook.providers.recipes import bundled
from tunehook.providers.recipes.described import DescribedAdapter
from tunehook.providers.recipes.recipe import Recipe, scalar_text
from tunehook.providers.recipes.recipe_file import read_recipe, read_recipe_json
from tunehook.providers.statuses import normal
from tunehook.providers.submission_answers import Refused, Submitted, Unclear

DRAWN_ANEW = os.environ.get("TUNEHOOK_MUTATIONS")
"""How many of each kind of mutation are drawn, by chance; without it the same at each run, 10,000 together."""
OF_ANSWERS = int(DRAWN_ANEW or 7_000)
OF_RECIPES = int(DRAWN_ANEW or 3_000)

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)

EVERYTHING = """
about = "Every part that a recipe may have"
headers = { x-version = "3" }

[key]
in = "query"
name = "key"

[ask]
method = "POST"
path = "/tasks/{task_id}?full=1"
body = { id = "{task_id}", more = ["{task_id}", { a = 1 }] }

[ask_many]
path = "/tasks?ids={task_ids}"
ids_per_call = 100
tasks = ["tasks[]", "data"]
id = ["id", "task_id"]

[result]
path = "/files/{task_id}/{file}"
values = { file = "file_id" }
object = ["payload", "@"]
failed = { statuses = [422], codes = ["rejected"] }
reason = ["detail[].msg", "join(', ', detail)"]

[submit]
actions = { music = "/music" }
callback = "config.hook.url"
id = ["id", "data.task_id"]

[callback]
id = ["ids", "data.*.id", "id"]

[task]
object = ["data.task", "data", "@"]
status = ["status", "state", "to_string(code)"]
reason = ["error.message", "sort_by(errors, &at)[-1].text", "error"]
submitted_at = "created"
started_at = "max([created, started])"
finished_at = "times.*.end | max(@)"
time_unit = "s"

[words]
queued = ["waiting", 0]
processing = ["running", 1]
succeeded = ["done", 2, true]
failed = ["broken", 3]

[clips]
each = ["from_json(results)", "items(by_id)[*][1]", "sort_by(songs, &position)", "songs", "@"]
id = "id"
title = ["title", "$.title"]
tags = ["tags", "split(words, ' ')"]
prompt = "lower(prompt)"
duration_s = "length"
duration_ms = "ms"
model = "$.model"
created_at = "created"
audio_url = ["join('', [base, path])", "urls[?contains(@, 'mp3')]", "url"]
stream_url = "stream"
video_url = "video"
cover_url = "images[::-1] | [0]"
text = "lyrics"

[answers]
code = ["code", "error.code"]
not_found = { statuses = [404], codes = ["no_task"] }
throttled = { statuses = [420], codes = [430] }
refused = { statuses = [402], codes = ["bad_key"] }
"""
SONG = {
    "id": "a",
    "title": "Rain",
    "tags": ["x"],
    "prompt": "RAIN",
    "length": 12.5,
    "url": "https://h/a.mp3",
    "position": 1,
    "images": ["https://h/a.png"],
    "urls": ["https://h/b.mp3"],
    "words": "a b",
}
ANSWERS: list[Any] = [
    {"data": {"task": {"status": "done", "created": 1773486571, "songs": [SONG, {**SONG, "position": 0}]}}},
    {
        "data": {
            "status": "done",
            "file_id": "f",
            "by_id": {"a": SONG},
            "title": "T",
            "times": {"a": {"end": 1}},
        }
    },
    {"status": 2, "results": json.dumps([SONG]), "model": "m", "file_id": 5},
    {"state": "running", "created": "1773486571", "started": 1773486572},
    {
        "data": {
            "status": "broken",
            "errors": [{"at": 1, "text": "no"}, {"at": 0, "text": "n"}],
            "songs": [SONG],
        }
    },
    {"status": 3, "error": {"message": "out of luck", "code": "x"}},
    {"code": "no_task", "message": "what?"},
    {"tasks": [{"id": "a", "status": "done", "songs": [SONG]}, {"id": "b", "status": "broken"}, {"id": "c"}]},
    {"data": [{"task_id": "a", "status": "running", "created": 5}]},
    {"payload": {"songs": [SONG]}},
    {"detail": [{"msg": "rejected"}], "code": "rejected"},
    [{"status": "done"}],
]


def without_a_second_question(text: str) -> Recipe:
    document = read_recipe(text).as_json()
    del document["result"]
    return read_recipe_json(document)


def recorded(name: str) -> list[bytes]:
    """The recorded answers of the API that a bundled recipe describes."""
    documents = [json.loads(path.read_text()) for path in sorted((RECORDED / name).glob("*.json"))]
    given = [document[which] for document in documents for which in ("answer", "second") if which in document]
    bodies = [each["body"] for each in given if "body" in each]
    return [(body if isinstance(body, str) else json.dumps(body)).encode() for body in bodies]


EXAMPLES: list[tuple[DescribedAdapter, bytes]] = [
    *((DescribedAdapter(read_recipe(EVERYTHING)), json.dumps(each).encode()) for each in ANSWERS),
    *(
        (DescribedAdapter(without_a_second_question(EVERYTHING)), json.dumps(each).encode())
        for each in ANSWERS
    ),
    *(
        (DescribedAdapter(bundled.read_bundled(name)), body)
        for name in bundled.names()
        for body in recorded(name)
    ),
]


def searched(expressions: Any, value: Any) -> Any:
    """What the first of a recipe's expressions gives that gives anything, by the library itself."""
    for expression in expressions or ():
        try:
            found = jmespath.search(expression.text, value)
        except Exception:  # noqa: BLE001 - it gives nothing
            continue
        if found is not None and found != "":
            return found
    return None


def words_of(recipe: Recipe, payload: Any, *, is_listed: bool = False) -> str | None:
    """The status word in an answer, or in a task of an answer about many."""
    is_whole = is_listed or recipe.task.object is None
    task = payload if is_whole else searched(recipe.task.object, payload)
    found = searched(recipe.task.status, task)
    return normal(scalar_text(found)) if isinstance(found, str | int | float) else None


def check(recipe: Recipe, outcome: Any, word: str | None) -> None:
    words = recipe.words
    if isinstance(outcome, Completed | CompletedWithoutResults | Follow):
        assert word in set(map(normal, words.succeeded))
    elif isinstance(outcome, Failed):
        assert word in set(map(normal, words.failed))
        assert outcome.reason.encode()
    if isinstance(outcome, Completed | CompletedWithoutResults | Failed):
        whole = json.dumps(outcome.result.provider_object, ensure_ascii=False, allow_nan=False).encode()
        assert len(whole) <= 200_000
        assert len({clip.clip_id for clip in outcome.result.clips}) == len(outcome.result.clips)


def check_second(adapter: DescribedAdapter, answer: Answer, payload: Any) -> None:
    """The second answer to a task that has succeeded fails it for what the recipe names alone."""
    first = {"status": "done", "data": {"status": "done", "file_id": "f"}, "file_id": "f"}
    follow = adapter.read(Answer(200, {}, json.dumps(first).encode(), NOW))
    if adapter.recipe.result is None or not isinstance(follow, Follow):
        return
    assert follow.request("a/b").path.startswith("/")
    outcome = follow.read(answer)
    assert isinstance(outcome, Outcome)
    if isinstance(outcome, Failed):
        code = searched(adapter.recipe.answers.code, payload)
        failed = adapter.recipe.result.failed
        says_so = isinstance(code, str | int | float) and normal(scalar_text(code)) in set(
            map(normal, failed.codes)
        )
        assert says_so or answer.status in failed.statuses


def check_many(adapter: DescribedAdapter, answer: Answer, payload: Any) -> None:
    ask = adapter.recipe.ask_many
    screening = adapter.read_many(answer)
    assert isinstance(screening, Screening | ManyUnknown | Outcome)
    if ask is None or not isinstance(screening, Screening):
        return
    tasks = searched(ask.tasks, payload)
    words = (
        {words_of(adapter.recipe, task, is_listed=True) for task in tasks}
        if isinstance(tasks, list)
        else set()
    )
    for outcome in screening.found.values():
        ends = isinstance(outcome, Completed | CompletedWithoutResults | Failed)
        assert not isinstance(outcome, Follow)
        if ends:
            named = (
                adapter.recipe.words.failed if isinstance(outcome, Failed) else adapter.recipe.words.succeeded
            )
            assert words & set(map(normal, named))


SETTINGS = settings(
    derandomize=DRAWN_ANEW is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(SETTINGS, max_examples=OF_ANSWERS)
@given(
    st.sampled_from(EXAMPLES),
    edits,
    st.sampled_from([*[None] * 2 * len(BYTE_EDITS), *BYTE_EDITS]),
    st.integers(0, 100_000),
    st.sampled_from(STATUSES),
    st.sampled_from([None, *ODD_DELAYS]),
)
def test_no_mutated_answer_raises_or_ends_a_task_without_its_word(
    example: tuple[DescribedAdapter, bytes],
    how: list[Edit],
    bytes_how: str | None,
    where: int,
    status: int | None,
    delay: str | None,
) -> None:
    adapter, body = example
    text = json.dumps(edited(leniently(body), how))
    headers = {} if delay is None else {"retry-after": delay}
    answer = Answer(200 if status is None else status, headers, written(text, bytes_how, where), NOW)
    outcome = adapter.read(answer)
    assert isinstance(outcome, Outcome | Follow)
    payload = as_json(leniently(answer.body))
    check(adapter.recipe, outcome, words_of(adapter.recipe, payload))
    check_second(adapter, answer, payload)
    check_many(adapter, answer, payload)
    assert isinstance(adapter.read_submission(answer), Submitted | Refused | Unclear)
    assert all(isinstance(each, str) for each in adapter.callback_ids(payload))


WORDS = [
    "status",
    "@",
    "[]",
    "length(@)",
    "a ||",
    "[*].[@, @]",
    "$.x",
    "{task_id}",
    "GET",
    "/x/{task_id}",
    "1" * 2_000,
]


@settings(SETTINGS, max_examples=OF_RECIPES)
@given(
    st.sampled_from([EVERYTHING, *map(bundled.text, bundled.names())]),
    edits,
    st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(WORDS)), max_size=2),
    st.sampled_from(ANSWERS),
)
def test_a_mutated_recipe_is_refused_or_does_no_harm(
    text: str, how: list[Edit], words: list[tuple[int, str]], body: Any
) -> None:
    document: Any = edited(read_recipe(text).as_json(), how)
    for where, new in words:
        document = replaced(document, where, new)
    try:
        recipe = read_recipe_json(document)
    except InvalidInput as error:
        refusal = error.reason
    else:
        refusal = ""
        adapter = DescribedAdapter(recipe)
        assert adapter.request("a/b").path.startswith("/")
        answer = Answer(200, {}, json.dumps(body).encode(), NOW)
        explained = adapter.explain(answer)
        check(recipe, explained.outcome, words_of(recipe, json.loads(answer.body)))
        assert isinstance(adapter.read_many(answer), Screening | ManyUnknown | Outcome)
        adapter.read_submission(answer)
        adapter.wants_callback({"config": body})
        adapter.callback_ids(body)
        assert read_recipe_json(json.loads(json.dumps(recipe.as_json()))).as_json() == recipe.as_json()
    assert refusal.isprintable()


def replaced(value: Any, where: int, new: str) -> Any:
    """A recipe with one of its texts replaced."""
    texts = json.dumps(value).split('"')
    at = where % len(texts)
    texts[at] = json.dumps(new)[1:-1] if at % 2 else texts[at]
    try:
        return json.loads('"'.join(texts))
    except ValueError:
        return value
