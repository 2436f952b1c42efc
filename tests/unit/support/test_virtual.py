import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from tests.support.virtual import HANGING, Clock, Course, Scripted, Seeded, Threads


def in_virtual_time(threads: Threads | None, work: Callable[[Clock], Coroutine[Any, Any, Any]]) -> Any:
    clock = Clock(0, threads)
    return clock.run(work(clock)), clock() / 1000


def write(log: list[str], what: str) -> str:
    log.append(what)
    return what


def test_without_a_word_of_threads_a_call_is_made_at_once_and_by_this_thread() -> None:
    async def work(_: Clock) -> bool:
        return await asyncio.to_thread(threading.current_thread) is threading.main_thread()

    assert in_virtual_time(None, work) == (True, 0)


def test_a_call_is_made_at_its_moment_and_its_answer_comes_later() -> None:
    log: list[str] = []

    async def work(clock: Clock) -> list[float]:
        call = asyncio.create_task(asyncio.to_thread(write, log, "written"))
        seen = []
        while not call.done():
            seen.append((clock() / 1000, tuple(log)))
            await asyncio.sleep(1)
        return [at_s for at_s, what in seen if what]

    (written_at_s, passed_s) = in_virtual_time(Scripted(write=[Course(before_s=2.5, after_s=3)]), work)
    assert (written_at_s, passed_s) == ([3, 4, 5], 6)


def test_two_calls_interleave_as_they_are_told_to() -> None:
    log: list[str] = []

    async def work(_: Clock) -> None:
        await asyncio.gather(
            asyncio.to_thread(write, log, "first"), asyncio.to_thread(write, log, what="second")
        )

    in_virtual_time(Scripted(write=[Course(before_s=2), Course(before_s=1)]), work)
    assert log == ["second", "first"]


def test_an_answer_may_be_lost_after_the_call_was_made() -> None:
    log: list[str] = []

    async def work(_: Clock) -> None:
        with pytest.raises(ReadTimeoutError):
            await asyncio.to_thread(write, log, "written")

    lost = Course(after_s=10, lost=ReadTimeoutError(endpoint_url="https://example.com"))
    assert in_virtual_time(Scripted(write=[lost]), work) == (None, 10)
    assert log == ["written"]


def test_a_call_goes_on_when_nobody_waits_for_it_any_more() -> None:
    log: list[str] = []

    async def work(_: Clock) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.to_thread(write, log, "written")
        assert log == []
        await asyncio.sleep(2)

    in_virtual_time(Scripted(write=[Course(before_s=2)]), work)
    assert log == ["written"]


def test_a_call_that_hangs_keeps_the_loop_from_nothing() -> None:
    log: list[str] = []

    async def work(_: Clock) -> None:
        hung = asyncio.create_task(asyncio.to_thread(write, log, "never"))
        await asyncio.sleep(100)
        assert not hung.done()

    assert in_virtual_time(Scripted(write=[HANGING]), work) == (None, 100)
    assert log == []


def test_what_fails_fails_after_its_time() -> None:
    async def work(_: Clock) -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)

    assert in_virtual_time(Scripted(divmod=[Course(1, 2)]), work) == (None, 3)


def test_random_courses_are_the_same_for_the_same_seed() -> None:
    def course(seed: int) -> list[str]:
        log: list[str] = []

        async def work(_: Clock) -> None:
            await asyncio.gather(*(asyncio.to_thread(write, log, str(number)) for number in range(20)))

        in_virtual_time(Seeded(seed, 1), work)
        return log

    assert course(1) == course(1) != course(2)
