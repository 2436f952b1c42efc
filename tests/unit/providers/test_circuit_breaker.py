from __future__ import annotations

import pytest
from tests.unit.providers.support import Clock

from tunehook.providers.circuit_breaker import CircuitBreaker, Permit
from tunehook.providers.outcomes import Throttled, Transient, Trouble, Unauthorised

# As documented, and not imported: a bound that moves is to be noticed.
SLOW_S = 5.0
TRANSIENTS_IN_A_ROW = 5


async def permitted(breaker: CircuitBreaker) -> Permit:
    permit = await breaker.acquire()
    assert permit is not None
    return permit


async def meet(breaker: CircuitBreaker, *troubles: Trouble | None) -> None:
    for trouble in troubles:
        breaker.record_result(await permitted(breaker), trouble)


async def pause_lengths(clock: Clock, breaker: CircuitBreaker, trouble: Trouble, count: int) -> list[float]:
    """Meet the same trouble at the end of each pause, and say how long each pause was."""
    lengths = []
    for _ in range(count):
        await meet(breaker, trouble)
        lengths.append(breaker.open_until - clock.now)
        clock.now = breaker.open_until
    return lengths


async def test_throttling_without_retry_after_pauses_5_s_doubling_to_60_s() -> None:
    clock = Clock()
    assert await pause_lengths(clock, CircuitBreaker(clock), Throttled(), 6) == [5, 10, 20, 40, 60, 60]


async def test_a_good_answer_starts_the_doubling_over() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await pause_lengths(clock, breaker, Throttled(), 3)
    await meet(breaker, None)
    assert await pause_lengths(clock, breaker, Throttled(), 1) == [5]


@pytest.mark.parametrize(("retry_after_s", "pause_s"), [(0.0, 1), (30.0, 30), (300.0, 300)])
async def test_retry_after_is_obeyed_but_never_makes_a_busy_loop(
    retry_after_s: float, pause_s: float
) -> None:
    clock = Clock()
    assert await pause_lengths(clock, CircuitBreaker(clock), Throttled(retry_after_s), 1) == [pause_s]


async def test_a_refused_key_pauses_60_s_every_time() -> None:
    clock = Clock()
    assert await pause_lengths(clock, CircuitBreaker(clock), Unauthorised("no"), 3) == [60, 60, 60]


async def test_four_transients_in_a_row_pause_nothing() -> None:
    breaker = CircuitBreaker(Clock())
    await meet(breaker, *[Transient("x")] * 4)
    assert not breaker.is_open()


async def test_five_transients_in_a_row_pause_5_s_doubling_to_60_s() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, *[Transient("x")] * 4)
    assert await pause_lengths(clock, breaker, Transient("x"), 6) == [5, 10, 20, 40, 60, 60]


async def test_slow_failures_pause_5_s_and_no_longer() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    lengths = []
    for _ in range(TRANSIENTS_IN_A_ROW + 3):
        permit = await permitted(breaker)
        clock.now += SLOW_S
        breaker.record_result(permit, Transient("hung"))
        if breaker.is_open():
            lengths.append(breaker.open_until - clock.now)
            clock.now = breaker.open_until
    assert lengths == [5] * 4


async def test_slow_failures_beside_good_answers_pause_nothing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    hung = [await permitted(breaker) for _ in range(20)]
    clock.now += SLOW_S
    await meet(breaker, None)
    clock.now += SLOW_S
    for permit in hung:
        breaker.record_result(permit, Transient("hung"))
    assert not breaker.is_open()


async def test_quick_failures_beside_good_answers_are_failures() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    failing = [await permitted(breaker) for _ in range(5)]
    clock.now += 1
    breaker.record_result(await permitted(breaker), None)
    for permit in failing:
        breaker.record_result(permit, Transient("x"))
    assert breaker.is_open()


async def test_a_good_answer_between_transients_starts_the_row_over() -> None:
    breaker = CircuitBreaker(Clock())
    await meet(breaker, *[Transient("x")] * 4, None, *[Transient("x")] * 4)
    assert not breaker.is_open()


async def test_failures_of_requests_already_under_way_do_not_lengthen_a_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    permits = [await permitted(breaker) for _ in range(32)]
    for permit in permits:
        breaker.record_result(permit, Transient("x"))
    assert breaker.open_until - clock.now == 5


async def test_a_good_answer_of_a_request_already_under_way_does_not_end_a_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    earlier = await permitted(breaker)
    await meet(breaker, Unauthorised("no"))
    breaker.record_result(earlier, None)
    assert breaker.is_open()


async def test_a_late_retry_after_lengthens_a_pause_and_never_shortens_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    permits = [await permitted(breaker) for _ in range(3)]
    for permit, wait_s in zip(permits, (10.0, 20.0, 5.0), strict=True):
        breaker.record_result(permit, Throttled(wait_s))
    assert breaker.open_until - clock.now == 20


async def test_nobody_is_admitted_during_a_pause() -> None:
    breaker = CircuitBreaker(Clock())
    await meet(breaker, Throttled(10.0))
    assert await breaker.acquire() is None


async def test_the_reason_of_the_latest_pause_is_told_before_and_after_its_end() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, Throttled(10.0))
    clock.now += 10
    assert (breaker.reason, breaker.is_open()) == ("throttled", False)
    await meet(breaker, None)
    assert (breaker.reason, breaker.is_open()) == ("throttled", False)


async def test_a_doubtful_refusal_is_believed_when_it_is_said_twice_in_a_row() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.record_result(await permitted(breaker), Unauthorised("no"), is_doubtful=True)
    assert not breaker.is_open()
    breaker.record_result(await permitted(breaker), Unauthorised("no"), is_doubtful=True)
    assert breaker.open_until - clock.now == 60


async def test_a_good_answer_between_two_doubtful_refusals_clears_the_key() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(5):
        breaker.record_result(await permitted(breaker), Unauthorised("no"), is_doubtful=True)
        await meet(breaker, None)
    assert not breaker.is_open()


async def test_a_restored_pause_lasts_as_long_as_it_says_and_ends_with_one_probe() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.restore(30.0, "unauthorised")
    assert (breaker.open_until - clock.now, breaker.reason) == (30, "unauthorised")
    assert await breaker.acquire() is None
    clock.now += 30
    probe = await permitted(breaker)
    assert probe.is_probe
    assert breaker.is_open()
    breaker.record_result(probe, None)
    assert not (await permitted(breaker)).is_probe


async def test_a_probe_that_fails_after_a_restored_pause_of_an_outage_pauses_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.restore(30.0, "transient")
    clock.now += 30
    await meet(breaker, Transient("x"))
    assert breaker.open_until - clock.now == 5


@pytest.mark.parametrize("seconds", [0.0, -5.0, float("nan"), float("-inf")])
async def test_a_restored_pause_that_is_over_leaves_the_probe(seconds: float) -> None:
    breaker = CircuitBreaker(Clock())
    breaker.restore(seconds, "throttled")
    assert (await permitted(breaker)).is_probe


@pytest.mark.parametrize("seconds", [301.0, 1e300, float("inf")])
async def test_a_restored_pause_is_bounded(seconds: float) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.restore(seconds, "throttled")
    assert breaker.open_until - clock.now == 300


async def test_a_restored_pause_never_shortens_one_that_has_begun_since() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, Throttled(40.0))
    breaker.restore(10.0, "unauthorised")
    assert breaker.open_until - clock.now == 40


@pytest.mark.parametrize("trouble", [Throttled(), Throttled(1.0), Unauthorised("no")])
async def test_transients_before_another_kind_of_trouble_are_not_in_a_row_with_those_after_it(
    trouble: Trouble,
) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, *[Transient("x")] * (TRANSIENTS_IN_A_ROW - 1), trouble)
    clock.now = breaker.open_until
    await meet(breaker, *[Transient("x")] * (TRANSIENTS_IN_A_ROW - 1))
    assert not breaker.is_open()


async def test_a_probe_that_meets_a_first_transient_ends_the_probing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, Unauthorised("no"))
    clock.now = breaker.open_until
    await meet(breaker, Transient("x"))
    assert breaker.unresolved is None
    assert [(await permitted(breaker)).is_probe for _ in range(2)] == [False, False]


async def test_only_the_probe_itself_ends_the_probing_and_ends_it_once() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    earlier = await permitted(breaker)
    await meet(breaker, Unauthorised("no"))
    clock.now = breaker.open_until
    probe = await permitted(breaker)
    breaker.release(earlier)
    assert (probe.is_probe, breaker.is_open()) == (True, True)
    breaker.release(probe)
    breaker.release(probe)
    assert not breaker.is_open()


@pytest.mark.parametrize(("took_s", "lengths"), [(4.999, [5, 10]), (5.0, [5, 5])])
async def test_a_failure_is_slow_from_5_s_on(took_s: float, lengths: list[float]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    found = []
    for _ in range(6):
        permit = await permitted(breaker)
        clock.now += took_s
        breaker.record_result(permit, Transient("x"))
        if breaker.is_open():
            found.append(breaker.open_until - clock.now)
            clock.now = breaker.open_until
    assert found == pytest.approx(lengths)


async def test_a_good_answer_of_just_then_says_nothing_of_what_hung_since() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    await meet(breaker, None)
    hung = [await permitted(breaker) for _ in range(5)]
    clock.now += 5
    for permit in hung:
        breaker.record_result(permit, Transient("x"))
    assert breaker.is_open()


async def test_refusals_that_were_believed_count_no_more() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(2):
        breaker.record_result(await permitted(breaker), Unauthorised("no"), is_doubtful=True)
    clock.now = breaker.open_until
    breaker.record_result(await permitted(breaker), Unauthorised("no"), is_doubtful=True)
    assert breaker.open_until == clock.now


@pytest.mark.parametrize(("after_s", "was_well"), [(0, True), (10, True), (10.001, False)])
async def test_a_provider_was_well_for_10_s_after_a_good_answer(after_s: float, was_well: bool) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    assert not breaker.succeeded_recently
    await meet(breaker, None)
    clock.now += after_s
    assert (breaker.succeeded_recently, breaker.successes) == (was_well, 1)


async def test_a_pause_is_over_at_its_very_end() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    assert (breaker.reason, breaker.unresolved) == (None, None)
    await meet(breaker, Throttled(10.0))
    end = breaker.open_until
    clock.now = end - 0.001
    assert breaker.is_open()
    clock.now = end
    assert not breaker.is_open()
    assert breaker.unresolved == "throttled"
    assert (await permitted(breaker)).at_s == end
