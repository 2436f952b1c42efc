"""What is logged of a message, and whether it comes again."""

from typing import Any

import pytest
from tests.unit.webhooks.world import delivery

from tunehook.deliveries import Attempt, DeliveryStatus, message_for
from tunehook.errors import InvalidInput, Unavailable
from webhooks import metrics as module
from webhooks.delivery import Outcome, Step
from webhooks.metrics import Metrics
from webhooks.subscription_health import Change

RECORD = delivery()
MESSAGE = message_for(RECORD)
ATTEMPT = Attempt(run=1, attempt=1, at_ms=RECORD.event_at_ms + 70, duration_ms=20, status_code=503)


class Lines:
    """A logger that keeps its lines: level, words, and what stands beside them."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda words, *, exc_info=None, **beside: self.written.append((level, words, beside))


class Counted(Metrics):
    """Remembers what is added: the metric, the value, and its dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[str, int, dict[str, str]]] = []

    def add(self, name: str, value: int = 1, **dimensions: str) -> None:
        self.added.append((name, value, dimensions))


def told(*outcomes: Any) -> tuple[list[bool], list[tuple[str, str, dict[str, Any]]]]:
    lines: Any = Lines()
    metrics = Metrics()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "logger", lines)
        return [metrics.record(outcome) for outcome in outcomes], lines.written


def test_an_attempt_is_told_with_all_that_it_came_to() -> None:
    outcome = Outcome(
        step=Step.ATTEMPTED,
        message=MESSAGE,
        delivery=RECORD,
        attempt=ATTEMPT,
        status=DeliveryStatus.PENDING,
        change=Change.FAILING,
    )
    again, [(level, words, beside)] = told(outcome)
    assert (again, level, words) == ([False], "info", "message_attempted")
    assert beside == {
        "delivery_id": RECORD.delivery_id,
        "subscription_id": "sub",
        "task_id": "task",
        "provider": "musicmint",
        "run": 1,
        "attempt": 1,
        "status": "pending",
        "status_code": 503,
        "error": None,
        "duration_ms": 20,
        "subscription": Change.FAILING,
    }


@pytest.mark.parametrize("step", Step)
def test_a_message_without_a_record_is_told_and_one_on_its_way_at_another_level(step: Step) -> None:
    again, [(level, words, beside)] = told(Outcome(step=step, message=MESSAGE))
    assert (again, words) == ([False], f"message_{step}")
    assert level == ("debug" if step in ("sent_on", "held_back", "awaits_slot") else "info")
    assert {name for name, value in beside.items() if value is not None} == {
        "delivery_id",
        "subscription_id",
        "run",
        "attempt",
    }


def test_messages_are_counted_by_what_they_led_to() -> None:
    counted = Counted()
    for step in Step:
        counted.record(Outcome(step=step, message=MESSAGE))
    counted.record(Unavailable("busy"))
    counted.record(InvalidInput("run", "is no number"))
    assert [dimensions["step"] for name, _, dimensions in counted.added if name == "Messages"] == [
        "attempted",
        "sent_on",
        "held_back",
        "awaits_slot",
        "rate_limited",
        "sent_again",
        "dropped",
        "checked",
        "withdrawn",
        "cut_short",
        "overtaken",
        "unknown",
        "fault",
        "given_up",
    ]


def test_a_fault_lets_a_message_come_again_and_what_nothing_can_come_of_does_not() -> None:
    given_up = InvalidInput("run", "is no number")
    again, lines = told(Unavailable("busy"), OSError("a secret"), given_up)
    assert again == [True, True, False]
    assert lines == [
        ("warning", "message_comes_again", {"reason": "busy"}),
        ("error", "message_comes_again", {"reason": "OSError"}),
        ("error", "message_given_up", {"reason": "run: is no number"}),
    ]


@pytest.mark.parametrize(
    ("run", "attempt", "after_ms", "measured_ms"),
    [(1, 1, 70, [70]), (1, 1, -5, [0]), (1, 2, 70, []), (2, 1, 70, [])],
)
def test_how_long_an_event_took_to_its_first_attempt_is_measured_and_clocks_may_differ(
    run: int, attempt: int, after_ms: int, measured_ms: list[int]
) -> None:
    made = ATTEMPT.model_copy(update={"run": run, "attempt": attempt, "at_ms": RECORD.event_at_ms + after_ms})
    counted = Counted()
    counted.record(
        Outcome(
            step=Step.ATTEMPTED, message=MESSAGE, delivery=RECORD, attempt=made, status=DeliveryStatus.PENDING
        )
    )
    assert [value for name, value, _ in counted.added if name == "EventToFirstAttempt"] == measured_ms


@pytest.mark.parametrize(
    ("status", "code", "error", "counted_as"),
    [
        (DeliveryStatus.DELIVERED, 204, None, {"outcome": "delivered", "error": "none"}),
        (DeliveryStatus.PENDING, 503, None, {"outcome": "failed", "error": "5xx"}),
        (DeliveryStatus.FAILED, 410, None, {"outcome": "failed", "error": "4xx"}),
        (DeliveryStatus.PENDING, None, "TimeoutError", {"outcome": "failed", "error": "TimeoutError"}),
        (DeliveryStatus.PENDING, None, None, {"outcome": "failed", "error": "0xx"}),
    ],
)
def test_an_attempt_counts_by_what_it_came_to(
    status: DeliveryStatus, code: int | None, error: str | None, counted_as: dict[str, str]
) -> None:
    made = ATTEMPT.model_copy(update={"status_code": code, "error": error})
    counted = Counted()
    counted.record(
        Outcome(step=Step.ATTEMPTED, message=MESSAGE, delivery=RECORD, attempt=made, status=status)
    )
    assert ("Attempts", 1, counted_as) in counted.added
    assert ("AttemptDuration", 20, {}) in counted.added
    ended = [dimensions for name, _, dimensions in counted.added if name == "DeliveriesEnded"]
    assert ended == ([] if status is DeliveryStatus.PENDING else [{"status": status.value}])
    given_up = [name for name, _, _ in counted.added if name == "DeliveriesGivenUp"]
    assert len(given_up) == (status is DeliveryStatus.FAILED)


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        (Change.NONE, None),
        (Change.WELL, None),
        (Change.FAILING, "SubscriptionsFailing"),
        (Change.WARNED, "SubscriptionsWarned"),
        (Change.DISABLED, "SubscriptionsDisabled"),
    ],
)
def test_what_an_attempt_changed_of_its_subscription_is_counted(change: Change, metric: str | None) -> None:
    counted = Counted()
    counted.record(Outcome(step=Step.DROPPED, message=MESSAGE, change=change))
    assert [added for added in counted.added if added[0] != "Messages"] == (
        [] if metric is None else [(metric, 1, {})]
    )


@pytest.mark.parametrize("status", [DeliveryStatus.PENDING, DeliveryStatus.FAILED, DeliveryStatus.DELIVERED])
def test_what_tells_of_progress_raises_no_alarm_where_it_is_lost(status: DeliveryStatus) -> None:
    progress = MESSAGE.model_copy(update={"delivery_id": "msg_progress_1"})
    counted = Counted()
    counted.record(
        Outcome(step=Step.ATTEMPTED, message=progress, delivery=RECORD, attempt=ATTEMPT, status=status)
    )
    assert [added for added in counted.added if added[0] != "Messages"] == (
        [] if status is DeliveryStatus.PENDING else [("ProgressEnded", 1, {"status": status.value})]
    )


def test_a_check_counts_for_nothing_but_itself() -> None:
    counted = Counted()
    counted.record(
        Outcome(
            step=Step.CHECKED,
            message=MESSAGE,
            delivery=RECORD,
            attempt=ATTEMPT,
            status=DeliveryStatus.FAILED,
            change=Change.FAILING,
        )
    )
    assert counted.added == [("Messages", 1, {"step": "checked"})]
