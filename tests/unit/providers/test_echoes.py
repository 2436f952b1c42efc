"""What providers echo of a submission: callback URLs and webhook secrets stand in nothing that is kept."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.unit.providers.support import Clock, provider

from tunehook.providers.echoes import strike_out, without_secrets
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.payload import UnreadablePayloadError, parse

TOKEN = "Ab3_tokentokentokentokentokentokentokentok-9"
SECRET = "the-secret-of-a-vendor"
URL = f"https://x.execute-api.eu-west-1.amazonaws.com/v1/callbacks/my-gw/{TOKEN}"
ECHOES: list[Any] = [
    URL,
    f"{URL}?taskId=1",
    f"the hook {URL}, failed",
    f"({URL})",
    quote(URL, safe=""),
    quote(quote(URL, safe=""), safe=""),
    f"https://gw/submit?callback={quote(URL, safe='')}&x=1",
    json.dumps({"callBackUrl": URL}),
    json.dumps({"callBackUrl": URL}).replace("/", "\\/"),
    json.dumps(json.dumps({"callBackUrl": URL})),
    URL.replace("https://", ""),
    {"callBackUrl": URL},
    {URL: 1},
    [[{"a": [URL]}]],
]
SECRETS: list[Any] = [
    {"config": {"webhook_config": {"endpoint": "https://a/b", "secret": SECRET}}},
    {"webhook_config": {"secret": SECRET}},
    {"webhookConfig": {"webhookSecret": SECRET}},
    {"webhook_secret": SECRET},
    {"x-webhook-secret": SECRET},
    {"meta": [{"config": {"webhook_config": {"nested": [{"secret_key": SECRET}]}}}]},
    {"webhook_config": {"secret": [SECRET]}},
    {"param": json.dumps({"config": {"webhook_config": {"endpoint": "e", "secret": SECRET}}})},
    {"param": json.dumps(json.dumps({"webhook_config": {"secret": SECRET}}))},
]


@pytest.mark.parametrize("echo", ECHOES, ids=lambda each: str(each)[:30])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_callback_url_is_struck_out_of_an_answer_however_it_is_written(echo: Any, escaped: bool) -> None:
    body = json.dumps({"a": echo, "title": "x"})
    if escaped:
        body = body.replace("/", "\\/").replace("callbacks", "\\u0063allbacks")
    kept = json.dumps(parse(body.encode()))
    assert TOKEN not in kept
    assert '"title": "x"' in kept


@pytest.mark.parametrize("echo", SECRETS, ids=lambda each: str(each)[:30])
def test_a_webhooks_secret_is_struck_out_of_an_answer(echo: Any) -> None:
    assert SECRET not in json.dumps(parse(json.dumps({"data": echo}).encode()))


def test_a_name_that_is_escaped_hides_no_secret() -> None:
    body = rb'{"\u0077\u0065bhook_config": {"\u0073ecret": "the-secret-of-a-vendor"}}'
    assert parse(body) == {"webhook_config": {"secret": "***"}}


@pytest.mark.parametrize(
    "value",
    [
        {"webhook_config": {"endpoint": "", "secret": ""}},
        {"secret": "garden"},
        {"title": "The Secret", "lyrics": "call back, callbacks / v1"},
        {"url": "https://h/v1/callback/x.mp3"},
        [1, None, True, {"webhook": "https://receiver.example/hook"}],
    ],
)
def test_everything_else_stays_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert without_secrets(value) == value


def test_of_a_url_the_host_is_left() -> None:
    assert strike_out(f'"{URL}"') == '"https://x.execute-api.eu-west-1.amazonaws.com/***"'


@pytest.mark.parametrize("piece", ["v1/callbacks/", "webhook_config{", 'webhook_config{secret":', "%2525"])
def test_a_hostile_text_costs_no_time(piece: str) -> None:
    text = piece * (2_000_000 // len(piece))
    assert len(strike_out(text)) <= 2 * len(text)


@pytest.mark.parametrize("body", [f"down: {URL}", f"<html><title>{URL}</title>"])
def test_what_is_no_json_is_quoted_without_the_url(body: str) -> None:
    with pytest.raises(UnreadablePayloadError) as caught:
        parse(body.encode())
    assert TOKEN[:10] not in str(caught.value)


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
async def test_no_outcome_repeats_what_a_provider_echoes(kind: str, status: int) -> None:
    said = f"callback to {URL} with {SECRET} and c2VjcmV0LXNlY3JldA== failed"
    clip = {"id": "c", "title": said, "audio_url": URL, "tags": [said]}
    task = {"task_id": "t", "id": "t", "data": [clip], "results": [clip], "param": SECRETS[-1], "said": said}
    given = {"callback_scheme": "standard-webhooks", "callback_secret": "whsec_c2VjcmV0LXNlY3JldA=="}
    for word in ("SUCCESS", "FAILURE", "completed", "failed", said):
        task |= {"status": word, "fail_reason": said, "error": said}
        for body in (
            {"code": "success", "data": task},
            {"code": 0, "message": said, "data": task},
            {"code": said, "message": said},
            {"error": {"message": said}},
        ):
            response = httpx.Response(status, json=body)
            gateway = provider(lambda _request, response=response: response, kind, Clock(), **given)  # type: ignore[misc]
            outcome = await gateway.poll("t")
            shown = f"{outcome!r} {dataclasses.asdict(outcome)}"
            assert TOKEN not in shown
            assert "c2VjcmV0LXNlY3JldA" not in shown
