from __future__ import annotations

from typing import Any

import pytest

from tunehook_local.sandbox import Kind, Scenario, parse
from tunehook_local.sandbox.ledger import Ledger

RULE = {"answers": [{"phase": "processing", "until_s": 8}, {"phase": "completed"}]}


@pytest.fixture
def ledger(clock: Any) -> Ledger:
    return Ledger(parse(Scenario, {"tasks": [RULE]}), clock)


def test_a_task_begins_when_it_is_first_asked_about(ledger: Ledger, clock: Any) -> None:
    first = clock()
    ledger.poll(Kind.SUNO, "a")
    clock.pass_s(3)
    ledger.poll(Kind.SUNO, "a")
    (record,) = ledger.task_records()
    assert record.first_seen_at == first
    assert record.polled_at == (first, clock())
    assert record.poll_count == 2


def test_a_task_ends_at_its_moment_whether_or_not_anyone_asks(ledger: Ledger, clock: Any) -> None:
    start = clock()
    ledger.create_task(Kind.SUNO, "a")
    clock.pass_s(7.9)
    assert (ledger.task_records()[0].ended_at, ledger.task_records()[0].outcome) == (None, None)
    clock.pass_s(60)
    (record,) = ledger.task_records()
    assert record.ended_at is not None
    assert (record.ended_at - start).total_seconds() == 8
    assert (record.outcome, record.poll_count) == ("completed", 0)


def test_a_task_whose_end_hangs_on_questions_ends_when_that_is_first_seen(clock: Any) -> None:
    rule = {"answers": [{"status": 429, "times": 1}, {"phase": "failed"}]}
    ledger = Ledger(parse(Scenario, {"tasks": [rule]}), clock)
    task = ledger.poll(Kind.SUNO, "a")
    task.take(clock())
    assert ledger.task_records()[0].ended_at is None
    clock.pass_s(5)
    task.take(clock())
    ended_at = clock()
    clock.pass_s(5)
    task.take(clock())
    assert (ledger.task_records()[0].ended_at, ledger.task_records()[0].outcome) == (ended_at, "failed")


def test_an_older_task_is_further_on(ledger: Ledger, clock: Any) -> None:
    task = ledger.create_task(Kind.SUNO, "a", age_s=8)
    assert task.peek(clock()).phase == "completed"


def test_tasks_of_the_same_id_at_two_providers_are_two_tasks(ledger: Ledger) -> None:
    ledger.poll(Kind.SUNO, "a")
    ledger.poll(Kind.QHAIGC, "a")
    assert [record.kind for record in ledger.task_records()] == ["suno", "qhaigc"]


def test_a_task_that_no_rule_knows_is_not_found(clock: Any) -> None:
    ledger = Ledger(Scenario(), clock)
    assert ledger.poll(Kind.SUNO, "a").peek(clock()).phase == "not_found"


def test_a_reset_forgets_everything(ledger: Ledger, clock: Any) -> None:
    ledger.poll(Kind.SUNO, "a")
    ledger.count_query(Kind.SUNO, "one")
    ledger.reset()
    assert ledger.task_records() == []
    assert ledger.queries(Kind.SUNO) == {"one": 0, "many": 0}
    clock.pass_s(100)
    assert ledger.poll(Kind.SUNO, "a").peek(clock()).phase == "processing"
