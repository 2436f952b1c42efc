"""What is known of a provider, and what of it is worth a write, just at the bound; without a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.tasks import NOW_MS
from tests.unit.providers.support import PENDING, answering, json_answer, provider

from poller.provider_memory import ProviderMemory, Standing
from tunehook.providers import Pending, Throttled, Transient
from tunehook.rhythm import Rhythm


class TestStanding:
    def memory(self) -> tuple[ProviderMemory, Standing]:
        states: Any = None
        memory = ProviderMemory(states, lambda: NOW_MS)
        return memory, memory.standing(provider(answering(json_answer(PENDING))))

    @pytest.mark.parametrize(("seconds", "is_kept"), [(9.999, False), (10.0, True)])
    def test_a_pause_is_kept_from_10_s_on(self, seconds: float, is_kept: bool) -> None:
        memory, standing = self.memory()
        memory.paused(standing, seconds, "throttled", NOW_MS)
        pause = standing.known.pause
        assert (pause is not None) is is_kept
        if pause is not None:
            assert (pause.until_ms, pause.reason) == (NOW_MS + 10_000, "throttled")
            assert (pause.kind, pause.words, pause.key) == ("throttled", "", standing.key)

    @pytest.mark.parametrize(("seconds", "is_told"), [(59.999, False), (60.0, True)])
    def test_a_pause_is_reason_enough_to_tell_from_60_s_on(self, seconds: float, is_told: bool) -> None:
        memory, standing = self.memory()
        memory.heard(standing, Throttled(5.0, detail="slow down"), NOW_MS)
        memory.paused(standing, seconds, "throttled", NOW_MS)
        assert (standing.general_cause == standing.cause) is is_told

    @pytest.mark.parametrize(
        ("saved_ms_ago", "is_last", "is_due"), [(4_999, False, False), (5_000, False, True), (0, True, True)]
    )
    def test_an_item_is_written_every_5_s_at_most(
        self, saved_ms_ago: int, is_last: bool, is_due: bool
    ) -> None:
        memory, standing = self.memory()
        standing.saved_at_ms = NOW_MS - saved_ms_ago
        assert memory.unsaved(is_last=is_last) == []
        standing.answered()
        assert memory.unsaved(is_last=is_last) == ([standing] if is_due else [])
        standing.is_saving = True
        assert memory.unsaved(is_last=is_last) == []

    @pytest.mark.parametrize(
        ("known_ms", "learnt_ms", "kept_ms"),
        [
            (None, 15_000, 15_000),
            (10_000, 11_000, 10_000),
            (10_000, 11_001, 11_001),
            (10_000, 9_000, 10_000),
            (10_000, 8_999, 8_999),
            (10_000, None, 10_000),
        ],
    )
    def test_an_interval_is_kept_where_it_differs_by_more_than_a_tenth(
        self, known_ms: int | None, learnt_ms: int | None, kept_ms: int
    ) -> None:
        memory, standing = self.memory()
        standing.known = replace(standing.known, refresh_every_ms=known_ms)
        standing.rhythm = Rhythm(learnt_ms)
        memory.unsaved()
        assert standing.known.refresh_every_ms == kept_ms

    def test_the_third_question_that_meets_something_tells_what_everybody_meets(self) -> None:
        memory, standing = self.memory()
        told = []
        for word in ("a", "b", "b", "c", "c", "c"):
            memory.heard(standing, Transient(word), NOW_MS)
            told.append(standing.general_cause and standing.general_cause.words)
        assert told == [None, None, "b", "b", "b", "c"]
        memory.heard(standing, Pending("processing", "RUNNING"), NOW_MS)
        assert (standing.cause, standing.general_cause, standing.is_well) == (None, None, True)
        assert standing.known.accepted_key == standing.key

    def test_what_was_not_sent_says_nothing_new(self) -> None:
        memory, standing = self.memory()
        memory.heard(standing, Transient("a"), NOW_MS)
        cause = memory.heard(standing, Throttled(None, asked=False), NOW_MS + 5)
        assert (cause, standing.troubles, standing.since_ms) == (standing.cause, 1, NOW_MS)
