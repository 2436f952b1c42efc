from __future__ import annotations

import json
from typing import Any

import pytest

from poller.metrics import Metrics
from tunehook.metrics import Observability
from tunehook.tasks import Status


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Each EMF line without its technical part, and the names of its dimensions."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        (directive,) = line.pop("_aws")["CloudWatchMetrics"]
        assert directive["Namespace"] == "tunehook"
        assert line.pop("service") == "poller"
        line["dimensions"] = sorted(set(directive["Dimensions"][0]) - {"service"})
    return lines


def figure(capsys: pytest.CaptureFixture[str], name: str) -> list[dict[str, Any]]:
    return [line for line in told(capsys) if name in line]


def test_a_pass_that_did_nothing_tells_that_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics().emit()
    assert told(capsys) == [{"Passes": [1.0], "PendingTasks": [0.0], "dimensions": []}]


def test_questions_are_counted_by_provider_and_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.polled("a", "pending")
    figures.polled("a", "pending")
    figures.polled("b", "transient")
    figures.emit()
    dimensions = {"dimensions": ["outcome", "provider"]}
    assert figure(capsys, "Questions") == [
        {"Questions": [2.0], "provider": "a", "outcome": "pending"} | dimensions,
        {"Questions": [1.0], "provider": "b", "outcome": "transient"} | dimensions,
    ]


def test_refused_keys_are_counted_by_provider_and_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.polled("a", "unauthorised")
    figures.polled("b", "unauthorised")
    figures.polled("b", "pending")
    figures.emit()
    assert figure(capsys, "UnauthorisedAnswers") == [
        {"UnauthorisedAnswers": [1.0], "provider": "a", "dimensions": ["provider"]},
        {"UnauthorisedAnswers": [1.0], "provider": "b", "dimensions": ["provider"]},
        {"UnauthorisedAnswers": [2.0], "dimensions": []},
    ]


def test_answers_that_took_the_key_count_as_no_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.polled("a", "pending")
    figures.emit()
    assert figure(capsys, "UnauthorisedAnswers") == []


def test_ended_tasks_are_counted_by_status(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.ended("a", Status.FAILED, None)
    figures.emit()
    assert figure(capsys, "TasksEnded") == [
        {"TasksEnded": [1.0], "provider": "a", "status": "failed", "dimensions": ["provider", "status"]}
    ]


def test_each_detection_delay_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    for delay_ms in range(150):
        figures.ended("a", Status.COMPLETED, delay_ms)
    figures.emit()
    delays = [delay for line in figure(capsys, "DetectionDelay") for delay in line["DetectionDelay"]]
    assert sorted(delays) == [float(delay_ms) for delay_ms in range(150)]


def test_a_task_whose_end_is_not_known_has_no_delay(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.ended("a", Status.COMPLETED, None)
    figures.emit()
    assert figure(capsys, "DetectionDelay") == []


def test_pauses_are_counted_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.paused("a", "throttled")
    figures.emit()
    assert figure(capsys, "ProviderPauses") == [
        {
            "ProviderPauses": [1.0],
            "provider": "a",
            "reason": "throttled",
            "dimensions": ["provider", "reason"],
        }
    ]


def test_the_largest_backlog_of_a_pass_counts(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.backlog(3, 5_000)
    figures.backlog(2, 6_000)
    figures.emit()
    lines = told(capsys)
    assert [line["PendingTasks"] for line in lines if "PendingTasks" in line] == [[3.0]]
    assert [line["OldestPendingAge"] for line in lines if "OldestPendingAge" in line] == [[6_000.0]]


def test_events_that_others_left_over_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.emitted_again(2)
    figures.emit()
    assert figure(capsys, "EventsEmittedAgain") == [{"EventsEmittedAgain": [2.0], "dimensions": []}]


@pytest.mark.parametrize("count", [99, 100, 101, 200, 300])
@pytest.mark.filterwarnings("error")
def test_any_number_of_delays_is_told_without_a_warning(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Metrics()
    for delay_ms in range(count):
        figures.ended("a", Status.COMPLETED, delay_ms)
    figures.emit()
    lines = figure(capsys, "DetectionDelay")
    assert [delay for line in lines for delay in line["DetectionDelay"]] == list(map(float, range(count)))
    assert {(line["provider"], *line["dimensions"]) for line in lines} == {("a", "provider")}


class TestLean:
    """What a stack of the size ``lean`` writes: nothing that CloudWatch bills while nothing happens."""

    BOUND_MS = 1_800_000

    def figures(self) -> Metrics:
        return Metrics(Observability.LEAN, oldest_alarm_ms=self.BOUND_MS)

    def test_an_idle_pass_writes_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.figures().emit()
        assert told(capsys) == []

    def test_a_pass_with_young_tasks_and_nothing_new_writes_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        figures = self.figures()
        figures.polled("a", "pending")
        figures.paused("a", "throttled")
        figures.backlog(7, self.BOUND_MS)
        figures.emit()
        assert told(capsys) == []

    def test_the_age_of_the_oldest_task_is_told_from_the_alarms_threshold_on(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        figures = self.figures()
        figures.backlog(7, self.BOUND_MS + 1)
        figures.emit()
        assert told(capsys) == [{"OldestPendingAge": [self.BOUND_MS + 1.0], "dimensions": []}]

    def test_refused_keys_are_counted_together(self, capsys: pytest.CaptureFixture[str]) -> None:
        figures = self.figures()
        for provider in ("a", "b", "b"):
            figures.polled(provider, "unauthorised")
        figures.no_longer_accepted("a")
        figures.emit()
        assert told(capsys) == [
            {"UnauthorisedAnswers": [3.0], "dimensions": []},
            {"KeysNoLongerAccepted": [1.0], "dimensions": []},
        ]

    def test_ended_tasks_are_counted_together(self, capsys: pytest.CaptureFixture[str]) -> None:
        figures = self.figures()
        figures.ended("a", Status.FAILED, 5)
        figures.ended("b", Status.COMPLETED, 5)
        figures.emit()
        assert told(capsys) == [{"TasksEnded": [2.0], "dimensions": []}]


@pytest.mark.parametrize(
    ("observability", "age_ms", "ages"),
    [(Observability.FULL, 0, [[0.0]]), (Observability.LEAN, 0, []), (Observability.LEAN, 1, [[1.0]])],
)
def test_the_age_of_a_task_that_has_just_come_is_told_in_full(
    observability: Observability, age_ms: int, ages: list[list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Metrics(observability)
    figures.backlog(1, age_ms)
    figures.emit()
    assert [line["OldestPendingAge"] for line in figure(capsys, "OldestPendingAge")] == ages


def test_what_was_told_of_progress_is_counted_by_provider(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Metrics()
    figures.told_progress("a")
    figures.told_progress("b")
    figures.emit()
    assert figure(capsys, "ProgressTold") == [
        {"ProgressTold": [1.0], "provider": name, "dimensions": ["provider"]} for name in ("a", "b")
    ]
