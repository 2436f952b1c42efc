"""Each recorded answer means what its file says, and the files cover what docs/provider-contracts.md says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.contract.providers.examples import Example, as_recorded, asked, load

from tunehook.providers.payload import parse
from tunehook.providers.results import INTERNAL_FIELDS

EXAMPLES = load()
ROWS = {
    "musicmint": {1, 4, 5, 7, 8, 9, 10, 11, 12, 13, 16},
    "qhaigc": {*range(2, 17), 26},
    "suno": set(range(2, 36)),
}
FAMILY_WORDS = {
    *("not-start", "submitted", "queued", "pending", "unknown", "in-progress", "processing"),
    *("success", "failure", "failed"),
}
WORDS = {
    "musicmint": {"queuing", "processing", "completed", "failed"},
    "qhaigc": FAMILY_WORDS,
    "suno": FAMILY_WORDS,
    "sunoapi": {
        *("pending", "text-success", "first-success", "success", "callback-exception"),
        *("create-task-failed", "generate-audio-failed", "sensitive-word-error"),
    },
    "piapi": {"pending", "staged", "starting", "processing", "retry", "completed", "success", "failed"},
}


FLAT = {"suno/row-20-task-flat"}
CLEANED = {
    *(
        "piapi/secret-echoed",
        "suno/row-21-piapi",
        "suno/row-29-data-broken",
        "suno/row-29-data-other-type",
        "suno/row-29-data-in-words",
    ),
}
"""They hold a secret, or a ``data:`` URI that is no file."""


def task_in(payload: Any) -> Any:
    """What of an answer is the task, as far as the examples go."""
    payload = json.loads(payload) if isinstance(payload, str) else payload
    data = payload if "task_id" in payload else payload.get("data", payload.get("result"))
    data = json.loads(data) if isinstance(data, str) else data
    return data["task"] if isinstance(data, dict) and "task" in data else data


def without_secrets(value: Any) -> Any:
    """What a task object echoes of the submission's configuration, without the secret of its webhook."""
    return json.loads(
        json.dumps(value),
        object_hook=lambda each: {name: inner for name, inner in each.items() if name != "secret"},
    )


def named(name: str) -> Any:
    return pytest.mark.parametrize(name, EXAMPLES, ids=[example.name for example in EXAMPLES])


@named("example")
def test_an_answer_means_what_is_recorded(example: Example) -> None:
    read = example.adapter.read_many if example.is_many else example.adapter.read
    assert as_recorded(read(example.answer())) == example.record["outcome"]


@named("example")
def test_the_question_is_the_recorded_one(example: Example) -> None:
    if example.is_many:
        request = example.adapter.many_request(example.record["task_ids"], example.record["page"])
    else:
        request = example.adapter.request(example.record["task_id"])
    assert asked(request) == example.record["request"]


@pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if "result" in example.record["outcome"]],
    ids=lambda example: example.name,
)
def test_the_providers_own_object_is_kept_but_for_its_own_business(example: Example) -> None:
    data = task_in(parse(example.body, "", example.answer().headers["content-type"]))
    result: Any = example.adapter.read(example.answer())
    task = data if isinstance(data, dict) else {"data": data}
    kept = {name: value for name, value in task.items() if name not in INTERNAL_FIELDS}
    if example.name in FLAT:
        kept = {name: value for name, value in kept.items() if name not in ("code", "success")}
    if "properties" in kept:
        kept["properties"] = {"input": kept["properties"]["input"]}
    kept = without_secrets(kept)
    if example.name not in CLEANED and not result.result.inline_files:
        assert result.result.provider_object == kept
    assert result.result.provider_object.keys() == kept.keys()


@pytest.mark.parametrize("kind", ROWS)
def test_every_row_of_the_contract_that_applies_is_recorded(kind: str) -> None:
    numbers = (re.match(rf"{kind}/row-(\d+)", example.name) for example in EXAMPLES)
    assert {int(match[1]) for match in numbers if match} >= ROWS[kind]


@pytest.mark.parametrize("kind", WORDS)
def test_every_status_word_is_recorded_in_three_spellings(kind: str) -> None:
    names = {example.name for example in EXAMPLES}
    assert {f"{kind}/word-{word}-{n}" for word in WORDS[kind] for n in (1, 2, 3)} <= names


@pytest.mark.parametrize("name", sorted(CLEANED))
def test_no_secret_and_no_data_uri_stands_in_the_providers_own_object(name: str) -> None:
    example = next(example for example in EXAMPLES if example.name == name)
    result: Any = example.adapter.read(example.answer())
    kept = json.dumps(result.result.provider_object)
    assert "base64" not in kept
    assert "s3cr3t" not in kept
