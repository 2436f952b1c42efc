"""Each recorded answer of an API of a bundled recipe means what its file says, and all that matters is recorded."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.contract.providers.examples import Example, as_recorded, asked, described, load_bundled
from tests.support.template import ROOT

from tunehook.callback_schemes import CallbackScheme
from tunehook.callbacks import Callback, find_task_ids, verified_ids
from tunehook.providers.adapter import Answer, Follow, Request
from tunehook.providers.outcomes import Completed, Failed
from tunehook.providers.recipes import bundled
from tunehook.providers.statuses import normal
from tunehook.providers.submission_answers import Submitted

EXAMPLES = load_bundled()
RECIPES = bundled.names()
SUNOAPI = ("sunoapi-lyrics", "sunoapi-wav", "sunoapi-stems", "sunoapi-video")
NEEDED = {
    *("failure-with-reason", "success-without-outputs", "unknown-word", "unknown-id", "key-refused"),
    *("throttled", "html-200", "html-502", "empty", "empty-503", "truncated"),
}
"""What is recorded for each, beside a success with outputs and each of its status words."""


def named(name: str) -> Any:
    return pytest.mark.parametrize(name, EXAMPLES, ids=[example.name for example in EXAMPLES])


def of(recipe: str) -> dict[str, Example]:
    return {example.name.partition("/")[2]: example for example in EXAMPLES if example.kind == recipe}


@named("example")
def test_an_answer_means_what_is_recorded(example: Example) -> None:
    read = example.adapter.read_many(example.answer()) if example.is_many else example.read()
    assert as_recorded(read) == example.record["outcome"]


@named("example")
def test_the_questions_are_the_recorded_ones(example: Example) -> None:
    if example.is_many:
        request = example.adapter.many_request(example.record["task_ids"], example.record["page"])
    else:
        request = example.adapter.request(example.record["task_id"])
    assert asked(request) == example.record["request"]
    first = None if example.is_many else example.adapter.read(example.answer())
    second = asked(first.request(example.record["task_id"])) if isinstance(first, Follow) else None
    assert second == example.record.get("second_request")


def test_each_recipe_has_recorded_answers_and_each_folder_a_recipe() -> None:
    assert {example.kind for example in EXAMPLES} == set(RECIPES)
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_that_an_api_answers_is_recorded(recipe: str) -> None:
    recorded = of(recipe)
    assert recorded.keys() >= NEEDED
    words = described(recipe).recipe.words
    for word in (*words.queued, *words.processing, *words.succeeded, *words.failed):
        assert f"word-{normal(word).replace('_', '-')}" in recorded
    successes = [example.read() for name, example in recorded.items() if re.match("success-", name)]
    assert any(isinstance(read, Completed) and read.result.clips for read in successes)
    assert isinstance(recorded["failure-with-reason"].read(), Failed)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recorded_answer_says_where_it_is_known_from(recipe: str) -> None:
    sources = {example.record["source"] for example in of(recipe).values()}
    assert all(re.match(r"(doc|src|run|user|assumed)\b", source) for source in sources)
    assert any(re.match(r"(doc|src|run)\b", source) for source in sources)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_what_was_verified_and_the_page_lists_it(recipe: str) -> None:
    assert bundled.verified(recipe)
    page = (ROOT / "docs" / "providers.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith(f"| `{recipe}` |")]
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("recipe", "action", "path", "callback"),
    [
        ("replicate", "prediction", "/v1/predictions", "body"),
        ("fal", "run", "", "query"),
        ("runway", "image_to_video", "/v1/image_to_video", None),
        ("luma", "video", "/dream-machine/v1/generations/video", "body"),
        ("acedata", "music", "/audios", "body"),
        ("new-api-video", "video", "/v1/video/generations", None),
        ("kie-jobs", "job", "/api/v1/jobs/createTask", "body"),
        ("minimax", "video", "/v1/video_generation", None),
        ("sunoapi-lyrics", "lyrics", "/api/v1/lyrics", "body"),
        ("sunoapi-wav", "wav", "/api/v1/wav/generate", "body"),
        ("sunoapi-stems", "stems", "/api/v1/vocal-removal/generate", "body"),
        ("sunoapi-video", "video", "/api/v1/mp4/generate", "body"),
    ],
)
def test_a_submission_goes_where_the_api_wants_it(
    recipe: str, action: str, path: str, callback: str | None
) -> None:
    url = "https://api.example/v1/callbacks/p/t0ken"
    adapter = described(recipe)
    body = {"input": {"prompt": "la"}}
    headers = dict(adapter.request("t").headers)
    assert adapter.submission(action, body) == Request("POST", path, body, headers)
    with_url = adapter.submission(action, body, url)
    field = {
        "replicate": "webhook",
        "luma": "callback_url",
        "acedata": "callback_url",
        "kie-jobs": "callBackUrl",
        **dict.fromkeys(SUNOAPI, "callBackUrl"),
    }
    match callback:
        case "body":
            assert with_url == Request("POST", path, body | {field[recipe]: url}, headers)
        case "query":
            query = "fal_webhook=https%3A%2F%2Fapi.example%2Fv1%2Fcallbacks%2Fp%2Ft0ken"
            assert with_url == Request("POST", f"{path}?{query}", body, headers)
        case _:
            assert with_url == Request("POST", path, body, headers)
    assert adapter.wants_callback(body) is (callback is not None)


SUBMITTED: list[tuple[str, Any, str]] = [
    (
        "replicate",
        {"id": "gm3qorzdhgbfurvjtvhg6dckhu", "status": "starting", "input": {"id": "x"}},
        "gm3qorzdhgbfurvjtvhg6dckhu",
    ),
    (
        "fal",
        {
            "request_id": "80e732af-660e-45cd-bd63-580e4f2a94cc",
            "gateway_request_id": "90e732af-660e-45cd-bd63-580e4f2a94cc",
            "status": "IN_QUEUE",
        },
        "80e732af-660e-45cd-bd63-580e4f2a94cc",
    ),
    ("runway", {"id": "17f20503-6c24-4c16-946b-35dbbce2af2f"}, "17f20503-6c24-4c16-946b-35dbbce2af2f"),
    (
        "luma",
        {"id": "6f9ce8b2-2e0c-4f4d-9c5b-3f1d2a7b8c90", "state": "queued"},
        "6f9ce8b2-2e0c-4f4d-9c5b-3f1d2a7b8c90",
    ),
    (
        "acedata",
        {
            "task_id": "1a6ac2ad-10f2-4e2b-b500-66ec27fe82ad",
            "trace_id": "2cf86e86-22a4-46e1-ac2f-032c0f2a4e89",
        },
        "1a6ac2ad-10f2-4e2b-b500-66ec27fe82ad",
    ),
    (
        "new-api-video",
        {"id": "task_s5sud", "task_id": "task_s5sud", "object": "video", "status": "queued"},
        "task_s5sud",
    ),
    ("kie-jobs", {"code": 200, "msg": "success", "data": {"taskId": "281e5b0f39b9"}}, "281e5b0f39b9"),
    (
        "minimax",
        {"task_id": "106916112212032", "base_resp": {"status_code": 0, "status_msg": "success"}},
        "106916112212032",
    ),
]


@pytest.mark.parametrize(("recipe", "body", "task_id"), SUBMITTED)
def test_the_id_of_a_new_task_is_found_in_the_answer(recipe: str, body: Any, task_id: str) -> None:
    answer = Answer(200, {"content-type": "application/json"}, json.dumps(body).encode())
    assert described(recipe).read_submission(answer) == Submitted(task_id)


REPLICATE_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
CALLBACKS: list[tuple[str, Any, tuple[str, ...]]] = [
    (
        "replicate",
        {
            "id": "ufawqhfynnddngldkgtslldrkq",
            "version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
            "status": "succeeded",
            "input": {"text": "Alice", "id": "an-input"},
            "output": ["https://replicate.delivery/pbxt/a1/out.png"],
            "error": None,
        },
        ("ufawqhfynnddngldkgtslldrkq",),
    ),
    (
        "fal",
        {
            "request_id": "123e4567-e89b-12d3-a456-426614174000",
            "gateway_request_id": "223e4567-e89b-12d3-a456-426614174000",
            "status": "OK",
            "payload": {"images": [{"url": "https://v3.fal.media/files/a1.png"}], "id": "an-output"},
        },
        ("123e4567-e89b-12d3-a456-426614174000",),
    ),
    (
        "fal",
        {
            "request_id": "123e4567-e89b-12d3-a456-426614174000",
            "gateway_request_id": "123e4567-e89b-12d3-a456-426614174000",
            "status": "ERROR",
            "error": "Invalid status code: 422",
            "payload": {
                "detail": [
                    {"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}
                ]
            },
        },
        ("123e4567-e89b-12d3-a456-426614174000",),
    ),
    (
        "luma",
        {"id": "6f9ce8b2-2e0c-4f4d-9c5b-3f1d2a7b8c90", "state": "dreaming"},
        ("6f9ce8b2-2e0c-4f4d-9c5b-3f1d2a7b8c90",),
    ),
    (
        "acedata",
        {"success": True, "task_id": "1a6ac2ad-10f2-4e2b-b500-66ec27fe82ad", "data": [{"id": "a-song"}]},
        ("1a6ac2ad-10f2-4e2b-b500-66ec27fe82ad",),
    ),
    (
        "kie-jobs",
        {"code": 200, "msg": "ok", "data": {"taskId": "281e5b0f39b9", "state": "success"}},
        ("281e5b0f39b9",),
    ),
    ("runway", {"id": "17f20503-6c24-4c16-946b-35dbbce2af2f"}, ()),
]


@pytest.mark.parametrize(("recipe", "body", "ids"), CALLBACKS)
def test_a_callback_names_the_task_where_the_recipe_says(
    recipe: str, body: Any, ids: tuple[str, ...]
) -> None:
    assert described(recipe).callback_ids(body) == ids
    found = find_task_ids(Callback(json.dumps(body).encode(), {}))
    assert set(ids) <= found.keys()


def test_replicates_signature_of_a_callback_is_verified_with_the_secret_of_the_account() -> None:
    recipe, body, ids = CALLBACKS[0]
    raw = json.dumps(body).encode()
    signature = Webhook(REPLICATE_SECRET).sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1_614_265_330, UTC), raw.decode()
    )
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": signature,
    }
    scheme = CallbackScheme.STANDARD_WEBHOOKS
    found = described(recipe).callback_ids(body)
    assert verified_ids(Callback(raw, headers), found, scheme, REPLICATE_SECRET, 1_614_265_331.0) == list(ids)
    changed = raw.replace(b"succeeded", b"processing")
    assert verified_ids(Callback(changed, headers), found, scheme, REPLICATE_SECRET, 1_614_265_331.0) == []
