from __future__ import annotations

from typing import Any

import pytest

from tunehook.times import to_ms

# The example of the vendor's page for a completed task.
COMPLETED = {
    "code": 0,
    "message": "ok",
    "request_id": "req-1710000000001",
    "data": {
        "id": "64f3a1b2c8d9e0f1a2b3c4d5",
        "status": "completed",
        "created_at": 1710000000000,
        "results": [
            {
                "id": "clip-abc123",
                "audio_url": "https://cdn.example.com/tob/gen/abc123.mp3",
                "image_url": "https://cdn.example.com/tob/gen/abc123.jpg",
                "title": "我的曲目",
                "duration": 87.4,
                "tags": "流行 欢快",
                "prompt": "一首欢快的流行曲",
                "expire_at": 1710604800000,
            }
        ],
    },
}
RULE = {
    "task_id": "song",
    "answers": [
        {"phase": "queued", "until_s": 2},
        {"phase": "processing", "until_s": 8},
        {"phase": "completed"},
    ],
}
FAILING = {"task_id": "bad", "answers": [{"phase": "failed", "reason": "no platform"}]}


@pytest.fixture
async def ask(start: Any, client: Any) -> Any:
    sandbox = await start({"tasks": [RULE, FAILING, {"task_id": "odd", "answers": [{"status": 500}]}]})

    async def post(path: str, body: Any = None, key: str = "good") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {key}"}
        url = f"{sandbox.base_url('musicmint')}/api/v1/{path}"
        async with client.post(url, json=body, headers=headers) as response:
            return response.status, await response.json()

    return post


async def test_a_completed_task_looks_like_the_vendors_example(ask: Any, clock: Any, shape: Any) -> None:
    await ask("task/song", {})
    clock.pass_s(8)
    status, answer = await ask("task/song", {})
    assert status == 200
    assert shape(answer) == shape(COMPLETED)
    assert (answer["code"], answer["message"], answer["data"]["status"]) == (0, "ok", "completed")


async def test_a_task_passes_through_the_vendors_words(ask: Any, clock: Any) -> None:
    words = []
    for wait_s in (0, 2, 6):
        clock.pass_s(wait_s)
        words.append((await ask("task/song"))[1]["data"]["status"])
    assert words == ["queuing", "processing", "completed"]


async def test_a_running_task_has_no_results_and_no_error(ask: Any) -> None:
    _, answer = await ask("task/song", {})
    assert set(answer["data"]) == {"id", "status", "created_at"}


async def test_times_are_milliseconds(ask: Any, clock: Any) -> None:
    start = clock()
    await ask("task/song", {})
    clock.pass_s(9)
    _, answer = await ask("task/song", {})
    assert answer["data"]["created_at"] == to_ms(start)
    ended_ms = to_ms(start) + 8_000
    assert answer["data"]["results"][0]["expire_at"] == ended_ms + 7 * 86_400_000


async def test_a_failed_task_says_why(ask: Any) -> None:
    _, answer = await ask("task/bad", {})
    assert answer["code"] == 0
    assert (answer["data"]["status"], answer["data"]["error"]) == ("failed", "no platform")
    assert "results" not in answer["data"]


async def test_an_id_that_is_not_there_has_an_error_code_and_no_data(ask: Any) -> None:
    _, answer = await ask("task/unknown", {})
    assert answer["code"] == 4005
    assert set(answer) == {"code", "message", "request_id"}


async def test_a_refused_key_has_an_error_code_and_no_data(ask: Any) -> None:
    _, answer = await ask("task/song", {}, key="wrong-key")
    assert answer["code"] == 1004
    assert set(answer) == {"code", "message", "request_id"}


async def test_a_list_has_summaries_newest_first(ask: Any, clock: Any) -> None:
    await ask("task/bad", {})
    clock.pass_s(1)
    await ask("task/song", {})
    clock.pass_s(8)
    _, answer = await ask("tasks", {"page": 1, "page_size": 100, "status": -1})
    items = answer["data"]["items"]
    assert [(item["id"], item["status"]) for item in items] == [("song", "completed"), ("bad", "failed")]
    assert [set(item) for item in items] == [
        {"id", "status", "created_at"},
        {"id", "status", "created_at", "error"},
    ]
    assert (answer["data"]["total"], answer["data"]["page"]) == (2, 1)


@pytest.mark.parametrize(("code", "ids"), [(0, ["song"]), (1, []), (2, []), (3, ["bad"])])
async def test_a_list_can_be_filtered_by_status(ask: Any, code: int, ids: list[str]) -> None:
    await ask("task/bad", {})
    await ask("task/song", {})
    _, answer = await ask("tasks", {"status": code})
    assert [item["id"] for item in answer["data"]["items"]] == ids
    assert answer["data"]["total"] == len(ids)


async def test_a_list_comes_in_pages_of_a_hundred_at_most(start: Any, client: Any, clock: Any) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "queued"}]}]})
    for number in range(105):
        sandbox.create_task("musicmint", f"task-{number:03}")
        clock.pass_s(1)
    pages = []
    for page in (1, 2, 3):
        url = f"{sandbox.base_url('musicmint')}/api/v1/tasks"
        async with client.post(url, json={"page": page, "page_size": 500}) as response:
            data = (await response.json())["data"]
        assert (data["total"], data["page"]) == (105, page)
        pages.append([item["id"] for item in data["items"]])
    assert [len(page) for page in pages] == [100, 5, 0]
    assert (pages[0][0], pages[1][-1]) == ("task-104", "task-000")


async def test_a_list_leaves_out_what_is_unknown_or_odd(ask: Any) -> None:
    await ask("task/unknown", {})
    await ask("tasks", {})
    _, answer = await ask("tasks", {})
    assert answer["data"] == {"items": [], "total": 0, "page": 1}
