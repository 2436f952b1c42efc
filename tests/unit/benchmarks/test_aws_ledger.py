import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from benchmarks.aws_ledger import Ledger, LogMeter, chunks, metrics_of
from tests.support.aws import BUS, REGION, client, create_table, watched_bus
from tests.support.template import table_definition

KEY = {"task_id": {"S": "task-1"}, "provider": {"S": "gw"}}
PENDING = KEY | {"queue": {"S": "work#0"}, "since_ms": {"N": "5"}}


@pytest.fixture
def ledger(aws: None) -> Ledger:
    create_table("TasksTable")
    return Ledger({"TasksTable": table_definition("TasksTable")}, client("dynamodb"))


@pytest.fixture
def dynamodb(ledger: Ledger) -> Iterator[Any]:
    session = boto3.Session(region_name=REGION)
    ledger.watch(session)
    with ledger.by("us"):
        yield session.client("dynamodb")


def put(dynamodb: Any, **more: Any) -> None:
    dynamodb.put_item(TableName="TasksTable", Item=PENDING | more)


def update(dynamodb: Any, expression: str, **options: Any) -> None:
    dynamodb.update_item(TableName="TasksTable", Key=KEY, UpdateExpression=expression, **options)


def test_a_call_is_put_down_to_who_is_at_work(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb)
    with ledger.by("them"):
        put(dynamodb)
        put(dynamodb)
    assert ledger.calls == {("us", "dynamodb PutItem"): 1, ("them", "dynamodb PutItem"): 2}


def test_a_put_costs_in_the_table_and_in_the_index(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb, clips={"S": "x" * 3000})
    assert ledger.table_write_units["us", "TasksTable"] == 3
    assert ledger.index_write_units["us", "TasksTable"] == 1


@pytest.mark.parametrize("answer", ["NONE", "ALL_NEW"])
def test_an_update_costs_by_the_whole_item(ledger: Ledger, dynamodb: Any, answer: str) -> None:
    put(dynamodb, clips={"S": "x" * 3000})
    ledger.forget()
    update(dynamodb, "REMOVE queue, clips", ReturnValues=answer)
    assert ledger.table_write_units["us", "TasksTable"] == 3
    assert ledger.index_write_units["us", "TasksTable"] == 1
    update(dynamodb, "REMOVE phase", ReturnValues=answer)
    assert ledger.table_write_units["us", "TasksTable"] == 4
    assert ledger.index_write_units["us", "TasksTable"] == 1
    assert ledger.largest_write_units["us", "TasksTable"] == 3


def test_a_write_that_its_condition_refused_costs_by_the_item_and_nothing_in_the_index(
    ledger: Ledger, dynamodb: Any
) -> None:
    put(dynamodb, clips={"S": "x" * 3000})
    ledger.forget()
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        update(dynamodb, "REMOVE queue", ConditionExpression="attribute_exists(phase)")
    assert ledger.writes == {("us", "TasksTable"): 1}
    assert list(ledger.item_writes.values()) == [1]
    assert ledger.table_write_units["us", "TasksTable"] == 3
    assert ledger.index_write_units["us", "TasksTable"] == 0


def test_reads_cost_by_what_they_return(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb, clips={"S": "x" * 6000})
    dynamodb.get_item(TableName="TasksTable", Key=KEY, ConsistentRead=True)
    assert ledger.read_units["us"] == 2
    condition = {"KeyConditionExpression": "queue = :q", "ExpressionAttributeValues": {":q": {"S": "work#0"}}}
    answer = dynamodb.query(TableName="TasksTable", IndexName="work", **condition)
    assert answer["Count"] == 1
    assert ledger.read_units["us"] == 2.5


def test_a_read_of_many_items_costs_by_each_of_them(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb, clips={"S": "x" * 6000})
    missing = KEY | {"provider": {"S": "nobody"}}
    dynamodb.batch_get_item(RequestItems={"TasksTable": {"Keys": [KEY, missing]}})
    assert ledger.read_units["us"] == 1 + 0.5


def test_a_read_of_parts_costs_by_the_whole_items(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb, clips={"S": "x" * 6000})
    asked = {"Keys": [KEY], "ProjectionExpression": "task_id"}
    dynamodb.batch_get_item(RequestItems={"TasksTable": asked})
    assert ledger.read_units["us"] == 1
    dynamodb.query(
        TableName="TasksTable",
        KeyConditionExpression="task_id = :t",
        FilterExpression="#p = :p",
        ProjectionExpression="task_id",
        ExpressionAttributeNames={"#p": "provider"},
        ExpressionAttributeValues={":t": KEY["task_id"], ":p": {"S": "nobody"}},
    )
    assert ledger.read_units["us"] == 2
    assert ledger.calls["us", "dynamodb Query"] == 1


def test_a_write_of_a_transaction_costs_twice_in_the_table_and_once_in_the_index(
    ledger: Ledger, dynamodb: Any
) -> None:
    write = {"Put": {"TableName": "TasksTable", "Item": PENDING | {"clips": {"S": "x" * 3000}}}}
    dynamodb.transact_write_items(TransactItems=[write])
    assert ledger.table_write_units["us", "TasksTable"] == 6
    assert ledger.index_write_units["us", "TasksTable"] == 1


def test_a_read_whose_answer_does_not_tell_its_size_is_refused(ledger: Ledger, dynamodb: Any) -> None:
    with pytest.raises(NotImplementedError):
        dynamodb.scan(TableName="TasksTable", ProjectionExpression="task_id")


def test_an_operation_whose_cost_is_not_known_is_refused(ledger: Ledger, dynamodb: Any) -> None:
    with pytest.raises(NotImplementedError):
        dynamodb.transact_get_items(TransactItems=[{"Get": {"TableName": "TasksTable", "Key": KEY}}])


def test_events_are_counted_each(ledger: Ledger, dynamodb: Any) -> None:
    watched_bus()
    session = boto3.Session(region_name=REGION)
    ledger.watch(session)
    entry = {"Source": "tunehook", "DetailType": "x", "EventBusName": BUS}
    session.client("events").put_events(
        Entries=[entry | {"Detail": "{}"}, entry | {"Detail": json.dumps({"a": "x" * 70_000})}]
    )
    assert ledger.event_entries["us"] == 2
    assert ledger.event_chunks["us"] == 3


def test_what_one_did_can_be_put_down_to_another(ledger: Ledger, dynamodb: Any) -> None:
    put(dynamodb)
    LogMeter(ledger).write("line\n")
    dynamodb.get_item(TableName="TasksTable", Key=KEY)
    ledger.hand_over("us", "them")
    assert ledger.calls == {("them", "dynamodb PutItem"): 1, ("them", "dynamodb GetItem"): 1}
    assert ledger.table_write_units == {("them", "TasksTable"): 1}
    assert ledger.largest_write_units == {("them", "TasksTable"): 1}
    assert ledger.index_write_units == {("them", "TasksTable"): 1}
    assert (ledger.read_units["them"], ledger.log_bytes["them"]) == (0.5, 5)


def test_logs_count_in_bytes(ledger: Ledger, dynamodb: Any) -> None:
    LogMeter(ledger).write("曲\n")
    assert ledger.log_bytes["us"] == 4


def test_the_metrics_in_a_log_are_told_apart_by_name_and_dimensions(ledger: Ledger, dynamodb: Any) -> None:
    meter = LogMeter(ledger)
    for provider in ("a", "b", "a"):
        meter.write(json.dumps(record(provider)))
    assert ledger.metrics["us"] == {("Questions", "provider=a"), ("Questions", "provider=b")}


def record(provider: str) -> dict[str, Any]:
    directive = {"Namespace": "t", "Dimensions": [["provider"]], "Metrics": [{"Name": "Questions"}]}
    return {"_aws": {"CloudWatchMetrics": [directive]}, "provider": provider, "Questions": [1]}


def test_a_record_without_dimensions_has_a_metric_of_its_name() -> None:
    directive = {"Dimensions": [[]], "Metrics": [{"Name": "Passes"}]}
    assert metrics_of({"_aws": {"CloudWatchMetrics": [directive]}}) == {("Passes",)}


@pytest.mark.parametrize(("length", "count"), [(0, 1), (65_536, 1), (65_537, 2)])
def test_each_begun_chunk_of_64_kilobytes_counts(length: int, count: int) -> None:
    assert chunks("x" * length) == count
