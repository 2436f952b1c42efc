"""What template.yaml promises the code, and the code the template."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.template import ROOT, function_name, resources, statements, table_definition, template

from fulfillment.archiver import KEEP_S
from poller.poll_loop import STOP_BEFORE_MS
from tunehook import __version__
from tunehook.aws.tasks import ENDED_INDEX, OF_EARLIER_RUNS, UNPROJECTED, WORK_INDEX
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.dead_letters import INTAKE_TIMEOUT_S
from tunehook.tasks import TaskKey, WorkItem

FUNCTIONS = resources("AWS::Serverless::Function")
NO_VALUE = {"Ref": "AWS::NoValue"}


def event_sources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What wakes the functions in one way, with the function's name."""
    for function, properties in FUNCTIONS.items():
        for source in properties.get("Events", {}).values():
            if source["Type"] == kind:
                yield function, source["Properties"]


def indexes(table: str) -> dict[str, dict[str, Any]]:
    """The indexes of a table by their names."""
    return {each["IndexName"]: each for each in table_definition(table)["GlobalSecondaryIndexes"]}


class TestFunctions:
    def test_the_endpoint_is_declared_for_sam_local_invoke_and_has_no_value_on_aws(self) -> None:
        assert template()["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] == NO_VALUE

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_the_handler_is_that_of_the_functions_folder(self, name: str) -> None:
        assert FUNCTIONS[name]["Handler"] == f"{function_name(name)}.app.handler"

    def test_the_poller_outlives_the_next_minutes_start(self) -> None:
        timeout_ms = FUNCTIONS["PollerFunction"]["Timeout"] * 1000
        assert timeout_ms - STOP_BEFORE_MS > 60_000 + 15_000

    def test_fulfillment_has_time_left_when_it_stops_copying(self) -> None:
        assert FUNCTIONS["FulfillmentFunction"]["Timeout"] - KEEP_S >= 30

    def test_whoever_calls_intake_waits_for_longer_than_it_may_take(self) -> None:
        assert FUNCTIONS["IntakeFunction"]["Timeout"] + 10 < INTAKE_TIMEOUT_S

    def test_names_that_are_spelt_twice_are_the_same(self) -> None:
        names = {
            name: FUNCTIONS[f"{name.capitalize()}Function"]["FunctionName"]
            for name in ("poller", "intake", "fulfillment", "webhooks")
        }
        for caller, called in (("intake", ["poller"]), ("poller", ["intake", "fulfillment", "webhooks"])):
            variables = FUNCTIONS[f"{caller.capitalize()}Function"]["Environment"]["Variables"]
            for name in called:
                assert variables[f"{name.upper()}_FUNCTION"] == names[name]
        for _, statement in statements(template()):
            if statement["Action"] == "lambda:InvokeFunction":
                resources = statement["Resource"]
                for resource in resources if isinstance(resources, list) else [resources]:
                    spelt = resource["Fn::Sub"].partition(":function:")[2]
                    assert spelt in [name["Fn::Sub"] for name in names.values()]


class TestSchedule:
    def test_a_poller_that_is_started_late_is_not_started(self) -> None:
        (schedule,) = (source for _, source in event_sources("ScheduleV2"))
        assert schedule["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 60
        assert FUNCTIONS["PollerFunction"]["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 60


class TestStream:
    def test_the_filter_lets_new_items_through_and_no_others(self) -> None:
        (source,) = (source for _, source in event_sources("DynamoDB"))
        pattern = json.loads(source["FilterCriteria"]["Filters"][0]["Pattern"])
        assert pattern == {
            "dynamodb": {
                "NewImage": {"task_id": {"S": [{"exists": True}]}, "status": {"S": [{"exists": False}]}}
            }
        }

    def test_the_filter_lets_deleted_items_through_whose_end_may_be_untold(self) -> None:
        (source,) = (source for _, source in event_sources("DynamoDB"))
        pattern = json.loads(source["FilterCriteria"]["Filters"][2]["Pattern"])
        assert pattern == {
            "dynamodb": {
                "NewImage": {"task_id": {"S": [{"exists": False}]}},
                "OldImage": {"queue": {"S": [{"exists": True}]}},
            }
        }

    def test_filters_ask_for_nothing_but_what_aws_says_that_they_may(self) -> None:
        (source,) = (source for _, source in event_sources("DynamoDB"))
        filters = source["FilterCriteria"]["Filters"]
        assert len(filters) <= 5
        assert {key for each in filters for key in json.loads(each["Pattern"])} == {"dynamodb"}

    def test_the_stream_shows_the_item_as_it_is_and_as_it_was(self) -> None:
        table = resources("AWS::DynamoDB::Table")["TasksTable"]
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


class TestTables:
    def test_the_work_index_holds_what_a_pending_task_is_read_from_but_for_what_its_item_tells(self) -> None:
        table = resources("AWS::DynamoDB::Table")["TasksTable"]
        index = indexes("TasksTable")[WORK_INDEX]
        keys = {key["AttributeName"] for key in [*table["KeySchema"], *index["KeySchema"]]}
        read = {field.name for field in dataclasses.fields(WorkItem)} - {"key"}
        read |= {field.name for field in dataclasses.fields(TaskKey)}
        read |= {"status"}  # which of the two a task in the index waits for: answers, or its event
        assert set(index["Projection"]["NonKeyAttributes"]) | keys == read - set(UNPROJECTED)

    def test_the_index_of_ended_tasks_holds_what_is_written_at_their_end_alone(self) -> None:
        index = indexes("TasksTable")[ENDED_INDEX]
        keys = [key["AttributeName"] for key in index["KeySchema"]]
        assert keys == ["provider", "detected_at_ms"]
        # What a later write changed would be written to the index once more.
        assert index["Projection"]["NonKeyAttributes"] == ["status", "event_id"]
        assert "detected_at_ms" in OF_EARLIER_RUNS

    @pytest.mark.parametrize(
        ("table", "index", "keys"),
        [
            ("TasksTable", "listed", ["listed", "listed_at_ms"]),
            ("DeliveriesTable", "by_day", ["created_on", "created_at_ms"]),
        ],
    )
    def test_an_index_that_lists_holds_keys_alone_and_so_is_written_once_an_item(
        self, table: str, index: str, keys: list[str]
    ) -> None:
        found = indexes(table)[index]
        assert [key["AttributeName"] for key in found["KeySchema"]] == keys
        assert found["Projection"] == {"ProjectionType": "KEYS_ONLY"}

    @pytest.mark.parametrize(
        "name",
        ["TasksTable", "DeliveriesTable", "ReceiverGatesTable", "ApiRequestsTable", "CallbackHintsTable"],
    )
    def test_what_has_ended_expires(self, name: str) -> None:
        ttl = resources("AWS::DynamoDB::Table")[name]["TimeToLiveSpecification"]
        assert ttl == {"AttributeName": "expires_at", "Enabled": True}


class TestParameters:
    @pytest.mark.parametrize("name", template()["Parameters"])
    def test_every_parameter_is_described(self, name: str) -> None:
        assert template()["Parameters"][name]["Description"].strip()

    def test_the_policies_of_the_parameter_are_those_of_the_code(self) -> None:
        parameter = template()["Parameters"]["NetworkPolicy"]
        assert set(parameter["AllowedValues"]) == set(NetworkPolicy)
        assert parameter["Default"] == "public"


class TestRepository:
    """The stack's entry in the AWS Serverless Application Repository."""

    entry = template()["Metadata"]["AWS::ServerlessRepo::Application"]

    def test_it_names_what_the_repository_asks_for(self) -> None:
        assert re.fullmatch(r"[A-Za-z0-9-]{1,140}", self.entry["Name"])
        assert 1 <= len(self.entry["Description"]) <= 256
        assert 1 <= len(self.entry["Author"]) <= 127
        assert len(self.entry["Labels"]) <= 10
        assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in self.entry["Labels"])

    def test_its_version_is_that_of_the_code(self) -> None:
        assert self.entry["SemanticVersion"] == __version__
        assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)

    def test_its_licence_is_that_of_the_project(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert self.entry["SpdxLicenseId"] == project["license"] == "MIT"
        assert (ROOT / self.entry["LicenseUrl"]).read_text().startswith("MIT License")

    def test_its_pages_are_in_the_checkout(self) -> None:
        assert (ROOT / self.entry["ReadmeUrl"]).read_text().startswith("# tunehook")
