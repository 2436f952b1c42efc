import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.aws import client, create_table, items, put

from tunehook.aws.send_slots import SendSlots, _numbered
from tunehook.errors import Unavailable
from tunehook.rate_limits import RateLimit

NOW_MS = 1_800_000_000_000
NOW_US = NOW_MS * 1000
DAY_MS = 86_400_000
LIMIT = RateLimit(4)
FOR_EVER = NOW_MS + 13 * DAY_MS

pytestmark = pytest.mark.usefixtures("aws")


class Counting:
    def __init__(self) -> None:
        self.real = client("dynamodb")
        self.writes = 0

    def update_item(self, **request: Any) -> Any:
        self.writes += 1
        return self.real.update_item(**request)


@pytest.fixture
def worker(aws: None) -> Callable[[], Any]:
    create_table("ReceiverGatesTable")

    def make() -> Any:
        slots: Any = SendSlots(Counting(), "ReceiverGatesTable")  # type: ignore[arg-type]
        slots.counted = slots._table._client
        return slots

    return make


def after(
    slots: Any, number: int = 1, *, at_ms: int = NOW_MS, limit: RateLimit = LIMIT, **options: Any
) -> Any:
    """Reserve slots, and return when they are, in seconds after the beginning."""
    reserved = slots.reserve("sub", limit, [at_ms + 13 * DAY_MS] * number, at_ms, **options)
    return reserved.former or [(each - NOW_US) / 1e6 for each in reserved.at_us]


def test_slots_lie_an_interval_apart_over_all_workers(worker: Any) -> None:
    one, other = worker(), worker()
    assert after(one, 3) == [0, 0.25, 0.5]
    assert after(other, 2) == [0.75, 1]
    assert after(one) == [1.25]
    assert after(other, at_ms=NOW_MS + 1_400) == [1.5]


def test_in_a_backlog_a_moment_s_slots_cost_one_write(worker: Any) -> None:
    slots = worker()
    after(slots, 10)
    for _ in range(5):
        after(slots, 10)
    assert slots.counted.writes == 6


def test_what_was_not_used_is_not_made_up_for(worker: Any) -> None:
    slots = worker()
    after(slots, 3)
    assert after(slots, 3, at_ms=NOW_MS + 60_000) == [60, 60.25, 60.5]


def test_subscriptions_have_slots_of_their_own(worker: Any) -> None:
    slots = worker()
    slots.reserve("other", LIMIT, [FOR_EVER] * 100, NOW_MS)
    assert after(slots) == [0]


def test_another_limit_is_told_of_and_replaced_by_whoever_has_read_the_subscription_since(
    worker: Any,
) -> None:
    one, other = worker(), worker()
    after(one, 20)
    new = RateLimit(4, since_ms=NOW_MS)
    former = after(other, limit=new)
    assert former == (250_000, 0)
    assert after(other, 2, limit=new, former=former) == [5, 5.25]
    assert after(one) == (250_000, NOW_MS)
    assert after(one, limit=new, former=(250_000, 0)) == [5.5]


def test_slots_of_a_new_limit_begin_when_the_former_ones_cannot_be_used_any_more(worker: Any) -> None:
    slots = worker()
    after(slots, 1_000)
    assert after(slots, limit=RateLimit(10), former=(250_000, 0)) == [16]


def test_a_limit_whose_slots_have_passed_needs_no_word(worker: Any) -> None:
    slots = worker()
    after(slots)
    assert after(slots, limit=RateLimit(10), at_ms=NOW_MS + 1_000) == [1]


@pytest.mark.parametrize("ahead_ms", [61_000, 400 * DAY_MS])
def test_what_a_clock_that_was_wrong_has_reserved_is_void(worker: Any, ahead_ms: int) -> None:
    wrong, right = worker(), worker()
    after(wrong, 5, at_ms=NOW_MS + ahead_ms)
    assert after(right, 2) == [0, 0.25]


@pytest.mark.parametrize(("ahead_ms", "begin"), [(60_000, 61.25), (60_001, 0)])
def test_a_clock_that_is_a_minute_ahead_is_believed(worker: Any, ahead_ms: int, begin: float) -> None:
    ahead, right = worker(), worker()
    after(ahead, 5, at_ms=NOW_MS + ahead_ms)
    assert after(right) == [begin]


def test_slots_without_their_limit_are_another_limits(worker: Any) -> None:
    after(worker(), 20)
    (item,) = items("ReceiverGatesTable")
    put("ReceiverGatesTable", {k: v for k, v in item.items() if k not in ("interval_us", "since_ms")})
    one = worker()
    assert after(one) == (0, 0)
    assert after(one, former=(0, 0)) == [5]


def test_a_worker_whose_own_clock_was_wrong_reserves_anew_once_it_is_right(worker: Any) -> None:
    one = worker()
    after(one, 5, at_ms=NOW_MS + 60_001)
    assert after(one, 2) == [0, 0.25]


@pytest.mark.parametrize(("more_us", "is_believed"), [(0, True), (1, False)])
def test_what_is_reserved_further_ahead_than_anything_may_wait_is_void(
    worker: Any, more_us: int, is_believed: bool
) -> None:
    after(worker())
    (item,) = items("ReceiverGatesTable")
    put("ReceiverGatesTable", item | {"next_us": (FOR_EVER + 60_000) * 1000 + more_us})
    reserved = worker().reserve("sub", LIMIT, [FOR_EVER], NOW_MS).at_us
    assert reserved == ((None,) if is_believed else (NOW_US,))


def test_what_is_known_of_slots_is_forgotten_an_hour_after_the_last_may_be_used(worker: Any) -> None:
    after(worker(), at_ms=NOW_MS + 999)
    (item,) = items("ReceiverGatesTable")
    assert item["expires_at"] == FOR_EVER // 1000 + 3600


def test_who_is_always_too_late_gives_up_after_eight_tries(worker: Any) -> None:
    other = worker()
    after(other, 100)

    class Overtaken(Counting):
        """Another reserves before each write."""

        def update_item(self, **request: Any) -> Any:
            after(other)
            return super().update_item(**request)

    counting = Overtaken()
    slow = SendSlots(counting, "ReceiverGatesTable")  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        after(slow, limit=RateLimit(10), former=(250_000, 0))
    assert counting.writes == 8


def test_a_slot_that_comes_too_late_for_one_is_left_to_others(worker: Any) -> None:
    slots = worker()
    latest_ms = [NOW_MS, NOW_MS + 100, NOW_MS + 250, FOR_EVER]
    assert slots.reserve("sub", LIMIT, latest_ms, NOW_MS).at_us == (
        NOW_US,
        None,
        NOW_US + 250_000,
        NOW_US + 500_000,
    )
    assert after(slots) == [0.75]


def test_what_is_remembered_is_looked_at_before_nothing_is_reserved(worker: Any) -> None:
    one, other = worker(), worker()
    after(one, 1_000)
    # Another worker, which took a wrong clock's slots for void, begins anew.
    item = items("ReceiverGatesTable")[0]
    assert item["next_us"] == NOW_US + 250_000_000
    client("dynamodb").delete_item(TableName="ReceiverGatesTable", Key={"receiver": {"S": item["receiver"]}})
    after(other, 1)
    assert one.reserve("sub", LIMIT, [NOW_MS + 1_000], NOW_MS).at_us == (NOW_US + 250_000,)
    after(one, 1_000)
    assert one.reserve("sub", LIMIT, [NOW_MS + 1_000], NOW_MS).at_us == (None,)


@given(st.integers(0, 10**6), st.floats(0.1, 1_000))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_two_slots_are_nearer_than_the_interval(worker: Any, seed: int, rate: float) -> None:
    dice, limit, now_ms = random.Random(seed), RateLimit(rate), NOW_MS
    workers, name = [worker() for _ in range(3)], f"sub-{seed}-{rate}"
    taken: list[int] = []
    for _ in range(6):
        latest_ms = [now_ms + dice.choice([0, 5_000, DAY_MS]) for _ in range(dice.randint(1, 4))]
        reserved = dice.choice(workers).reserve(name, limit, latest_ms, now_ms).at_us
        for at_us, until_ms in zip(reserved, latest_ms, strict=True):
            assert at_us is None or now_ms * 1000 <= at_us <= until_ms * 1000
        taken += [each for each in reserved if each is not None]
        now_ms += dice.choice([0, 0, 1, 700, 60_000])
    assert all(later - earlier >= 1_000_000 / rate for earlier, later in itertools.pairwise(taken))


@given(st.integers(0, 10**6), st.integers(1, 10**7), st.lists(st.integers(0, 2_000), min_size=1, max_size=6))
def test_attempts_are_numbered_so_that_none_is_too_late(
    start_us: int, interval_us: int, latest_ms: Any
) -> None:
    numbers, latest_us = _numbered(start_us, interval_us, latest_ms)
    taken = [each for each in numbers if each is not None]
    assert taken == list(range(len(taken)))
    for number, late_ms in zip(numbers, latest_ms, strict=True):
        if number is not None:
            assert start_us + number * interval_us <= latest_us + number * interval_us <= late_ms * 1000
