"""A described provider is asked within the limits of any other, also where it takes two questions."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from tests.support.recipes import DONE, IN_TWO_QUESTIONS, KEY_IN_QUERY, RECIPE
from tests.support.virtual_tests import in_virtual_time
from tests.unit.providers.support import Clock, json_answer, provider

from tunehook.providers.client import Provider
from tunehook.providers.outcomes import Completed, Pending, Throttled, Transient

SECRET = "id:a+key/of=16signs"
ENCODED = "id%3Aa%2Bkey%2Fof%3D16signs"
SONGS = {"songs": DONE["songs"]}


class Api:
    """An API that has a task's songs in a second answer; it notes the paths that it is asked for."""

    def __init__(self, *seconds: httpx.Response, status: str = "done") -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self._status = status
        self._seconds = list(seconds) or [json_answer(SONGS)]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if not request.url.path.endswith("/result"):
            return json_answer({"status": self._status})
        answer = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def described(handler: Any, recipe: dict[str, Any] = IN_TWO_QUESTIONS, **fields: Any) -> Provider:
    return provider(handler, "described", recipe=recipe, **fields)


async def outcomes_of(asked: Provider, ids: str) -> dict[str, Any]:
    return dict([item async for item in asked.poll_many(ids)])


async def test_what_has_succeeded_takes_a_second_question_and_what_has_not_takes_one() -> None:
    done, running = Api(), Api(status="running")
    outcome = await described(done).poll("t")
    assert isinstance(outcome, Completed)
    assert [clip.title for clip in outcome.result.clips] == ["Rain"]
    assert done.asked == ["/tasks/t", "/tasks/t/result"]
    assert isinstance(await described(running).poll("t"), Pending)
    assert running.asked == ["/tasks/t"]


async def test_both_questions_take_a_slot() -> None:
    api = Api()
    outcomes = await outcomes_of(described(api, max_concurrency=2), "abcdef")
    assert {type(outcome) for outcome in outcomes.values()} == {Completed}
    assert (len(api.asked), api.most_at_once) == (12, 2)


@in_virtual_time
async def test_both_questions_count_for_the_rate() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    asked = described(Api(), requests_per_second=1.0, clock=loop.time)
    await outcomes_of(asked, "abc")
    # One at once, and one more a second for the other five.
    assert loop.time() - began_s == pytest.approx(5.0, abs=0.1)


async def test_a_second_question_that_is_throttled_pauses_the_provider() -> None:
    api = Api(httpx.Response(429, headers={"retry-after": "7"}, content=b"{}"))
    asked = described(api, clock=Clock())
    outcome = await asked.poll("t")
    assert isinstance(outcome, Throttled)
    assert (outcome.retry_after_s, asked.is_paused()) == (7.0, True)
    assert await asked.poll("u") == Throttled(7.0, asked=False)
    assert api.asked == ["/tasks/t", "/tasks/t/result"]


async def test_a_second_question_that_is_not_answered_leaves_the_task_to_be_asked_from_the_start() -> None:
    api = Api(httpx.Response(502, content=b"bad gateway"), json_answer(SONGS))
    asked = described(api, clock=Clock())
    assert isinstance(await asked.poll("t"), Transient)
    assert isinstance(await asked.poll("t"), Completed)
    assert api.asked == ["/tasks/t", "/tasks/t/result"] * 2


async def test_a_task_that_is_not_wanted_any_more_takes_no_second_question() -> None:
    api = Api()
    wanted = iter([True, True, False, False])
    asked = described(api, clock=Clock())
    outcomes = dict([item async for item in asked.poll_many("t", is_wanted=lambda _: next(wanted))])
    assert outcomes == {"t": Throttled(0.0, asked=False)}
    assert api.asked == ["/tasks/t"]


async def test_a_key_of_the_query_is_sent_and_told_by_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    urls: list[str] = []

    def fail(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        raise OSError(f"cannot GET {request.url} of {SECRET}, {request.url.raw_path.decode()}")

    outcome = await described(fail, KEY_IN_QUERY, api_key=SECRET).poll("t")
    assert urls == [f"https://gw.example.com/tasks/t?api_key={ENCODED}"]
    assert isinstance(outcome, Transient)
    for text in (outcome.cause, caplog.text):
        assert SECRET not in text
        assert ENCODED not in text


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
async def test_a_key_of_the_query_is_struck_out_of_links_and_errors_that_quote_the_url(status: int) -> None:
    def quoting(request: httpx.Request) -> httpx.Response:
        said = f"no route for {request.url}"
        song = {"id": "s", "name": said, "url": f"https://h.example/a.mp3?of={request.url.query.decode()}"}
        return json_answer({"status": "done", "songs": [song], "error": said, "message": said}, status)

    outcome = await described(quoting, KEY_IN_QUERY, api_key=SECRET).poll("t")
    shown = f"{outcome!r}" + (f"{outcome.result.provider_object}" if isinstance(outcome, Completed) else "")
    assert isinstance(outcome, Completed) is (status == 200)
    assert ENCODED not in shown
    assert SECRET not in shown


async def test_headers_of_a_recipe_go_beside_ours() -> None:
    seen: list[httpx.Headers] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return json_answer(DONE)

    recipe = RECIPE | {"headers": {"X-Version": "2024-11-06"}, "key": {"in": "header", "name": "x-api-key"}}
    await described(note, recipe, api_key=SECRET).poll("t")
    (headers,) = seen
    assert (headers["x-version"], headers["x-api-key"]) == ("2024-11-06", SECRET)
    assert "authorization" not in headers
