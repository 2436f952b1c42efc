"""How the polls of one provider's single tasks ended is remembered, and says which of them go first."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from tests.support.gateways import Handler, PlayedTransport
from tests.unit.providers.support import PENDING, Clock, config, json_answer

from tunehook.providers.adapters import adapter_of
from tunehook.providers.fair_semaphore import Priority
from tunehook.providers.task_poller import TaskPoller

# As documented, and not imported: a bound that moves is to be noticed.
SLOW_S = 5.0

BAD_GATEWAY = httpx.Response(502)
OVERDUE = frozenset({"t", "other"})


def poller(handler: Handler, clock: Clock) -> TaskPoller:
    given = config()
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
