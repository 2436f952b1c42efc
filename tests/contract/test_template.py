"""What template.yaml promises the code, and the code the template."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.template import function_name, resources, template

from fulfillment.archive import KEEP_S
from fulfillment.settings import FulfillmentSettings
from intake.settings import IntakeSettings
from poller.settings import PollerSettings
from poller.shard_pass import STOP_BEFORE_MS
from tunehook.events import SOURCE
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import PendingTask, TaskKey
from webhooks.settings import WebhooksSettings

SETTINGS: dict[str, type[BaseModel]] = {
    "IntakeFunction": IntakeSettings,
    "PollerFunction": PollerSettings,
    "FulfillmentFunction": FulfillmentSettings,
    "WebhooksFunction": WebhooksSettings,
}
FUNCTIONS = resources("AWS::Serverless::Function")
QUEUES = resources("AWS::SQS::Queue")
DEAD_LETTERS = {name for name in QUEUES if name.endswith("DeadLetters")}

Statement = dict[str, Any]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements() -> Iterator[tuple[str, Statement]]:
    """Every statement of every role, with the role's name."""
    for role, properties in resources("AWS::IAM::Role").items():
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, statement


def actions(role: str) -> set[str]:
    return {action for name, each in statements() if name == role for action in many(each["Action"])}


def event_sources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What wakes the functions in one way, with the function's name."""
    for function, properties in FUNCTIONS.items():
        for source in properties["Events"].values():
            if source["Type"] == kind:
                yield function, source["Properties"]


def attribute(resource: str, name: str = "Arn") -> dict[str, str]:
    return {"Fn::GetAtt": f"{resource}.{name}"}


class TestFunctions:
    def test_each_function_has_its_settings(self) -> None:
        assert set(SETTINGS) == set(FUNCTIONS)

    @pytest.mark.parametrize("name", SETTINGS)
    def test_the_environment_is_what_the_settings_read(self, name: str) -> None:
        declared = set(FUNCTIONS[name]["Environment"]["Variables"])
        declared |= set(template()["Globals"]["Function"]["Environment"]["Variables"])
        ours = {variable for variable in declared if not variable.startswith("POWERTOOLS_")}
        assert ours == {field.upper() for field in SETTINGS[name].model_fields}

    @pytest.mark.parametrize("name", SETTINGS)
    def test_a_function_logs_under_its_own_name(self, name: str) -> None:
        service = FUNCTIONS[name]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        assert service == function_name(name)

    @pytest.mark.parametrize("name", SETTINGS)
    def test_the_handler_is_that_of_the_functions_folder(self, name: str) -> None:
        assert FUNCTIONS[name]["Handler"] == f"{function_name(name)}.app.handler"

    @pytest.mark.parametrize("name", SETTINGS)
    def test_a_functions_logs_are_kept_as_long_as_the_parameter_says(self, name: str) -> None:
        group = resources("AWS::Logs::LogGroup")[FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        assert group["LogGroupName"]["Fn::Sub"] == f"/aws/lambda/{FUNCTIONS[name]['FunctionName']['Fn::Sub']}"

    def test_only_webhooks_may_feed_its_own_queue(self) -> None:
        loops = {name: properties.get("RecursiveLoop") for name, properties in FUNCTIONS.items()}
        assert loops == dict.fromkeys(FUNCTIONS) | {"WebhooksFunction": "Allow"}

    def test_the_poller_outlives_the_next_minutes_start(self) -> None:
        timeout_ms = FUNCTIONS["PollerFunction"]["Timeout"] * 1000
        assert timeout_ms - STOP_BEFORE_MS > 60_000 + 15_000

    def test_fulfillment_has_time_left_when_it_stops_copying(self) -> None:
        assert FUNCTIONS["FulfillmentFunction"]["Timeout"] - KEEP_S >= 30

    def test_names_that_are_spelt_twice_are_the_same(self) -> None:
        poller = FUNCTIONS["PollerFunction"]["FunctionName"]
        assert FUNCTIONS["IntakeFunction"]["Environment"]["Variables"]["POLLER_FUNCTION"] == poller
        for _, statement in statements():
            if statement["Action"] == "lambda:InvokeFunction":
                assert statement["Resource"]["Fn::Sub"].endswith(f":function:{poller['Fn::Sub']}")


class TestQueues:
    @pytest.mark.parametrize("name", sorted(set(QUEUES) - DEAD_LETTERS))
    def test_a_queue_has_dead_letters(self, name: str) -> None:
        redrive = QUEUES[name]["RedrivePolicy"]
        assert redrive["deadLetterTargetArn"] == attribute(name.replace("Queue", "DeadLetters"))
        assert redrive["maxReceiveCount"] >= 5

    @pytest.mark.parametrize("name", sorted(DEAD_LETTERS))
    def test_dead_letters_are_kept_for_14_days(self, name: str) -> None:
        assert QUEUES[name]["MessageRetentionPeriod"] == 14 * 24 * 3600

    def test_every_function_that_is_fed_by_a_queue_has_six_times_its_time(self) -> None:
        fed = dict(event_sources("SQS"))
        assert set(fed) == {"FulfillmentFunction", "WebhooksFunction"}
        for name, source in fed.items():
            queue, _ = source["Queue"]["Fn::GetAtt"].split(".")
            assert QUEUES[queue]["VisibilityTimeout"] >= 6 * FUNCTIONS[name]["Timeout"]

    def test_a_stream_record_that_fails_is_put_aside(self) -> None:
        (source,) = (source for _, source in event_sources("DynamoDB"))
        assert source["DestinationConfig"]["OnFailure"]["Destination"] == attribute("IntakeDeadLetters")
        assert source["MaximumRetryAttempts"] > 0

    def test_a_start_of_the_poller_that_fails_is_put_aside(self) -> None:
        (schedule,) = (source for _, source in event_sources("ScheduleV2"))
        invocation = FUNCTIONS["PollerFunction"]["EventInvokeConfig"]
        assert schedule["DeadLetterConfig"]["Arn"] == attribute("PollerDeadLetters")
        assert invocation["DestinationConfig"]["OnFailure"]["Destination"] == attribute("PollerDeadLetters")

    def test_an_event_that_no_queue_took_is_put_aside(self) -> None:
        for rule in resources("AWS::Events::Rule").values():
            for target in rule["Targets"]:
                assert target["DeadLetterConfig"]["Arn"] == attribute("FulfillmentDeadLetters")

    def test_every_batch_reports_its_failures_one_by_one(self) -> None:
        sources = [*event_sources("SQS"), *event_sources("DynamoDB")]
        assert len(sources) == 3
        for _, source in sources:
            assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_a_poller_that_is_started_late_is_not_started(self) -> None:
        (schedule,) = (source for _, source in event_sources("ScheduleV2"))
        assert schedule["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 60
        assert FUNCTIONS["PollerFunction"]["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 60


class TestStream:
    def test_the_filter_lets_new_items_through_and_no_others(self) -> None:
        (source,) = (source for _, source in event_sources("DynamoDB"))
        pattern = json.loads(source["FilterCriteria"]["Filters"][0]["Pattern"])
        assert pattern == {
            "eventName": ["INSERT", "MODIFY"],
            "dynamodb": {"NewImage": {"status": {"S": [{"exists": False}]}}},
        }

    def test_the_stream_shows_the_item_as_it_is_now(self) -> None:
        table = resources("AWS::DynamoDB::Table")["TasksTable"]
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


class TestTables:
    def test_the_work_index_holds_exactly_what_a_pending_task_is_read_from(self) -> None:
        table = resources("AWS::DynamoDB::Table")["TasksTable"]
        (index,) = table["GlobalSecondaryIndexes"]
        keys = {key["AttributeName"] for key in [*table["KeySchema"], *index["KeySchema"]]}
        read = {field.name for field in dataclasses.fields(PendingTask)} - {"key"}
        read |= {field.name for field in dataclasses.fields(TaskKey)}
        assert index["IndexName"] == "work"
        assert set(index["Projection"]["NonKeyAttributes"]) | keys == read

    @pytest.mark.parametrize("name", ["TasksTable", "DeliveriesTable"])
    def test_what_has_ended_expires(self, name: str) -> None:
        ttl = resources("AWS::DynamoDB::Table")[name]["TimeToLiveSpecification"]
        assert ttl == {"AttributeName": "expires_at", "Enabled": True}

    @pytest.mark.parametrize(
        "name",
        [
            "TasksTable",
            "SubscriptionsTable",
            "DeliveriesTable",
            "ResultsBucket",
            "ProvidersSecret",
            "MasterSecret",
        ],
    )
    def test_what_users_own_outlives_the_stack(self, name: str) -> None:
        resource = template()["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


class TestPermissions:
    def test_no_action_is_a_pattern(self) -> None:
        for _, statement in statements():
            assert not [action for action in many(statement["Action"]) if "*" in action]

    def test_a_resource_of_any_name_is_allowed_where_the_service_knows_no_other(self) -> None:
        open_actions = {
            action
            for _, statement in statements()
            if "*" in many(statement["Resource"])
            for action in many(statement["Action"])
        }
        assert open_actions == {
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "dynamodb:ListStreams",
        }

    def test_nothing_is_denied_or_inverted_in_a_role(self) -> None:
        for _, statement in statements():
            assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
            assert statement["Effect"] == "Allow"

    def test_events_are_emitted_under_our_own_name_alone(self) -> None:
        emitting = [each for _, each in statements() if "events:PutEvents" in many(each["Action"])]
        assert len(emitting) == 2
        for statement in emitting:
            assert statement["Condition"] == {"ForAllValues:StringEquals": {"events:source": [SOURCE]}}
            assert statement["Resource"] == attribute("EventBus")

    def test_every_role_can_be_bounded(self) -> None:
        for role in resources("AWS::IAM::Role").values():
            assert role["PermissionsBoundary"]["Fn::If"][0] == "HasPermissionsBoundary"

    def test_each_function_has_a_role_of_its_own(self) -> None:
        roles = [properties["Role"]["Fn::GetAtt"] for properties in FUNCTIONS.values()]
        assert len(set(roles)) == len(FUNCTIONS)

    @pytest.mark.parametrize(
        ("role", "allowed"),
        [
            ("IntakeRole", {"dynamodb:GetItem", "dynamodb:UpdateItem", "lambda:InvokeFunction"}),
            (
                "PollerRole",
                {
                    "dynamodb:GetItem",
                    "dynamodb:Query",
                    "dynamodb:UpdateItem",
                    "events:PutEvents",
                    "lambda:InvokeFunction",
                    "secretsmanager:GetSecretValue",
                },
            ),
            (
                "FulfillmentRole",
                {
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:Scan",
                    "dynamodb:UpdateItem",
                    "events:PutEvents",
                    "s3:AbortMultipartUpload",
                    "s3:PutObject",
                    "sqs:SendMessage",
                },
            ),
        ],
    )
    def test_a_function_may_do_what_its_code_does_and_no_more(self, role: str, allowed: set[str]) -> None:
        of_the_platform = {
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        }
        assert actions(role) - of_the_platform == allowed - of_the_platform

    def test_the_poller_writes_its_lease_and_does_not_read_it(self) -> None:
        (lease,) = (
            each
            for role, each in statements()
            if role == "PollerRole" and each["Resource"] == attribute("PollerLeasesTable")
        )
        assert many(lease["Action"]) == ["dynamodb:UpdateItem"]


class TestParameters:
    @pytest.mark.parametrize("name", template()["Parameters"])
    def test_every_parameter_is_described(self, name: str) -> None:
        assert template()["Parameters"][name]["Description"].strip()

    def test_the_policies_of_the_parameter_are_those_of_the_code(self) -> None:
        parameter = template()["Parameters"]["NetworkPolicy"]
        assert set(parameter["AllowedValues"]) == set(NetworkPolicy)
        assert parameter["Default"] == "public"
