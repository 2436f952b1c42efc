"""Events of every kind: what is malformed is refused, and never an error of ours."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import EndpointConnectionError, ParamValidationError
from tests.support.aws import fault
from tests.unit.api.calling import SECRETS, Api, put_task

from api import resolver as module
from tunehook.errors import Misconfigured, Unavailable
from tunehook.operations import tasks

TASKS = "/v1/tasks"
NEW = {"provider": "suno", "task_id": "t"}
DEEP = "[" * 5000 + "]" * 5000
NO_JSON = {
    "": 400,
    "   ": 400,
    "{": 400,
    "NaN": 400,
    "nul": 400,
    "{'a': 1}": 400,
    '{"task_id": NaN}': 400,
    '{"metadata": {"a": Infinity}}': 400,
    '{"metadata": {"a": -Infinity}}': 400,
    '{"metadata": {"a": ' + "9" * 5000 + "}}": 400,
    '{"task_id": "\\ud800"}': 400,
    '{"\\udfff": 1}': 400,
    '{"task_id": "a", "task_id": "b"}': 400,
    '{"task_id": "a\nb"}': 400,
    DEEP: 400,
    '{"metadata": ' + '{"a":' * 65 + "1" + "}" * 66: 400,
    '{"provider": "suno"} x': 400,
    "[]": 422,
    '[{"provider": "suno", "task_id": "t"}]': 422,
    "null": 422,
    "7": 422,
    '"text"': 422,
    "true": 422,
    "1e999": 422,
    "{}": 422,
}
"""Bodies of a new task, and how each is refused."""


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The lines that were logged, each as its event and its values."""
    lines: list[tuple[str, dict[str, Any]]] = []

    def write(self: Logger, event: object, *_: Any, **values: Any) -> None:
        lines.append((str(event), values))

    for level in ("info", "warning", "error", "exception"):
        monkeypatch.setattr(Logger, level, write)
    return lines


def encoded(content: bytes) -> dict[str, Any]:
    return {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}


class TestBodies:
    def test_what_is_no_object_of_json_is_refused(self, api: Api) -> None:
        for text, status in NO_JSON.items():
            answer = api("POST", TASKS, raw=text)
            assert answer.status == status, text[:60]
            assert answer.headers["content-type"] == "application/problem+json"

    def test_a_byte_order_mark_and_base64_are_read(self, api: Api) -> None:
        content = b"\xef\xbb\xbf" + json.dumps(NEW).encode()
        event = api.event("POST", TASKS) | encoded(content)
        assert api.send(event).status == 201

    def test_what_is_no_utf_8_or_no_base64_is_refused(self, api: Api) -> None:
        for body in (encoded(b'{"a": "\xff"}'), {"body": "*!é", "isBase64Encoded": True}, {"body": "\ud800"}):
            assert api.send(api.event("POST", TASKS, "") | body).status == 400

    def test_no_body_at_all_is_refused(self, api: Api) -> None:
        for body in ({}, {"body": None}, {"body": "", "isBase64Encoded": True}):
            assert api.send(api.event("POST", TASKS) | body).status == 400

    def test_above_256_kb_it_is_too_large(self, api: Api) -> None:
        text = json.dumps(NEW)
        assert api("POST", TASKS, raw=text + " " * (256 * 1024 - len(text))).status == 201
        for body in ({"body": "é" * 131_073}, encoded(b" " * 262_145)):
            assert api.send(api.event("POST", TASKS, "") | body).status == 413

    def test_another_kind_of_content_is_refused_and_json_by_any_name_is_not(self, api: Api) -> None:
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "x",
        ):
            assert api("POST", TASKS, NEW, headers={"content-type": kind}).status == 415
        for kind in ("Application/JSON; charset=utf-8", "application/vnd.x+json", ""):
            assert api("POST", TASKS, NEW, headers={"content-type": kind}).status in (200, 201)

    def test_a_route_that_takes_none_refuses_one(self, api: Api) -> None:
        put_task("t")
        answer = api("POST", "/v1/tasks/suno/t/archive", {"a": 1})
        assert (answer.status, answer.json["field"]) == (422, "body")
        assert api("POST", "/v1/tasks/suno/t/archive", {}).status == 409

    def test_that_of_a_get_means_nothing(self, api: Api) -> None:
        assert api("GET", TASKS, raw="[" + "x" * 300_000).status == 200


class TestEvents:
    def test_headers_in_any_case_are_known(self, api: Api) -> None:
        for name in ("IDEMPOTENCY-KEY", "idempotency-key", "Idempotency-Key"):
            answer = api("POST", TASKS, NEW, headers={name: "a b"})
            assert answer.json["field"] == "Idempotency-Key"

    def test_odd_headers_and_queries_are_no_error_of_ours(self, api: Api) -> None:
        put_task("t")
        event = api.event("GET", "/v1/tasks/suno/t", headers={"prefer": "\ud800", "cookie": "a", "x": ""})
        assert api.send(event | {"cookies": ["\ud800"], "queryStringParameters": None}).status == 200
        assert api.send(event | {"headers": None}).status == 200
        for query in (
            "&&",
            "&",
            "a",
            "a=%",
            "%=1",
            "%ZZ",
            "\ud800=1",
            "=",
            ";",
            "a=" + "x" * 9000,
            "a&" * 200,
        ):
            assert api.send(event | {"rawQueryString": query}).status in (200, 422), query[:20]

    def test_a_parameter_that_is_given_twice_is_refused(self, api: Api) -> None:
        answer = api("GET", TASKS, query="limit=1&limit=1")
        assert (answer.status, answer.json["field"]) == (422, "limit")

    def test_a_comma_in_a_value_is_part_of_it(self, api: Api) -> None:
        put_task("a,b")
        assert api("GET", "/v1/tasks/suno", query="task_id=a,b").json["task_id"] == "a,b"
        assert api("GET", "/v1/tasks/suno", query="task_id=a%2Cb").json["task_id"] == "a,b"

    def test_paths_that_lead_nowhere_are_not_found(self, api: Api) -> None:
        for path in (
            "/",
            "",
            "/v1",
            "/v1/",
            "/v1/tasks/",
            "/v1/tasks//",
            "/v2/tasks",
            "/v1/tasks/suno/a/b",
            "//",
        ):
            assert api("GET", path).status == 404, path
        for path in (
            "/v1/x\ud800",
            "/v1/tasks/suno/t\n/results",
            "/v1/tasks/\x00/t",
            "/v1/%zz",
            "/v1/tasks/%/%",
        ):
            assert api("GET", path).status == 404, path

    def test_other_methods_are_refused_with_those_that_there_are(self, api: Api) -> None:
        answer = api("PUT", TASKS)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
        for method in ("PATCH", "HEAD", "TRACE", "get\u0000", "Ä"):
            assert api(method, "/v1/status").status == 405

    def test_what_a_browser_asks_first_is_answered_without_a_key(self, api: Api) -> None:
        api.scope, api.checked = None, False
        answer = api("OPTIONS", TASKS)
        assert (answer.status, answer.text) == (204, "")

    def test_the_stage_is_no_part_of_the_path(self, api: Api) -> None:
        event = api.event("GET", "/health")
        event["requestContext"]["stage"] = "prod"
        assert api.send(event).status == 200


class TestErrors:
    def failing(self, api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(tasks, "get_task", fail)
        return api("GET", "/v1/tasks/suno/t")

    def test_trouble_of_aws_may_pass(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        troubles: list[Exception] = [
            fault(),
            fault("AccessDeniedException"),
            fault("InternalServerError"),
            EndpointConnectionError(endpoint_url="https://dynamodb.example"),
            Unavailable("DynamoDB left 3 items unread"),
        ]
        for error in troubles:
            answer = self.failing(api, monkeypatch, error)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")

    def test_a_bug_has_no_details_but_in_the_log(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, logged: list[tuple[str, dict[str, Any]]]
    ) -> None:
        for error in (
            KeyError("hush-hush"),
            Misconfigured("hush-hush"),
            ParamValidationError(report="hush-hush"),
            RecursionError("hush-hush"),
        ):
            logged.clear()
            answer = self.failing(api, monkeypatch, error)
            assert answer.status == 500
            assert "hush-hush" not in answer.text + str(logged)
            assert [event for event, _ in logged] == ["request_failed", "request_answered"]
            assert "test_resolver.py" in logged[0][1]["places"][-1]

    def test_without_its_stack_nothing_is_told_but_that(self, api: Api) -> None:
        event, context = api.event("GET", TASKS), object()

        def no_stack() -> Any:
            raise Misconfigured("environment: TASKS_TABLE (Field required)")

        told = module.answer(event, context, no_stack)  # type: ignore[arg-type]
        assert told["statusCode"] == 500
        assert "TASKS_TABLE" not in told["body"]


class TestTheLog:
    def test_a_request_is_one_line_without_what_it_says(
        self, api: Api, logged: list[tuple[str, dict[str, Any]]]
    ) -> None:
        secret = "thk_abcdefgh_" + "s" * 40
        put_task("song-of-songs")
        api("GET", "/v1/tasks/suno/song-of-songs", headers={"authorization": f"Bearer {secret}"})
        api(
            "POST",
            TASKS,
            NEW | {"metadata": {"mine": "hush-hush"}, "notify_hook": "https://r.example/hush-hush"},
        )
        api("GET", "/nothing/hush-hush")
        assert [values["route"] for _, values in logged] == [
            "GET /v1/tasks/<provider>/<task_id>",
            "POST /v1/tasks",
            "none",
        ]
        assert [values["status"] for _, values in logged] == [200, 201, 404]
        assert {values["key_id"] for _, values in logged} == {"k1", ""}
        assert all(values["duration_ms"] >= 0 for _, values in logged)
        for hidden in (secret, "hush-hush", "song-of-songs", *SECRETS):
            assert hidden not in str(logged)
