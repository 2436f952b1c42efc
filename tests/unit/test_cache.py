import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.patience import HANG_S

from tunehook.cache import Cache

# As documented, and not imported: a bound that moves is to be noticed.
RETRY_S = 5.0

AGE_S = 15.0


class Source:
    """Counts what is read of it; fails as often as it is told to."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.faults: list[Exception] = []
        self.told: list[Exception] = []
        self.now_s = 1_000_000.0
        self.cache = self.made()

    def made(self, **options: Any) -> Cache[str, str]:
        given: dict[str, Any] = {"max_age_s": AGE_S, "max_size": 3, "clock": lambda: self.now_s}
        return Cache(self.read, on_fault=self.told.append, **given | options)

    def read(self, key: str) -> str:
        self.reads.append(key)
        if self.faults:
            raise self.faults.pop(0)
        return f"{key} {len(self.reads)}"


@pytest.fixture
def source() -> Source:
    return Source()


def test_a_value_is_read_once_within_its_age(source: Source) -> None:
    assert source.cache.get("a") == "a 1"
    source.now_s += AGE_S - 0.001
    assert source.cache.get("a") == "a 1"
    source.now_s += 0.001
    assert source.cache.get("a") == "a 2"


def test_a_value_that_cannot_be_read_anew_stays_and_is_tried_again_soon(source: Source) -> None:
    source.cache.get("a")
    source.now_s += AGE_S
    source.faults = [OSError("down"), OSError("still")]
    assert source.cache.get("a") == "a 1"
    assert source.cache.get("a") == "a 1"
    assert [str(each) for each in source.told] == ["down"]
    source.now_s += RETRY_S
    assert source.cache.get("a") == "a 1"
    source.now_s += RETRY_S
    assert source.cache.get("a") == "a 4"


def test_what_could_never_be_read_is_raised_and_read_again_at_once(source: Source) -> None:
    source.faults = [OSError("down")]
    with pytest.raises(OSError, match="down"):
        source.cache.get("a")
    assert source.told == []
    assert source.cache.get("a") == "a 2"


@pytest.mark.parametrize("jump_s", [-3_600, 3_600])
def test_a_clock_that_jumps_makes_no_value_last_longer(source: Source, jump_s: float) -> None:
    source.cache.get("a")
    source.now_s += jump_s
    assert source.cache.get("a") == "a 2"
    source.now_s += AGE_S - 1
    assert source.cache.get("a") == "a 2"


def test_what_was_asked_for_longest_ago_makes_room(source: Source) -> None:
    for key in ("a", "b", "c", "a", "d"):
        source.cache.get(key)
    assert [source.cache.peek(key)[0] for key in "abcd"] == [True, False, True, True]


def test_a_value_that_was_forgotten_is_read_again(source: Source) -> None:
    source.cache.get("a")
    source.cache.forget("a")
    assert source.cache.peek("a") == (False, None)
    assert source.cache.get("a") == "a 2"


def test_none_is_a_value() -> None:
    reads: list[str] = []

    def read(key: str) -> None:
        reads.append(key)

    cache: Cache[str, None] = Cache(read, max_age_s=AGE_S, on_fault=reads.append)  # type: ignore[arg-type]
    assert (cache.get("a"), cache.get("a"), cache.peek("a"), reads) == (None, None, (True, None), ["a"])


class Slow(Source):
    """Answers about `slow` when it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, key: str) -> str:
        if key == "slow":
            self.asked.set()
            assert self.go.wait(HANG_S)
        return super().read(key)


def test_a_slow_read_delays_only_those_who_want_that_very_value() -> None:
    source = Slow()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(source.cache.get, "slow")
        assert source.asked.wait(HANG_S)
        try:
            assert threads.submit(source.cache.get, "other").result(timeout=HANG_S) == "other 1"
            assert source.cache.peek("slow") == (False, None)
            source.cache.forget("other")
        finally:
            source.go.set()
        assert slow.result() == "slow 2"


class Counted:
    """A future that counts who waits for it."""

    def __init__(self, future: Any, waiters: threading.Semaphore) -> None:
        self._future, self._waiters = future, waiters

    def result(self) -> Any:
        self._waiters.release()
        return self._future.result()


@pytest.mark.parametrize("faults", [[], [OSError("down")]])
def test_all_who_want_a_value_at_once_share_one_read_whatever_comes_of_it(faults: list[Exception]) -> None:
    source, faults_wanted = Slow(), bool(faults)
    source.faults = faults
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(source.cache.get, "slow")
        assert source.asked.wait(HANG_S)
        entry, waiters = source.cache._entries["slow"], threading.Semaphore(0)
        entry.reading = Counted(entry.reading, waiters)  # type: ignore[assignment]
        waiting = [threads.submit(source.cache.get, "slow") for _ in range(7)]
        assert all(waiters.acquire(timeout=HANG_S) for _ in waiting)
        source.go.set()
        results = [str(each.exception() or each.result()) for each in (first, *waiting)]
    assert results == ["down" if faults_wanted else "slow 1"] * 8
    assert source.reads == ["slow"]


def test_what_is_forgotten_while_it_is_read_is_not_remembered() -> None:
    source = Slow()
    with ThreadPoolExecutor(1) as threads:
        before = threads.submit(source.cache.get, "slow")
        assert source.asked.wait(HANG_S)
        source.cache.forget("slow")
        source.go.set()
        assert before.result() == "slow 1"
    assert source.cache.get("slow") == "slow 2"


def test_a_read_that_is_broken_off_keeps_nobody_waiting(source: Source) -> None:
    source.faults = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        source.cache.get("a")
    assert source.cache.get("a") == "a 2"


def test_without_a_word_about_it_one_value_is_remembered() -> None:
    source = Source()
    cache: Cache[str, str] = Cache(
        source.read, max_age_s=AGE_S, on_fault=source.told.append, clock=lambda: source.now_s
    )
    for key in ("a", "b", "b"):
        cache.get(key)
    assert (cache.peek("a")[0], cache.peek("b")[0], source.reads) == (False, True, ["a", "b"])


def test_a_value_of_a_moment_that_has_not_come_is_read_again(source: Source) -> None:
    source.cache.get("a")
    source.now_s -= 0.001
    assert source.cache.peek("a") == (False, None)
    source.now_s += 0.001
    assert source.cache.peek("a") == (True, "a 1")


def test_a_value_that_could_not_be_read_anew_is_good_for_just_5_s(source: Source) -> None:
    source.cache.get("a")
    source.now_s += AGE_S
    source.faults = [OSError("down")]
    source.cache.get("a")
    source.now_s += 4.999
    assert source.cache.get("a") == "a 1"
    source.now_s += 0.002
    assert source.cache.get("a") == "a 3"
