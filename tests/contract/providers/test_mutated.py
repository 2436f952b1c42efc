"""Whatever is done to a recorded answer: reading it raises nothing, and ends no task whose status word does not."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.providers.examples import Example, load

from tunehook.clips import Clip
from tunehook.providers.adapter import Answer, ManyUnknown, Screening
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    Outcome,
    SeemsFailed,
    TaskResult,
)

DRAWN_ANEW = os.environ.get("TUNEHOOK_MUTATIONS")
"""How many of each kind are drawn, by chance; without it the same 3,500 at each run, more than 10,000 together."""
MUTATIONS_PER_KIND = int(DRAWN_ANEW or 3_500)

EXAMPLES = load()
KINDS = sorted({example.kind for example in EXAMPLES})
INTERNAL = {"user_id", "channel_id", "group", "quota", "username"}
FAMILY_SUCCESS = {
    "success",
    "succeeded",
    "succeed",
    "successful",
    "complete",
    "completed",
    "finished",
    "done",
}
FAMILY_FAILURE = {
    *("failure", "failed", "fail", "error", "canceled", "cancelled", "aborted", "timeouted"),
    *("create_task_failed", "generate_audio_failed", "generate_lyrics_failed", "sensitive_word_error"),
}
FAMILY_UNFINISHED = {
    *(
        "",
        "unknown",
        "not_start",
        "submitted",
        "queued",
        "queueing",
        "queuing",
        "pending",
        "in_queue",
        "staged",
    ),
    *("waiting", "created", "in_progress", "processing", "running", "starting", "started", "generating"),
    *("text_success", "first_success", "on_queue", "pending_queue", "wait", "preparing"),
}
FAMILY = {"qhaigc", "suno"}
SUCCESS = {
    **dict.fromkeys(FAMILY, FAMILY_SUCCESS),
    "musicmint": {"completed"},
    "piapi": {"completed", "success"},
    "sunoapi": {"success"},
}
FAILURE = {
    **dict.fromkeys(FAMILY, FAMILY_FAILURE),
    "musicmint": {"failed", "failure"},
    "piapi": {"failed"},
    "sunoapi": {"create_task_failed", "generate_audio_failed", "sensitive_word_error", "fail"},
}
LIKE_A_FAILURE = ("failed", "error", "exception", "rejected", "canceled", "cancelled", "expired", "timeout")
CLIP_SUCCESS = {"complete", "completed", "succeeded", "success", "finished", "done"}
CLIP_FAILURE = {"failed", "failure", "error", "fail", "canceled", "cancelled", "aborted"}
STATUS_NAMES = ("status", "task_status", "taskStatus", "state")
REASON_NAMES = ("fail_reason", "failReason", "fail_msg", "failMsg")
LINK_NAMES = {
    "audio_url",
    "audioUrl",
    "video_url",
    "videoUrl",
    "source_audio_url",
    "sourceAudioUrl",
    "media_urls",
    *(
        "song_path",
        "songPath",
        "song_url",
        "mp3_url",
        "sound_url",
        "audio",
        "wav_url",
        "download_url",
        "file_url",
    ),
    *("url", "video"),
}

MEDIA_LINK = re.compile(r"(?i)https?://\S+\.(mp3|wav|m4a|flac|ogg|mp4)")
# Row 22, as gateways write them and as vendors do.
OUTER_LINK_NAMES = (
    *("result_url", "audio_url", "video_url", "media_urls", "result_urls", "urls", "output"),
    *("resultUrl", "audioUrl", "videoUrl", "mediaUrls", "resultUrls"),
)

ODD_NUMBERS = [
    0,
    1,
    -1,
    0.5,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    10**30,
    -(10**4000),
    1e300,
]
ODD_CODES = [1003, 4005, "task_not_exist", "success", "SUCCESS", True, False]
ODD_TIMES = [
    2**63,
    253402300800,
    253402300800000,
    "1733717599",
    "1733717599000",
    "2024-12-09T04:13:19Z",
    "20241209",
]
ODD_DATES = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-13-45"]
ODD_TEXTS = [
    "",
    " ",
    "-1",
    "1e999",
    "nan",
    "9" * 5000,
    "٣",
    "\ud800",
    "a\udfffb",
    "\x00",
    "\ufeff",
    "詞" * 70_000,
]
ODD_WORDS = [
    "completed",
    "failed",
    "FAILURE",
    "complete",
    "error",
    "streaming",
    "İ",
    "succeß",
    "SUCCE\u017fS",
    "CALLBACK_EXCEPTION",
    "UPLOAD_FAILED",
    "FIRST_SUCCESS",
    "GENERATE_AUDIO_FAILED",
    "not-start",
]
ODD_LINKS = [
    "http://[::1",
    "https://h:99999/a.mp3",
    "ftp://h/a.mp3",
    "//h/a.mp3",
    "https://a b/c.mp3",
    "https://h/ok",
    "/files/a.mp3",
    "https://h/None.mp3",
    "data:audio/mpeg;base64,SUQz",
    "data:image/png;base64," + "A" * 100_000,
    "data:audio/mpeg;base64,!!!",
    'see "data:audio/mpeg;base64,SUQz" and <data:text/html;base64,SUQz>',
    "[x](https://h/a.mp3)",
    "https://audiopipe.suno.ai/?item_id=a",
]
ODD_LISTS = [[], [[]], [None], [{}], [{"status": "complete"}], [{"status": "error"}], list(range(2000))]
ODD_OBJECTS = [
    *({}, {"": None}, {"status": "SUCCESS"}, {"songs": [{}]}, {"message": "x"}),
    {"clips": {"a": {"status": "complete", "audio_url": "https://h/a.mp3"}, "b": {"status": "streaming"}}},
    {"id": "l", "title": "T", "text": "la la"},
    {"id": "l", "text": ["la", "la"], "audio_url": None},
    {"url": "https://h/a.mp3", "type": "audio"},
    {"message": "no", "code": 3},
]
ODD_PROGRESS = ["100%", "100", 100, 100.0, "99%", "1000%"]
ODD_JSON_TEXTS = [
    '[{"id": "a", "status": "complete", "audio_url": "https://h/a.mp3"}]',
    '"\\"x\\""',
    "[[[[",
    "null",
]
ODD_CLIPS = [[{"id": "a", "audio_url": "https://h/a.mp3", "prompt": "詞" * 500} for _ in range(300)]]
ODD_VALUES: list[Any] = [
    *[None, *ODD_NUMBERS, *ODD_CODES, *ODD_TIMES, *ODD_DATES, *ODD_TEXTS],
    *[*ODD_WORDS, *ODD_LINKS, *ODD_LISTS, *ODD_OBJECTS, *ODD_CLIPS, *ODD_PROGRESS, *ODD_JSON_TEXTS],
]
KEYS = [
    "code",
    "data",
    "status",
    "results",
    "task_id",
    "metadata",
    "state",
    "songs",
    "audio_url",
    "video_url",
    "progress",
    "fail_reason",
    "clips",
    "result_url",
    "media_urls",
    "text",
    "success",
    "result",
    "output",
    "resultJson",
    "action",
    "error",
    "\ud800",
    "x" * 5000,
]
STATUSES = [None, None, 200, 200, 201, 204, 302, 400, 401, 403, 404, 405, 429, 430, 500, 503, 999]
ODD_DELAYS = [
    "",
    "9" * 400,
    "-1",
    "nan",
    "1.5",
    "²",
    "Fri, 99 Foo 2026 99:99:99 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
]
BYTE_EDITS = [
    "cut",
    "bad utf-8",
    "overlong",
    "utf-16",
    "nul",
    "twice",
    "deep lists",
    "deep objects",
    "escapes",
]

Edit = tuple[str, int, int, int]
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "delete", "insert", "wrap", "unwrap", "repeat"]),
        st.integers(0, 10_000),
        st.integers(0, len(ODD_VALUES) - 1),
        st.integers(0, len(KEYS) - 1),
    ),
    max_size=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def edited(value: Any, how: list[Edit]) -> Any:
    root = [copy.deepcopy(value)]
    for operation, where, odd, key in how:
        found = places(root)
        container, at = found[where % len(found)]
        inner = container[at]
        if operation == "set":
            container[at] = copy.deepcopy(ODD_VALUES[odd])
        elif operation == "delete" and container is not root:
            del container[at]
        elif operation == "insert" and isinstance(container, dict):
            container[KEYS[key]] = copy.deepcopy(ODD_VALUES[odd])
        elif operation == "wrap":
            container[at] = [inner] if odd % 2 else {KEYS[key]: inner}
        elif operation == "unwrap" and isinstance(inner, dict | list) and inner:
            container[at] = next(iter(inner.values())) if isinstance(inner, dict) else inner[0]
        elif operation == "repeat" and isinstance(container, list):
            container.extend(copy.deepcopy(inner) for _ in range(3))
    return root[0]


def written(text: str, how: str | None, where: int) -> bytes:
    whole = text.encode()
    at = where % (len(whole) + 1)
    depth = where % 2_000
    match how:
        case "cut":
            return whole[:at]
        case "bad utf-8":
            return whole[:at] + b"\xff\xc0" + whole[at:]
        case "overlong":
            return whole.replace(b"S", b"\xc1\x93", 1)
        case "utf-16":
            return text.encode("utf-16")
        case "nul":
            return whole[:at] + b"\x00" + whole[at:]
        case "twice":
            return whole * 2
        case "deep lists":
            return whole[:at] + b"[" * 50_000 + whole[at:]
        case "deep objects":
            return whole.replace(b'"data":', b'"data":' + b'{"data":' * depth, 1) + b"}" * depth
        case "escapes":
            return whole.replace(b"e", b"\\u0065")
    return whole


def leniently(body: bytes) -> Any:
    try:
        charset = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = body.decode(charset, "replace").strip("\ufeff\x00 \t\r\n")
        # NaN and its like are no JSON, and say nothing.
        return json.loads(text, strict=False, parse_int=lambda digits: digits, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def word(value: Any) -> str:
    return (
        re.sub("[- ]", "_", value.strip().lower())
        if isinstance(value, str)
        else ("" if value is None else "?")
    )


def as_json(value: Any) -> Any:
    for _ in range(3):
        if not isinstance(value, str):
            break
        inner = leniently(value.encode("utf-8", "replace"))
        if inner is None:
            break
        value = inner
    return value


def objects(value: Any, depth: int = 6) -> Iterator[dict[str, Any]]:
    """Every JSON object in a value, JSON in texts included."""
    value = as_json(value)
    if depth == 0:
        return
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            # An object in a clip is a part of it.
            if not (isinstance(each, dict) and isinstance(value, dict) and has_link(value)):
                yield from objects(each, depth - 1)


def has_link(clip: dict[str, Any]) -> bool:
    return (
        any(clip.get(name) not in (None, "", [], {}) for name in LINK_NAMES)
        # A link to a file counts under whatever name, but for those of covers and live streams.
        or any(isinstance(each, str) and MEDIA_LINK.fullmatch(each) for each in clip.values())
        or any(
            isinstance(clip.get(name), str | int | float) for name in ("text", "lyrics", "lyric", "content")
        )
    )


def status_of(task: dict[str, Any]) -> str:
    """The status, under its usual name or, where that says nothing, under another (row 23)."""
    return word(next((task[name] for name in STATUS_NAMES if task.get(name) not in (None, "")), None))


def is_excused(task: dict[str, Any]) -> bool:
    """Whether the exceptions of rows 7 and 17 to 19 let a task complete whose status does not call it so."""
    status = status_of(task)
    reason = next((task[name] for name in REASON_NAMES if task.get(name) not in (None, "")), None)
    says_nothing = (
        reason is None or re.fullmatch(r"\s*(https?://\S+)?\s*", str(reason), re.IGNORECASE) is not None
    )
    progress = str(task.get("progress")).strip().rstrip("%").strip()
    is_hundred = re.fullmatch(r"100(\.0*)?", progress, re.ASCII) is not None
    # An entry of `media_urls` is a clip's link, and no clip.
    places = task.get("data")
    if as_json(places) in (None, "", [], {}):
        # The clips may stand beside an empty `data` (row 21).
        places = [each for name, each in task.items() if name != "data"]
    inside = [each for each in objects(places) if each.keys() != {"url"}]
    clips = [each for each in inside if has_link(each)]
    if not clips and any(task.get(name) for name in OUTER_LINK_NAMES):
        # A single clip without a file gets the task's (row 22).
        clips = inside[:1] if len(inside) == 1 else []
    if not clips:
        return False
    words = {word(clip.get("status") or clip.get("state")) for clip in clips}
    if status == "callback_exception":
        return words <= CLIP_SUCCESS | {""}
    may = (
        status in FAMILY_FAILURE
        or status.endswith(LIKE_A_FAILURE)
        # A task without a status is queued.
        or ((status in FAMILY_UNFINISHED or not status) and is_hundred)
    )
    return may and says_nothing and words <= CLIP_SUCCESS


def is_undelivered(task: dict[str, Any]) -> bool:
    """Whether the vendor could not call back about a task that may have a clip (row 25)."""
    places = [task.get(name) for name in ("response", "resultJson")]
    return status_of(task) == "callback_exception" and any(map(has_link, objects(places)))


def called_ended(kind: str, task: Any) -> tuple[bool, bool]:
    """Whether a task may count as completed, and whether as failed: a second reading of the contract's rows."""
    if kind != "musicmint":
        task = as_json(task)
    is_list = kind in FAMILY and isinstance(task, list)
    if is_list and len(task) == 1 and isinstance(task[0], dict) and "task_id" in task[0]:
        either = [called_ended(kind, task[0]), called_list(task)]
        return any(each[0] for each in either), any(each[1] for each in either)
    if isinstance(task, dict):
        status = status_of(task)
        excused = is_excused(task) if kind in FAMILY else kind == "sunoapi" and is_undelivered(task)
        return status in SUCCESS[kind] or excused, status in FAILURE[kind]
    return called_list(task) if is_list else (False, False)


def readings(payload: Any) -> list[Any]:
    """Every part of an answer that may be the task: its `data`, or what stands in the place of it (row 20)."""
    payload = as_json(payload)
    if not isinstance(payload, dict):
        return [None]
    data = payload.get("data")
    found = [data if "data" in payload else payload.get("result")]
    if any(name in payload for name in ("task_id", "taskId", "id")):
        found.append(payload)
    inside = as_json(found[0])
    if isinstance(inside, dict) and not any(inside.get(name) for name in STATUS_NAMES):
        found += [inside.get(name) for name in ("task", "task_info", "taskInfo", "record")]
    return found


def held(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The clips that an item holds under names, where it says nothing itself (row 21); else the item."""
    if has_link(item) or item.get("status") is not None or item.get("state") is not None:
        return [item]
    return [each for each in item.values() if isinstance(each, dict) and has_link(each)] or [item]


def called_list(task: list[Any]) -> tuple[bool, bool]:
    clips = [clip for item in task if isinstance(item, dict) for clip in held(item)]
    words = {word(clip.get("status") or clip.get("state")) for clip in clips}
    ended = bool(words) and words <= CLIP_SUCCESS | CLIP_FAILURE
    return ended and bool(words & CLIP_SUCCESS), ended and words <= CLIP_FAILURE


def check(outcome: Outcome | None, kind: str, tasks: list[Any]) -> None:
    if isinstance(outcome, SeemsFailed):
        assert outcome.reason.encode()
        check_result(outcome.result)
    if not isinstance(outcome, Completed | CompletedWithoutResults | Failed):
        return
    either = [called_ended(kind, task) for task in tasks]
    completed, failed = any(each[0] for each in either), any(each[1] for each in either)
    assert failed if isinstance(outcome, Failed) else completed
    if isinstance(outcome, Completed) and not outcome.is_streaming:
        assert any(
            clip.playable or clip.video_url or clip.image_url or clip.file_url or clip.text or clip.inline
            for clip in outcome.result.clips
        )
    if isinstance(outcome, Failed):
        assert outcome.reason.encode()
    check_result(outcome.result)


def check_result(result: TaskResult) -> None:
    whole = json.dumps(result.provider_object, ensure_ascii=False, allow_nan=False).encode()
    assert len(whole) <= 200_000
    assert sum(len(str(clip).encode()) for clip in result.clips) <= 150_000
    assert len({clip.clip_id for clip in result.clips}) == len(result.clips)
    assert b"base64," not in whole
    assert not any("base64," in str(each) for each in (*result.clips, *result.unusable_links))
    assert not INTERNAL & result.provider_object.keys()
    files = {(file.clip_id, file.type) for file in result.inline_files}
    assert files == {(clip.clip_id, name) for clip in result.clips for name in clip.inline}
    for clip in result.clips:
        check_clip(clip)


def check_clip(clip: Clip) -> None:
    assert clip.clip_id.encode()
    assert clip.duration_s is None or 0 < clip.duration_s <= 1_000_000
    assert all(tag.encode() for tag in clip.tags)
    for moment in (clip.created_at, clip.expires_at):
        assert moment is None or (moment.tzinfo is UTC and 2000 <= moment.year < 2200)
    links = (clip.audio_url, clip.audio_source_url, clip.cover_url, clip.video_url, clip.stream_url)
    assert all(link is None or re.fullmatch(r"https?://[\x21-\x7e]+", link) for link in links)
    assert clip.text is None or clip.text.encode()


def check_many(example: Example, answer: Answer, tasks: Any) -> None:
    screening = example.adapter.read_many(answer)
    if not isinstance(screening, Screening):
        assert isinstance(screening, ManyUnknown | Outcome)
        return
    tasks = as_json(tasks) if example.kind != "musicmint" else tasks
    ended = (
        [task for task in tasks or () if isinstance(task, dict) and any(called_ended(example.kind, task))]
        if isinstance(tasks, list)
        else []
    )
    for outcome in screening.found.values():
        if isinstance(outcome, Completed | CompletedWithoutResults | Failed):
            assert ended
            check_result(outcome.result)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_raises_or_ends_a_task_without_its_word(kind: str) -> None:
    @settings(
        max_examples=MUTATIONS_PER_KIND,
        derandomize=DRAWN_ANEW is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        st.sampled_from([example for example in EXAMPLES if example.kind == kind]),
        edits,
        st.sampled_from([*[None] * 2 * len(BYTE_EDITS), *BYTE_EDITS]),
        st.integers(0, 100_000),
        st.sampled_from(STATUSES),
        st.sampled_from([None, *ODD_DELAYS]),
    )
    def hold(
        example: Example,
        how: list[Edit],
        bytes_how: str | None,
        where: int,
        status: int | None,
        delay: str | None,
    ) -> None:
        text = json.dumps(edited(leniently(example.body), how))
        recorded = example.answer(written(text, bytes_how, where))
        answer = Answer(
            status=recorded.status if status is None else status,
            headers=recorded.headers if delay is None else {"retry-after": delay},
            body=recorded.body,
            received_at=recorded.received_at,
        )
        outcome = example.adapter.read(answer)
        assert isinstance(outcome, Outcome)
        payload = leniently(answer.body)
        data = payload.get("data") if isinstance(payload, dict) else None
        check(outcome, kind, readings(payload) if kind in FAMILY else [as_json(data)])
        if example.adapter.ids_per_call is not None:
            check_many(example, answer, data)

    hold()
