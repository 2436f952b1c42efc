"""What providers answer to a submission, and that no answer, however it is mutated, hides a task behind a refusal."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunehook.errors import InvalidInput
from tunehook.providers.adapter import Answer, Request
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.submission_answers import BODY_MAX_BYTES, Refused, Submitted, Unclear

MUTATIONS = 800
KEY = "sk-a-key-of-ours-1234567890"
URL = "https://api.example/v1/callbacks/gw/t0ken-t0ken-t0ken"
MINT_ID = "64f3a1b2c8d9e0f1a2b3c4d5"
NEW_API_ID = "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC"
NEW_API_ID_OF_LETTERS = "task_pqsEwxzrTYvYSSEtgEnSsKrXtvLwpont"
UUID = "736a6f88-bd29-4b1e-b110-37132a5325ac"
HEX = "750ced71bcdde0f6b7677c967722b888"
ID_NAMES = ("task_id", "taskId", "job_id")
JSON = {"content-type": "application/json"}


def mint(code: Any, message: str = "ok", **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "req-1710000000000", **more}


def family(code: Any, message: str = "", data: Any = None) -> dict[str, Any]:
    return {"code": code, "message": message, "data": data}


def error(message: str, code: str = "", kind: str = "new_api_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


def piapi_task(task_id: str) -> dict[str, Any]:
    """What PiAPI answers with: the task as it begins, which has ids of other kinds in it."""
    return {
        "task_id": task_id,
        "model": "music-u",
        "task_type": "generate_music",
        "status": "pending",
        "config": {"service_mode": "public", "webhook_config": {"endpoint": URL, "secret": "s3cr3t"}},
        "input": {"continue_song_id": MINT_ID},
        "output": None,
        "meta": {"usage": {"type": "point", "frozen": 500000, "consume": 0}},
        "error": {"code": 0, "raw_message": "", "message": "", "detail": None},
    }


SUBMITTED: list[tuple[str, Any, str]] = [
    ("musicmint", mint(0, data={"task_id": MINT_ID, "status": "queuing"}), MINT_ID),
    ("musicmint", mint(0, data={"id": MINT_ID, "status": "queuing"}), MINT_ID),
    ("musicmint", {"task_id": MINT_ID, "status": "queuing"}, MINT_ID),
    ("qhaigc", family("success", data={"task_id": HEX, "action": "GENERATIONS", "status": "PENDING"}), HEX),
    ("suno", family("success", data=UUID), UUID),
    ("suno", family("success", "task completed successfully", NEW_API_ID), NEW_API_ID),
    ("suno", family("success", data=NEW_API_ID_OF_LETTERS), NEW_API_ID_OF_LETTERS),
    ("suno", family(200, "success", {"taskId": "5c79be8e"}), "5c79be8e"),
    ("suno", family(1, "", {"task_id": UUID}), UUID),
    ("suno", {"code": 1, "description": "ok", "result": "1712345678901234"}, "1712345678901234"),
    ("suno", {"success": True, "data": json.dumps({"task_id": UUID})}, UUID),
    ("suno", family("success", data={"task_id": UUID, "request": {"task_id": "extended-1"}}), UUID),
    ("suno", family("success", data={"taskId": 123456789}), "123456789"),
    ("suno", {"id": UUID, "status": "starting", "error": None}, UUID),
    ("suno", family("success", data="64e3f1"), "64e3f1"),
    ("sunoapi", {"code": 200, "msg": "success", "data": {"taskId": HEX}}, HEX),
    ("sunoapi", {"code": "200", "msg": "success", "data": {"taskId": HEX}}, HEX),
    ("piapi", {"code": 200, "data": piapi_task(UUID), "message": "success"}, UUID),
]
REFUSED: list[tuple[str, int, Any]] = [
    ("musicmint", 200, mint(1003, "AppKey disabled")),
    ("musicmint", 200, mint(4001, "prompt is required")),
    ("musicmint", 400, mint(4001, "prompt is required", data=None)),
    ("qhaigc", 401, error("Invalid token")),
    ("suno", 401, error("Invalid token (request id: 20261128024758911842613)")),
    ("suno", 403, error("user quota is not enough", "insufficient_user_quota")),
    ("suno", 400, family("invalid_request", "prompt is required")),
    ("suno", 200, family("invalid_request", "prompt is required")),
    ("suno", 200, family(429, "insufficient credits")),
    ("suno", 200, family(1, "insufficient balance")),
    ("suno", 200, {"success": False, "message": "bad prompt"}),
    ("suno", 200, error("no available channel for model suno_music")),
    ("suno", 503, error("system cpu overloaded", "system_cpu_overloaded")),
    ("suno", 404, error("Invalid URL (POST /suno/submit/music)")),
    ("suno", 429, ""),
    ("suno", 403, "<html><head><title>Just a moment...</title></head></html>"),
    ("suno", 308, ""),
    ("suno", 422, {"detail": [{"loc": ["body", "prompt"], "msg": "field required"}]}),
]
REFUSED += [
    ("sunoapi", 200, {"code": code, "msg": msg, "data": None})
    for code, msg in (
        (400, "Please enter callBackUrl."),
        (401, "You do not have access permissions"),
        (402, "Insufficient Credits"),
        (405, "Rate limit exceeded"),
        (413, "Theme or prompt too long"),
        (422, "Please enter callBackUrl"),
        (429, "The current credits are insufficient. Please top up."),
        (430, "Your call frequency is too high. Please try again later."),
        (455, "System is currently undergoing maintenance"),
    )
]
REFUSED += [
    ("piapi", 401, {"code": 401, "data": None, "message": "Invalid API key"}),
    ("piapi", 400, {"code": 400, "data": None, "message": "invalid request: model is required"}),
    ("piapi", 200, {"code": 400, "data": {"task_id": "", "status": ""}, "message": "no prompt"}),
]
UNCLEAR: list[tuple[str, int, Any]] = [
    ("musicmint", 200, mint(0)),
    ("musicmint", 200, mint(4001, "no", data={"task_id": MINT_ID})),
    ("musicmint", 200, mint(5001, "internal")),
    ("suno", 200, family("success")),
    ("suno", 200, family("success", data="submitted successfully")),
    ("suno", 200, family("success", data="queued")),
    ("suno", 200, {}),
    ("suno", 200, []),
    ("suno", 200, ""),
    ("suno", 200, "<html>ok</html>"),
    ("suno", 200, UUID),
    ("suno", 200, '{"code":"success","data":"736a6f88-bd'),
    ("suno", 200, family("success", data=[{"task_id": "a1"}, {"task_id": "a2"}])),
    ("suno", 200, family("fail", "failed", UUID)),
    ("suno", 200, family("internal_error", "oops")),
    ("suno", 200, family(502, "bad gateway")),
    ("suno", 400, '{"code":"invalid_request","mess'),
    ("suno", 400, family("invalid_request", "no", {"id": UUID})),
    ("suno", 400, family("invalid_request", f"cannot read {NEW_API_ID}")),
    ("suno", 400, family("fail_to_fetch_task", "upstream timeout")),
    ("suno", 409, error("duplicate request")),
    ("suno", 408, ""),
    ("suno", 302, ""),
    ("suno", 500, family("insert_task_failed", "database")),
    ("suno", 502, "<html>502 Bad Gateway</html>"),
    ("suno", 524, ""),
    ("suno", 500, family("success", data=UUID)),
    ("suno", 403, f"the task id {HEX} is not yours"),
    ("sunoapi", 200, {"code": 200, "msg": "success", "data": None}),
    ("sunoapi", 200, {"code": 500, "msg": "Server Error", "data": None}),
    ("sunoapi", 200, {"code": 531, "msg": "Your credits have been refunded.", "data": None}),
    ("sunoapi", 200, {"code": 408, "msg": "Timeout", "data": None}),
    ("sunoapi", 200, {"code": 422, "msg": "no", "data": {"taskId": HEX}}),
    ("piapi", 500, {"code": 500, "data": piapi_task(UUID), "message": "failed to create task"}),
    ("piapi", 200, {"code": 200, "data": None, "message": "success"}),
]


def answer(status: int, body: Any, **options: Any) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return Answer(status, JSON, text.encode("utf-8", "surrogatepass"), secret=KEY, **options)


@pytest.mark.parametrize(("kind", "body", "task_id"), SUBMITTED)
def test_an_answer_with_an_id_is_a_new_task(kind: str, body: Any, task_id: str) -> None:
    assert ADAPTERS[kind].read_submission(answer(200, body)) == Submitted(task_id)
    assert ADAPTERS[kind].read_submission(answer(202, body)) == Submitted(task_id)


@pytest.mark.parametrize(("kind", "status", "body"), REFUSED)
def test_a_clear_no_is_a_refusal_with_its_words(kind: str, status: int, body: Any) -> None:
    assert ADAPTERS[kind].read_submission(answer(status, body)) == Refused(status, body)


@pytest.mark.parametrize(("kind", "status", "body"), UNCLEAR)
def test_what_may_hide_a_task_is_unclear(kind: str, status: int, body: Any) -> None:
    assert isinstance(ADAPTERS[kind].read_submission(answer(status, body)), Unclear)


def test_an_id_from_a_place_of_the_kinds_own_is_the_tasks_whatever_else_looks_like_one() -> None:
    class Placed(type(ADAPTERS["suno"])):  # type: ignore[misc]
        def submitted_id(self, payload: Any) -> str | None:
            return payload.get("ticket")

    body = {"code": "success", "data": "task_0123456789abcdef", "ticket": "t-7"}
    assert Placed().read_submission(answer(200, body)) == Submitted("t-7")
    assert Placed().read_submission(answer(200, body | {"ticket": "null"})) == Submitted(body["data"])
    assert isinstance(Placed().read_submission(answer(400, {"message": "no", "ticket": "t-7"})), Unclear)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_long_refusal_is_shortened_and_holds_no_key(kind: str) -> None:
    for body in (
        {"detail": f"{KEY} " * 9_000, "error": "no"},
        f"no {KEY} " * 9_000,
        [f"{KEY} is no good"] * 9_000,
    ):
        refused = ADAPTERS[kind].read_submission(answer(400, body))
        assert isinstance(refused, Refused)
        told = json.dumps(refused.body, ensure_ascii=False)
        assert len(told.encode()) <= BODY_MAX_BYTES + 2
        assert KEY not in told


@pytest.mark.parametrize(
    ("kind", "action", "path", "field"),
    [
        ("musicmint", "music", "/api/v1/music/generate", "callback_url"),
        ("musicmint", "lyrics", "/api/v1/lyrics/generate", "callback_url"),
        ("musicmint", "add-vocals", "/api/v1/music/add-vocals", "callback_url"),
        ("qhaigc", "music", "/v1/music/generations", None),
        ("suno", "music", "/suno/submit/music", "notify_hook"),
        ("suno", "lyrics", "/suno/submit/lyrics", "notify_hook"),
        ("sunoapi", "music", "/api/v1/generate", "callBackUrl"),
        ("sunoapi", "extend", "/api/v1/generate/extend", "callBackUrl"),
        ("sunoapi", "cover", "/api/v1/generate/upload-cover", "callBackUrl"),
        ("sunoapi", "upload-extend", "/api/v1/generate/upload-extend", "callBackUrl"),
        ("sunoapi", "add-instrumental", "/api/v1/generate/add-instrumental", "callBackUrl"),
        ("sunoapi", "add-vocals", "/api/v1/generate/add-vocals", "callBackUrl"),
    ],
)
def test_a_submission_carries_the_body_and_where_the_kind_knows_it_the_callback(
    kind: str, action: str, path: str, field: str | None
) -> None:
    body = {"prompt": "la"}
    ours = {} if field is None else {field: URL}
    assert ADAPTERS[kind].submission(action, body, URL) == Request("POST", path, body | ours)
    assert ADAPTERS[kind].submission(action, body) == Request("POST", path, body)
    if field is not None:
        theirs = body | {field: "https://another.example/"}
        assert ADAPTERS[kind].submission(action, theirs, URL).body == theirs
        assert ADAPTERS[kind].submission(action, body | {field: ""}, URL).body == body | ours
    assert body == {"prompt": "la"}


def webhook(**fields: Any) -> dict[str, Any]:
    return {"model": "music-u", "config": {"service_mode": "public", "webhook_config": fields}}


@pytest.mark.parametrize(
    "body", [{"model": "music-u"}, {"model": "music-u", "config": None}, webhook(endpoint="")]
)
def test_piapi_takes_the_callback_and_the_secret_that_it_is_to_show_in_its_configuration(body: Any) -> None:
    before = copy.deepcopy(body)
    kind = ADAPTERS["piapi"]
    assert kind.submission("music", body) == Request("POST", "/api/v1/task", body)
    sent: Any = kind.submission("music", body, URL, "s3cr3t").body
    assert sent["config"]["webhook_config"] == {"endpoint": URL, "secret": "s3cr3t"}
    assert sent["model"] == "music-u"
    assert sent["config"].get("service_mode") == (before.get("config") or {}).get("service_mode")
    sent = kind.submission("music", body, URL).body
    assert sent["config"]["webhook_config"] == {"endpoint": URL}
    assert body == before


@pytest.mark.parametrize(
    "body",
    [webhook(endpoint="https://another.example/"), {"config": "public"}, {"config": {"webhook_config": [1]}}],
)
def test_what_a_body_for_piapi_says_itself_of_callbacks_stays_as_it_is(body: Any) -> None:
    assert not ADAPTERS["piapi"].wants_callback(body)
    assert ADAPTERS["piapi"].submission("music", body, URL, "s3cr3t").body == body


def test_only_where_it_is_shown_in_the_clear_does_a_body_have_the_secret() -> None:
    for kind in ("musicmint", "suno", "sunoapi"):
        assert "s3cr3t" not in json.dumps(ADAPTERS[kind].submission("music", {}, URL, "s3cr3t").body)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
@pytest.mark.parametrize("action", ["", "MUSIC", "../fetch", "video"])
def test_an_action_that_a_kind_does_not_know_is_named(kind: str, action: str) -> None:
    with pytest.raises(InvalidInput, match=r"action: must be one of .*music"):
        ADAPTERS[kind].submission(action, {})


def ids_in(value: Any) -> Iterator[str]:
    """The ids that an answer names, as far as nobody could doubt them."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in ID_NAMES and isinstance(each, str) and each in (MINT_ID, NEW_API_ID, UUID, HEX):
                yield each
            yield from ids_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from ids_in(each)


BASES = [(kind, 200, body) for kind, body, _ in SUBMITTED]
BASES += [(kind, status, body) for kind, status, body in REFUSED + UNCLEAR if not isinstance(body, str)]
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        200,
        400,
        500,
        10**30,
        float("nan"),
        1e308,
        "",
        " ",
        "\ud800",
        "\x00",
        "ok",
    ),
    *("success", "fail", "error", "500", "x" * 20_000, [], {}, [[]], {"a": {}}, KEY, URL, NEW_API_ID, UUID),
    *("task_", "null", json.dumps({"task_id": UUID}), '{"task_id":', "[" * 2_000, f"task id: {HEX}", 2**70),
]
STATUSES = st.sampled_from(
    [200, 201, 202, 204, 302, 308, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503]
)
MUTATE = settings(
    max_examples=MUTATIONS, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, int, Any]:
    kind, status, body = draw(st.sampled_from(BASES))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(body))))
        new = copy.deepcopy(draw(st.sampled_from(ODD) | st.text(max_size=30) | st.integers()))
        if not path:
            continue
        place = body
        for key in path[:-1]:
            place = place[key]
        match draw(st.sampled_from(["set", "delete", "add"])):
            case "set":
                place[path[-1]] = new
            case "delete":
                del place[path[-1]]
            case "add" if isinstance(place, dict):
                place[draw(st.sampled_from([*ID_NAMES, "id", "error", "code", "data", "success"]))] = new
    if draw(st.booleans()):
        kind = draw(st.sampled_from(sorted(ADAPTERS)))
    return kind, draw(st.just(status) | STATUSES), body


@MUTATE
@given(mutated())
def test_reading_raises_nothing_and_refuses_nothing_that_names_a_task(case: tuple[str, int, Any]) -> None:
    kind, status, body = case
    read = ADAPTERS[kind].read_submission(answer(status, body))
    named = set(ids_in(body))
    match read:
        case Refused(_, told):
            assert not named
            assert KEY not in json.dumps(told)
        case Submitted(task_id):
            assert 200 <= status < 300
            assert 1 <= len(task_id) <= 256
            assert not set(task_id) & set(" \n\x00")
            assert KEY not in task_id
        case Unclear(reason):
            assert reason
            assert KEY not in reason


@MUTATE
@given(
    st.sampled_from(BASES),
    STATUSES,
    st.integers(0, 400),
    st.sampled_from(["cut", "flip", "insert", "utf-16", "gbk", "twice"]),
    st.binary(max_size=8),
)
def test_so_it_is_for_bytes(base: tuple[str, int, Any], status: int, at: int, how: str, junk: bytes) -> None:
    kind, _, body = base
    text = json.dumps(body)
    content = text.encode()
    at = min(at, len(content))
    match how:
        case "cut":
            content = content[:at]
        case "flip":
            content = content[:at] + bytes(each ^ 0x80 for each in content[at : at + 1]) + content[at + 1 :]
        case "insert":
            content = content[:at] + junk + content[at:]
        case "utf-16" | "gbk":
            content = text.encode(how)
        case "twice":
            content = json.dumps(text).encode()
    read = ADAPTERS[kind].read_submission(Answer(status, JSON, content, secret=KEY))
    if how in ("utf-16", "gbk", "twice") and set(ids_in(body)):
        assert not isinstance(read, Refused)
    if not 200 <= status < 300:
        assert not isinstance(read, Submitted)
