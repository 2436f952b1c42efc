import os
import sys
from urllib.parse import quote

import boto3
import pytest
from benchmarks.aws_calls import PACES, Pace, measure, measure_watching, tasks_at
from benchmarks.aws_cost import HANGING
from benchmarks.aws_cost import PACES as BILLED
from benchmarks.aws_life import Stack, Task, opened

import poller.service
import webhooks.app
from tunehook.metrics import Observability

TASKS = 4


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    with opened() as stack:
        return {row.name: row.value for row in measure(stack, [Pace("at once", TASKS, 0.0)])}


def test_an_idle_minute_is_two_queries_and_a_look_into_four_queues(figures: dict[str, float]) -> None:
    assert (figures["idle minute: dynamodb Query"], figures["idle minute: AWS calls"]) == (2, 2 + 4 + 1)
    assert figures["idle hour: sqs GetQueueAttributes"] == 60 * 4


def test_an_uneventful_question_asks_nothing_of_aws(figures: dict[str, float]) -> None:
    assert figures["uneventful question: AWS calls"] == 0


def test_a_task_that_hangs_for_a_week_is_asked_once_a_minute_and_costs_cents(
    figures: dict[str, float],
) -> None:
    assert figures["hanging task: questions"] == 1
    assert figures["hanging task: poller running"] <= 1
    assert 0.01 < figures[f"{HANGING}7 days"] < 0.1
    assert figures[f"{HANGING}7 days"] < figures["hanging task: 7 days at list prices"] < 0.2
    assert figures[f"{HANGING}a month"] < 2


def test_an_idle_month_of_a_lean_stack_has_no_custom_metric(figures: dict[str, float]) -> None:
    assert figures["lean: idle: poller: metrics"] == 0
    assert figures["lean: template: alarms"] <= 7
    assert figures["lean: template: dashboards"] == 0


def test_a_task_leads_to_two_custom_metrics_in_a_lean_stack(figures: dict[str, float]) -> None:
    names = ("intake", "poller", "fulfillment", "webhooks")
    assert [figures[f"lean: at once: {name}: metrics"] for name in names] == [0, 1, 0, 1]


def test_a_hop_is_one_call_for_ten_messages_and_touches_no_table(figures: dict[str, float]) -> None:
    assert figures["hop: webhooks: AWS calls"] == figures["hop: webhooks: sqs SendMessageBatch"] == 0.1
    assert figures["attempt in vain: webhooks: dynamodb UpdateItem"] > 1


def test_in_full_an_idle_pass_writes_metrics() -> None:
    with opened(Observability.FULL) as stack:
        rows = {row.name: row.value for row in measure_watching(stack, [Pace("at once", 1, 0.0)])}
    assert rows["full: idle: poller: metrics"] == 2
    assert rows["full: at once: poller: metrics"] > rows["full: idle: poller: metrics"]


def test_the_whole_life_is_counted(figures: dict[str, float]) -> None:
    for call in (
        "user: dynamodb PutItem",
        "intake: dynamodb UpdateItem",
        "poller: dynamodb UpdateItem",
        "poller: events PutEvents",
        "fulfillment: s3 PutObject",
        "webhooks: dynamodb UpdateItem",
    ):
        assert figures[f"at once: {call}"] > 0, call


def test_intake_writes_once_to_a_tasks_item_and_to_two_indexes(figures: dict[str, float]) -> None:
    # And once to the lease, for all of them: it starts a poller.
    assert figures["at once: intake: dynamodb UpdateItem"] == 1 + 1 / TASKS
    assert figures["at once: intake: write units, tables"] == 1 + 1 / TASKS
    # That of the work, and that of all tasks, which nothing writes to later.
    assert figures["at once: intake: write units, indexes"] == 2


def test_tasks_put_at_once_come_in_one_batch(figures: dict[str, float]) -> None:
    assert figures["at once: intake: invocations"] == 1 / TASKS


def test_each_task_has_an_event_and_a_message(figures: dict[str, float]) -> None:
    assert figures["at once: poller: events"] == figures["at once: fulfillment: messages"] == 1
    assert figures["at once: webhooks: messages"] == 1


def test_a_task_that_is_not_delivered_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "_handle", lambda *_: None)
    with opened() as stack, pytest.raises(RuntimeError, match="0 of 1 tasks were delivered"):
        stack.live(tasks_at(Pace("lost", 1, 0.0)))


def test_each_attempt_in_vain_is_made_however_long_the_first_of_them_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhooks.circuit_breaker.PATIENCE_HERE_S", 0.0)
    with opened() as stack:
        stack.live(tasks_at(Pace("warm", 1, 0.0)))
        assert stack.attempt_in_vain(tasks_at(Pace("in vain", 3, 0.0))).messages["webhooks"] == 3
        assert stack.ledger.calls["webhooks", "dynamodb UpdateItem"] >= 2 * 3


def test_nothing_of_the_process_stays_changed() -> None:
    changed = (
        lambda: sys.stdout,
        lambda: dict(os.environ),
        lambda: poller.service.HttpTransport,
        lambda: boto3.DEFAULT_SESSION,
        lambda: webhooks.app.logger.registered_handler.stream,
    )
    before = [each() for each in changed]
    with opened() as stack:
        stack.live([Task("short", 0.0, 30.0), Task("long", 0.0, 90.0)])
        assert sys.stdout is not before[0]
    assert [each() for each in changed] == before


def test_tasks_come_at_their_pace_and_are_the_same_at_every_call() -> None:
    first, second, third = tasks_at(Pace("a pace", 3, 3.6))
    assert second.put_s - first.put_s == pytest.approx(third.put_s - second.put_s) == pytest.approx(3.6)
    assert all(30 <= task.lasts_s <= 120 for task in (first, second, third))
    assert " " not in first.task_id
    assert tasks_at(Pace("a pace", 3, 3.6)) == [first, second, third]


def test_an_id_needs_no_escape_in_a_url() -> None:
    for pace in PACES:
        assert quote(tasks_at(pace)[0].task_id, safe="") == tasks_at(pace)[0].task_id


def test_the_paces_that_are_counted_are_those_that_are_billed() -> None:
    assert [pace.name for pace in PACES] == list(BILLED)
