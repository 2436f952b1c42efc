"""Work beside a poll loop: what it raises is logged, and nothing else is."""

import asyncio

import pytest
from tests.support.virtual_tests import in_virtual_time

from poller.background import WAIT_BRIEFLY_S, BackgroundTasks, wait_briefly


async def end_with(error: Exception | None) -> str:
    if error is not None:
        raise error
    return "done"


@in_virtual_time
async def test_what_is_raised_is_logged_once_and_an_end_or_a_cancellation_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    background = BackgroundTasks()
    tasks = [background.start(end_with(error)) for error in (None, KeyError("a bug"), None)]
    background.start(asyncio.sleep(3_600)).cancel()
    assert await background.wait(1.0)
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == ["unexpected_error"]
    assert tasks[0].result() == "done"
    assert not background


@in_virtual_time
async def test_it_is_waited_for_as_long_as_is_said_and_goes_on() -> None:
    time = asyncio.get_running_loop().time
    background = BackgroundTasks()
    assert await background.wait(1.0)
    slow = background.start(asyncio.sleep(3))
    background.start(asyncio.sleep(1))
    assert not await background.wait(2.0)
    assert time() == pytest.approx(2.0)
    assert set(background) == {slow}
    assert await background.wait(2.0)
    assert time() == pytest.approx(3.0)


@in_virtual_time
async def test_a_tick_waits_for_its_news_a_quarter_of_a_second_at_most() -> None:
    assert await wait_briefly() == 0.0
    ready, slow = (asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0.1, 3))
    assert await wait_briefly(ready) == pytest.approx(0.1)
    assert await wait_briefly(ready, slow) == pytest.approx(0.25)
    assert await wait_briefly(slow) <= WAIT_BRIEFLY_S
    assert not slow.cancelled()
    with pytest.raises(KeyError):
        await wait_briefly(asyncio.create_task(end_with(KeyError("a bug"))))


@in_virtual_time
async def test_what_is_cancelled_is_returned() -> None:
    background = BackgroundTasks()
    task = background.start(asyncio.sleep(3))
    assert background.cancel() == [task]
    assert await background.wait(1.0)
    assert task.cancelled()
