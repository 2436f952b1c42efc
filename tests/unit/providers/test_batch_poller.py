from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
from tests.support.patience import HANG_S
from tests.unit.providers.support import PENDING, Clock, json_answer, provider

from tunehook.providers.client import Provider
from tunehook.providers.outcomes import (
    Completed,
    Failed,
    NotFound,
    Outcome,
    Pending,
    Throttled,
    Transient,
    Unauthorised,
)

NOT_FOUND = json_answer({"code": "task_not_exist", "message": "", "data": None}, 400)


class Gateway:
    """A suno gateway that knows these tasks by their status word, and remembers what it was asked."""

    def __init__(self, tasks: dict[str, str], many: httpx.Response | None = None) -> None:
        self.tasks = tasks
        self.many_answer = many
        self.together: list[list[str]] = []
        self.singly: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            ids = json.loads(request.content)["ids"]
            self.together.append(ids)
            known = [self.task(task_id) for task_id in reversed(ids) if task_id in self.tasks]
            return self.many_answer or json_answer({"code": "success", "data": known})
        task_id = request.url.path.rpartition("/")[2]
        self.singly.append(task_id)
        return (
            json_answer({"code": "success", "data": self.task(task_id)})
            if task_id in self.tasks
            else NOT_FOUND
        )

    def task(self, task_id: str) -> dict[str, Any]:
        clips = [{"id": "c", "audio_url": "https://h/c.mp3"}]
        return {"task_id": task_id, "status": self.tasks[task_id], "data": clips}


class Musicmint:
    """A musicmint that lists these tasks, newest first."""

    def __init__(self, statuses: dict[str, str]) -> None:
        self.statuses = statuses
        self.pages: list[int] = []
        self.singly: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/tasks":
            task_id = request.url.path.rpartition("/")[2]
            self.singly.append(task_id)
            return json_answer({"code": 0, "data": {"id": task_id, "status": self.statuses[task_id]}})
        asked = json.loads(request.content)
        self.pages.append(asked["page"])
        first = (asked["page"] - 1) * asked["page_size"]
        listed = list(self.statuses.items())[first : first + asked["page_size"]]
        items = [{"id": task_id, "status": status} for task_id, status in listed]
        return json_answer({"code": 0, "data": {"items": items, "total": len(self.statuses)}})


async def poll_all(asked: Provider, ids: list[str]) -> dict[str, Outcome]:
    outcomes = [item async for item in asked.poll_many(ids)]
    assert len(outcomes) == len(dict(outcomes))
    return dict(outcomes)


async def test_two_hundred_and_fifty_suno_tasks_cost_three_calls() -> None:
    gateway = Gateway({f"t{number}": "IN_PROGRESS" for number in range(250)})
    outcomes = await poll_all(provider(gateway), list(gateway.tasks))
    assert [len(ids) for ids in gateway.together] == [100, 100, 50]
    assert gateway.singly == []
    assert outcomes.keys() == gateway.tasks.keys()


async def test_a_last_batch_of_one_task_is_asked_together_too_where_no_batch_has_failed() -> None:
    gateway = Gateway({f"t{number}": "IN_PROGRESS" for number in range(101)})
    await poll_all(provider(gateway), list(gateway.tasks))
    assert [len(ids) for ids in gateway.together] == [100, 1]
    assert gateway.singly == []


async def test_tasks_are_told_apart_whatever_their_order() -> None:
    gateway = Gateway({"a": "SUCCESS", "b": "FAILURE", "c": "QUEUED"})
    outcomes = await poll_all(provider(gateway), ["a", "b", "c"])
    assert [type(outcomes[task_id]) for task_id in "abc"] == [Completed, Failed, Pending]


async def test_one_task_is_asked_about_singly() -> None:
    gateway = Gateway({"a": "QUEUED"})
    await poll_all(provider(gateway), ["a", "a"])
    assert (gateway.together, gateway.singly) == ([], ["a"])


async def test_no_task_costs_no_call() -> None:
    gateway = Gateway({})
    assert await poll_all(provider(gateway), []) == {}
    assert (gateway.together, gateway.singly) == ([], [])


async def test_an_id_that_is_left_out_is_checked_by_a_single_query() -> None:
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"})
    outcomes = await poll_all(provider(gateway), ["a", "gone", "b"])
    assert gateway.singly == ["gone"]
    assert outcomes["gone"] == NotFound("HTTP 400: task_not_exist")


async def test_an_id_that_was_not_asked_for_is_passed_over() -> None:
    foreign = json_answer({"code": "success", "data": [{"task_id": "x", "status": "FAILURE"}]})
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"}, many=foreign)
    assert (await poll_all(provider(gateway), ["a", "b"])).keys() == {"a", "b"}


async def test_batch_false_asks_one_by_one() -> None:
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"})
    await poll_all(provider(gateway, batch=False), ["a", "b"])
    assert gateway.together == []


async def test_qhaigc_is_asked_one_by_one() -> None:
    asked: list[str] = []
    gateway = provider(lambda request: (asked.append(request.method), json_answer(PENDING))[1], "qhaigc")
    await poll_all(gateway, ["a", "b"])
    assert asked == ["GET", "GET"]


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_gateway_without_query_many_is_asked_one_by_one_from_then_on(status: int) -> None:
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"}, many=httpx.Response(status, text="no such route"))
    asked = provider(gateway)
    for _ in range(2):
        outcomes = await poll_all(asked, ["a", "b"])
        assert all(isinstance(outcome, Pending) for outcome in outcomes.values())
    assert len(gateway.together) == 1


async def test_what_one_batch_learns_of_a_gateway_counts_for_those_that_wait() -> None:
    gateway = Gateway({str(number): "QUEUED" for number in range(250)}, many=httpx.Response(404))
    outcomes = await poll_all(provider(gateway, max_concurrency=1), list(gateway.tasks))
    assert len(gateway.together) == 1
    assert sorted(gateway.singly) == sorted(outcomes) == sorted(gateway.tasks)


async def test_a_broken_query_many_does_not_keep_tasks_from_being_asked_singly() -> None:
    gateway = Gateway({"a": "QUEUED", "b": "SUCCESS", "c": "QUEUED"}, many=httpx.Response(500))
    outcomes = await poll_all(provider(gateway), ["a", "b", "c"])
    assert isinstance(outcomes["b"], Completed)


async def test_a_gateway_that_is_down_is_not_asked_about_every_task() -> None:
    asked: list[str] = []
    gateway = provider(lambda request: (asked.append(request.method), httpx.Response(502))[1])
    outcomes = await poll_all(gateway, [str(number) for number in range(50)])
    assert asked == ["POST", "GET"]
    assert all(isinstance(outcome, Transient) for outcome in outcomes.values())


@pytest.mark.parametrize(("status", "outcome"), [(429, Throttled), (401, Unauthorised)])
async def test_trouble_of_the_provider_is_every_tasks_outcome(status: int, outcome: type[Outcome]) -> None:
    gateway = Gateway({}, many=httpx.Response(status))
    asked = provider(gateway, clock=Clock())
    assert {type(item) for item in (await poll_all(asked, ["a", "b"])).values()} == {outcome}
    assert asked.is_paused()


async def test_a_paused_provider_answers_for_many_without_a_request() -> None:
    gateway = Gateway({}, many=httpx.Response(401))
    asked = provider(gateway, clock=Clock())
    await poll_all(asked, ["a", "b"])
    outcomes = await poll_all(asked, ["a", "b"])
    assert outcomes == {"a": Throttled(60.0, asked=False), "b": Throttled(60.0, asked=False)}


async def test_musicmint_is_screened_by_pages_and_asked_about_what_has_ended() -> None:
    gateway = Musicmint(
        {f"t{number}": "processing" for number in range(250)} | {"t7": "completed", "t240": "failed"}
    )
    outcomes = await poll_all(provider(gateway, "musicmint"), list(gateway.statuses))
    assert gateway.pages == [1, 2, 3]
    assert sorted(gateway.singly) == ["t240", "t7"]
    assert isinstance(outcomes["t240"], Failed)


async def test_musicmint_pages_end_when_every_task_was_seen() -> None:
    gateway = Musicmint({f"t{number}": "processing" for number in range(1000)})
    await poll_all(provider(gateway, "musicmint"), ["t1", "t2", "t150"])
    assert gateway.pages == [1, 2] or (gateway.pages, gateway.singly) == ([1], ["t150"])


async def test_musicmint_never_pages_further_than_single_queries_would_cost() -> None:
    gateway = Musicmint({f"t{number}": "processing" for number in range(5000)})
    await poll_all(provider(gateway, "musicmint"), ["t4990", "t4991", "t4992"])
    assert len(gateway.pages) <= 3
    assert sorted(gateway.singly) == ["t4990", "t4991", "t4992"]


async def test_outcomes_come_as_they_are_known() -> None:
    late = asyncio.Event()

    async def gateway(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("slow"):
            await late.wait()
        return json_answer(PENDING)

    async with contextlib.aclosing(provider(gateway, batch=False).poll_many(["slow", "fast"])) as outcomes:
        assert (await anext(outcomes))[0] == "fast"
        late.set()
        assert (await anext(outcomes))[0] == "slow"


async def test_leaving_early_stops_the_requests_under_way() -> None:
    stopped = asyncio.Event()

    async def gateway(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("slow"):
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
        return json_answer(PENDING)

    async with (
        asyncio.timeout(HANG_S),
        contextlib.aclosing(provider(gateway, batch=False).poll_many(["slow", "fast"])) as outcomes,
    ):
        await anext(outcomes)
    assert stopped.is_set()


async def test_polls_that_were_left_early_count_no_more() -> None:
    async def gateway(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("slow"):
            await asyncio.Event().wait()
        return json_answer(PENDING) if request.url.path.endswith("fast") else httpx.Response(401)

    clock = Clock()
    asked = provider(gateway, batch=False, clock=clock)
    async with contextlib.aclosing(asked.poll_many(["slow", "fast"])) as outcomes:
        await anext(outcomes)
    clock.now += 11  # a refusal right after an answer would be doubted as well
    await asked.poll("refused")
    assert asked.is_paused()


async def test_of_a_batch_what_is_no_longer_wanted_is_told_as_while_the_provider_is_paused() -> None:
    gateway = Gateway({"a": "IN_PROGRESS", "b": "IN_PROGRESS", "c": "IN_PROGRESS"})
    polls = provider(gateway).poll_many(["a", "b", "c"], is_wanted=lambda task_id: task_id != "b")
    outcomes = {task_id: outcome async for task_id, outcome in polls}
    assert outcomes.keys() == {"a", "b", "c"}
    assert outcomes["b"] == Throttled(0.0, asked=False)


class Fragile(Gateway):
    """A gateway that cannot read some of its rows, and fails as a whole about every batch with one of them."""

    def __init__(self, tasks: dict[str, str], unreadable: set[str]) -> None:
        super().__init__(tasks)
        self.unreadable = unreadable

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = super().__call__(request)
        asked = set(self.together[-1]) if request.method == "POST" else {self.singly[-1]}
        return json_answer({"code": "get_task_failed"}, 500) if asked & self.unreadable else answer


async def test_a_row_that_spoils_its_batch_is_found_by_halves() -> None:
    ids = [f"t{number:02}" for number in range(100)]
    gateway = Fragile(dict.fromkeys(ids, "QUEUED"), {"t37", "t80"})
    asked = provider(gateway)
    outcomes = await poll_all(asked, ids)
    assert {task_id for task_id, outcome in outcomes.items() if not isinstance(outcome, Pending)} == {
        "t37",
        "t80",
    }
    assert len(gateway.together) + len(gateway.singly) <= 50


async def test_a_row_that_spoils_its_batch_is_asked_about_alone_from_then_on() -> None:
    ids = [f"t{number:02}" for number in range(100)]
    gateway = Fragile(dict.fromkeys(ids, "QUEUED"), {"t37"})
    asked = provider(gateway)
    await poll_all(asked, ids)
    gateway.together.clear()
    gateway.singly.clear()
    outcomes = await poll_all(asked, ids)
    assert len(gateway.together) == 1
    assert len(gateway.singly) <= 4
    assert isinstance(outcomes["t37"], Transient)


async def test_a_batch_whose_answer_is_too_large_is_halved() -> None:
    ids = [f"t{number:02}" for number in range(100)]
    gateway = Gateway(dict.fromkeys(ids, "QUEUED"))
    plain = gateway.task

    def long_task(task_id: str) -> dict[str, Any]:
        return plain(task_id) | {"lyrics": "x" * 40_000}

    gateway.task = long_task  # type: ignore[method-assign]
    outcomes = await poll_all(provider(gateway), ids)
    assert all(isinstance(outcome, Pending) for outcome in outcomes.values())
    assert len(outcomes) == 100
    assert gateway.singly == []
    assert [len(batch) for batch in gateway.together] == [100, 50, 50]


async def test_query_many_that_never_works_is_given_up_although_single_questions_are_answered() -> None:
    ids = [f"t{number:03}" for number in range(400)]
    gateway = Gateway(dict.fromkeys(ids, "QUEUED"), many=json_answer({"code": "x"}, 500))
    asked = provider(gateway, max_concurrency=1)
    outcomes = await poll_all(asked, ids)
    assert all(isinstance(outcome, Pending) for outcome in outcomes.values())
    assert len(gateway.together) <= 12
    assert not asked.knows_many


async def test_overdue_tasks_are_in_the_first_batch() -> None:
    ids = [f"t{number:03}" for number in range(250)]
    gateway = Gateway(dict.fromkeys(ids, "QUEUED"))
    asked = provider(gateway, max_concurrency=1)
    async for _ in asked.poll_many(ids, overdue=ids[-100:]):
        pass
    assert set(gateway.together[0]) == set(ids[-100:])


@pytest.mark.parametrize(("status", "knows"), [(405, False), (404, False), (429, True), (503, True)])
async def test_too_many_requests_do_not_mean_that_query_many_is_not_known(status: int, knows: bool) -> None:
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"}, many=httpx.Response(status))
    asked = provider(gateway)
    await poll_all(asked, ["a", "b"])
    assert asked.knows_many is knows


async def test_a_provider_that_throttles_query_many_alone_is_asked_singly_after_three_pauses() -> None:
    ids = [f"t{number}" for number in range(30)]
    gateway, clock = Gateway(dict.fromkeys(ids, "QUEUED"), many=httpx.Response(429)), Clock()
    asked = provider(gateway, clock=clock)
    answered: list[int] = []
    for _ in range(5):
        outcomes = await poll_all(asked, ids)
        answered.append(sum(isinstance(outcome, Pending) for outcome in outcomes.values()))
        clock.now += 60
    # After each pause a single question is answered; the third call that is refused right after one is the last.
    assert answered == [0, 1, 30, 30, 30]
    assert (len(gateway.together), asked.knows_many) == (3, False)


async def test_one_that_throttles_single_questions_too_is_not() -> None:
    asked, clock = [], Clock()
    throttling = provider(lambda request: (asked.append(request.method), httpx.Response(429))[1], clock=clock)
    for _ in range(6):
        await poll_all(throttling, ["a", "b", "c"])
        clock.now += 60
    assert throttling.knows_many
    assert asked == ["POST", *["GET"] * 5]


async def test_one_that_answers_query_many_again_begins_anew() -> None:
    ids, clock = ["a", "b", "c"], Clock()
    gateway = Gateway(dict.fromkeys(ids, "QUEUED"))
    asked = provider(gateway, clock=clock)
    for number in range(8):
        gateway.many_answer = None if number % 2 else httpx.Response(429)
        await poll_all(asked, ids)
        clock.now += 60
    assert asked.knows_many


async def test_a_405_to_many_is_a_limit_where_a_single_question_is_refused_as_well() -> None:
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"}, many=httpx.Response(405))
    asked = provider(lambda request: gateway(request) if request.method == "POST" else httpx.Response(405))
    outcomes = await poll_all(asked, ["a", "b"])
    assert all(isinstance(outcome, Throttled) for outcome in outcomes.values())
    assert asked.knows_many
    assert asked.pause_reason == "throttled"


TOO_LARGE = httpx.Response(200, content=b" " * (2 * 1024 * 1024 + 1))


class Particular(Gateway):
    """A gateway that fails for batches that are too long, or that hold what it cannot read; and fails differently."""

    def __init__(self, count: int, *, most: int = 1000, unreadable: frozenset[str] = frozenset()) -> None:
        super().__init__({f"t{number}": "IN_PROGRESS" for number in range(count)})
        self.most = most
        self.unreadable = unreadable

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = super().__call__(request)
        asked = self.together[-1] if request.method == "POST" else self.singly[-1:]
        if not self.unreadable.isdisjoint(asked):
            return httpx.Response(500, text="cannot scan row")
        return TOO_LARGE if len(asked) > self.most else answer

    def forget(self) -> None:
        self.together.clear()
        self.singly.clear()


def unreadable(*numbers: int) -> frozenset[str]:
    return frozenset(f"t{number}" for number in numbers)


def names(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {task_id: outcome.name for task_id, outcome in outcomes.items()}


def expected(gateway: Particular) -> dict[str, str]:
    return {task_id: "transient" if task_id in gateway.unreadable else "pending" for task_id in gateway.tasks}


@pytest.mark.parametrize(
    ("most", "sizes"), [(60, [100, 50, 50]), (30, [100, 50, 50, 25, 25, 25, 25]), (99, [100, 50, 50])]
)
async def test_an_answer_that_is_too_large_is_asked_for_in_halves(most: int, sizes: list[int]) -> None:
    gateway = Particular(100, most=most)
    asked = provider(gateway, clock=Clock())
    assert names(await poll_all(asked, list(gateway.tasks))) == expected(gateway)
    assert [len(ids) for ids in gateway.together] == sizes
    assert gateway.singly == []


async def test_the_size_that_succeeded_is_where_the_next_call_begins() -> None:
    gateway = Particular(300, most=60)
    asked = provider(gateway, clock=Clock())
    await poll_all(asked, list(gateway.tasks))
    gateway.forget()
    assert names(await poll_all(asked, list(gateway.tasks))) == expected(gateway)
    assert [len(ids) for ids in gateway.together] == [50] * 6
    assert gateway.singly == []


async def test_answers_that_are_too_large_are_no_reason_to_pause() -> None:
    gateway = Particular(2_000, most=10)
    asked = provider(gateway, clock=Clock())
    assert names(await poll_all(asked, list(gateway.tasks))) == expected(gateway)
    assert asked.pause_reason is None
    assert asked.knows_many


async def test_down_to_single_questions_answers_are_halved() -> None:
    gateway = Particular(8, most=1)
    outcomes = await poll_all(provider(gateway, clock=Clock()), list(gateway.tasks))
    assert names(outcomes) == expected(gateway)
    assert sorted(gateway.singly) == sorted(gateway.tasks)


@pytest.mark.parametrize("bad", [(7, 211), (0, 1), (0, 299), (100,), (5, 6, 7), (1, 101, 201, 202)])
async def test_tasks_that_the_gateway_cannot_read_keep_no_others_from_being_told(
    bad: tuple[int, ...],
) -> None:
    gateway = Particular(300, unreadable=unreadable(*bad))
    asked = provider(gateway, clock=Clock())
    # The single question that tells whether the gateway is up may be about one of them: then it is the next call.
    for _ in range(2):
        outcomes = await poll_all(asked, list(gateway.tasks))
    assert names(outcomes) == expected(gateway)
    assert asked.pause_reason is None


async def test_finding_two_unreadable_tasks_among_three_hundred_takes_few_calls() -> None:
    gateway = Particular(300, unreadable=unreadable(57, 211))
    assert names(await poll_all(provider(gateway, clock=Clock()), list(gateway.tasks))) == expected(gateway)
    assert len(gateway.together) <= 3 + 2 * 2 * 7
    assert len(gateway.singly) <= 2 + 2 * 3


async def test_unreadable_tasks_that_were_found_are_asked_about_singly_from_then_on() -> None:
    gateway = Particular(300, unreadable=unreadable(57, 211))
    asked = provider(gateway, clock=Clock())
    await poll_all(asked, list(gateway.tasks))
    gateway.forget()
    assert names(await poll_all(asked, list(gateway.tasks))) == expected(gateway)
    assert [len(ids) for ids in gateway.together] == [100, 100, 98]
    assert sorted(gateway.singly) == ["t211", "t57"]


async def test_unreadable_tasks_in_every_batch_are_no_reason_to_pause() -> None:
    gateway = Particular(2_000, unreadable=unreadable(*range(50, 2_000, 100)))
    asked = provider(gateway, clock=Clock())
    for _ in range(10):
        outcomes = await poll_all(asked, list(gateway.tasks))
        assert names(outcomes) == expected(gateway)
    assert asked.pause_reason is None
    assert asked.knows_many


async def test_a_query_many_that_never_succeeds_is_given_up() -> None:
    gateway = Particular(100, most=1000)
    gateway.many_answer = httpx.Response(500)
    asked = provider(gateway, clock=Clock())
    assert names(await poll_all(asked, list(gateway.tasks))) == expected(gateway)
    assert len(gateway.together) <= 32
    assert not asked.knows_many
    gateway.forget()
    await poll_all(asked, list(gateway.tasks))
    assert gateway.together == []


async def test_a_list_that_is_the_same_for_fewer_tasks_is_not_asked_for_in_halves() -> None:
    gateway = Musicmint({f"t{number}": "processing" for number in range(50)})
    lists = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal lists
        if request.url.path != "/api/v1/tasks":
            return gateway(request)
        lists += 1
        return httpx.Response(500)

    outcomes = await poll_all(provider(answer, "musicmint", clock=Clock()), list(gateway.statuses))
    assert {outcome.name for outcome in outcomes.values()} == {"pending"}
    assert lists == 1


async def test_query_many_that_alone_is_refused_the_key_leaves_single_questions() -> None:
    clock = Clock()
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED"}, many=httpx.Response(401))
    asked = provider(gateway, clock=clock)
    assert {outcome.name for outcome in (await poll_all(asked, ["a", "b"])).values()} == {"unauthorised"}
    clock.now += 60
    for _ in range(3):
        assert {outcome.name for outcome in (await poll_all(asked, ["a", "b"])).values()} == {"pending"}
    assert len(gateway.together) == 2
    assert not asked.knows_many


async def test_a_pause_ends_with_a_single_question() -> None:
    clock = Clock()
    gateway = Gateway({str(number): "QUEUED" for number in range(200)})
    asked = provider(gateway, clock=clock)
    asked.restore_pause(10.0, "transient")
    clock.now += 10
    outcomes = await poll_all(asked, list(gateway.tasks))
    assert {outcome.name for outcome in outcomes.values()} == {"pending"}
    assert len(gateway.singly) <= 2
    assert len(gateway.together) == 2


async def test_an_outage_costs_one_question_a_pause() -> None:
    clock = Clock()
    methods: list[str] = []
    asked = provider(lambda request: (methods.append(request.method), httpx.Response(502))[1], clock=clock)
    ids = [str(number) for number in range(1_000)]
    while not asked.is_paused():
        await poll_all(asked, ids)
    for _ in range(5):
        clock.now = asked.paused_until
        methods.clear()
        await poll_all(asked, ids)
        assert methods == ["GET"]


async def test_a_refusal_about_the_one_task_that_is_asked_about_first_is_not_that_of_all() -> None:
    clock = Clock()
    gateway = Gateway({"a": "QUEUED", "b": "QUEUED", "c": "QUEUED"})

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401) if request.url.path.endswith("/c") else gateway(request)

    asked = provider(answer, clock=clock)
    asked.restore_pause(10.0, "unauthorised")
    clock.now += 10
    assert names(await poll_all(asked, ["a", "b", "c"])) == {
        "a": "pending",
        "b": "pending",
        "c": "unauthorised",
    }


async def test_fifty_pages_of_a_list_are_read_at_most() -> None:
    listed = {f"other-{number}": "processing" for number in range(6_000)}
    gateway = Musicmint(listed | {f"t{number}": "processing" for number in range(60)})
    outcomes = await poll_all(provider(gateway, "musicmint"), [f"t{number}" for number in range(60)])
    assert gateway.pages == list(range(1, 51))
    assert (len(gateway.singly), len(outcomes)) == (60, 60)
