import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientTimeout
from aiohttp.test_utils import TestClient, TestServer
from benchmarks.moody_provider import OLD, Mood, MoodyProvider, ProviderProcess, ends_at_ms, task_id
from tests.support.patience import HANG_S

from tunehook.providers.config import parse_providers
from tunehook.times import now_ms


@pytest.fixture
async def stand_in() -> AsyncIterator[TestClient]:
    server = TestServer(MoodyProvider().app(), handler_cancellation=True)
    async with TestClient(server, timeout=ClientTimeout(total=HANG_S)) as client:
        yield client


async def ask(stand_in: TestClient, asked: str, mood: Mood = Mood.WELL, timeout_s: float = HANG_S) -> Any:
    timeout = ClientTimeout(total=timeout_s)
    async with stand_in.post(f"/{mood}/0/api/v1/task/{asked}", timeout=timeout) as answer:
        answer.raise_for_status()
        return (await answer.json())["data"]


@pytest.mark.parametrize("moment", [None, 0, 1_800_000_000_000])
def test_an_id_says_when_its_task_ends(moment: int | None) -> None:
    assert ends_at_ms(task_id("task-1", moment)) == moment


async def test_a_task_is_under_way_until_it_ends_and_then_has_a_clip(stand_in: TestClient) -> None:
    assert (await ask(stand_in, task_id("a", now_ms() + 60_000)))["status"] == "processing"
    ended = await ask(stand_in, task_id("b", now_ms() - 1))
    assert ended["status"] == "completed"
    assert ended["results"][0]["audio_url"]


async def test_a_task_without_an_end_never_ends(stand_in: TestClient) -> None:
    assert (await ask(stand_in, "a"))["status"] == "processing"


@pytest.mark.parametrize("mood", [Mood.HANGS, Mood.DRIPS])
async def test_a_slow_mood_gives_no_whole_answer_for_long(stand_in: TestClient, mood: Mood) -> None:
    with pytest.raises(TimeoutError):
        await ask(stand_in, "a", mood, timeout_s=0.2)


async def test_only_old_tasks_hang_where_only_old_ones_shall(stand_in: TestClient) -> None:
    assert await ask(stand_in, "new-1", Mood.HANGS_FOR_OLD)
    with pytest.raises(TimeoutError):
        await ask(stand_in, f"{OLD}-1", Mood.HANGS_FOR_OLD, timeout_s=0.2)


@pytest.mark.parametrize(
    ("mood", "status", "retry_after"),
    [(Mood.THROTTLES, 429, None), (Mood.THROTTLES_UNTIL, 429, "2"), (Mood.FAILS, 500, None)],
)
async def test_a_mood_has_its_status(
    stand_in: TestClient, mood: Mood, status: int, retry_after: str | None
) -> None:
    async with stand_in.post(f"/{mood}/0/api/v1/task/a") as answer:
        assert (answer.status, answer.headers.get("retry-after")) == (status, retry_after)


async def test_html_is_html_and_no_error(stand_in: TestClient) -> None:
    async with stand_in.post(f"/{Mood.HTML}/0/api/v1/task/a") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


async def test_a_reset_is_one(stand_in: TestClient) -> None:
    with pytest.raises(OSError, match="reset"):
        await ask(stand_in, "a", Mood.RESETS)


async def test_it_takes_as_long_for_an_answer_as_the_url_says(stand_in: TestClient) -> None:
    with pytest.raises(TimeoutError):
        await stand_in.post(f"/{Mood.WELL}/60000/api/v1/task/a", timeout=ClientTimeout(total=0.2))


async def test_questions_and_tasks_are_counted_until_they_are_forgotten(stand_in: TestClient) -> None:
    before_ms = now_ms()
    for asked in ("a", "b", "a"):
        await ask(stand_in, asked)
    counts = await (await stand_in.get("/counts")).json()
    first_ms = await (await stand_in.get("/first-questions")).json()
    assert (counts["questions"], counts["tasks"]) == (3, 2)
    assert before_ms <= first_ms["a"] <= first_ms["b"] == counts["latest_ms"] <= now_ms()
    await stand_in.post("/forget")
    assert await (await stand_in.get("/counts")).json() == {"questions": 0, "tasks": 0, "latest_ms": 0}


def test_its_configuration_is_one_that_the_poller_takes() -> None:
    process = ProviderProcess("http://127.0.0.1:1")
    providers = parse_providers(json.dumps({"gw": process.config(Mood.HANGS, delay_s=0.2)}))
    process.close()
    assert providers["gw"].base_url == "http://127.0.0.1:1/hangs/200"
