"""From when on the work index is read: some items appear late, and each is to be seen."""

import asyncio
from typing import Any

import pytest
from tests.support.aws import fault
from tests.support.tasks import NOW_MS, pending
from tests.support.virtual_tests import in_virtual_time

from poller.work_reader import WorkReader
from tunehook.tasks import TaskKey, Work, WorkItem

# As documented, and not imported: a bound that moves is to be noticed.
INDEX_LAG_MS = 10_000
LATE_MS = 60_000
LATE_READ_EVERY_MS = 15_000


class Index:
    """Stands for the work index, the scheduler and the outbox."""

    def __init__(self) -> None:
        self.since: list[int] = []
        self.pending: list[WorkItem] = []
        self.unreadable: list[TaskKey] = []
        self.error: Exception | None = None
        self.added = 0
        self.is_empty = True

    def knows(self, key: Any, since_ms: int) -> bool:
        return False

    def add(self, task: WorkItem) -> None:
        self.added += 1

    def add_found(self, tasks: Any) -> None:
        pass

    def work(self, shard: int, since_ms: int, is_known: Any) -> Work:
        self.since.append(since_ms)
        if self.error:
            raise self.error
        return Work(pending=[*self.pending], unreadable=[*self.unreadable])


class Reading:
    """A reader over such an index, at a time of the test's choice."""

    def __init__(self) -> None:
        index: Any = Index()
        self.index = index
        self.now_ms = NOW_MS
        self.reader = WorkReader(0, index, index, index, None, lambda: self.now_ms)

    async def read_from(self, now_ms: int) -> int:
        """Read at a moment, and return from when on the index was read."""
        self.now_ms = now_ms
        await self.reader.fetch_new_work()
        since_ms: int = self.index.since[-1]
        return since_ms


@in_virtual_time
async def test_a_read_goes_back_by_the_lag_of_the_index_and_every_15_s_by_a_minute() -> None:
    reading = Reading()
    reading.index.pending = [pending(since_ms=NOW_MS - 3_000)]
    assert await reading.read_from(NOW_MS) == 0
    seen_ms = NOW_MS - 3_000
    assert [
        seen_ms - await reading.read_from(NOW_MS + after_ms)
        for after_ms in (1_000, 14_999, 15_000, 15_001, 29_999, 30_000)
    ] == [INDEX_LAG_MS, INDEX_LAG_MS, LATE_MS, INDEX_LAG_MS, INDEX_LAG_MS, LATE_MS]


@in_virtual_time
async def test_a_late_read_that_fails_is_made_up_for_by_the_next_read() -> None:
    reading = Reading()
    reading.index.pending = [pending(since_ms=NOW_MS)]
    await reading.read_from(NOW_MS)
    reading.index.error = fault("ThrottlingException", "Query")
    for _ in range(2):
        assert await reading.read_from(NOW_MS + 15_000) == NOW_MS - LATE_MS
    assert reading.reader.read_from_ms == NOW_MS
    reading.index.error = None
    assert await reading.read_from(NOW_MS + 16_000) == NOW_MS - LATE_MS
    assert reading.reader.read_from_ms == NOW_MS + 16_000
    assert await reading.read_from(NOW_MS + 17_000) == NOW_MS - INDEX_LAG_MS


@in_virtual_time
async def test_a_task_from_the_future_hides_none_that_comes_before_it() -> None:
    reading = Reading()
    reading.index.pending = [pending(since_ms=NOW_MS + 3_600_000)]
    await reading.read_from(NOW_MS)
    assert await reading.read_from(NOW_MS + 1_000) == NOW_MS - INDEX_LAG_MS


@in_virtual_time
async def test_what_was_seen_once_is_not_forgotten_for_a_read_that_shows_less() -> None:
    reading = Reading()
    reading.index.pending = [pending(since_ms=NOW_MS)]
    await reading.read_from(NOW_MS)
    reading.index.pending = [pending(since_ms=NOW_MS - 50_000)]
    await reading.read_from(NOW_MS + 1_000)
    assert await reading.read_from(NOW_MS + 2_000) == NOW_MS - INDEX_LAG_MS


@in_virtual_time
async def test_an_unreadable_item_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    reading = Reading()
    reading.index.unreadable = [TaskKey("task-1", "gw")]
    for after_ms in (0, 1_000):
        await reading.read_from(NOW_MS + after_ms)
    reading.index.unreadable += [TaskKey("task-2", "gw")]
    await reading.read_from(NOW_MS + 2_000)
    assert [record.getMessage() for record in caplog.records] == ["item_unreadable"] * 2


@in_virtual_time
async def test_six_reads_run_at_most() -> None:
    reading = Reading()
    started = [reading.reader.start() for _ in range(8)]
    assert [len(each) for each in started] == [1] * 6 + [0, 0]
    await asyncio.gather(*(task for each in started for task in each))
    assert len(reading.index.since) == 6


@in_virtual_time
async def test_where_there_is_nothing_it_reads_after_each_delay() -> None:
    reading = Reading()
    began_s = asyncio.get_running_loop().time()
    assert not await reading.reader.fetch_until_found([1.0, 2.0])
    assert len(reading.index.since) == 2
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(3)


@pytest.mark.parametrize(
    "news",
    [
        {"pending": [pending(since_ms=NOW_MS)]},
        {"error": fault("ThrottlingException", "Query")},
        {"is_empty": False},
    ],
    ids=lambda news: next(iter(news)),
)
@in_virtual_time
async def test_where_there_is_something_or_may_be_it_reads_no_further(news: dict[str, Any]) -> None:
    reading = Reading()
    for name, value in news.items():
        setattr(reading.index, name, value)
    reading.index.added = 7
    assert await reading.reader.fetch_until_found([1.0, 2.0])
    assert len(reading.index.since) == 1
