"""Which stack a metric is of, and what its values come to."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from tunehook.metrics import Metrics, Observability


class Some(Metrics):
    SERVICE = "some"
    TOTALS: ClassVar = frozenset({"Watched"})
    LEAN: ClassVar = frozenset({"Watched", "Ended"})


def written(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Each line's metrics and dimensions."""
    metrics.emit()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        (directive,) = line.pop("_aws")["CloudWatchMetrics"]
        assert {*directive["Dimensions"][0], *(each["Name"] for each in directive["Metrics"])} == set(line)
        assert (directive["Namespace"], line.pop("service")) == ("tunehook", "some")
    return lines


def test_a_metric_names_the_function_that_wrote_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "tunehook-poller")
    metrics = Some()
    metrics.add("Ended")
    assert written(metrics, capsys) == [{"Ended": [1.0], "function_name": "tunehook-poller"}]


def test_outside_of_lambda_a_metric_names_no_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    metrics = Some()
    metrics.add("Ended")
    assert written(metrics, capsys) == [{"Ended": [1.0]}]


def test_counts_are_added_up_and_of_durations_each_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Some()
    for value in (2, 3):
        metrics.add("Ended", value, status="failed")
        metrics.add("AttemptDuration", value)
    assert written(metrics, capsys) == [
        {"Ended": [5.0], "status": "failed"},
        {"AttemptDuration": [2.0, 3.0]},
    ]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *[(f"{each}Duration", "Milliseconds") for each in ("Archive", "Attempt")],
        *[(each, "Milliseconds") for each in ("DetectionDelay", "EventToFirstAttempt", "OldestPendingAge")],
        ("BytesArchived", "Bytes"),
        ("Ended", "Count"),
    ],
)
def test_each_metric_has_its_unit(name: str, unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Some()
    metrics.add(name, 1)
    metrics.emit()
    (directive,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [{"Name": name, "Unit": unit}]


def test_what_an_alarm_watches_comes_in_all_too(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Some()
    metrics.add("Watched", provider="a")
    metrics.add("Watched", provider="b")
    assert written(metrics, capsys) == [
        {"Watched": [1.0], "provider": "a"},
        {"Watched": [1.0], "provider": "b"},
        {"Watched": [2.0]},
    ]


def test_lean_has_no_dimension_and_no_zero(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Some(Observability.LEAN)
    metrics.add("Ended", status="failed")
    metrics.add("Ended", status="completed")
    metrics.add("Watched", 0, provider="a")
    metrics.add("Questions", provider="a")
    assert written(metrics, capsys) == [{"Ended": [2.0]}]


def test_what_was_written_is_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Some()
    metrics.add("Ended")
    assert written(metrics, capsys) == [{"Ended": [1.0]}]
    assert written(metrics, capsys) == []
