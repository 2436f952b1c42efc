from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest
from tests.support.patience import HANG_S

from tunehook.providers.fair_semaphore import FairSemaphore, Priority, WorkerPool


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Place:
    """One place, taken, and those who wait for it; each gives it back as soon as it has noted who it is."""

    def __init__(self) -> None:
        self.semaphore = FairSemaphore(1)
        self.order: list[str] = []

    async def take(self) -> None:
        await self.semaphore.acquire("first", Priority.NEW)

    def queue(self, name: str, key: Hashable, priority: Priority = Priority.NEW) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.semaphore.acquire(key, priority)
            self.order.append(name)
            self.semaphore.release(priority)

        return asyncio.create_task(wait())


class AtOnce:
    """Jobs that count how many of them run at the same time."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def run(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1


async def test_no_more_than_the_places_are_taken() -> None:
    semaphore = FairSemaphore(2)
    takers = [asyncio.create_task(semaphore.acquire(key, Priority.NEW)) for key in range(4)]
    await settle()
    assert [taker.done() for taker in takers] == [True, True, False, False]
    semaphore.release(Priority.NEW)
    await settle()
    assert [taker.done() for taker in takers] == [True, True, True, False]
    semaphore.release(Priority.NEW)
    await asyncio.gather(*takers)


async def test_lines_take_turns_however_long_one_of_them_is() -> None:
    place = Place()
    await place.take()
    waiting = [place.queue(f"old {number}", "old") for number in range(5)]
    await settle()
    waiting += [place.queue(f"new {number}", "new") for number in range(2)]
    await settle()
    place.semaphore.release(Priority.NEW)
    await asyncio.gather(*waiting)
    assert place.order == ["old 0", "new 0", "old 1", "new 1", "old 2", "old 3", "old 4"]


async def test_the_new_go_first_and_then_the_known_and_the_doubted_in_turn() -> None:
    place = Place()
    await place.take()
    waiting = [place.queue(f"doubted {number}", "a", Priority.DOUBTED) for number in range(3)]
    waiting += [place.queue(f"known {number}", "b", Priority.KNOWN) for number in range(3)]
    waiting += [place.queue(f"new {number}", "c") for number in range(2)]
    await settle()
    place.semaphore.release(Priority.NEW)
    await asyncio.gather(*waiting)
    assert place.order[:2] == ["new 0", "new 1"]
    assert place.order[2:] == [
        f"{priority} {number}" for number in range(3) for priority in ("known", "doubted")
    ]


async def test_the_overdue_go_before_all_others() -> None:
    place = Place()
    await place.take()
    waiting = [
        place.queue(priority.name, priority.name, priority)
        for priority in (Priority.DOUBTED, Priority.KNOWN, Priority.NEW)
    ]
    waiting += [place.queue(f"overdue {number}", "a", Priority.OVERDUE) for number in range(2)]
    await settle()
    place.semaphore.release(Priority.NEW)
    await asyncio.gather(*waiting)
    assert place.order == ["overdue 0", "overdue 1", "NEW", "KNOWN", "DOUBTED"]


async def test_the_overdue_and_the_doubted_together_leave_some_places() -> None:
    semaphore = FairSemaphore(4)
    taken = [
        asyncio.create_task(semaphore.acquire("key", priority))
        for priority in [Priority.OVERDUE, Priority.DOUBTED] * 2
    ]
    await settle()
    assert sum(taker.done() for taker in taken) == 3
    async with asyncio.timeout(HANG_S):
        await semaphore.acquire("key", Priority.NEW)
    for taker in taken:
        taker.cancel()


@pytest.mark.parametrize(("places", "for_doubted"), [(1, 1), (2, 1), (8, 6), (32, 24)])
async def test_some_of_several_places_are_kept_from_the_doubted(places: int, for_doubted: int) -> None:
    semaphore = FairSemaphore(places)
    doubted = [asyncio.create_task(semaphore.acquire("key", Priority.DOUBTED)) for _ in range(places + 1)]
    await settle()
    assert sum(taker.done() for taker in doubted) == for_doubted
    async with asyncio.timeout(HANG_S):
        for _ in range(places - for_doubted):
            await semaphore.acquire("key", Priority.KNOWN)
    semaphore.release(Priority.DOUBTED)
    await settle()
    assert sum(taker.done() for taker in doubted) == for_doubted + 1
    for taker in doubted:
        taker.cancel()


async def test_one_who_no_longer_waits_is_passed_over() -> None:
    place = Place()
    await place.take()
    waiting = [place.queue(name, name) for name in ("gone", "there")]
    await settle()
    waiting[0].cancel()
    await settle()
    place.semaphore.release(Priority.NEW)
    await waiting[1]
    assert place.order == ["there"]


async def test_places_that_nobody_waits_for_any_more_are_free() -> None:
    place = Place()
    await place.take()
    waiting = place.queue("gone", "key")
    await settle()
    waiting.cancel()
    await settle()
    place.semaphore.release(Priority.NEW)
    async with asyncio.timeout(HANG_S):
        await place.take()


async def test_a_place_given_to_one_who_is_cancelled_in_that_moment_goes_to_the_next() -> None:
    place = Place()
    await place.take()
    waiting = [place.queue(name, name) for name in ("gone", "next")]
    await settle()
    place.semaphore.release(Priority.NEW)
    waiting[0].cancel()
    async with asyncio.timeout(HANG_S):
        await waiting[1]
    assert place.order == ["next"]


async def test_a_place_that_one_has_just_got_who_is_cancelled_goes_to_the_next() -> None:
    place = Place()
    await place.take()
    waiting = [place.queue(name, name) for name in ("gone", "next")]
    await settle()
    place.semaphore.release(Priority.NEW)
    asyncio.get_running_loop().call_soon(waiting[0].cancel)
    async with asyncio.timeout(HANG_S):
        await waiting[1]
    assert place.order == ["next"]
    assert waiting[0].cancelled()


async def test_a_pool_does_every_job_with_no_more_tasks_than_its_size() -> None:
    done: list[int] = []
    tasks: set[asyncio.Task[None] | None] = set()

    async def job() -> None:
        tasks.add(asyncio.current_task())
        await asyncio.sleep(0)
        done.append(len(done))

    async with asyncio.TaskGroup() as group:
        WorkerPool(group, 3).submit([job] * 10)
    assert len(done) == 10
    assert len(tasks) == 3


async def test_a_job_may_bring_further_jobs_that_all_of_the_crew_help_with() -> None:
    jobs = AtOnce()

    async with asyncio.TaskGroup() as group:
        pool = WorkerPool(group, 3)

        async def first() -> None:
            pool.submit([jobs.run] * 10)

        pool.submit([first])
    assert jobs.most == 3


async def test_a_pool_that_has_run_out_of_jobs_takes_further_ones() -> None:
    done: list[str] = []

    async def job() -> None:
        done.append("")

    async with asyncio.TaskGroup() as group:
        pool = WorkerPool(group, 1)
        pool.submit([job])
        await settle()
        pool.submit([job])
    assert len(done) == 2


async def test_a_pool_ends_with_its_group() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            WorkerPool(group, 2).submit([hang] * 5)

    working = asyncio.create_task(work())
    await settle()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_closed_door_sends_all_away_and_those_inside_stay() -> None:
    semaphore = FairSemaphore(1)
    assert await semaphore.acquire("in", Priority.NEW)
    waiting = [asyncio.create_task(semaphore.acquire(priority, priority)) for priority in Priority]
    await settle()
    semaphore.close()
    assert await asyncio.gather(*waiting) == [False] * len(Priority)
    semaphore.release(Priority.NEW)
    await settle()
    assert semaphore.is_closed
    assert not await semaphore.acquire("late", Priority.OVERDUE)


async def test_who_was_sent_away_and_is_cancelled_gives_back_no_place() -> None:
    semaphore = FairSemaphore(1)
    await semaphore.acquire("in", Priority.NEW)
    waiting = asyncio.create_task(semaphore.acquire("waiting", Priority.NEW))
    await settle()
    semaphore.close()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert semaphore._free == 0


async def test_a_crew_that_was_idle_is_no_larger_afterwards() -> None:
    jobs = AtOnce()

    async with asyncio.TaskGroup() as group:
        crew = WorkerPool(group, 1)
        for _ in range(3):
            crew.submit([jobs.run] * 4)
            await asyncio.sleep(0)
            while jobs.running:
                await asyncio.sleep(0)
            await settle()
    assert jobs.most == 1
