from __future__ import annotations

import pytest
from tests.unit.providers.support import Clock

from tunehook.providers import Throttled, Transient, Unauthorised
from tunehook.providers.circuit_breaker import Admission, CircuitBreaker
from tunehook.providers.outcomes import Trouble

# As documented, and not imported: a bound that moves is to be noticed.
SLOW_S = 5.0
TRANSIENTS_IN_A_ROW = 5


async def admitted(pauses: CircuitBreaker) -> Admission:
    admission = await pauses.admit()
    assert admission is not None
    return admission


async def meet(pauses: CircuitBreaker, *troubles: Trouble | None) -> None:
    for trouble in troubles:
        pauses.settle(await admitted(pauses), trouble)


async def pause_lengths(clock: Clock, pauses: CircuitBreaker, trouble: Trouble, count: int) -> list[float]:
    """Meet the same trouble at the end of each pause, and say how long each pause was."""
    lengths = []
    for _ in range(count):
        await meet(pauses, trouble)
        lengths.append(pauses.until - clock.now)
        clock.now = pauses.until
    return lengths


async def test_throttling_without_retry_after_pauses_5_s_doubling_to_60_s() -> None:
    clock = Clock()
    assert await pause_lengths(clock, CircuitBreaker(clock), Throttled(), 6) == [5, 10, 20, 40, 60, 60]


async def test_a_good_answer_starts_the_doubling_over() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await pause_lengths(clock, pauses, Throttled(), 3)
    await meet(pauses, None)
    assert await pause_lengths(clock, pauses, Throttled(), 1) == [5]


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
    pauses = CircuitBreaker(Clock())
    await meet(pauses, *[Transient("x")] * 4)
    assert not pauses.is_paused()


async def test_five_transients_in_a_row_pause_5_s_doubling_to_60_s() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, *[Transient("x")] * 4)
    assert await pause_lengths(clock, pauses, Transient("x"), 6) == [5, 10, 20, 40, 60, 60]


async def test_slow_failures_pause_5_s_and_no_longer() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    lengths = []
    for _ in range(TRANSIENTS_IN_A_ROW + 3):
        admission = await admitted(pauses)
        clock.now += SLOW_S
        pauses.settle(admission, Transient("hung"))
        if pauses.is_paused():
            lengths.append(pauses.until - clock.now)
            clock.now = pauses.until
    assert lengths == [5] * 4


async def test_slow_failures_beside_good_answers_pause_nothing() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    hung = [await admitted(pauses) for _ in range(20)]
    clock.now += SLOW_S
    await meet(pauses, None)
    clock.now += SLOW_S
    for admission in hung:
        pauses.settle(admission, Transient("hung"))
    assert not pauses.is_paused()


async def test_a_good_answer_between_transients_starts_the_row_over() -> None:
    pauses = CircuitBreaker(Clock())
    await meet(pauses, *[Transient("x")] * 4, None, *[Transient("x")] * 4)
    assert not pauses.is_paused()


async def test_failures_of_requests_already_under_way_do_not_lengthen_a_pause() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    admissions = [await admitted(pauses) for _ in range(32)]
    for admission in admissions:
        pauses.settle(admission, Transient("x"))
    assert pauses.until - clock.now == 5


async def test_a_good_answer_of_a_request_already_under_way_does_not_end_a_pause() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    earlier = await admitted(pauses)
    await meet(pauses, Unauthorised("no"))
    pauses.settle(earlier, None)
    assert pauses.is_paused()


async def test_a_late_retry_after_lengthens_a_pause_and_never_shortens_it() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    admissions = [await admitted(pauses) for _ in range(3)]
    for admission, wait_s in zip(admissions, (10.0, 20.0, 5.0), strict=True):
        pauses.settle(admission, Throttled(wait_s))
    assert pauses.until - clock.now == 20


async def test_nobody_is_admitted_during_a_pause() -> None:
    pauses = CircuitBreaker(Clock())
    await meet(pauses, Throttled(10.0))
    assert await pauses.admit() is None


async def test_the_reason_of_the_latest_pause_is_told_before_and_after_its_end() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, Throttled(10.0))
    clock.now += 10
    assert (pauses.reason, pauses.is_paused()) == ("throttled", False)
    await meet(pauses, None)
    assert (pauses.reason, pauses.is_paused()) == ("throttled", False)


async def test_what_the_provider_said_is_told_with_the_pause() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    for trouble, detail in (
        (Unauthorised("HTTP 401: no"), "HTTP 401: no"),
        (Throttled(7.0, detail="slow down"), "slow down"),
        (Throttled(detail="slower"), "slower"),
    ):
        await meet(pauses, trouble)
        assert pauses.detail == detail
        clock.now = pauses.until
    await meet(pauses, None, *[Transient("x")] * 4, Transient("HTTP 503: busy"))
    assert pauses.detail == "HTTP 503: busy"


async def test_a_doubtful_refusal_is_believed_when_it_is_said_twice_in_a_row() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    pauses.settle(await admitted(pauses), Unauthorised("no"), is_doubtful=True)
    assert not pauses.is_paused()
    pauses.settle(await admitted(pauses), Unauthorised("no"), is_doubtful=True)
    assert pauses.until - clock.now == 60


async def test_a_good_answer_between_two_doubtful_refusals_clears_the_key() -> None:
    pauses = CircuitBreaker(Clock())
    for _ in range(5):
        pauses.settle(await admitted(pauses), Unauthorised("no"), is_doubtful=True)
        await meet(pauses, None)
    assert not pauses.is_paused()


async def test_a_restored_pause_lasts_as_long_as_it_says_and_ends_with_one_probe() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    pauses.restore(30.0, "unauthorised", "HTTP 401: no")
    assert (pauses.until - clock.now, pauses.reason, pauses.detail) == (30, "unauthorised", "HTTP 401: no")
    assert await pauses.admit() is None
    clock.now += 30
    probe = await admitted(pauses)
    assert probe.is_probe
    assert pauses.is_paused()
    pauses.settle(probe, None)
    assert not (await admitted(pauses)).is_probe


async def test_a_probe_that_fails_after_a_restored_pause_of_an_outage_pauses_again() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    pauses.restore(30.0, "transient")
    clock.now += 30
    await meet(pauses, Transient("x"))
    assert pauses.until - clock.now == 5


@pytest.mark.parametrize("seconds", [0.0, -5.0, float("nan"), float("-inf")])
async def test_a_restored_pause_that_is_over_leaves_the_probe(seconds: float) -> None:
    pauses = CircuitBreaker(Clock())
    pauses.restore(seconds, "throttled")
    assert (await admitted(pauses)).is_probe


@pytest.mark.parametrize("seconds", [301.0, 1e300, float("inf")])
async def test_a_restored_pause_is_bounded(seconds: float) -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    pauses.restore(seconds, "throttled")
    assert pauses.until - clock.now == 300


async def test_a_restored_pause_never_shortens_one_that_has_begun_since() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, Throttled(40.0))
    pauses.restore(10.0, "unauthorised")
    assert pauses.until - clock.now == 40


@pytest.mark.parametrize("trouble", [Throttled(), Throttled(1.0), Unauthorised("no")])
async def test_transients_before_another_kind_of_trouble_are_not_in_a_row_with_those_after_it(
    trouble: Trouble,
) -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, *[Transient("x")] * (TRANSIENTS_IN_A_ROW - 1), trouble)
    clock.now = pauses.until
    await meet(pauses, *[Transient("x")] * (TRANSIENTS_IN_A_ROW - 1))
    assert not pauses.is_paused()


async def test_a_probe_that_meets_a_first_transient_ends_the_probing() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, Unauthorised("no"))
    clock.now = pauses.until
    await meet(pauses, Transient("x"))
    assert pauses.unresolved is None
    assert [(await admitted(pauses)).is_probe for _ in range(2)] == [False, False]


async def test_only_the_probe_itself_ends_the_probing_and_ends_it_once() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    earlier = await admitted(pauses)
    await meet(pauses, Unauthorised("no"))
    clock.now = pauses.until
    probe = await admitted(pauses)
    pauses.release(earlier)
    assert (probe.is_probe, pauses.is_paused()) == (True, True)
    pauses.release(probe)
    pauses.release(probe)
    assert not pauses.is_paused()


@pytest.mark.parametrize(("took_s", "lengths"), [(4.999, [5, 10]), (5.0, [5, 5])])
async def test_a_failure_is_slow_from_5_s_on(took_s: float, lengths: list[float]) -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    found = []
    for _ in range(6):
        admission = await admitted(pauses)
        clock.now += took_s
        pauses.settle(admission, Transient("x"))
        if pauses.is_paused():
            found.append(pauses.until - clock.now)
            clock.now = pauses.until
    assert found == pytest.approx(lengths)


async def test_a_good_answer_of_just_then_says_nothing_of_what_hung_since() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    await meet(pauses, None)
    hung = [await admitted(pauses) for _ in range(5)]
    clock.now += 5
    for admission in hung:
        pauses.settle(admission, Transient("x"))
    assert pauses.is_paused()


async def test_refusals_that_were_believed_count_no_more() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    for _ in range(2):
        pauses.settle(await admitted(pauses), Unauthorised("no"), is_doubtful=True)
    clock.now = pauses.until
    pauses.settle(await admitted(pauses), Unauthorised("no"), is_doubtful=True)
    assert pauses.until == clock.now


@pytest.mark.parametrize(("after_s", "was_well"), [(0, True), (10, True), (10.001, False)])
async def test_a_provider_was_well_for_10_s_after_a_good_answer(after_s: float, was_well: bool) -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    assert not pauses.was_well_lately
    await meet(pauses, None)
    clock.now += after_s
    assert (pauses.was_well_lately, pauses.good_answers) == (was_well, 1)


async def test_a_pause_is_over_at_its_very_end_for_whoever_asks_and_for_another_moment() -> None:
    clock = Clock()
    pauses = CircuitBreaker(clock)
    assert (pauses.reason, pauses.detail, pauses.unresolved) == (None, "", None)
    await meet(pauses, Throttled(10.0))
    end = pauses.until
    assert (pauses.is_paused(end - 0.001), pauses.is_paused(end)) == (True, False)
    assert pauses.unresolved == "throttled"
    clock.now = end
    assert (await admitted(pauses)).at_s == end
