"""The API key stands in nothing that leaves the layer, whatever goes wrong and whoever repeats it."""

from __future__ import annotations

import dataclasses
import json
import logging
import traceback
from typing import Any

import httpx
import pytest
from tests.support.recipes import RECIPE
from tests.unit.providers.support import API_KEY, Clock, config, provider

from tunehook.errors import InvalidInput
from tunehook.providers.adapter import Answer
from tunehook.providers.config import read_providers
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import Outcome

SAID = f"the key {API_KEY} is bad"
CLIP = {
    "id": API_KEY,
    "title": SAID,
    "audio_url": f"https://h/a.mp3?key={API_KEY}",
    "tags": [SAID],
    API_KEY: 1,
}
REASONS = ("fail_reason", "error", "errorMessage", "config")
PLACES = ("data", "results", "response", "output")
TASKS: list[dict[str, Any]] = [
    {"status": word, **dict.fromkeys(REASONS, SAID), **{name: [CLIP] for name in PLACES}}
    for word in ("SUCCESS", "FAILURE", "completed", "failed", "GENERATE_AUDIO_FAILED", SAID)
]
BODIES: list[Any] = [
    *(
        {"code": code, "message": SAID, "data": data}
        for code in ("success", 0, 200, 501, 1003, SAID)
        for data in [*TASKS, SAID]
    ),
    {"code": "success", "data": [{**CLIP, "status": "complete"}]},
    {"code": "success", "data": [{**CLIP, "status": "error", "msg": SAID}]},
    {"error": {"message": SAID, "code": SAID}},
    SAID,
    [SAID],
]
STATUSES = [200, 302, 400, 401, 403, 404, 429, 500]


def shown(value: object) -> str:
    return f"{value!r} {value!s} " + (
        repr(dataclasses.asdict(value)) if dataclasses.is_dataclass(value) else ""
    )  # type: ignore[arg-type]


async def outcomes_of_echoing(kind: str) -> list[Outcome]:
    outcomes = []
    for status in STATUSES:
        for body in [*BODIES, None]:
            content = f"<html>{SAID}".encode() if body is None else json.dumps(body).encode()
            headers = {"retry-after": SAID, "x-echo": SAID}
            response = httpx.Response(status, headers=headers, content=content)
            gateway = provider(lambda _request, response=response: response, kind, Clock())  # type: ignore[misc]
            outcomes.append(await gateway.poll("t"))
    return outcomes


@pytest.mark.parametrize("kind", ADAPTERS)
async def test_no_outcome_repeats_a_key_that_the_provider_repeats(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcomes = await outcomes_of_echoing(kind)
    assert {outcome.name for outcome in outcomes} >= {
        "completed",
        "failed",
        "throttled",
        "unauthorised",
        "transient",
    }
    assert API_KEY not in "".join(map(shown, outcomes))
    assert API_KEY not in caplog.text


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "title",
    [
        SAID,
        SAID.replace("s", "&#115;"),
        "x" * (80 - len(API_KEY) // 2) + API_KEY,
        f"{API_KEY[:9]}\x01{API_KEY[9:]}",
    ],
    ids=["plain", "escaped", "at the end of what is quoted", "with a character that is left out"],
)
async def test_no_title_of_a_page_repeats_the_key(kind: str, status: int, title: str) -> None:
    content = f"<html><head><title>{title}</title></head></html>".encode()
    shown_outcome = shown(
        await provider(lambda _request: httpx.Response(status, content=content), kind).poll("t")
    )
    assert API_KEY[: len(API_KEY) // 2 - 1] not in shown_outcome


@pytest.mark.parametrize("error", [httpx.ConnectError, OSError, ValueError], ids=lambda error: error.__name__)
async def test_no_outcome_repeats_a_key_that_a_transport_error_repeats(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"bad header {request.headers['authorization']}")

    assert API_KEY not in shown(await provider(fail).poll("t"))
    assert API_KEY not in caplog.text


def test_a_configuration_and_an_answer_do_not_show_the_key() -> None:
    given = config()
    assert API_KEY not in f"{given!r} {given} {given.model_dump()} {given.model_dump_json()}"
    assert API_KEY not in shown_repr(Answer(200, {}, b"", secret=API_KEY))
    assert API_KEY not in shown_repr(provider(lambda _request: httpx.Response(200)))


def shown_repr(value: object) -> str:
    return f"{value!r} {value}"


@pytest.mark.parametrize(
    "secret",
    [
        f"{API_KEY} no json",
        f'"{API_KEY}"',
        json.dumps({f"{API_KEY} {API_KEY}": {}}),
        json.dumps({"gw": API_KEY}),
        json.dumps({"gw": {"kind": API_KEY, "base_url": "https://h", "api_key": API_KEY}}),
        json.dumps({"gw": {"kind": "suno", "base_url": API_KEY, "api_key": API_KEY}}),
        json.dumps({"gw": {"kind": "suno", "base_url": f"https://{API_KEY}@h", "api_key": API_KEY}}),
        json.dumps({"gw": {"kind": "suno", "base_url": "https://h", "api_key": [API_KEY]}}),
        json.dumps({"gw": {"kind": "suno", "base_url": "https://h", "api_key": f"{API_KEY}\n{API_KEY}"}}),
        json.dumps({"gw": {"kind": "suno", "base_url": "https://h", "api_key": API_KEY, API_KEY: 1}}),
        json.dumps({"gw": {"kind": "suno", "base_url": "https://h", "api_key": API_KEY, "batch": API_KEY}}),
        json.dumps(
            {"gw": {"kind": "suno", "base_url": "https://h", "api_key": API_KEY, "max_concurrency": API_KEY}}
        ),
        *(
            json.dumps({"gw": {"kind": "described", "api_key": API_KEY, "recipe": recipe}})
            for recipe in (
                API_KEY,
                [API_KEY],
                {API_KEY: 1},
                RECIPE | {API_KEY: {}},
                RECIPE | {"base_url": API_KEY},
                RECIPE | {"ask": {"path": API_KEY}},
                RECIPE | {"ask": {"path": "/{task_id}", "headers": {API_KEY: "\n"}}},
                RECIPE | {"ask": {"path": "/{task_id}", "headers": {"x-key": f"{API_KEY}\n"}}},
                RECIPE | {"task": {"status": f"{API_KEY}["}},
                RECIPE | {"key": {"in": API_KEY}},
                RECIPE | {"words": {"succeeded": [API_KEY], "failed": [API_KEY]}},
                RECIPE | {"words": {"succeeded": ["done"], API_KEY: ["x"]}},
                RECIPE | {"clips": {"each": "@", API_KEY: "x"}},
            )
        ),
    ],
)
def test_no_complaint_about_a_configuration_repeats_the_key(secret: str) -> None:
    errors = []
    try:
        errors.extend(read_providers(secret).errors.values())
    except InvalidInput as error:
        errors.append(error)
    assert errors
    for error in errors:
        chain: BaseException | None = error
        while chain is not None:
            assert API_KEY not in f"{chain!r} {chain} {vars(chain)}"
            chain = chain.__context__
        assert API_KEY not in "".join(traceback.format_exception(error))
