"""The template's alarms and its dashboard watch metrics that the functions really write, and that AWS itself has.

In both sizes of the parameter `Observability`.

CloudWatch takes any name and any dimensions: an alarm on a metric that nobody writes stays silent for ever.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from tests.support.template import (
    REGION,
    STACK,
    is_made,
    resolved,
    resources,
    substituted,
    template,
    translated,
    translated_resources,
)

from fulfillment.metrics import Metrics as FulfillmentMetrics
from poller.metrics import Metrics as PollerMetrics
from tunehook.deliveries import Attempt, DeliveryStatus, message_for, new_delivery
from tunehook.errors import Unavailable
from tunehook.events import ArchivedAsset
from tunehook.metrics import Observability
from tunehook.tasks import Format, Status
from webhooks.delivery import Outcome, Step
from webhooks.metrics import Metrics as WebhooksMetrics
from webhooks.subscription_health import Change

FUNCTIONS = ("intake", "poller", "fulfillment", "webhooks", "api")
DEAD_LETTERS = {name for name in resources("AWS::SQS::Queue") if name.endswith("DeadLetters")}
OF_AWS = {
    "AWS/Lambda": {
        "FunctionName": {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"},
    },
    "AWS/SQS": {
        "QueueName": {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesSent",
        },
    },
}
"""What AWS writes of its own accord, by namespace and dimension (from its page on each service's metrics)."""

SEARCH = re.compile(
    r"""(?P<sum>SUM\()?SEARCH\('\{(?P<namespace>[\w/]+),(?P<names>[\w,]+)\}\ MetricName="(?P<metric>\w+)"
        (?P<labels>(?:\ \w+="[^"]+")*)',\ '(?P<statistic>\w+)',\ (?P<period>\d+)\)(?(sum)\))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Metric:
    """A metric as CloudWatch tells it from others: all dimensions count."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


SIZES = tuple(Observability)
LEAN_ALARMS = {
    "DeliveriesDeadLettersAlarm",
    "FulfillmentDeadLettersAlarm",
    "IntakeDeadLettersAlarm",
    "NoPollerPassAlarm",
    "OldestPendingTaskAlarm",
    "PollerDeadLettersAlarm",
    "UnauthorisedProviderAlarm",
}
COMMON_DIMENSIONS = {"function_name", "service"}
OLDEST_ALARM_MS = 60_000


@cache
def written(size: Observability) -> frozenset[Metric]:
    """Everything that the functions' metrics write, once each of their methods is called in every way."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for function, emit in (
            ("poller", _emit_of_the_poller),
            ("fulfillment", _emit_of_fulfillment),
            ("webhooks", _emit_of_webhooks),
        ):
            patch.setenv("AWS_LAMBDA_FUNCTION_NAME", f"{STACK}-{function}")
            emit(size)
    lines = printed.getvalue().splitlines()
    return frozenset(metric for line in lines for metric in _metrics_of(json.loads(line)))


def _metrics_of(record: dict[str, Any]) -> Iterator[Metric]:
    for directive in record["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                dimensions = frozenset((name, record[name]) for name in names)
                yield Metric(directive["Namespace"], metric["Name"], dimensions)


def _emit_of_the_poller(size: Observability) -> None:
    metrics = PollerMetrics(size, oldest_alarm_ms=OLDEST_ALARM_MS)
    for outcome in ("pending", "unauthorised", "throttled"):
        metrics.polled("suno", outcome)
    metrics.no_longer_accepted("suno")
    for status in (Status.COMPLETED, Status.FAILED):
        metrics.ended("suno", status, 1)
    metrics.paused("suno", "throttled")
    metrics.emitted_again(1)
    metrics.backlog(1, OLDEST_ALARM_MS + 1)
    metrics.emit()


def _emit_of_fulfillment(size: Observability) -> None:
    statuses: tuple[Any, ...] = ("archived", "unavailable")
    assets = [ArchivedAsset(clip_id="1", type="audio", status=status, bytes=1) for status in statuses]
    metrics = FulfillmentMetrics(size)
    metrics.archived("suno", assets, 1)
    metrics.waiting_for("suno", 1)
    metrics.delivered_pending("suno")


def _emit_of_webhooks(size: Observability) -> None:
    metrics = WebhooksMetrics(size)
    delivery = new_delivery(
        event_id="evt_1",
        subscription_id="sub",
        task_id="task",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=1,
    )
    for status in DeliveryStatus:
        for change in Change:
            code = 200 if status is DeliveryStatus.DELIVERED else 500
            attempt = Attempt(run=1, attempt=1, at_ms=2, duration_ms=1, status_code=code)
            metrics.record(
                Outcome(
                    step=Step.ATTEMPTED,
                    message=message_for(delivery),
                    delivery=delivery,
                    attempt=attempt,
                    status=status,
                    change=change,
                )
            )
    metrics.record(Unavailable("busy"))
    metrics.emit()


def alarms(size: Observability = Observability.FULL) -> dict[str, dict[str, Any]]:
    """The alarms of a stack of that size, by logical id."""
    parameters = {"Observability": size.value}
    return {
        name: resolved(each["Properties"], parameters)
        for name, each in translated_resources("AWS::CloudWatch::Alarm").items()
        if is_made(each, parameters)
    }


def metric_of(alarm: dict[str, Any]) -> Metric:
    dimensions = frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"])
    return Metric(alarm["Namespace"], alarm["MetricName"], dimensions)


def watched(namespace: str, name: str, size: Observability = Observability.FULL) -> list[dict[str, Any]]:
    return [
        alarm
        for alarm in alarms(size).values()
        if (alarm["Namespace"], alarm["MetricName"]) == (namespace, name)
    ]


ALARMS = [(size, name) for size in SIZES for name in alarms(size)]


def is_of_aws(metric: Metric) -> bool:
    """Whether AWS writes it for a queue or a function of this stack."""
    if len(metric.dimensions) != 1:
        return False
    ((dimension, label),) = metric.dimensions
    ours = {f"{STACK}-{function}" for function in FUNCTIONS}
    ours |= {f"{queue}.QueueName" for queue in resources("AWS::SQS::Queue")}
    return metric.name in OF_AWS.get(metric.namespace, {}).get(dimension, ()) and label in ours


def dashboard() -> list[dict[str, Any]]:
    (each,) = translated_resources("AWS::CloudWatch::Dashboard").values()
    return json.loads(substituted(each["Properties"]["DashboardBody"]["Fn::Sub"]))["widgets"]


def graphs() -> list[dict[str, Any]]:
    return [widget for widget in dashboard() if widget["type"] == "metric"]


def title(widget: dict[str, Any]) -> str:
    return widget["properties"].get("title", widget["properties"].get("markdown"))


def lines_of(widget: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Each line of a graph: what names its metric, and its settings."""
    for line in widget["properties"]["metrics"]:
        settings = line[-1] if isinstance(line[-1], dict) else {}
        yield [part for part in line if isinstance(part, str)], settings


class TestAlarms:
    @pytest.mark.parametrize(("size", "name"), ALARMS)
    def test_an_alarm_watches_a_metric_that_is_written_in_its_size(
        self, size: Observability, name: str
    ) -> None:
        metric = metric_of(alarms(size)[name])
        assert metric in written(size) or is_of_aws(metric)

    def test_full_has_every_alarm(self) -> None:
        assert set(alarms(Observability.FULL)) == set(resources("AWS::CloudWatch::Alarm"))

    def test_lean_has_seven_each_of_one_metric(self) -> None:
        # CloudWatch bills an alarm by the metrics that it looks at.
        assert set(alarms(Observability.LEAN)) == LEAN_ALARMS
        assert not [each for each in alarms(Observability.LEAN).values() if "Metrics" in each]

    def test_lean_is_the_default(self) -> None:
        assert template()["Parameters"]["Observability"]["Default"] == Observability.LEAN
        assert set(template()["Parameters"]["Observability"]["AllowedValues"]) == set(SIZES)

    @pytest.mark.parametrize(("size", "name"), ALARMS)
    def test_an_alarm_tells_the_topic_if_there_is_one(self, size: Observability, name: str) -> None:
        alarm = translated_resources("AWS::CloudWatch::Alarm")[name]
        told = resolved(alarm["Properties"], {"AlarmTopicArn": "arn:topic", "Observability": size.value})
        assert told["AlarmActions"] == told["OKActions"] == ["arn:topic"]
        assert not {"AlarmActions", "OKActions"} & set(alarms(size)[name])

    @pytest.mark.parametrize(("size", "name"), ALARMS)
    def test_an_alarm_is_named_after_the_stack_and_says_what_is_wrong(
        self, size: Observability, name: str
    ) -> None:
        assert alarms(size)[name]["AlarmName"].startswith(f"{STACK}-")
        assert alarms(size)[name]["AlarmDescription"].endswith(".")

    def test_no_two_alarms_have_one_name(self) -> None:
        names = [alarm["AlarmName"] for alarm in alarms().values()]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("size", SIZES)
    def test_one_dead_letter_in_any_queue_is_enough(self, size: Observability) -> None:
        found = [alarm for alarm in alarms(size).values() if alarm["Namespace"] == "AWS/SQS"]
        queues = {alarm["Dimensions"][0]["Value"].partition(".")[0] for alarm in found}
        assert queues == DEAD_LETTERS
        for alarm in found:
            assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
            assert alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) == 1

    @pytest.mark.parametrize("size", SIZES)
    def test_dead_letters_are_watched_for_as_long_as_they_lie_there(self, size: Observability) -> None:
        found = watched("AWS/SQS", "ApproximateNumberOfMessagesVisible", size)
        assert len(found) == 3
        assert {alarm["Statistic"] for alarm in found} == {"Maximum"}

    @pytest.mark.parametrize("size", SIZES)
    def test_a_failed_start_which_the_next_one_heals_is_told_for_half_an_hour(
        self, size: Observability
    ) -> None:
        (alarm,) = watched("AWS/SQS", "NumberOfMessagesSent", size)
        assert alarm["Dimensions"][0]["Value"] == "PollerDeadLetters.QueueName"
        assert (alarm["Statistic"], alarm["TreatMissingData"]) == ("Sum", "notBreaching")
        assert alarm["Period"] * alarm["EvaluationPeriods"] == 1_800

    @pytest.mark.parametrize(
        ("size", "namespace", "name"),
        [
            (Observability.FULL, "tunehook", "Passes"),
            (Observability.LEAN, "AWS/Lambda", "Invocations"),
        ],
    )
    def test_five_minutes_without_a_pass_are_enough_and_silence_is_none(
        self, size: Observability, namespace: str, name: str
    ) -> None:
        (alarm,) = watched(namespace, name, size)
        assert f"{STACK}-poller" in {each["Value"] for each in alarm["Dimensions"]}
        assert alarm["Period"] * alarm["EvaluationPeriods"] == 300
        assert alarm["TreatMissingData"] == "breaching"
        assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "Sum",
            "LessThanThreshold",
            1,
        )

    @pytest.mark.parametrize("size", SIZES)
    def test_silence_of_every_other_metric_is_well(self, size: Observability) -> None:
        others = [each for name, each in alarms(size).items() if name != "NoPollerPassAlarm"]
        assert {alarm["TreatMissingData"] for alarm in others} == {"notBreaching"}

    def test_a_task_may_be_pending_as_long_as_the_parameter_says(self) -> None:
        (alarm,) = (
            resolved(each["Properties"], {"OldestPendingAlarmSeconds": 90})
            for each in translated_resources("AWS::CloudWatch::Alarm").values()
            if each["Properties"]["MetricName"] == "OldestPendingAge"
        )
        assert float(alarm["Threshold"]) == 90_000
        assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")

    def test_in_lean_its_age_is_told_from_where_the_alarm_goes_off(self) -> None:
        variables = translated()["Resources"]["PollerFunction"]["Properties"]["Environment"]["Variables"]
        assert resolved(variables["OLDEST_PENDING_ALARM_S"], {"OldestPendingAlarmSeconds": 90}) == 90

    @pytest.mark.parametrize(
        "name",
        [
            "UnauthorisedAnswers",
            "KeysNoLongerAccepted",
            "AssetsUnavailable",
            "DeliveriesGivenUp",
            "SubscriptionsDisabled",
        ],
    )
    def test_one_is_enough_whoever_it_is(self, name: str) -> None:
        (alarm,) = watched("tunehook", name)
        assert {each["Name"] for each in alarm["Dimensions"]} == COMMON_DIMENSIONS
        assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "Sum",
            "GreaterThanThreshold",
            0,
        )

    @pytest.mark.parametrize("name", ["Errors", "Throttles"])
    def test_every_function_is_watched(self, name: str) -> None:
        found = watched("AWS/Lambda", name)
        assert sorted(alarm["Dimensions"][0]["Value"] for alarm in found) == sorted(
            f"{STACK}-{function}" for function in FUNCTIONS
        )
        for alarm in found:
            assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
                "Sum",
                "GreaterThanThreshold",
                0,
            )


class TestMetrics:
    def test_lean_has_no_dimension_that_costs(self) -> None:
        for metric in written(Observability.LEAN):
            assert {name for name, _ in metric.dimensions} == COMMON_DIMENSIONS, metric
        names = [metric.name for metric in written(Observability.LEAN)]
        assert len(set(names)) == len(names)

    def test_lean_has_what_could_be_watched_and_what_ended(self) -> None:
        watched_in_full = {
            alarm["MetricName"] for alarm in alarms().values() if alarm["Namespace"] == "tunehook"
        }
        assert {metric.name for metric in written(Observability.LEAN)} == (
            watched_in_full - {"Passes"} | {"TasksEnded", "DeliveriesEnded"}
        )


class TestDashboard:
    def test_it_is_made_in_full_alone(self) -> None:
        (each,) = translated_resources("AWS::CloudWatch::Dashboard").values()
        output = translated()["Outputs"]["Dashboard"]
        for one in (each, output):
            assert is_made(one, {"Observability": "full"})
            assert not is_made(one, {"Observability": "lean"})

    def test_the_command_finds_every_other_output_in_both_sizes(self) -> None:
        conditional = {name for name, each in translated()["Outputs"].items() if "Condition" in each}
        assert conditional == {"ApiId", "ApiUrl", "Dashboard", "EventArchiveArn"}

    def test_its_name_is_no_other_regions(self) -> None:
        (each,) = translated_resources("AWS::CloudWatch::Dashboard").values()
        assert resolved(each["Properties"]["DashboardName"]) == f"{STACK}-{REGION}"

    def test_its_widgets_are_of_kinds_that_cloudwatch_knows(self) -> None:
        assert {widget["type"] for widget in dashboard()} == {"text", "metric", "alarm"}

    def test_its_widgets_lie_on_the_grid_and_not_on_each_other(self) -> None:
        taken: dict[tuple[int, int], str] = {}
        for widget in dashboard():
            x, y = widget["x"], widget["y"]
            assert 0 <= x < x + widget["width"] <= 24
            for column in range(x, x + widget["width"]):
                for row in range(y, y + widget["height"]):
                    assert (column, row) not in taken, (title(widget), taken[column, row])
                    taken[column, row] = title(widget)

    def test_its_graphs_say_what_and_where_they_show(self) -> None:
        titles = [title(widget) for widget in graphs()]
        assert len(set(titles)) == len(titles)
        for widget in graphs():
            assert widget["properties"]["region"] == REGION
            assert widget["properties"]["view"] == "timeSeries"
            assert widget["properties"]["yAxis"]["left"]["label"]

    def test_its_lines_show_metrics_that_are_written(self) -> None:
        metrics = written(Observability.FULL)
        for widget in graphs():
            for parts, settings in lines_of(widget):
                if parts:
                    namespace, name, *pairs = parts
                    dimensions = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
                    metric = Metric(namespace, name, dimensions)
                    assert metric in metrics or is_of_aws(metric), title(widget)
                else:
                    self.holds_for_a_search(settings, metrics)

    def holds_for_a_search(self, settings: dict[str, Any], metrics: frozenset[Metric]) -> None:
        expression = settings["expression"]
        search = SEARCH.fullmatch(expression)
        assert search is not None, expression
        labels = dict(re.findall(r'(\w+)="([^"]+)"', search["labels"]))
        names = set(search["names"].split(","))
        assert labels["function_name"].startswith(f"{STACK}-")
        assert [
            metric
            for metric in metrics
            if (metric.namespace, metric.name) == (search["namespace"], search["metric"])
            and {name for name, _ in metric.dimensions} == names
            and set(labels.items()) <= metric.dimensions
        ], expression
        assert set(re.findall(r"PROP\('Dim\.(\w+)'\)", settings["label"])) <= names

    def test_the_business_comes_first(self) -> None:
        def rows(ours: bool) -> list[int]:
            return [
                widget["y"]
                for widget in graphs()
                if any(
                    (("tunehook" in parts) or "expression" in line) is ours
                    for parts, line in lines_of(widget)
                )
            ]

        assert max(rows(True)) < min(rows(False))

    def test_the_business_is_tasks_delay_archive_and_deliveries(self) -> None:
        shown = [json.dumps(widget["properties"]["metrics"]) for widget in graphs()]
        order = ("TasksEnded", "DetectionDelay", "PendingTasks", "Assets", "BytesArchived", "DeliveriesEnded")
        first = [next(at for at, text in enumerate(shown) if metric in text) for metric in order]
        assert first == sorted(first)
        for delay in ("DetectionDelay", "EventToFirstAttempt"):
            (text,) = (text for text in shown if delay in text)
            assert "p50" in text
            assert "p95" in text

    def test_every_alarm_is_on_it(self) -> None:
        (widget,) = (widget for widget in dashboard() if widget["type"] == "alarm")
        assert widget["properties"]["alarms"] == [f"{name}.Arn" for name in alarms()]

    def test_every_queue_and_every_function_is_on_it(self) -> None:
        shown = {parts[3] for widget in graphs() for parts, _ in lines_of(widget) if len(parts) == 4}
        assert shown == {f"{STACK}-{function}" for function in FUNCTIONS} | {
            f"{queue}.QueueName" for queue in resources("AWS::SQS::Queue")
        }
