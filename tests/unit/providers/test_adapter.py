from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tunehook.providers.adapter import Answer, ManyUnknown, Request, Screening, encoded_id
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import (
    Completed,
    NotFound,
    Outcome,
    Pending,
    Throttled,
    Transient,
    Unauthorised,
)

RECEIVED_AT = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("task_id", "segment"),
    [
        ("ba46ad15-07ce", "ba46ad15-07ce"),
        ("../x", "..%2Fx"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e%2e", "%252e%252e"),
        ("a\\b", "a%5Cb"),
        ("歌", "%E6%AD%8C"),
        ("\x00\r\n", "%00%0D%0A"),
    ],
)
def test_an_id_is_one_encoded_segment(task_id: str, segment: str) -> None:
    assert encoded_id(task_id) == segment


@pytest.mark.parametrize("task_id", ["", ".", "..", "\ud800"])
def test_an_id_that_no_segment_can_be_is_refused(task_id: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        encoded_id(task_id)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("9" * 400, 300.0),
        ("Fri, 20 Nov 2026 16:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 17:01:00 +0100", 60.0),
        ("Fri, 20 Nov 2026 16:01:00 -0000", 60.0),
        ("Fri, 20 Nov 2099 16:01:00 GMT", 300.0),
        ("Fri, 20 Nov 1999 16:01:00 GMT", 0.0),
        *(
            (value, None)
            for value in ("", "soon", "-5", "nan", "inf", "1e3", "²", "Fri, 99 Foo 2026 99:99:99 GMT")
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_five_minutes(value: str, seconds: float | None) -> None:
    answer = Answer(429, {"retry-after": value}, b"", RECEIVED_AT)
    assert ADAPTERS["suno"].read(answer) == Throttled(seconds, detail="HTTP 429")


def test_what_a_provider_says_about_a_refused_key_is_shortened() -> None:
    outcome = ADAPTERS["suno"].read(Answer(401, {}, b'{"error": {"message": "%s"}}' % (b"x" * 10_000)))
    assert isinstance(outcome, Unauthorised)
    assert len(outcome.detail) < 400


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_has_the_name_of_its_module(kind: str) -> None:
    assert type(ADAPTERS[kind]).__module__ == f"tunehook.providers.kinds.{kind}"


ID = {"task_id": "t"}
DONE = {**ID, "status": "SUCCESS", "data": [{"id": "c", "audio_url": "https://h/1.mp3"}]}
PENDING = Pending("queued", "")


def answer(status: int, payload: Any = None, **headers: str) -> Answer:
    body = b"" if payload is None else payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, RECEIVED_AT
    )


@pytest.mark.parametrize(
    ("status", "payload", "headers", "outcome"),
    [
        *[(status, None, {}, Throttled(detail=f"HTTP {status}")) for status in (405, 429, 430)],
        *[
            (status, {"message": "no"}, {}, Throttled(detail=f"HTTP {status}: no"))
            for status in (405, 429, 430)
        ],
        *[
            (status, b"<p>", {}, Throttled(detail=f"HTTP {status}: a web page, not the gateway"))
            for status in (429, 430)
        ],
        (405, b"<p>", {}, Transient("HTTP 405: a web page, not the gateway")),
        (401, None, {}, Unauthorised("HTTP 401")),
        (402, None, {}, Unauthorised("no credit left: HTTP 402", "credit")),
        (500, None, {}, Transient("HTTP 500")),
        (300, None, {}, Transient("HTTP 300")),
        (199, None, {}, Transient("HTTP 199")),
        (200, None, {}, Transient("HTTP 200: the body is empty")),
        (299, b"[1]", {}, Transient("HTTP 299 (not the expected envelope)")),
        (200, {"a": 1}, {}, Transient("HTTP 200 (not the expected envelope)")),
        (300, {"a": 1}, {}, Transient("HTTP 300")),
        (200, {"code": 500, "message": "no"}, {}, Transient("HTTP 200: 500 no")),
        (200, {"code": 401, "message": "no"}, {}, Unauthorised("HTTP 200: 401 no")),
        (200, {"code": 429, "message": "no"}, {}, Throttled(detail="HTTP 200: 429 no")),
        (300, {"code": 429, "message": "no"}, {}, Transient("HTTP 300: 429 no")),
        (403, {"message": "too many requests"}, {}, Throttled(detail="HTTP 403: too many requests")),
        (200, {"code": 403, "message": "slow down"}, {}, Throttled(detail="HTTP 200: 403 slow down")),
        (404, {"message": "task not found"}, {}, NotFound("HTTP 404: task not found")),
        (499, {"message": "task not found"}, {}, NotFound("HTTP 499: task not found")),
        (500, {"message": "task not found"}, {}, Transient("HTTP 500: task not found")),
        (400, {"code": "invalid_request"}, {}, NotFound("HTTP 400: invalid_request")),
        (404, {"code": "invalid_request"}, {}, Transient("HTTP 404: invalid_request")),
        (400, {"code": "other"}, {}, Transient("HTTP 400: other")),
        (429, {"message": "no"}, {"retry_after": "7"}, Throttled(7.0, detail="HTTP 429: no")),
        (
            200,
            {"a": 1},
            {"cf_mitigated": "1"},
            Transient("HTTP 200: a challenge page of Cloudflare, not the gateway"),
        ),
        (403, {"cloudflare_error": True}, {}, Transient("HTTP 403: an error of Cloudflare, not the gateway")),
    ],
)
def test_what_tells_nothing_of_a_task_says_what_is_the_matter_and_who_says_so(
    status: int, payload: Any, headers: dict[str, str], outcome: Outcome
) -> None:
    assert ADAPTERS["suno"].read(answer(status, payload, **headers)) == outcome


def test_a_firewall_in_place_of_the_gateway_is_no_refusal_of_the_key() -> None:
    outcome = ADAPTERS["suno"].read(answer(403))
    assert isinstance(outcome, Transient)
    assert outcome.cause.startswith("HTTP 403: not in the gateway's own form")


@pytest.mark.parametrize(
    ("status", "payload", "headers", "found"),
    [
        *[(status, None, {}, ManyUnknown()) for status in (400, 404, 501)],
        (405, None, {}, ManyUnknown(may_be_limit=True)),
        (405, None, {"allow": "GET"}, ManyUnknown()),
        (405, b"<p>", {}, ManyUnknown()),
        (405, {"message": "method not allowed"}, {}, ManyUnknown()),
        (405, {"message": "no such route"}, {}, ManyUnknown()),
        (405, {"message": "busy"}, {}, ManyUnknown(may_be_limit=True)),
        (405, {"message": "too many requests"}, {}, Throttled(detail="HTTP 405: too many requests")),
        (405, None, {"retry_after": "7"}, Throttled(7.0, detail="HTTP 405")),
        (400, {"message": "too many requests"}, {}, ManyUnknown()),
        (400, {"code": "error", "message": "no"}, {}, Transient("HTTP 400: error no")),
        (404, {"message": "task not found"}, {}, ManyUnknown()),
        (404, {"code": "x", "message": "task not found"}, {}, Transient("HTTP 404: x task not found")),
        (404, b"<p>captcha", {}, Transient("HTTP 404: a challenge page, not the gateway")),
        (
            404,
            None,
            {"cf_mitigated": "1"},
            Transient("HTTP 404: a challenge page of Cloudflare, not the gateway"),
        ),
        (404, {"cloudflare_error": True}, {}, Transient("HTTP 404: an error of Cloudflare, not the gateway")),
        (500, None, {}, Transient("HTTP 500")),
        (429, None, {}, Throttled(detail="HTTP 429")),
        (200, {"code": "success", "data": None}, {}, Screening({})),
        (200, {"code": "success", "data": "[]"}, {}, Screening({})),
        (200, {"code": "success", "data": 7}, {}, Transient("HTTP 200: success (not the expected envelope)")),
        (
            200,
            {"code": "success", "data": [{**ID, "status": ""}, {"status": ""}, 7]},
            {},
            Screening({"t": PENDING}),
        ),
        (200, {"code": "success", "data": [{"taskId": "t", "status": ""}]}, {}, Screening({"t": PENDING})),
        (200, {"code": "success", "data": [{"task_id": "x" * 513}]}, {}, Screening({"x" * 512: PENDING})),
    ],
)
def test_what_an_answer_about_many_tasks_says(
    status: int, payload: Any, headers: dict[str, str], found: Any
) -> None:
    assert ADAPTERS["suno"].read_many(answer(status, payload, **headers)) == found


@pytest.mark.parametrize(
    "name", ["progress", "fail_reason", "submit_time", "start_time", "finish_time", "action", "platform"]
)
@pytest.mark.parametrize("task_id", ["task_id", "taskId", "id"])
def test_an_envelope_may_be_the_task_itself(name: str, task_id: str) -> None:
    envelope = {"code": "success", task_id: "t", "status": "IN_PROGRESS"}
    assert ADAPTERS["suno"].read(answer(200, envelope | {name: ""})) == Pending("processing", "IN_PROGRESS")
    assert ADAPTERS["suno"].read(answer(200, envelope)) == PENDING
    without_id = {each: value for each, value in envelope.items() if each != task_id}
    assert ADAPTERS["suno"].read(answer(200, without_id | {name: ""})) == PENDING


def test_the_task_of_an_envelope_lacks_the_envelopes_own_words() -> None:
    outcome = ADAPTERS["suno"].read(
        answer(200, {"code": "success", "success": True, "progress": "100%", **DONE})
    )
    assert isinstance(outcome, Completed)
    assert outcome.result.provider_object == {"progress": "100%", **DONE}


@pytest.mark.parametrize("inside", ["data", "result"])
def test_a_task_stands_in_data_or_else_in_result(inside: str) -> None:
    assert isinstance(ADAPTERS["suno"].read(answer(200, {"code": "success", inside: DONE})), Completed)


def test_data_goes_before_result() -> None:
    assert ADAPTERS["suno"].read(answer(200, {"code": "success", "data": None, "result": DONE})) == PENDING


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        ({"code": 1, "message": "no luck"}, Transient("HTTP 200: 1 no luck")),
        ({"code": 1, "message": "OK"}, PENDING),
        ({"code": 1}, PENDING),
        ({"code": 0, "message": "no luck"}, PENDING),
        ({"code": 0, "message": "task not found"}, NotFound("HTTP 200: 0 task not found")),
        ({"code": 0, "message": "invalid token"}, Unauthorised("HTTP 200: 0 invalid token")),
    ],
)
def test_what_seems_to_have_worked_and_holds_no_task_is_judged_by_its_words(
    payload: dict[str, Any], outcome: Outcome
) -> None:
    assert ADAPTERS["suno"].read(answer(200, payload)) == outcome


def test_a_request_is_made_of_json_and_asks_for_its_task() -> None:
    assert ADAPTERS["suno"].request("a b") == Request("GET", "/suno/fetch/a%20b")
    assert ADAPTERS["suno"].many_request(("a", "b"), 1) == Request("POST", "/suno/fetch", {"ids": ["a", "b"]})
    assert ADAPTERS["qhaigc"].request("a b") == Request("GET", "/v1/music/tasks/a%20b")
    assert ADAPTERS["musicmint"].request("a b") == Request("POST", "/api/v1/task/a%20b", {})
    many = ADAPTERS["musicmint"].many_request(("a",), 3)
    assert many == Request("POST", "/api/v1/tasks", {"page": 3, "page_size": 100, "status": -1})
    assert json.loads(many.content() or b"") == {"page": 3, "page_size": 100, "status": -1}
    assert ADAPTERS["suno"].request("a").content() is None
    assert {kind: adapter.ids_per_call for kind, adapter in ADAPTERS.items()} == {
        "musicmint": 5000,
        "piapi": None,
        "qhaigc": None,
        "suno": 100,
        "sunoapi": None,
    }
