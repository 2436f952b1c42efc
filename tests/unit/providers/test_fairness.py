"""Who is asked next while there is more to ask than a provider takes at a time; in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
from tests.support.virtual import Clock
from tests.unit.providers.support import PENDING, json_answer, provider

from tunehook.providers.client import Provider
from tunehook.providers.outcomes import Outcome, Pending, Throttled

ANSWER_S = 1.0
OLD = [f"old-{number}" for number in range(400)]
NEW = [f"new-{number}" for number in range(8)]


class Slow:
    """A gateway that answers after a second, and notes who was asked about when, and how many at a time."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.asked: list[tuple[float, str]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((asyncio.get_running_loop().time(), request.url.path.rpartition("/")[2]))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(ANSWER_S)
        finally:
            self.running -= 1
        return json_answer(PENDING)

    def times(self, prefix: str) -> list[float]:
        return [at for at, task_id in self.asked if task_id.startswith(prefix)]


def run(work: Callable[[], Any]) -> Any:
    return Clock(0).run(work())


async def poll_all(asked: Provider, ids: Iterable[str], after_s: float = 0.0) -> float:
    """Ask after some seconds; return how long it took."""
    await asyncio.sleep(after_s)
    began = asyncio.get_running_loop().time()
    outcomes = [outcome async for _, outcome in asked.poll_many(ids)]
    assert all(isinstance(outcome, Pending) for outcome in outcomes)
    return asyncio.get_running_loop().time() - began


def test_new_tasks_do_not_wait_for_the_many_of_an_earlier_call() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def work() -> list[float]:
        return await asyncio.gather(poll_all(asked, OLD), poll_all(asked, NEW, after_s=10.5))

    old_s, new_s = run(work)
    assert new_s <= len(NEW) / 2 + 2 * ANSWER_S
    assert old_s == pytest.approx((len(OLD) + len(NEW)) / 4, abs=ANSWER_S)


def test_the_old_ones_go_on_being_asked_beside_the_new() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def work() -> None:
        await asyncio.gather(poll_all(asked, OLD[:40]), poll_all(asked, OLD[40:], after_s=2.5))

    run(work)
    first = gateway.times("old-")[: 4 * 12]
    assert len(set(first)) == 12
    by_second = [
        [task_id for at, task_id in gateway.asked if at == second] for second in sorted(set(first))[4:10]
    ]
    for ids in by_second:
        numbers = [int(task_id.rpartition("-")[2]) for task_id in ids]
        assert sum(number < 40 for number in numbers) == 2


def test_a_single_question_has_the_next_slot() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(poll_all(asked, OLD[:100]))
            await asyncio.sleep(3.5)
            group.create_task(asked.poll("single"))

    run(work)
    assert gateway.times("single") == [4.0]


def test_new_tasks_do_not_wait_for_the_old_at_a_bounded_rate_either() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, requests_per_second=2)

    async def work() -> None:
        await asyncio.gather(poll_all(asked, OLD[:100]), poll_all(asked, NEW, after_s=10.1))

    run(work)
    assert gateway.times("new-")[-1] <= 10.1 + len(NEW) + 1
    times = gateway.times("")
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.499


def test_a_bounded_rate_keeps_to_max_concurrency() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, requests_per_second=64, max_concurrency=3)
    run(lambda: poll_all(asked, OLD[:20]))
    assert gateway.most == 3


def test_those_who_waited_for_a_probe_keep_to_the_rate() -> None:
    gateway = Slow()
    refusals = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal refusals
        response = await gateway(request)
        refusals += 1
        return httpx.Response(503) if refusals <= 5 else response

    def clock() -> float:
        return asyncio.get_running_loop().time()

    asked = provider(answer, clock=clock, batch=False, requests_per_second=4)

    async def work() -> None:
        for _ in range(5):
            await asked.poll("before")
        await asyncio.sleep(asked.paused_until - clock())
        await poll_all(asked, NEW)

    run(work)
    times = gateway.times("new-")
    assert times[1] - times[0] >= ANSWER_S
    assert [later - earlier for earlier, later in itertools.pairwise(times[1:])] == [0.25] * 6


def test_all_calls_together_keep_to_max_concurrency() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=5)

    async def work() -> None:
        calls = (poll_all(asked, [f"{call}-{number}" for number in range(20)]) for call in range(4))
        await asyncio.gather(*calls, *(asked.poll(f"single-{number}") for number in range(10)))

    run(work)
    assert gateway.most == 5
    assert len(gateway.asked) == 90


def test_a_call_that_is_left_gives_its_slots_to_the_others() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def work() -> float:
        async with asyncio.TaskGroup() as group, contextlib.aclosing(asked.poll_many(OLD)) as outcomes:
            await anext(outcomes)
            staying = group.create_task(poll_all(asked, NEW))
            await asyncio.sleep(0)
        return await staying

    assert run(work) <= len(NEW) / 4 + ANSWER_S
    assert len(gateway.times("old-")) <= 8


def test_a_call_left_before_its_bucket_gave_a_drop_lets_the_others_go_on() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, requests_per_second=0.5, max_concurrency=1)

    async def work() -> float:
        leaving = asyncio.create_task(poll_all(asked, OLD))
        await asyncio.sleep(5.5)
        leaving.cancel()
        await asyncio.wait([leaving])
        return await poll_all(asked, NEW[:3])

    assert run(work) <= 3 * 2 + ANSWER_S


def test_however_many_are_asked_about_the_loop_has_no_more_tasks_than_may_run_at_a_time() -> None:
    most = 0

    async def count(_request: httpx.Request) -> httpx.Response:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0.1)
        return json_answer(PENDING)

    asked = provider(count, batch=False, max_concurrency=32)
    run(lambda: poll_all(asked, [str(number) for number in range(1_000)]))
    assert most <= 32 + 3


def test_of_query_many_too_a_later_call_has_its_turn() -> None:
    asked_at: list[tuple[float, int]] = []

    async def gateway(request: httpx.Request) -> httpx.Response:
        ids = json.loads(request.content)["ids"]
        asked_at.append((asyncio.get_running_loop().time(), len(ids)))
        await asyncio.sleep(ANSWER_S)
        tasks = [{"task_id": task_id, "status": "IN_PROGRESS"} for task_id in ids]
        return json_answer({"code": "success", "data": tasks})

    asked = provider(gateway, max_concurrency=1)

    async def work() -> list[float]:
        many = [str(number) for number in range(2_000)]
        return await asyncio.gather(poll_all(asked, many), poll_all(asked, NEW, after_s=3.5))

    assert run(work)[1] <= 2 * ANSWER_S
    assert len(asked_at) == 21


def test_new_tasks_do_not_wait_for_old_ones_that_hang() -> None:
    answered: list[float] = []

    async def gateway(request: httpx.Request) -> httpx.Response:
        if "old-" in request.url.path:
            await asyncio.sleep(3600)
        answered.append(asyncio.get_running_loop().time())
        return json_answer(PENDING)

    def clock() -> float:
        return asyncio.get_running_loop().time()

    asked = provider(gateway, clock=clock, batch=False, max_concurrency=8)

    async def ask_old() -> None:
        async for _ in asked.poll_many(OLD, old=OLD):
            pass

    async def work() -> None:
        old = asyncio.create_task(ask_old())
        for _ in range(12):
            await asyncio.sleep(5)
            await poll_all(asked, NEW)
        old.cancel()
        await asyncio.wait([old])

    run(work)
    assert answered == [float(5 * call) for call in range(1, 13) for _ in NEW]


def test_those_asked_again_and_again_do_not_keep_out_those_not_asked_yet() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def ask_again(after_s: float) -> None:
        await poll_all(asked, OLD[:40], after_s)

    async def work() -> None:
        await poll_all(asked, OLD[:40])
        first = asyncio.create_task(poll_all(asked, OLD[40:120]))
        again = [asyncio.create_task(ask_again(number)) for number in range(10)]
        await asyncio.gather(first, *again)

    run(work)
    first_asked = dict(reversed([(task_id, at) for at, task_id in gateway.asked]))
    assert max(first_asked.values()) == pytest.approx(120 / 4, abs=2 * ANSWER_S)


LATE = [f"late-{number}" for number in range(6)]


def asked_ids(gateway: Slow) -> list[str]:
    return [task_id for _, task_id in gateway.asked]


@pytest.mark.parametrize("limits", [{"max_concurrency": 1}, {"requests_per_second": 2}])
def test_overdue_tasks_are_asked_about_before_all_others(limits: dict[str, Any]) -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, **limits)

    async def work() -> None:
        async for _ in asked.poll_many([*NEW, *LATE], old=LATE, overdue=LATE):
            pass

    run(work)
    assert asked_ids(gateway) == [*LATE, *NEW]


def test_overdue_tasks_go_before_those_that_wait_since_an_earlier_call() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4)

    async def ask_late() -> float:
        await asyncio.sleep(5.5)
        async for _ in asked.poll_many(LATE[:3], overdue=LATE):
            pass
        return asyncio.get_running_loop().time()

    async def work() -> list[float]:
        return await asyncio.gather(poll_all(asked, OLD[:60]), ask_late())

    run(work)
    assert gateway.times("late-") == [6.0] * 3


@pytest.mark.parametrize("is_one_call", [True, False])
def test_new_tasks_do_not_wait_for_overdue_ones_that_hang(is_one_call: bool) -> None:
    answered: list[str] = []
    late = [f"late-{number}" for number in range(400)]

    async def gateway(request: httpx.Request) -> httpx.Response:
        task_id = request.url.path.rpartition("/")[2]
        if task_id in late:
            await asyncio.sleep(3600)
        answered.append(task_id)
        return json_answer(PENDING)

    def clock() -> float:
        return asyncio.get_running_loop().time()

    asked = provider(gateway, clock=clock, batch=False, max_concurrency=8)

    async def ask(ids: list[str]) -> None:
        async for _ in asked.poll_many(ids, old=late, overdue=late):
            pass

    async def work() -> None:
        calls = [late + NEW] if is_one_call else [late, NEW]
        asking = [asyncio.create_task(ask(ids)) for ids in calls]
        await asyncio.sleep(1)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)

    run(work)
    assert sorted(answered) == NEW


def test_an_overdue_task_that_hung_is_no_longer_before_the_others() -> None:
    order: list[str] = []

    async def gateway(request: httpx.Request) -> httpx.Response:
        order.append(request.url.path.rpartition("/")[2])
        if order[-1] == "late":
            await asyncio.sleep(3600)
        return json_answer(PENDING)

    def clock() -> float:
        return asyncio.get_running_loop().time()

    asked = provider(gateway, clock=clock, batch=False, max_concurrency=1)

    async def work() -> None:
        for _ in range(2):
            async for _ in asked.poll_many(["a", "b", "late"], overdue=["late"]):
                pass

    run(work)
    assert order[0] == "late"
    assert order[3:] != ["late", "a", "b"]


def test_after_an_outage_the_overdue_are_asked_about_first() -> None:
    order: list[str] = []
    is_up = False

    async def gateway(request: httpx.Request) -> httpx.Response:
        order.append(request.url.path.rpartition("/")[2])
        return json_answer(PENDING) if is_up else httpx.Response(502)

    def clock() -> float:
        return asyncio.get_running_loop().time()

    asked = provider(gateway, clock=clock, batch=False, max_concurrency=1)

    async def ask() -> None:
        async for _ in asked.poll_many(["a", "b", "c", "late"], overdue=["late"]):
            pass

    async def work() -> None:
        nonlocal is_up
        await ask()
        await ask()
        is_up = True
        await asyncio.sleep(60)
        order.clear()
        await ask()

    run(work)
    assert order[0] == "late"
    assert sorted(order) == ["a", "b", "c", "late"]


@pytest.mark.parametrize("limits", [{"max_concurrency": 1}, {"requests_per_second": 0.5}])
def test_the_batch_of_the_overdue_goes_before_those_that_wait(limits: dict[str, Any]) -> None:
    batches: list[list[str]] = []

    async def gateway(request: httpx.Request) -> httpx.Response:
        ids = json.loads(request.content)["ids"]
        batches.append(ids)
        await asyncio.sleep(ANSWER_S)
        tasks = [{"task_id": task_id, "status": "IN_PROGRESS"} for task_id in ids]
        return json_answer({"code": "success", "data": tasks})

    asked = provider(gateway, **limits)

    async def ask_late() -> None:
        await asyncio.sleep(ANSWER_S / 2)
        async for _ in asked.poll_many([*NEW, *LATE], overdue=LATE):
            pass

    async def work() -> None:
        await asyncio.gather(poll_all(asked, [str(number) for number in range(600)]), ask_late())

    run(work)
    # One has been sent by then, and with a budget of requests one has got its part of it.
    assert [set(LATE) <= set(ids) for ids in batches].index(True) <= 2


async def outcomes_of(asked: Provider, ids: Iterable[str], **options: Any) -> dict[str, Outcome]:
    return {task_id: outcome async for task_id, outcome in asked.poll_many(ids, **options)}


@pytest.mark.parametrize("rate", [None, 1.0])
def test_who_finishes_lets_what_is_under_way_be_answered_and_sends_nothing_more(rate: float | None) -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=4, requests_per_second=rate)

    async def work() -> dict[str, Outcome]:
        asking = asyncio.create_task(outcomes_of(asked, OLD))
        await asyncio.sleep(1.5)
        asked.close()
        return await asking

    outcomes = run(work)
    answered = [task_id for task_id, outcome in outcomes.items() if isinstance(outcome, Pending)]
    assert len(outcomes) == len(OLD)
    assert sorted(answered) == sorted(task_id for _, task_id in gateway.asked)
    assert max(gateway.times("old")) <= 1.5
    assert all(
        isinstance(outcome, Throttled) and not outcome.asked
        for task_id, outcome in outcomes.items()
        if task_id not in answered
    )


def test_who_finishes_keeps_what_the_pages_before_have_told() -> None:
    pages: list[int] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        pages.append(json.loads(request.content)["page"])
        await asyncio.sleep(1)
        first = [{"id": f"t{number}", "status": "processing"} for number in range(3)]
        return json_answer({"code": 0, "data": {"items": first, "total": 9}})

    asked = provider(answer, kind="musicmint")

    async def work() -> dict[str, Outcome]:
        asking = asyncio.create_task(outcomes_of(asked, [f"t{number}" for number in range(6)]))
        await asyncio.sleep(0.5)
        asked.close()
        return await asking

    outcomes = run(work)
    assert pages == [1]
    assert [isinstance(outcomes[f"t{number}"], Pending) for number in range(6)] == [True] * 3 + [False] * 3


def test_a_question_that_is_no_longer_wanted_when_its_turn_comes_is_not_sent() -> None:
    gateway = Slow()
    asked = provider(gateway, batch=False, max_concurrency=2)
    wanted = set(NEW)

    async def work() -> dict[str, Outcome]:
        asking = asyncio.create_task(outcomes_of(asked, NEW, is_wanted=wanted.__contains__))
        await asyncio.sleep(1.5)
        wanted.clear()
        return await asking

    outcomes = run(work)
    assert len(outcomes) == len(NEW)
    assert sum(isinstance(outcome, Pending) for outcome in outcomes.values()) == len(gateway.asked) == 4


def test_of_a_batch_only_what_is_wanted_is_asked_about() -> None:
    together: list[list[str]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        together.append(json.loads(request.content)["ids"])
        tasks = [{"task_id": task_id, "status": "IN_PROGRESS"} for task_id in together[-1]]
        return json_answer({"code": "success", "data": tasks})

    outcomes = run(lambda: outcomes_of(provider(answer), NEW, is_wanted=lambda task_id: task_id != NEW[0]))
    assert together == [NEW[1:]]
    assert {task_id for task_id, outcome in outcomes.items() if isinstance(outcome, Pending)} == set(NEW[1:])
