"""What the stack promises once the SAM translator has made CloudFormation resources of template.yaml.

`sam validate --lint` lets all of this pass: a visibility below the function's timeout, a queue whose messages vanish, a
role that may do everything.
"""

from __future__ import annotations

import dataclasses
import json
import logging as python_logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.template import (
    ACCOUNT,
    REGION,
    ROOT,
    STACK,
    function_name,
    is_made,
    many,
    resolved,
    resources,
    statements,
    template,
    translated,
    translated_resources,
)

from api.settings import ApiSettings
from fulfillment.settings import FulfillmentSettings
from intake.settings import IntakeSettings
from poller.settings import PollerSettings
from tunehook.events import SOURCE
from tunehook.settings import load_settings
from tunehook.tasks import TaskKey, TaskRequest
from webhooks.settings import WebhooksSettings

SETTINGS: dict[str, type[BaseModel]] = {
    "IntakeFunction": IntakeSettings,
    "PollerFunction": PollerSettings,
    "FulfillmentFunction": FulfillmentSettings,
    "WebhooksFunction": WebhooksSettings,
    "ApiFunction": ApiSettings,
}
FUNCTIONS = sorted(resources("AWS::Serverless::Function"))
QUEUES = sorted(resources("AWS::SQS::Queue"))
TABLES = sorted(resources("AWS::DynamoDB::Table"))
WORTH_KEEPING = (
    "ApiKeysTable",
    "DeliveriesTable",
    "SecretVersionsTable",
    "MasterSecret",
    "ProvidersSecret",
    "ResultsBucket",
    "SubscriptionsTable",
    "TasksTable",
)
DATA = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret")
RESULTS = "ResultsBucket.Arn/results/*"
INLINE = "ResultsBucket.Arn/inline/*"
NOTICES = "ResultsBucket.Arn/notices/*"
POLLER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-poller"
INTAKE = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-intake"
FULFILLMENT = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-fulfillment"
WEBHOOKS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-webhooks"
ALLOWED = {
    "IntakeRole": {
        "TasksTable.StreamArn": {
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
        },
        "*": {"dynamodb:ListStreams"},
        "TasksTable.Arn": {"dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem"},
        "PollerLeasesTable.Arn": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "ProviderStatesTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "EventBus.Arn": {"events:PutEvents"},
        POLLER: {"lambda:InvokeFunction"},
        "FulfillmentQueue.Arn": {"sqs:SendMessage"},
        "IntakeDeadLetters.Arn": {"sqs:SendMessage"},
    },
    "PollerRole": {
        "TasksTable.Arn/index/work": {"dynamodb:Query"},
        "TasksTable.Arn": {
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:UpdateItem",
        },
        "CallbackHintsTable.Arn": {"dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:UpdateItem"},
        "PollerLeasesTable.Arn": {
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        },
        "ProviderStatesTable.Arn": {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"},
        "SubscriptionsTable.Arn": {"dynamodb:Scan"},
        "FulfillmentQueue.Arn": {"sqs:SendMessage"},
        INLINE: {"s3:PutObject"},
        "EventBus.Arn": {"events:PutEvents"},
        "ProvidersSecret.Id": {"secretsmanager:GetSecretValue"},
        POLLER: {"lambda:InvokeFunction"},
        INTAKE: {"lambda:InvokeFunction"},
        FULFILLMENT: {"lambda:InvokeFunction"},
        WEBHOOKS: {"lambda:InvokeFunction"},
        "PollerDeadLetters.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
        "IntakeDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "FulfillmentDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "DeliveriesDeadLetters.Arn": {"sqs:GetQueueAttributes"},
    },
    "FulfillmentRole": {
        "FulfillmentQueue.Arn": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        },
        "FulfillmentDeadLetters.Arn": {"sqs:SendMessage"},
        "TasksTable.Arn": {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"},
        "SubscriptionsTable.Arn": {"dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem"},
        "SecretVersionsTable.Arn": {"dynamodb:PutItem", "dynamodb:Scan"},
        "DeliveriesTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "DeliveriesQueue.Arn": {"sqs:SendMessage"},
        "ResultsBucket.Arn": {"s3:ListBucket"},
        RESULTS: {"s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"},
        NOTICES: {"s3:GetObject", "s3:PutObject"},
        INLINE: {"s3:GetObject"},
        "EventBus.Arn": {"events:PutEvents"},
    },
    "WebhooksRole": {
        "DeliveriesQueue.Arn": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        },
        "TasksTable.Arn": {"dynamodb:GetItem"},
        "DeliveriesTable.Arn": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "DeliveriesTable.Arn/index/by_subscription": {"dynamodb:Query"},
        "SubscriptionsTable.Arn": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "SecretVersionsTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem"},
        "DeliveriesDeadLetters.Arn": {"sqs:SendMessage"},
        "ReceiverGatesTable.Arn": {"dynamodb:UpdateItem"},
        RESULTS: {"s3:GetObject"},
        "MasterSecret.Id": {"secretsmanager:GetSecretValue"},
        "EventBus.Arn": {"events:PutEvents"},
    },
    "ApiRole": {
        "TasksTable.Arn": {
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        },
        "TasksTable.Arn/index/work": {"dynamodb:Query", "dynamodb:Scan"},
        "TasksTable.Arn/index/ended": {"dynamodb:Query", "dynamodb:Scan"},
        "TasksTable.Arn/index/listed": {"dynamodb:Query", "dynamodb:Scan"},
        "SubscriptionsTable.Arn": {
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        },
        "SecretVersionsTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "DeliveriesTable.Arn": {
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "DeliveriesTable.Arn/index/by_subscription": {"dynamodb:Query", "dynamodb:Scan"},
        "DeliveriesTable.Arn/index/by_task": {"dynamodb:Query", "dynamodb:Scan"},
        "DeliveriesTable.Arn/index/by_day": {"dynamodb:Query", "dynamodb:Scan"},
        "PollerLeasesTable.Arn": {"dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem"},
        "ProviderStatesTable.Arn": {"dynamodb:BatchGetItem", "dynamodb:Scan"},
        "ReceiverGatesTable.Arn": {"dynamodb:BatchGetItem", "dynamodb:Scan"},
        "ApiKeysTable.Arn": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "ApiRequestsTable.Arn": {
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "CallbackHintsTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        RESULTS: {"s3:GetObject"},
        "DeliveriesQueue.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
        "FulfillmentQueue.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
        "FulfillmentDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "DeliveriesDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "IntakeDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "PollerDeadLetters.Arn": {"sqs:GetQueueAttributes"},
        "ProvidersSecret.Id": {"secretsmanager:GetSecretValue"},
        "MasterSecret.Id": {"secretsmanager:GetSecretValue"},
        POLLER: {"lambda:InvokeFunction"},
    },
    "ScheduleRole": {
        POLLER: {"lambda:InvokeFunction"},
        "PollerDeadLetters.Arn": {"sqs:SendMessage"},
    },
}
"""What each role may do, by resource; beside that, every function may write its own log and traces."""
ALLOWED_TO_APPLICATIONS = {
    "TaskWriterPolicy": {"TasksTable.Arn": {"dynamodb:PutItem"}},
    "ResultReaderPolicy": {"TasksTable.Arn": {"dynamodb:GetItem"}, RESULTS: {"s3:GetObject"}},
}
"""What each policy gives that the stack attaches to nothing, by resource."""
PRINCIPALS = {f"{each}.amazonaws.com" for each in ("apigateway", "lambda", "events", "scheduler")}
"""What services call themselves, in every partition."""
EMITTING = ("Intake", "Poller", "Fulfillment", "Webhooks")
SHORT_LIVED_TABLES = {
    "ApiRequestsTable",
    "CallbackHintsTable",
    "PollerLeasesTable",
    "ProviderStatesTable",
    "ReceiverGatesTable",
}
LONGEST_RETENTION_S = 14 * 24 * 3600


def properties(name: str) -> dict[str, Any]:
    return translated()["Resources"][name]["Properties"]


def target(reference: Any) -> str:
    """The logical id that a reference or an attribute is of."""
    match reference:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return name
    raise AssertionError(f"no reference to a resource: {reference}")


def mappings() -> list[dict[str, Any]]:
    return [each["Properties"] for each in translated_resources("AWS::Lambda::EventSourceMapping").values()]


def queue_mappings() -> Iterator[tuple[str, str]]:
    """The function and the queue of each mapping of a queue."""
    for mapping in mappings():
        source = target(mapping["EventSourceArn"])
        if source in QUEUES:
            yield target(mapping["FunctionName"]), source


def stream_mappings() -> list[dict[str, Any]]:
    return [each for each in mappings() if each["EventSourceArn"]["Fn::GetAtt"][1] == "StreamArn"]


def lifecycle(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of the results' bucket, as they are with these parameters."""
    (bucket,) = translated_resources("AWS::S3::Bucket").values()
    rules: list[dict[str, Any]] = resolved(
        bucket["Properties"]["LifecycleConfiguration"]["Rules"], parameters
    )
    return rules


def grants(owner: str, action: str) -> list[Any]:
    """The resources on which a role, or the function of that name, may do something."""
    role = target(properties(owner)["Role"]) if owner in FUNCTIONS else owner
    return [
        resource
        for name, each in statements(translated())
        if name == role and each["Effect"] == "Allow" and action in many(each["Action"])
        for resource in many(each["Resource"])
    ]


def may_send(owner: str, queue: str) -> bool:
    return {"Fn::GetAtt": [queue, "Arn"]} in grants(owner, "sqs:SendMessage")


def allowed() -> list[tuple[str, dict[str, Any]]]:
    return [(name, each) for name, each in statements(translated()) if each["Effect"] == "Allow"]


def policies_of(queue: str) -> list[dict[str, Any]]:
    """The policies of a queue, whatever they depend on."""
    return [
        policy
        for policy in translated_resources("AWS::SQS::QueuePolicy").values()
        if {"Ref": queue} in policy["Properties"]["Queues"]
    ]


def queue_statements(queue: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """What the policy of a queue says with these parameters."""
    return [
        statement
        for policy in policies_of(queue)
        if is_made(policy, parameters)
        for statement in resolved(policy["Properties"]["PolicyDocument"]["Statement"], parameters)
    ]


WARMED_UP = {"FulfillmentFunction", "WebhooksFunction"}
"""What the poller invokes with nothing to do, so that it has started when there is."""


def invoke_configs() -> dict[str, Any]:
    """The configurations of asynchronous invocations, by the function that they are of."""
    return {
        target(each["Properties"]["FunctionName"]): each["Properties"]
        for each in translated_resources("AWS::Lambda::EventInvokeConfig").values()
    }


def asynchronously_invoked() -> set[str]:
    """The functions that a schedule starts, or that a role of the stack may start with something to do."""
    started = {
        target(each["Properties"]["Target"]["Arn"])
        for each in translated_resources("AWS::Scheduler::Schedule").values()
    }
    by_name = {resolved(properties(name)["FunctionName"]): name for name in FUNCTIONS}
    for _, each in allowed():
        if "lambda:InvokeFunction" in many(each["Action"]):
            started |= {by_name[resolved(resource).rpartition(":")[2]] for resource in many(each["Resource"])}
    return started - WARMED_UP


class TestQueues:
    def test_what_feeds_the_functions_is_what_these_tests_speak_of(self) -> None:
        assert sorted(queue_mappings()) == [
            ("FulfillmentFunction", "FulfillmentQueue"),
            ("WebhooksFunction", "DeliveriesQueue"),
        ]
        assert [target(each["FunctionName"]) for each in stream_mappings()] == ["IntakeFunction"]
        assert len(mappings()) == 3

    def test_a_message_stays_invisible_for_six_times_its_functions_time(self) -> None:
        for function, queue in queue_mappings():
            assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"], queue

    def test_batches_are_answered_message_by_message(self) -> None:
        for mapping in mappings():
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"], mapping

    @pytest.mark.parametrize(
        ("function", "parameter"),
        [("FulfillmentFunction", "FulfillmentConcurrency"), ("WebhooksFunction", "WebhooksConcurrency")],
    )
    def test_how_often_a_function_runs_at_once_is_what_its_parameter_says(
        self, function: str, parameter: str
    ) -> None:
        (mapping,) = (each for each in mappings() if target(each["FunctionName"]) == function)
        for value in translated()["Parameters"][parameter]["AllowedValues"]:
            scaling = resolved(mapping, {parameter: value}).get("ScalingConfig")
            if value == "unbounded":
                assert scaling is None
                continue
            (_, (table, key, column)) = scaling["MaximumConcurrency"].popitem()
            # A number: of a text the embedded AWS hands out no message any more.
            assert translated()["Mappings"][table][key][column] == int(value)
            assert 2 <= int(value) <= 1000

    def test_the_defaults_fit_an_account_that_may_run_ten_functions_at_once(self) -> None:
        default = {name: each["Default"] for name, each in translated()["Parameters"].items()}
        pollers = 2 * int(default["ShardCount"])  # two at hand-over
        intake = 1
        queues = int(default["FulfillmentConcurrency"]) + int(default["WebhooksConcurrency"])
        assert pollers + intake + queues < 10

    @pytest.mark.parametrize("name", QUEUES)
    def test_messages_are_kept_as_long_as_sqs_can(self, name: str) -> None:
        assert properties(name)["MessageRetentionPeriod"] == LONGEST_RETENTION_S

    @pytest.mark.parametrize("name", QUEUES)
    def test_messages_are_encrypted(self, name: str) -> None:
        assert properties(name)["SqsManagedSseEnabled"] is True


class TestDeadLetters:
    def test_behind_every_queue_that_feeds_a_function(self) -> None:
        for _, queue in queue_mappings():
            redrive = properties(queue)["RedrivePolicy"]
            dead_letters = target(redrive["deadLetterTargetArn"])
            assert dead_letters in set(QUEUES) - {queue}
            assert redrive["maxReceiveCount"] >= 5

    def test_every_queue_feeds_a_function_or_holds_dead_letters(self) -> None:
        feeding = {queue for _, queue in queue_mappings()}
        behind = {target(properties(queue)["RedrivePolicy"]["deadLetterTargetArn"]) for queue in feeding}
        behind |= {
            target(each["DestinationConfig"]["OnFailure"]["Destination"]) for each in stream_mappings()
        }
        behind |= {
            target(each["DestinationConfig"]["OnFailure"]["Destination"])
            for function, each in invoke_configs().items()
            if function not in WARMED_UP
        }
        assert feeding | behind == set(QUEUES)
        assert not feeding & behind

    def test_behind_every_stream_with_the_leave_to_write_there(self) -> None:
        for mapping in stream_mappings():
            dead_letters = target(mapping["DestinationConfig"]["OnFailure"]["Destination"])
            assert dead_letters in QUEUES
            assert may_send(target(mapping["FunctionName"]), dead_letters)

    def test_a_stream_gives_a_record_up_some_time_and_not_its_neighbours_with_it(self) -> None:
        for mapping in stream_mappings():
            assert 0 < mapping["MaximumRetryAttempts"] <= 100
            assert mapping["BisectBatchOnFunctionError"] is True

    def test_behind_every_schedule_with_the_leave_to_write_there(self) -> None:
        schedules = translated_resources("AWS::Scheduler::Schedule")
        assert schedules
        for schedule in schedules.values():
            to = schedule["Properties"]["Target"]
            dead_letters = target(to["DeadLetterConfig"]["Arn"])
            assert dead_letters in QUEUES
            assert may_send(target(to["RoleArn"]), dead_letters)

    def test_behind_every_function_that_is_invoked_asynchronously(self) -> None:
        assert asynchronously_invoked() == {"IntakeFunction", "PollerFunction"}
        for function in asynchronously_invoked():
            dead_letters = target(invoke_configs()[function]["DestinationConfig"]["OnFailure"]["Destination"])
            assert dead_letters in QUEUES
            assert may_send(function, dead_letters)

    def test_what_is_only_warmed_up_has_none_and_is_not_tried_again(self) -> None:
        assert set(invoke_configs()) == asynchronously_invoked() | WARMED_UP
        for function in WARMED_UP:
            assert not invoke_configs()[function]["DestinationConfig"]
            assert invoke_configs()[function]["MaximumRetryAttempts"] == 0

    def test_behind_every_rule_with_the_leave_to_write_to_both(self) -> None:
        rules = translated_resources("AWS::Events::Rule")
        assert rules
        for name, rule in rules.items():
            for each in rule["Properties"]["Targets"]:
                for queue in (each["Arn"], each["DeadLetterConfig"]["Arn"]):
                    statement, _ = queue_statements(target(queue), {})
                    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
                    assert f"{target(queue)}.Arn" in many(statement["Resource"])
                    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": f"{name}.Arn"}}


class TestQueuePolicies:
    @pytest.mark.parametrize("name", QUEUES)
    def test_a_queue_asks_everybody_for_tls_but_in_development_stacks(self, name: str) -> None:
        (statement,) = (each for each in queue_statements(name, {}) if each["Effect"] == "Deny")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
        assert f"{name}.Arn" in statement["Resource"]
        without = queue_statements(name, {"NetworkPolicy": "any"})
        assert not [each for each in without if each["Effect"] == "Deny"]

    @pytest.mark.parametrize("name", QUEUES)
    def test_a_queue_has_one_policy(self, name: str) -> None:
        """Another would take its place, and which of them stays is chance."""
        assert len(policies_of(name)) == 1


class TestBusPolicy:
    def test_nobody_but_the_functions_speaks_for_tunehook(self) -> None:
        ((_, policy),) = translated_resources("AWS::Events::EventBusPolicy").items()
        assert policy["Properties"]["EventBusName"] == {"Ref": "EventBus"}
        statement = policy["Properties"]["Statement"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
            "Deny",
            "*",
            "events:PutEvents",
        )
        assert statement["Resource"] == {"Fn::GetAtt": ["EventBus", "Arn"]}
        emitting = {name for name, each in allowed() if "events:PutEvents" in many(each["Action"])}
        assert emitting == {target(properties(name)["Role"]) for name in FUNCTIONS} - {"ApiRole"}
        # Of several entries one is enough; who has no principal's ARN at all is none of the roles.
        assert statement["Condition"] == {
            "ForAnyValue:StringEquals": {"events:source": SOURCE},
            "ArnNotEquals": {
                "aws:PrincipalArn": [{"Fn::GetAtt": [f"{each}Role", "Arn"]} for each in EMITTING],
            },
        }
        assert {f"{each}Role" for each in EMITTING} == emitting

    def test_it_is_left_out_in_development_stacks_alone(self) -> None:
        ((_, policy),) = translated_resources("AWS::Events::EventBusPolicy").items()
        assert is_made(policy)
        assert not is_made(policy, {"NetworkPolicy": "any"})


class TestEventArchive:
    def test_it_is_there_where_days_are_given_alone(self) -> None:
        """The embedded AWS refuses a template in which it is to be made."""
        described = {
            **translated_resources("AWS::Events::Archive"),
            "output": translated()["Outputs"]["EventArchiveArn"],
        }
        assert len(described) == 2
        for each in described.values():
            assert not is_made(each)
            assert not is_made(each, {"EventArchiveDays": 0})
            assert is_made(each, {"EventArchiveDays": 1})

    def test_it_keeps_what_the_functions_emit_for_as_many_days_as_the_parameter_says(self) -> None:
        ((_, archive),) = translated_resources("AWS::Events::Archive").items()
        kept = resolved(archive["Properties"], {"EventArchiveDays": 30})
        assert (kept["SourceArn"], kept["EventPattern"]) == ("EventBus.Arn", {"source": [SOURCE]})
        assert kept["RetentionDays"] == 30
        # 48 characters at most, and a stack's may have 51.
        assert "ArchiveName" not in kept


class TestLogs:
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_a_function_writes_to_a_group_of_the_stack(self, name: str) -> None:
        group = properties(target(properties(name)["LoggingConfig"]["LogGroup"]))
        assert resolved(group["LogGroupName"]) == f"/aws/lambda/{resolved(properties(name)['FunctionName'])}"

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_no_line_is_held_back_by_the_service(self, name: str) -> None:
        """Told that they are JSON, it leaves lines out by a level of its own; metrics have none, and go with them."""
        logging = properties(name)["LoggingConfig"]
        assert logging["LogFormat"] == "Text"
        assert not {"ApplicationLogLevel", "SystemLogLevel"} & set(logging)

    @pytest.mark.parametrize("level", template()["Parameters"]["LogLevel"]["AllowedValues"])
    def test_every_level_is_one_that_the_functions_know(self, level: str) -> None:
        assert level in python_logging.getLevelNamesMapping()
        for name in FUNCTIONS:
            variables = resolved(properties(name)["Environment"]["Variables"], {"LogLevel": level})
            assert variables["POWERTOOLS_LOG_LEVEL"] == level

    def test_every_group_is_kept_as_long_as_the_parameter_says(self) -> None:
        groups = translated_resources("AWS::Logs::LogGroup")
        assert len(groups) == len(FUNCTIONS) + len(["ApiAccessLogs"])
        for name, group in groups.items():
            assert group["Properties"].get("RetentionInDays") == {"Ref": "LogRetentionDays"}, name

    def test_no_function_may_make_a_group_that_is_kept_for_ever(self) -> None:
        assert not [name for name, each in allowed() if "logs:CreateLogGroup" in many(each["Action"])]


class TestRegions:
    @pytest.mark.parametrize(
        ("partition", "region", "loop"),
        [
            ("aws", "us-east-1", "Allow"),
            ("aws", "il-central-1", "Allow"),
            ("aws", "mx-central-1", None),
            ("aws", "ap-southeast-6", None),
            ("aws-cn", "cn-north-1", None),
            ("aws-us-gov", "us-gov-west-1", None),
            ("aws-eusc", "eusc-de-east-1", None),
        ],
    )
    def test_loops_are_allowed_where_lambda_looks_for_them(
        self, partition: str, region: str, loop: str | None
    ) -> None:
        there = {"AWS::Partition": partition, "AWS::Region": region}
        assert resolved(properties("WebhooksFunction"), there).get("RecursiveLoop") == loop
        others = [name for name in FUNCTIONS if "RecursiveLoop" in properties(name)]
        assert others == ["WebhooksFunction"]

    def test_layers_name_no_processors(self) -> None:
        """Regions without arm64 refuse a layer that does; what is named is shown in lists, and checked by nobody."""
        for layer in translated_resources("AWS::Lambda::LayerVersion").values():
            assert "CompatibleArchitectures" not in layer["Properties"]

    def test_no_partition_and_no_region_is_spelt_out(self) -> None:
        """An ARN or a host of one partition names nothing in another."""
        for name, resource in translated()["Resources"].items():
            for text in re.findall(r"arn:(?:\$\{[^}]*\}|[^:]*):|[a-z0-9-]+\.amazonaws\.com", str(resource)):
                assert text.startswith("arn:${AWS::Partition}:") or text in PRINCIPALS, name


class TestData:
    @pytest.mark.parametrize("name", sorted(set(TABLES) - SHORT_LIVED_TABLES))
    def test_what_is_worth_keeping_is_encrypted_by_a_key_of_the_account_and_can_be_brought_back(
        self, name: str
    ) -> None:
        table = properties(name)
        assert table["SSESpecification"]["SSEEnabled"] is True
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True

    def test_what_is_worth_keeping_outlives_the_stack_and_its_own_replacement(self) -> None:
        kept = {
            name
            for kind in DATA
            for name, each in translated_resources(kind).items()
            if (each.get("DeletionPolicy"), each.get("UpdateReplacePolicy"))
            == ("RetainExceptOnCreate", "Retain")
        }
        assert kept == set(WORTH_KEEPING)
        assert set(TABLES) - kept == SHORT_LIVED_TABLES

    @pytest.mark.parametrize("name", sorted(SHORT_LIVED_TABLES))
    def test_for_what_is_not_nothing_is_paid(self, name: str) -> None:
        assert not {"SSESpecification", "PointInTimeRecoverySpecification"} & set(properties(name))

    @pytest.mark.parametrize(("value", "refuses"), [("no", False), ("yes", True)])
    def test_the_tables_that_are_worth_keeping_refuse_to_be_deleted_if_the_parameter_says_so(
        self, value: str, refuses: bool
    ) -> None:
        for name in TABLES:
            table = resolved(properties(name), {"DeletionProtection": value})
            protected = False if name in SHORT_LIVED_TABLES else refuses
            assert table.get("DeletionProtectionEnabled", False) is protected

    def test_every_bucket_is_encrypted_and_closed_to_the_public(self) -> None:
        buckets = translated_resources("AWS::S3::Bucket")
        assert set(buckets) == {"ResultsBucket"}
        for bucket in buckets.values():
            (rule,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
            assert bucket["Properties"]["PublicAccessBlockConfiguration"] == {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            }
            (owner,) = bucket["Properties"]["OwnershipControls"]["Rules"]
            assert owner == {"ObjectOwnership": "BucketOwnerEnforced"}

    def test_the_bucket_asks_everybody_for_tls(self) -> None:
        ((_, policy),) = translated_resources("AWS::S3::BucketPolicy").items()
        assert policy["Properties"]["Bucket"] == {"Ref": "ResultsBucket"}
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert resolved(statement["Resource"]) == ["ResultsBucket.Arn", "ResultsBucket.Arn/*"]

    def test_the_bucket_goes_without_tls_in_development_stacks_alone(self) -> None:
        ((_, policy),) = translated_resources("AWS::S3::BucketPolicy").items()
        assert translated()["Conditions"][policy["Condition"]] == {
            "Fn::Equals": [{"Ref": "NetworkPolicy"}, "public"]
        }
        assert translated()["Parameters"]["NetworkPolicy"]["Default"] == "public"

    def test_files_on_their_way_expire_when_no_queue_can_ask_for_them_any_more(self) -> None:
        expiring = [rule for rule in lifecycle({}) if "ExpirationInDays" in rule]
        assert [(rule["Prefix"], rule["Status"], rule["ExpirationInDays"]) for rule in expiring] == [
            ("inline/", "Enabled", LONGEST_RETENTION_S // 86_400),
            ("notices/", "Enabled", LONGEST_RETENTION_S // 86_400),
        ]

    @pytest.mark.parametrize("days", [1, 90])
    def test_results_expire_after_as_many_days_as_the_parameter_says(self, days: int) -> None:
        (rule,) = (
            rule
            for rule in lifecycle({"ResultsRetentionDays": days})
            if rule.get("Prefix") == "results/" and "ExpirationInDays" in rule
        )
        assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", days)

    def test_results_are_kept_for_ever_where_no_days_are_given(self) -> None:
        assert translated()["Parameters"]["ResultsRetentionDays"]["Default"] == 0
        assert not [
            rule
            for rule in lifecycle({})
            if "ExpirationInDays" in rule and not rule["Prefix"].startswith(("inline/", "notices/"))
        ]

    def test_results_are_tiered_from_their_first_day_unless_the_parameter_says_otherwise(self) -> None:
        (rule,) = (rule for rule in lifecycle({}) if "Transitions" in rule)
        assert (rule["Prefix"], rule["Status"]) == ("results/", "Enabled")
        # An expiry after a single day is later than this, and so S3 takes both.
        assert rule["Transitions"] == [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 0}]
        assert not [rule for rule in lifecycle({"ResultsStorageClass": "STANDARD"}) if "Transitions" in rule]


class TestPermissions:
    def test_every_permission_is_written_where_these_tests_look(self) -> None:
        for name, role in translated_resources("AWS::IAM::Role").items():
            assert "ManagedPolicyArns" not in role["Properties"], name
        kinds = {each["Type"] for each in translated()["Resources"].values()}
        assert "AWS::IAM::Policy" not in kinds
        assert set(translated_resources("AWS::Lambda::Permission")) == {"ApiPermission"}
        assert set(translated_resources("AWS::IAM::ManagedPolicy")) == set(ALLOWED_TO_APPLICATIONS)

    @pytest.mark.parametrize("role", ALLOWED)
    def test_a_role_may_do_what_its_function_does_and_no_more(self, role: str) -> None:
        found: dict[str, set[str]] = {}
        for name, each in allowed():
            for resource in resolved(many(each["Resource"])) if name == role else ():
                found.setdefault(resource, set()).update(many(each["Action"]))
        function = role.replace("Role", "Function")
        if function in FUNCTIONS:
            logs = found.pop(f"{target(properties(function)['LoggingConfig']['LogGroup'])}.Arn")
            assert logs == {"logs:CreateLogStream", "logs:PutLogEvents"}
            traces = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
            assert traces <= found["*"]
            found["*"] -= traces
        assert {resource: actions for resource, actions in found.items() if actions} == ALLOWED[role]

    @pytest.mark.parametrize("policy", ALLOWED_TO_APPLICATIONS)
    def test_a_policy_for_applications_gives_what_its_name_says_and_is_attached_to_nothing(
        self, policy: str
    ) -> None:
        found: dict[str, set[str]] = {}
        for name, each in allowed():
            for resource in resolved(many(each["Resource"])) if name == policy else ():
                found.setdefault(resource, set()).update(many(each["Action"]))
        assert found == ALLOWED_TO_APPLICATIONS[policy]
        assert not {"Roles", "Users", "Groups", "ManagedPolicyName"} & set(properties(policy))
        assert translated()["Outputs"][policy]["Value"] == {"Ref": policy}

    def test_a_writer_of_tasks_puts_the_attributes_of_a_request_alone_and_is_shown_no_item(self) -> None:
        (statement,) = properties("TaskWriterPolicy")["PolicyDocument"]["Statement"]
        request = {field.name for field in dataclasses.fields(TaskRequest)} - {"key"}
        request |= {field.name for field in dataclasses.fields(TaskKey)}
        attributes = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]
        assert sorted(attributes) == sorted(request)
        assert statement["Condition"]["StringEqualsIfExists"] == {"dynamodb:ReturnValues": "NONE"}

    @pytest.mark.parametrize(("tracing", "is_allowed"), [("PassThrough", False), ("Active", True)])
    def test_traces_may_be_sent_where_they_are_taken(self, tracing: str, is_allowed: bool) -> None:
        for name in FUNCTIONS:
            function = resolved(properties(name), {"Tracing": tracing})
            assert function["TracingConfig"] == {"Mode": tracing}
            role = resolved(properties(target(properties(name)["Role"])), {"Tracing": tracing})
            allowed_here = [
                each["Action"]
                for policy in role["Policies"]
                for each in policy["PolicyDocument"]["Statement"]
            ]
            assert ("xray:PutTraceSegments" in str(allowed_here)) is is_allowed

    def test_no_traces_are_taken_by_default(self) -> None:
        assert translated()["Parameters"]["Tracing"]["Default"] == "PassThrough"

    def test_the_table_of_permissions_leaves_no_role_out(self) -> None:
        assert set(ALLOWED) == set(translated_resources("AWS::IAM::Role"))

    def test_no_action_is_a_pattern(self) -> None:
        for name, each in allowed():
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(each), name
            assert not [action for action in many(each["Action"]) if "*" in action], name

    def test_nothing_but_tracing_and_the_finding_of_streams_is_allowed_on_everything(self) -> None:
        on_everything = {
            action
            for _, each in allowed()
            if "*" in many(each["Resource"])
            for action in many(each["Action"])
        }
        assert on_everything == {
            "dynamodb:ListStreams",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        }

    def test_what_is_allowed_on_everything_says_why(self) -> None:
        lines = (ROOT / "template.yaml").read_text().splitlines()
        for sid in {each["Sid"] for _, each in allowed() if "*" in many(each["Resource"])}:
            (at,) = (number for number, line in enumerate(lines) if f"Sid: {sid}" in line.split(" #")[0])
            start = max(number for number in range(at + 1) if lines[number].lstrip().startswith("- "))
            indent = lines[start].index("-")
            end = next(
                number
                for number in range(start + 1, len(lines))
                if lines[number].strip() and len(lines[number]) - len(lines[number].lstrip()) <= indent
            )
            assert any("knows no resource but *" in line for line in lines[start:end]), sid

    def test_a_pattern_in_a_resource_is_that_of_the_results_or_of_files_on_their_way_there(self) -> None:
        patterns = {
            text
            for _, each in allowed()
            for text in map(str, resolved(many(each["Resource"])))
            if "*" in text and text != "*"
        }
        assert patterns == {RESULTS, INLINE, NOTICES}

    def test_events_are_emitted_under_our_own_name_alone(self) -> None:
        emitting = [each for _, each in allowed() if "events:PutEvents" in many(each["Action"])]
        assert emitting
        for statement in emitting:
            assert statement["Condition"] == {"ForAllValues:StringEquals": {"events:source": [SOURCE]}}
            assert many(statement["Resource"]) == [{"Fn::GetAtt": ["EventBus", "Arn"]}]

    def test_each_function_has_a_role_of_its_own_that_lambda_alone_takes_on(self) -> None:
        roles = [target(properties(name)["Role"]) for name in FUNCTIONS]
        assert len(set(roles)) == len(FUNCTIONS)
        for role in roles:
            (statement,) = properties(role)["AssumeRolePolicyDocument"]["Statement"]
            assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}

    def test_the_scheduler_takes_its_role_on_for_schedules_of_this_account_alone(self) -> None:
        (statement,) = resolved(properties("ScheduleRole")["AssumeRolePolicyDocument"]["Statement"])
        assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
        group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/default"
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnEquals": {"aws:SourceArn": group},
        }
        for schedule in translated_resources("AWS::Scheduler::Schedule").values():
            assert "GroupName" not in schedule["Properties"]

    def test_every_role_can_be_bounded(self) -> None:
        for name in translated_resources("AWS::IAM::Role"):
            bounded = resolved(properties(name), {"PermissionsBoundaryArn": "arn:bound"})
            assert bounded["PermissionsBoundary"] == "arn:bound"
            assert "PermissionsBoundary" not in resolved(properties(name))


class TestHttpApi:
    OPEN = frozenset(
        {
            "GET /health",
            "GET /v1/openapi.json",
            "POST /v1/callbacks/{provider}/{token}",
        }
    )
    KINDS = ("Api", "Authorizer", "Integration", "Route", "Stage")

    def made(self, parameters: dict[str, Any] | None = None) -> set[str]:
        return {
            name
            for kind in self.KINDS
            for name, each in translated_resources(f"AWS::ApiGatewayV2::{kind}").items()
            if is_made(each, parameters)
        }

    def routes(self, parameters: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        found = translated_resources("AWS::ApiGatewayV2::Route")
        return {
            each["Properties"]["RouteKey"]: each["Properties"]
            for each in found.values()
            if is_made(each, parameters)
        }

    def test_it_is_there_unless_the_parameter_says_otherwise(self) -> None:
        assert {"Api", "ApiStage", "ApiIntegration", "ApiAuthorizer"} <= self.made()
        assert self.made({"HttpApi": "off"}) == set()
        for name in ("ApiUrl", "ApiId"):
            assert is_made(translated()["Outputs"][name])
            assert not is_made(translated()["Outputs"][name], {"HttpApi": "off"})

    @pytest.mark.parametrize("value", ["on", "off"])
    def test_a_change_of_the_parameter_changes_a_property_of_what_is_always_there(self, value: str) -> None:
        """Of a change of conditions alone the embedded AWS says that there is none."""
        variables = resolved(properties("ApiFunction")["Environment"]["Variables"], {"HttpApi": value})
        assert variables["HTTP_API"] == value

    def test_everything_but_what_anybody_may_ask_needs_a_key(self) -> None:
        routes = self.routes()
        assert {key for key, each in routes.items() if each["AuthorizationType"] == "NONE"} == self.OPEN
        (others,) = ((key, each) for key, each in routes.items() if key not in self.OPEN)
        assert others[0] == "ANY /v1/{proxy+}"
        assert others[1]["AuthorizationType"] == "CUSTOM"
        assert others[1]["AuthorizerId"] == {"Ref": "ApiAuthorizer"}

    def test_a_browser_is_answered_where_origins_are_named_alone(self) -> None:
        origins = {"ApiCorsOrigins": "https://a.example.com,https://b.example.com"}
        preflight = "OPTIONS /v1/{proxy+}"
        assert set(self.routes(origins)) - set(self.routes()) == {preflight}
        assert self.routes(origins)[preflight]["AuthorizationType"] == "NONE"
        assert not self.routes(origins | {"HttpApi": "off"})
        cors = resolved(properties("Api"), origins)["CorsConfiguration"]
        assert cors["AllowOrigins"] == {"Fn::Split": [",", origins["ApiCorsOrigins"]]}
        assert "CorsConfiguration" not in resolved(properties("Api"))
        # With cookies a page of a named origin could act for whoever looks at it; keys are no cookies.
        assert "AllowCredentials" not in cors

    def test_an_answer_of_the_authorizer_is_kept_for_less_than_a_minute(self) -> None:
        authorizer = properties("ApiAuthorizer")
        assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
        assert authorizer["EnableSimpleResponses"] is True
        assert authorizer["AuthorizerResultTtlInSeconds"] <= 30

    def test_requests_are_throttled_as_the_parameters_say(self) -> None:
        settings = resolved(properties("ApiStage"), {"ApiRequestsPerSecond": 7, "ApiBurst": 9})[
            "DefaultRouteSettings"
        ]
        assert settings == {"ThrottlingRateLimit": 7, "ThrottlingBurstLimit": 9}

    def test_the_access_log_has_the_route_and_nothing_that_could_be_a_secret(self) -> None:
        settings = properties("ApiStage")["AccessLogSettings"]
        assert settings["DestinationArn"] == {"Fn::GetAtt": ["ApiAccessLogs", "Arn"]}
        fields = json.loads(settings["Format"])
        # The path of a callback ends with its token.
        assert set(fields.values()) == {
            f"$context.{each}"
            for each in (
                "requestId",
                "requestTime",
                "responseLatency",
                "responseLength",
                "routeKey",
                "status",
            )
        }

    def test_the_gateway_alone_calls_the_function(self) -> None:
        permission = properties("ApiPermission")
        assert permission["FunctionName"] == {"Fn::GetAtt": ["ApiFunction", "Arn"]}
        assert permission["Principal"] == "apigateway.amazonaws.com"
        api = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:Api/*"
        assert resolved(permission["SourceArn"]) == api

    def test_the_function_stops_before_the_gateway_does(self) -> None:
        assert properties("ApiFunction")["Timeout"] < 30


class TestFunctions:
    def test_the_template_has_the_functions_that_have_settings(self) -> None:
        assert sorted(translated_resources("AWS::Lambda::Function")) == FUNCTIONS == sorted(SETTINGS)

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_what_the_settings_read_is_declared_and_nothing_else(self, name: str) -> None:
        declared = resolved(properties(name)["Environment"]["Variables"])
        ours = {variable for variable in declared if not variable.startswith("POWERTOOLS_")}
        assert ours == {field.upper() for field in SETTINGS[name].model_fields}

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_the_settings_take_what_the_parameters_may_be(self, name: str) -> None:
        variables = properties(name)["Environment"]["Variables"]
        choices: list[dict[str, Any]] = [{}]
        for parameter, declaration in translated()["Parameters"].items():
            bounds = (declaration.get("MinValue"), declaration.get("MaxValue"))
            values = declaration.get("AllowedValues", [each for each in bounds if each is not None])
            choices += [{parameter: value} for value in values]
        for parameters in choices:
            environment = {key: str(value) for key, value in resolved(variables, parameters).items()}
            load_settings(SETTINGS[name], environment)

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_the_variables_of_powertools_name_the_function(self, name: str) -> None:
        variables = resolved(properties(name)["Environment"]["Variables"])
        assert variables["POWERTOOLS_SERVICE_NAME"] == function_name(name)
        assert resolved(properties(name)["FunctionName"]) == f"{STACK}-{function_name(name)}"

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_function_and_layers_agree_on_python_and_processor(self, name: str) -> None:
        function = properties(name)
        layers = [properties(target(layer)) for layer in function["Layers"]]
        assert {resolved(layer["LayerName"]) for layer in layers} == {"TunehookLayer", "DependenciesLayer"}
        parameters = translated()["Parameters"]
        for python in parameters["PythonVersion"]["AllowedValues"]:
            for processor in parameters["Architecture"]["AllowedValues"]:
                chosen = {"PythonVersion": python, "Architecture": processor}
                runtime = resolved(function["Runtime"], chosen)
                (architecture,) = resolved(function["Architectures"], chosen)
                assert (runtime, architecture) == (f"python{python}", processor)
                for layer in layers:
                    assert runtime in resolved(layer["CompatibleRuntimes"], chosen)

    def test_the_layer_is_built_for_every_python_and_processor_of_the_template(self) -> None:
        parameters = translated()["Parameters"]
        made = (ROOT / "layers" / "dependencies" / "Makefile").read_text()
        pythons = parameters["PythonVersion"]["AllowedValues"]
        wheels = [
            "aarch64" if each == "arm64" else each for each in parameters["Architecture"]["AllowedValues"]
        ]
        assert f"\nLAYER_PYTHONS ?= {' '.join(pythons)}\n" in made
        assert sorted(re.findall(r"^LAYER_PROCESSORS \?= (.*)$", made, re.MULTILINE)[0].split()) == sorted(
            wheels
        )

    def test_the_newest_python_is_the_default(self) -> None:
        python = translated()["Parameters"]["PythonVersion"]
        assert python["Default"] == python["AllowedValues"][-1]

    def test_the_functions_that_feed_their_own_queue_are_those_that_may_loop(self) -> None:
        feeding_themselves = {name for name, queue in queue_mappings() if may_send(name, queue)}
        assert feeding_themselves
        loops = {name for name in FUNCTIONS if resolved(properties(name)).get("RecursiveLoop") == "Allow"}
        assert loops == feeding_themselves
