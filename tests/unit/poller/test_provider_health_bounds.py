"""What is known of a provider, and what of it is worth a write, just at the bound; without a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.tasks import NOW_MS
from tests.unit.providers.support import PENDING, answering, json_answer, provider

from poller.provider_health import ProviderHealth, ProviderHealthStore
from tunehook.aws.provider_states import Refusal
from tunehook.providers.outcomes import Pending, Throttled, Transient
from tunehook.rhythm import Rhythm


class TestProviderHealth:
    def loaded(self) -> tuple[ProviderHealthStore, ProviderHealth]:
        states: Any = None
        store = ProviderHealthStore(states, lambda: NOW_MS)
        return store, store.of(provider(answering(json_answer(PENDING))))

    @pytest.mark.parametrize(("seconds", "is_kept"), [(9.999, False), (10.0, True)])
    def test_a_pause_is_kept_from_10_s_on(self, seconds: float, is_kept: bool) -> None:
        _, health = self.loaded()
        health.record_pause(seconds, "throttled", NOW_MS)
        pause = health.state.pause
        assert (pause is not None) is is_kept
        if pause is not None:
            assert (pause.until_ms, pause.reason) == (NOW_MS + 10_000, "throttled")
            assert (pause.kind, pause.words, pause.key) == ("throttled", "", health.key)

    @pytest.mark.parametrize(("seconds", "is_told"), [(59.999, False), (60.0, True)])
    def test_a_pause_is_reason_enough_to_tell_from_60_s_on(self, seconds: float, is_told: bool) -> None:
        _, health = self.loaded()
        health.record_outcome(Throttled(5.0, detail="slow down"), NOW_MS)
        health.record_pause(seconds, "throttled", NOW_MS)
        assert (health.shared_problem == health.problem) is is_told

    @pytest.mark.parametrize(
        ("saved_ms_ago", "is_last", "is_due"), [(4_999, False, False), (5_000, False, True), (0, True, True)]
    )
    def test_an_item_is_written_every_5_s_at_most(
        self, saved_ms_ago: int, is_last: bool, is_due: bool
    ) -> None:
        store, health = self.loaded()
        health.saved_at_ms = NOW_MS - saved_ms_ago
        assert store.unsaved(is_last=is_last) == []
        health.record_success()
        assert store.unsaved(is_last=is_last) == ([health] if is_due else [])
        health.is_saving = True
        assert store.unsaved(is_last=is_last) == []

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
        store, health = self.loaded()
        health.state = replace(health.state, refresh_every_ms=known_ms)
        health.rhythm = Rhythm(learnt_ms)
        store.unsaved(is_last=False)
        assert health.state.refresh_every_ms == kept_ms

    def test_the_third_question_that_meets_something_tells_what_everybody_meets(self) -> None:
        _, health = self.loaded()
        told = []
        for word in ("a", "b", "b", "c", "c", "c"):
            health.record_outcome(Transient(word), NOW_MS)
            told.append(health.shared_problem and health.shared_problem.message)
        assert told == [None, None, "b", "b", "b", "c"]
        health.record_outcome(Pending("processing", "RUNNING"), NOW_MS)
        assert (health.problem, health.shared_problem, health.is_healthy) == (None, None, True)
        assert health.state.accepted_key == health.key

    def test_what_was_not_sent_says_nothing_new(self) -> None:
        _, health = self.loaded()
        health.record_outcome(Transient("a"), NOW_MS)
        problem = health.record_outcome(Throttled(None, asked=False), NOW_MS + 5)
        assert (problem, health.problems, health.since_ms) == (health.problem, 1, NOW_MS)

    @pytest.mark.parametrize(
        ("reason", "message"),
        [
            ("key", "the provider refuses the key: no such key"),
            ("credit", "no such key"),
            ("access", "no such key"),
            ("else", "the provider refuses the key: no such key"),
        ],
    )
    def test_a_new_pass_tells_of_a_refusal_as_the_one_before_did(self, reason: str, message: str) -> None:
        _, health = self.loaded()
        refusal = Refusal(reason=reason, words="no such key", since_ms=NOW_MS - 1, key=health.key)
        health.state = replace(health.state, refusal=refusal)
        health.restore(NOW_MS)
        assert health.shared_problem is not None
        assert (health.shared_problem.message, health.since_ms) == (message, NOW_MS - 1)
