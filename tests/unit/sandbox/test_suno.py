from __future__ import annotations

from typing import Any

import pytest

# What new-api of today answered about a task that has ended well, around the clips of its page's example; texts and
# links shortened.
SUCCESS = {
    "code": "success",
    "message": "",
    "data": {
        "id": 1,
        "created_at": 1795834023,
        "updated_at": 1795834043,
        "task_id": "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC",
        "platform": "suno",
        "user_id": 1,
        "group": "default",
        "channel_id": 1,
        "quota": 50000,
        "action": "MUSIC",
        "status": "SUCCESS",
        "fail_reason": "",
        "submit_time": 1795834023,
        "start_time": 1795834023,
        "finish_time": 1795834043,
        "progress": "100%",
        "properties": {"input": "", "upstream_model_name": "suno_music", "origin_model_name": "suno_music"},
        "data": [
            {
                "id": "a06015d0-9e04-4f30-85db-401494940394",
                "mv": "chirp-v4",
                "msg": "",
                "tags": "emotional punk",
                "state": "succeeded",
                "title": "City Lights",
                "prompt": "[Verse]",
                "status": "complete",
                "clip_id": "a06015d0-9e04-4f30-85db-401494940394",
                "task_id": "ba46ad15-07ce-41a6-b68d-196321dc00d5_1",
                "duration": 219,
                "audio_url": "https://cdn.example.com/a060.mp3",
                "image_url": "https://cdn.example.com/image_a060.jpeg",
                "video_url": "https://cdn.example.com/a060.mp4",
                "continue_at": None,
                "create_time": "1733717599",
                "update_time": "1733717785",
                "image_large_url": "https://cdn.example.com/image_large_a060.jpeg",
                "continue_clip_id": None,
                "gpt_description_prompt": None,
            }
        ],
    },
}
RULE = {
    "task_id": "song",
    "video": True,
    "answers": [
        {"phase": "queued", "until_s": 2},
        {"phase": "processing", "until_s": 5},
        {"phase": "processing", "clips": 2, "until_s": 8},
        {"phase": "completed"},
    ],
}
FAILING = {"task_id": "bad", "answers": [{"phase": "failed", "reason": "too rude", "clips": 1}]}
ODD = {"task_id": "odd", "answers": [{"status": 429, "times": 1}, {"phase": "queued"}]}
SILENT = {"task_id": "silent", "answers": [{"phase": "completed"}]}
LYRICS = {
    "task_id": "lyrics",
    "lyrics": True,
    "song": {"title": "Rain", "prompt": "la la"},
    "answers": [{"phase": "processing", "until_s": 1}, {"phase": "completed"}],
}


@pytest.fixture
async def sandbox(start: Any) -> Any:
    return await start({"tasks": [RULE, FAILING, ODD, SILENT, LYRICS]})


@pytest.fixture
async def ask(sandbox: Any, client: Any) -> Any:
    async def get(task_id: str, key: str = "good") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {key}"}
        url = f"{sandbox.base_url('suno')}/suno/fetch/{task_id}"
        async with client.get(url, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    return get


@pytest.fixture
async def ask_many(sandbox: Any, client: Any) -> Any:
    async def post(ids: Any) -> Any:
        async with client.post(f"{sandbox.base_url('suno')}/suno/fetch", json={"ids": ids}) as response:
            answer = await response.json()
            assert (response.status, answer["code"], answer["message"]) == (200, "success", "")
            return answer["data"]

    return post


async def test_a_task_that_ended_well_looks_like_the_gateways_example(
    ask: Any, clock: Any, shape: Any
) -> None:
    await ask("song")
    clock.pass_s(8)
    status, answer = await ask("song")
    assert status == 200
    assert shape(answer) == shape(SUCCESS)
    assert [clip["task_id"] for clip in answer["data"]["data"]] == ["song_1", "song_2"]


async def test_a_task_passes_through_the_gateways_words(ask: Any, clock: Any) -> None:
    words = []
    for wait_s in (0, 2, 6):
        clock.pass_s(wait_s)
        words.append((await ask("song"))[1]["data"]["status"])
    assert words == ["QUEUED", "IN_PROGRESS", "SUCCESS"]


async def test_task_times_are_seconds_and_clip_times_strings_of_seconds(ask: Any, clock: Any) -> None:
    started = int(clock().timestamp())
    await ask("song")
    clock.pass_s(10)
    data = (await ask("song"))[1]["data"]
    assert (data["submit_time"], data["start_time"], data["finish_time"]) == (started, started, started + 8)
    clip = data["data"][0]
    assert (clip["create_time"], clip["update_time"]) == (str(started), str(started + 8))


async def test_a_task_says_when_it_changed_last(ask: Any, clock: Any) -> None:
    started = int(clock().timestamp())
    changed = []
    for wait_s in (0, 1, 3, 1, 5):
        clock.pass_s(wait_s)
        changed.append((await ask("song"))[1]["data"]["updated_at"] - started)
    assert changed == [0, 0, 2, 5, 8]


async def test_a_lyrics_task_ends_with_a_text_and_no_clips(ask: Any, clock: Any) -> None:
    assert (await ask("lyrics"))[1]["data"]["data"] is None
    clock.pass_s(1)
    data = (await ask("lyrics"))[1]["data"]
    assert (data["action"], data["status"]) == ("LYRICS", "SUCCESS")
    text = data["data"]
    assert text == {"id": text["id"], "status": "complete", "title": "Rain", "text": "la la"}


async def test_times_that_are_not_set_are_zero(ask: Any) -> None:
    data = (await ask("song"))[1]["data"]
    assert (data["start_time"], data["finish_time"]) == (0, 0)


async def test_clips_that_come_early_are_streaming(ask: Any, clock: Any) -> None:
    await ask("song")
    clock.pass_s(5)
    data = (await ask("song"))[1]["data"]
    assert data["status"] == "IN_PROGRESS"
    assert [(clip["state"], clip["video_url"]) for clip in data["data"]] == [("streaming", "")] * 2
    assert all(clip["audio_url"].endswith("-stream.mp3") for clip in data["data"])


async def test_a_clip_has_an_mp4_only_where_the_scenario_says_so(ask: Any, clock: Any) -> None:
    await ask("song")
    clock.pass_s(8)
    with_video = (await ask("song"))[1]["data"]["data"]
    assert all(clip["video_url"].endswith(f"{clip['id']}.mp4") for clip in with_video)
    without = (await ask("silent"))[1]["data"]["data"]
    assert [clip["video_url"] for clip in without] == ["", ""]


async def test_a_failed_task_says_why_and_may_carry_a_playable_clip(ask: Any) -> None:
    data = (await ask("bad"))[1]["data"]
    assert (data["status"], data["fail_reason"], data["progress"]) == ("FAILURE", "too rude", "100%")
    assert (data["result_url"], data["quota"]) == ("too rude", 0)
    assert [clip["state"] for clip in data["data"]] == ["succeeded"]


async def test_an_unknown_id_is_a_bad_request(ask: Any) -> None:
    status, answer = await ask("unknown")
    assert status == 400
    assert (answer["code"], answer["data"]) == ("task_not_exist", None)


async def test_a_bad_key_has_the_gateways_error_envelope_and_words(ask: Any) -> None:
    status, answer = await ask("song", key="the-wrong-one")
    assert status == 401
    assert set(answer) == {"error"}
    assert answer["error"]["message"].startswith("Invalid token (request id: ")
    assert (answer["error"]["type"], answer["error"]["code"]) == ("new_api_error", "")


async def test_many_are_answered_at_once_in_an_order_of_their_own(ask: Any, ask_many: Any) -> None:
    tasks = await ask_many(["song", "bad"])
    assert [task["task_id"] for task in tasks] == ["bad", "song"]
    assert tasks[0] == (await ask("bad"))[1]["data"]


async def test_an_id_that_is_named_twice_is_one_question(sandbox: Any, ask_many: Any) -> None:
    assert len(await ask_many(["song", "song"])) == 1
    assert sandbox.task_records()[0].poll_count == 1


async def test_unknown_ids_are_left_out_of_many(ask_many: Any) -> None:
    assert [task["task_id"] for task in await ask_many(["song", "unknown"])] == ["song"]


async def test_many_of_which_none_is_known_are_null(ask_many: Any) -> None:
    assert await ask_many(["unknown"]) is None


async def test_a_task_with_an_odd_answer_is_left_out_of_many_until_it_was_given(
    ask: Any, ask_many: Any
) -> None:
    assert await ask_many(["odd"]) is None
    assert (await ask("odd"))[0] == 429
    assert [task["task_id"] for task in await ask_many(["odd"])] == ["odd"]


@pytest.mark.parametrize("ids", [[], None, "song", [1, None]])
async def test_a_question_about_no_ids_gets_an_empty_list(ask_many: Any, ids: Any) -> None:
    assert await ask_many(ids) == []
