from typing import Any

import pytest

from tunehook.providers.newapi import NewApiAdapter, read_data
from tunehook.providers.outcomes import Completed, Failed, Pending
from tunehook.providers.results import Origin


@pytest.mark.parametrize(
    ("status", "payload", "has_worked"),
    [
        *[
            (status, {"code": "success"}, 200 <= status < 300)
            for status in (199, 200, 201, 299, 300, 404, 500)
        ],
        *[
            (200, {"code": code}, True)
            for code in ("success", "SUCCESS", 0, "0", "000", 1, True, 200, 200.0, "200")
        ],
        *[(200, {"code": code}, False) for code in ("error", 2, "500", [], False)],
        *[(200, {"success": success}, True) for success in (True, 1, "true")],
        *[(200, {"success": success}, False) for success in (False, "false", 0, 2, "yes")],
        (200, {"success": False, "code": "success"}, False),
        (200, {}, False),
    ],
)
def test_whether_a_query_worked_is_said_by_its_code_or_by_its_success(
    status: int, payload: dict[str, Any], has_worked: bool
) -> None:
    assert NewApiAdapter.worked(status, payload) is has_worked


CLIP = {"id": "c", "audio_url": "https://h/1.mp3"}
DONE = {"task_id": "t", "status": "SUCCESS"}


def read(data: Any) -> Any:
    return read_data(data, Origin())


@pytest.mark.parametrize("name", ["code", "status_code", "statusCode", "errcode", "errno", "ret"])
def test_the_code_of_an_envelope_has_many_names(name: str) -> None:
    assert NewApiAdapter.worked(200, {name: "success"})
    assert not NewApiAdapter.worked(200, {name: "error", "success": True})


@pytest.mark.parametrize("code", ["success", "succeed", "succeeded", "ok", "true", "0", "1", "200"])
def test_a_query_has_worked_by_many_words(code: str) -> None:
    assert NewApiAdapter.worked(200, {"code": code})
    assert NewApiAdapter.worked(200, {"status": code, "data": None})
    assert not NewApiAdapter.worked(200, {"status": code})


@pytest.mark.parametrize("name", ["status", "task_status", "taskStatus", "state"])
@pytest.mark.parametrize("inside", [None, "task", "task_info", "taskInfo", "record"])
def test_the_status_of_a_task_has_many_names_and_the_task_many_places(name: str, inside: str | None) -> None:
    task = {"task_id": "t", name: "SUCCESS", "data": [CLIP]}
    assert isinstance(read(task if inside is None else {inside: task}), Completed)


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("unknown not_start submitted queued queueing queuing pending in_queue on_queue", "queued"),
        ("pending_queue staged waiting wait created preparing", "queued"),
        ("in_progress processing running starting started generating", "processing"),
        ("text_success first_success callback_exception", "processing"),
    ],
)
def test_a_task_is_under_way_by_many_words(words: str, phase: str) -> None:
    for word in words.split():
        found = read({"task_id": "t", "status": word.upper()})
        assert isinstance(found, Pending), word
        assert found.phase == phase, word


def test_a_task_has_ended_by_many_words() -> None:
    for word in [
        "success",
        "succeeded",
        "succeed",
        "successful",
        "complete",
        "completed",
        "finished",
        "done",
    ]:
        assert isinstance(read({"task_id": "t", "status": word, "data": [CLIP]}), Completed), word
    for word in (
        *[
            "failure",
            "failed",
            "fail",
            "error",
            "canceled",
            "cancelled",
            "aborted",
            "timeouted",
            "create_task_failed",
        ],
        *["generate_audio_failed", "generate_lyrics_failed", "sensitive_word_error"],
    ):
        assert isinstance(read({"task_id": "t", "status": word, "fail_reason": "because"}), Failed), word


def test_a_clip_says_by_many_words_how_it_is() -> None:
    def of_clip(word: str) -> Any:
        return read([CLIP | {"status": word}])

    for word in [
        "submitted",
        "queued",
        "pending",
        "waiting",
        "streaming",
        "processing",
        "in_progress",
        "running",
        "generating",
    ]:
        assert isinstance(of_clip(word), Pending), word
    for word in ["complete", "completed", "succeeded", "success", "finished", "done"]:
        assert isinstance(of_clip(word), Completed), word
    for word in ["error", "failed", "failure", "fail", "canceled", "cancelled", "aborted"]:
        assert isinstance(of_clip(word), Failed), word


@pytest.mark.parametrize(
    "name",
    [
        *[
            "clips",
            "songs",
            "sunoData",
            "suno_data",
            "data",
            "results",
            "result",
            "response",
            "output",
            "tracks",
            "music",
            "musics",
        ],
        *["audios", "lyricsData", "lyrics_data", "lyrics", "resultJson", "result_json"],
    ],
)
def test_the_clips_of_a_task_stand_in_many_places(name: str) -> None:
    found = read(DONE | {name: [CLIP]})
    assert isinstance(found, Completed)
    assert [clip.clip_id for clip in found.result.clips] == ["c"]


@pytest.mark.parametrize("name", ["clips", "songs", "tracks"])
def test_clips_may_stand_in_a_map_by_their_ids(name: str) -> None:
    found = read(DONE | {"data": {name: {"c": CLIP}}})
    assert isinstance(found, Completed)
    assert [clip.clip_id for clip in found.result.clips] == ["c"]


@pytest.mark.parametrize(
    "name",
    [
        *[
            "result_url",
            "resultUrl",
            "audio_url",
            "audioUrl",
            "video_url",
            "videoUrl",
            "media_urls",
            "mediaUrls",
        ],
        *["result_urls", "resultUrls", "urls", "output", "result"],
    ],
)
def test_the_link_of_a_task_without_clips_stands_in_many_places(name: str) -> None:
    for data in (DONE | {name: "https://h/1.mp3"}, DONE | {"data": {name: "https://h/1.mp3"}}):
        found = read(data)
        assert isinstance(found, Completed)
        (clip,) = found.result.clips
        assert "https://h/1.mp3" in (clip.audio_url, clip.video_url)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "fail_reason",
            "failReason",
            "fail_msg",
            "failMsg",
            "error_message",
            "errorMessage",
            "error_msg",
            "errorMsg",
            "err_msg",
        ],
        *["error", "failure_reason", "msg", "message", "detail", "reason"],
    ],
)
def test_the_reason_of_a_failure_has_many_names_and_is_cut_at_1000_characters(name: str) -> None:
    found = read({"task_id": "t", "status": "FAILURE", name: "b" * 3000})
    assert isinstance(found, Failed)
    assert found.reason == "b" * 1000


def test_a_word_that_is_not_known_is_told_in_64_characters() -> None:
    found = read({"task_id": "t", "status": "x" * 100})
    assert isinstance(found, Pending)
    assert (found.word, found.known) == ("x" * 64, False)


@pytest.mark.parametrize(
    "place",
    [
        {"data": {"my_file": "https://h/1.mp3", "title": "a"}},
        {"data": [{"id": "c", "title": "a", "my_file": "https://h/1.mp3"}]},
        {"data": {"clips": [{"id": "c", "title": "a", "my_file": "https://h/1.mp3"}]}},
    ],
    ids=["data", "clip", "clip in data"],
)
def test_a_link_to_media_is_found_in_a_field_of_any_name(place: dict[str, Any]) -> None:
    found = read(DONE | place)
    assert [clip.audio_url for clip in found.result.clips] == ["https://h/1.mp3"]


@pytest.mark.parametrize(("status", "outcome"), [("FAILURE", Failed), ("IN_PROGRESS", Pending)])
def test_a_link_in_fail_reason_is_no_file_of_a_clip_unless_the_task_is_a_success(
    status: str, outcome: type
) -> None:
    task = {"task_id": "t", "status": status, "progress": "100%", "fail_reason": "https://h/1.mp3"}
    clip = {"id": "c", "status": "complete", "audio_url": ""}
    assert type(read({**task, "data": [clip]})) is outcome
    assert type(read({**task, "data": [{**clip, "audio_url": "https://h/1.mp3"}]})) is Completed
    assert type(read({**task, "status": "SUCCESS", "data": [clip]})) is Completed


@pytest.mark.parametrize(
    ("word", "outcome"), [("complete", Completed), ("streaming", Pending), ("failed", Pending), (0, Pending)]
)
def test_a_clip_under_a_name_in_an_item_of_the_list_speaks_for_itself(word: Any, outcome: type) -> None:
    clip = {"id": "c", "title": "Song", "status": word, "audio_url": "https://h/1.mp3"}
    for item in (clip, {"clip": clip}):
        assert type(read({"task_id": "t", "status": "CALLBACK_EXCEPTION", "data": [item]})) is outcome
        found = read(DONE | {"data": [item]})
        assert [(each.clip_id, each.title) for each in found.result.clips] == [("c", "Song")]


def test_of_several_clips_under_names_each_counts_and_an_item_with_a_word_of_its_own_is_one() -> None:
    good = {"id": "a", "status": "complete", "audio_url": "https://h/1.mp3"}
    bad = {"id": "b", "status": "failed", "audio_url": "https://h/2.mp3"}
    found = read(DONE | {"data": [{"x": good, "y": bad}]})
    assert [clip.clip_id for clip in found.result.clips] == ["a", "b"]
    for item in ({"x": good, "y": bad}, {"status": "failed", "x": good}):
        assert type(read({"task_id": "t", "status": "CALLBACK_EXCEPTION", "data": [item]})) is Pending


def test_what_an_item_holds_is_a_part_of_a_clip_or_a_clip_by_its_link() -> None:
    part = {"id": "p", "audio_url": "https://h/part.mp3"}
    for item in (
        {"id": "c", "audio_url": "https://h/1.mp3", "parent": part},
        {"x": CLIP, "y": {"duration": 1}},
    ):
        (clip,) = read(DONE | {"data": [item]}).result.clips
        assert (clip.clip_id, clip.audio_url) == ("c", "https://h/1.mp3")


@pytest.mark.parametrize(("levels", "are_found"), [(3, True), (4, False)])
def test_clips_are_looked_for_three_lists_deep(levels: int, are_found: bool) -> None:
    data: Any = [CLIP]
    for _ in range(levels):
        data = {"result": data}
    assert isinstance(read(DONE | {"data": data}), Completed) is are_found


@pytest.mark.parametrize(
    ("data", "clips"),
    [
        ([], None),
        ([CLIP | {"status": "queued"}], 1),
        ([CLIP | {"status": "SUCCESS"}, {"id": "d", "status": "x"}], 2),
    ],
)
def test_a_list_of_clips_in_place_of_the_task_that_has_not_ended(data: Any, clips: int | None) -> None:
    outcome = read(data)
    assert isinstance(outcome, Pending)
    assert (None if outcome.read is None else len(outcome.read().clips)) == clips
    assert outcome.may_have_clips is (clips is not None)


@pytest.mark.parametrize("name", ["text", "lyrics", "lyric"])
def test_a_text_is_read_by_many_names(name: str) -> None:
    written = {name: "[Verse] la"}
    for task in (written, {"data": written}, {"action": "LYRICS", **written}):
        found = read({"task_id": "t", "status": "SUCCESS", **task})
        assert isinstance(found, Completed), task
        assert [clip.text for clip in found.result.clips] == ["[Verse] la"], task


@pytest.mark.parametrize("name", ["output", "result"])
def test_of_a_task_for_texts_alone_an_output_is_a_text(name: str) -> None:
    found = read({"task_id": "t", "status": "SUCCESS", "action": "LYRICS", "data": {name: "[Verse] la"}})
    assert isinstance(found, Completed)
    assert [clip.text for clip in found.result.clips] == ["[Verse] la"]
    other = read({"task_id": "t", "status": "SUCCESS", "action": "VIDEO", "data": {name: "[Verse] la"}})
    assert not isinstance(other, Completed)
