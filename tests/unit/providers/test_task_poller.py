"""How the polls of one provider's single tasks ended is remembered, and says which of them go first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.support.gateways import Handler, PlayedTransport
from tests.support.virtual_tests import in_virtual_time
from tests.unit.providers.support import PENDING, Clock, config, json_answer

from tunehook.providers.adapters import adapter_of
from tunehook.providers.fair_semaphore import Priority
from tunehook.providers.outcomes import Throttled
from tunehook.providers.task_poller import TaskPoller

# As documented, and not imported: a bound that moves is to be noticed.
SLOW_S = 5.0

BAD_GATEWAY = httpx.Response(502)
OVERDUE = frozenset({"t", "other"})


def poller(handler: Handler, clock: Clock, **fields: Any) -> TaskPoller:
    given = config(**fields)
    return TaskPoller(given, adapter_of(given), PlayedTransport(handler), clock, lambda: datetime.now(UTC))


async def poll(asked: TaskPoller, task_id: str = "t") -> None:
    await asked.poll(task_id, "key", lambda _: True, OVERDUE)


class TestOverdue:
    @pytest.mark.parametrize(
        ("takes_s", "priority"), [(SLOW_S - 0.01, Priority.OVERDUE), (SLOW_S, Priority.DOUBTED)]
    )
    async def test_one_whose_failure_took_long_no_longer_goes_first(
        self, takes_s: float, priority: Priority
    ) -> None:
        clock = Clock()

        def answer(_: httpx.Request) -> httpx.Response:
            clock.now += takes_s
            return BAD_GATEWAY

        asked = poller(answer, clock)
        await poll(asked)
        assert asked.priority("t", OVERDUE) is priority

    async def test_once_it_has_an_answer_it_goes_first_again(self) -> None:
        clock = Clock()
        answers = [BAD_GATEWAY, json_answer(PENDING)]

        def answer(_: httpx.Request) -> httpx.Response:
            clock.now += SLOW_S
            return answers.pop(0)

        asked = poller(answer, clock)
        await poll(asked)
        await poll(asked)
        assert asked.priority("t", OVERDUE) is Priority.OVERDUE

    async def test_one_that_failed_while_others_did_not_no_longer_goes_first(self) -> None:
        answers = [BAD_GATEWAY, json_answer(PENDING)]
        asked = poller(lambda _: answers.pop(0), Clock())
        await poll(asked)
        await poll(asked, "other")
        assert asked.priority("t", OVERDUE) is Priority.DOUBTED
        assert asked.priority("other", OVERDUE) is Priority.OVERDUE


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "unwanted"])
@in_virtual_time
async def test_what_is_not_sent_waits_for_no_slot(is_paused: bool) -> None:
    answered = asyncio.Event()

    async def answer(_: httpx.Request) -> httpx.Response:
        await answered.wait()
        return json_answer(PENDING)

    asked = poller(answer, Clock(), max_concurrency=1)
    first = asyncio.create_task(poll(asked))
    await asyncio.sleep(0)
    if is_paused:
        asked.breaker.restore(30, Throttled.name)
    began_s = asyncio.get_running_loop().time()
    outcome = await asked.poll("other", "key", lambda _: is_paused)
    assert outcome == Throttled(30 if is_paused else 0, asked=False)
    assert asyncio.get_running_loop().time() == began_s
    answered.set()
    await first


@in_virtual_time
async def test_one_that_is_cancelled_while_it_waits_for_the_rate_is_not_sent() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return json_answer(PENDING)

    asked = poller(answer, Clock(), requests_per_second=0.5, max_concurrency=1)
    await poll(asked)
    waiting = asyncio.create_task(poll(asked, "other"))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(sent) == 1
    await poll(asked)
    assert len(sent) == 2
