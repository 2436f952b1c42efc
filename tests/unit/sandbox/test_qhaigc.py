from __future__ import annotations

from typing import Any

import pytest

# The example of the vendor's page for a task that has ended well, texts and links shortened.
SUCCESS = {
    "code": "success",
    "message": "",
    "data": {
        "task_id": "750ced71bcdde0f6b7677c967722b888",
        "action": "GENERATIONS",
        "status": "SUCCESS",
        "fail_reason": "",
        "submit_time": 1773486571,
        "start_time": 0,
        "finish_time": 1773486652,
        "progress": "100%",
        "data": [
            {
                "id": "6ea663c2-0e79-4aad-8c97-3c344cde3d42",
                "tags": "pop, Bright",
                "title": "春天转圈圈",
                "prompt": "[Verse 1]",
                "audioUrl": "https://cdn.example.com/4676.mp3",
                "duration": 180.4,
                "imageUrl": "https://cdn.example.com/NmVh.jpeg",
                "modelName": "chirp-bluejay",
                "createTime": 1773486651435,
                "sourceAudioUrl": "https://cdn.example.com/6ea6.mp3",
                "sourceImageUrl": "https://cdn.example.com/image_6ea6.jpeg",
                "streamAudioUrl": "https://cdn.example.com/NmVh",
                "sourceStreamAudioUrl": "https://cdn.example.com/6ea6.mp3",
            }
        ],
    },
}
RULE = {
    "task_id": "song",
    "answers": [
        {"phase": "queued", "until_s": 2},
        {"phase": "processing", "until_s": 5},
        {"phase": "processing", "clips": 2, "until_s": 8},
        {"phase": "completed"},
    ],
}
FAILING = {"task_id": "bad", "answers": [{"phase": "failed", "reason": "too rude"}]}


@pytest.fixture
async def ask(start: Any, client: Any) -> Any:
    sandbox = await start({"tasks": [RULE, FAILING]})

    async def get(task_id: str, key: str = "good") -> tuple[int, Any]:
        url = f"{sandbox.base_url('qhaigc')}/v1/music/tasks/{task_id}"
        async with client.get(url, headers={"authorization": f"Bearer {key}"}) as response:
            return response.status, await response.json()

    return get


async def test_a_task_that_ended_well_looks_like_the_vendors_example(
    ask: Any, clock: Any, shape: Any
) -> None:
    await ask("song")
    clock.pass_s(8)
    status, answer = await ask("song")
    assert status == 200
    assert shape(answer) == shape(SUCCESS)
    assert (answer["code"], answer["data"]["action"], answer["data"]["progress"]) == (
        "success",
        "GENERATIONS",
        "100%",
    )


async def test_a_task_passes_through_the_vendors_words(ask: Any, clock: Any) -> None:
    words = []
    for wait_s in (0, 2, 6):
        clock.pass_s(wait_s)
        words.append((await ask("song"))[1]["data"]["status"])
    assert words == ["PENDING", "PROCESSING", "SUCCESS"]


async def test_task_times_are_seconds_and_clip_times_milliseconds(ask: Any, clock: Any) -> None:
    started = clock().timestamp()
    await ask("song")
    clock.pass_s(10)
    data = (await ask("song"))[1]["data"]
    assert (data["submit_time"], data["start_time"], data["finish_time"]) == (
        int(started),
        0,
        int(started + 8),
    )
    assert data["data"][0]["createTime"] == int((started + 8) * 1000)


async def test_a_running_task_has_no_clips_and_no_end(ask: Any) -> None:
    data = (await ask("song"))[1]["data"]
    assert (data["data"], data["finish_time"], data["fail_reason"]) == (None, 0, "")


async def test_there_are_two_different_clips(ask: Any, clock: Any) -> None:
    await ask("song")
    clock.pass_s(8)
    first, second = (await ask("song"))[1]["data"]["data"]
    assert first["id"] != second["id"]
    assert first["audioUrl"] != second["audioUrl"]


async def test_clips_that_come_early_are_streams(ask: Any, clock: Any) -> None:
    await ask("song")
    clock.pass_s(5)
    data = (await ask("song"))[1]["data"]
    assert data["status"] == "PROCESSING"
    assert [clip["audioUrl"] for clip in data["data"]] == ["", ""]
    assert all(clip["streamAudioUrl"].endswith("-stream.mp3") for clip in data["data"])


async def test_a_failed_task_says_why(ask: Any) -> None:
    data = (await ask("bad"))[1]["data"]
    assert (data["status"], data["fail_reason"], data["data"]) == ("FAILED", "too rude", None)


async def test_an_unknown_id_is_a_bad_request(ask: Any) -> None:
    status, answer = await ask("unknown")
    assert status == 400
    assert (answer["code"], answer["data"]) == ("task_not_exist", None)


async def test_a_bad_key_has_the_gateways_error_envelope(ask: Any) -> None:
    status, answer = await ask("song", key="the-wrong-one")
    assert status == 401
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "code"}
