"""`POST /v1/submissions`, against the sandbox's providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault, items
from tests.unit.api.calling import Answer, Api

from api.routes import submissions as submission_routes
from api.stack import ApiStack
from tunehook_local.sandbox import Sandbox, Scenario, parse, run_sandbox

KEY = "order-1017"
TASKS = [{"task_id": "*", "answers": [{"phase": "queued"}]}]
BODY = {"prompt": "rain on the roof"}
Played = Callable[..., Sandbox]


@pytest.fixture
def played(api: Api) -> Iterator[Played]:
    """Plays answers to submissions with providers of the stack that are the sandbox's; at most once a test."""
    running: list[Any] = []

    def play(*answers: dict[str, Any], key: str = "sandbox-key-suno") -> Sandbox:
        rules = [{"kind": "suno", "answers": list(answers)}] if answers else []
        running.append(run_sandbox(parse(Scenario, {"tasks": TASKS, "submissions": rules})))
        sandbox: Sandbox = running[0].__enter__()
        secret = sandbox.providers_secret()
        secret["suno"]["api_key"] = key
        client("secretsmanager").put_secret_value(SecretId="providers", SecretString=json.dumps(secret))
        return sandbox

    yield play
    for each in running:
        each.__exit__(None, None, None)


def submitted(api: Api, key: str | None = KEY, **more: Any) -> Answer:
    headers = {} if key is None else {"idempotency-key": key}
    return api("POST", "/v1/submissions", {"provider": "suno", "body": BODY, **more}, headers=headers)


def test_a_task_is_submitted_and_watched(api: Api, played: Played) -> None:
    sandbox = played()
    told = submitted(api, metadata={"order": 1017}, notify_hook="https://example.com/hook")
    assert told.status == 201
    (noted,) = sandbox.submitted("suno")
    task, submission = told.json, told.json["submission"]
    assert (task["task_id"], task["provider"], task["status"]) == (noted.task_id, "suno", "new")
    assert task["metadata"] == {"order": 1017}
    assert task["signing_secret"].startswith("whsec_")
    assert (submission["action"], submission["with_callback"]) == ("music", True)
    assert noted.fields["prompt"] == BODY["prompt"]
    assert "/v1/callbacks/suno/" in noted.fields["notify_hook"]
    assert [item["task_id"] for item in items("TasksTable")] == [noted.task_id]


def test_the_same_again_gets_the_same_and_makes_no_second_task(api: Api, played: Played) -> None:
    sandbox = played()
    first = submitted(api)
    assert submitted(api).json == first.json
    assert submitted(api, body=BODY | {"title": "Rain"}).json["type"].endswith(":idempotency_key_reused")
    assert len(sandbox.submitted()) == 1
    api.key_id = "k2"
    assert submitted(api).json != first.json
    assert submitted(api, key=None).status == submitted(api, key=None).status == 201
    assert len(sandbox.submitted()) == 4


def test_the_secrets_are_read_once_for_many_submissions(
    api: Api, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = played()
    secrets = Faulty(client("secretsmanager"))
    stack = api.stack
    api.stack = ApiStack(
        stack.name,
        stack.region,
        stack.outputs,
        stack.parameters,
        lambda service, **_: secrets if service == "secretsmanager" else client(service),
    )
    assert [submitted(api, key=None).status for _ in range(3)] == [201] * 3
    assert [kwargs["SecretId"] for _, kwargs in secrets.calls] == ["providers", "master"]
    assert len(sandbox.submitted()) == 3
    assert "sandbox-key-suno" not in caplog.text


def test_the_provider_is_asked_while_six_seconds_are_left_for_the_record(
    api: Api, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    played()
    allowed: list[float] = []
    real = submission_routes.submit_through

    def noted(*args: Any, **given: Any) -> Any:
        allowed.append(given["deadline_s"])
        return real(*args, **given)

    monkeypatch.setattr(submission_routes, "submit_through", noted)
    for remaining_ms in (29_000, 20_000, 6_500):
        api.remaining_ms = remaining_ms
        submitted(api, key=None)
    assert allowed == [20, 14, 1]


def test_secrets_are_shown_to_admins_alone(api: Api, played: Played) -> None:
    played()
    api.scope = "write"
    assert submitted(api, notify_hook="https://example.com/hook").json["signing_secret"] is None
    api.scope = "read"
    assert submitted(api, key="another").status == 403


def test_another_action_and_another_kind(api: Api, played: Played) -> None:
    sandbox = played()
    assert submitted(api, key=None, provider="musicmint", action="lyrics").status == 201
    told = submitted(api, key=None, provider="qhaigc")
    assert told.json["submission"]["with_callback"] is False
    assert {each.kind for each in sandbox.submitted()} == {"musicmint", "qhaigc"}


def test_a_refusal_is_a_502_with_the_providers_words_and_is_told_again(api: Api, played: Played) -> None:
    key = "sandbox-key-0123456789"
    said = {"error": {"code": "insufficient_user_quota", "message": f"no credit on {key}"}}
    sandbox = played({"status": 401, "body": json.dumps(said), "times": 1}, key=key)
    for _ in range(2):
        told = submitted(api)
        assert told.status == 502
        assert told.json["type"].endswith(":provider_refused")
        assert told.json["provider_status"] == 401
        assert told.json["provider_body"]["error"]["message"] == "no credit on ***"
        assert key not in told.text
    assert sandbox.submitted() == []
    assert submitted(api, key="another").status == 201


def test_an_answer_that_was_lost_is_a_504_and_then_unknown_for_good(api: Api, played: Played) -> None:
    sandbox = played({"reset": True, "times": 1})
    told = submitted(api)
    assert (told.status, told.json["type"]) == (504, "urn:tunehook:problem:outcome_unknown")
    for _ in range(2):
        told = submitted(api)
        assert (told.status, told.json["type"]) == (409, "urn:tunehook:problem:outcome_unknown")
        assert told.json["field"] == "Idempotency-Key"
    assert len(sandbox.submitted()) == 1
    assert items("TasksTable") == []


def test_a_provider_that_cannot_be_reached_is_a_503_and_the_key_stays_good(api: Api, played: Played) -> None:
    entry = {"kind": "suno", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"}
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=json.dumps({"suno": entry}))
    told = submitted(api)
    assert (told.status, told.headers["retry-after"]) == (503, "5")
    assert "nothing was submitted" in told.json["detail"]
    played()
    assert submitted(api).status == 201


def test_an_id_that_cannot_be_recorded_is_in_the_answer_and_in_the_log(
    api: Api, played: Played, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.operations.submissions._PAUSES_S", (0.0, 0.0))
    sandbox = played()
    dynamodb = Faulty(client("dynamodb"), transact_write_items=[fault()] * 3)
    stack = api.stack
    api.stack = ApiStack(
        stack.name,
        stack.region,
        stack.outputs,
        stack.parameters,
        lambda service, **_: dynamodb if service == "dynamodb" else client(service),
    )
    told = submitted(api)
    (noted,) = sandbox.submitted()
    assert (told.status, told.json["task_id"]) == (500, noted.task_id)
    assert told.json["type"].endswith(":not_recorded")
    logged = {record.getMessage(): vars(record) for record in caplog.records}
    assert logged["submission_not_recorded"]["task_id"] == noted.task_id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "suno"}, "body"),
        ({"body": BODY}, "provider"),
        ({"provider": "suno", "body": []}, "body"),
        ({"provider": "other", "body": BODY}, "provider"),
        ({"provider": "suno", "action": "video", "body": BODY}, "action"),
        ({"provider": "suno", "action": "../fetch", "body": BODY}, "action"),
        ({"provider": "suno", "body": BODY, "timeout_s": 1}, "timeout_s"),
        ({"provider": "suno", "body": BODY, "notify_hook": "no URL"}, "notify_hook"),
        ({"provider": "suno", "body": BODY, "metadata": {"a": "x" * 3000}}, "metadata"),
        ({"provider": "suno", "body": BODY, "surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_what_is_not_acceptable_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    told = api("POST", "/v1/submissions", body)
    assert (told.status, told.json["field"]) == (422, field)
    assert items("ApiRequestsTable") == []


def test_a_key_for_idempotency_that_is_none_is_named(api: Api) -> None:
    assert submitted(api, key="a b").json["field"] == "Idempotency-Key"
