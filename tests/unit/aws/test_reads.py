"""What each read asks DynamoDB for: which index, which attributes, and whether as of all writes, which costs twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from tests.support.aws import client, create_table, put
from tests.support.tasks import KEY, NOW_MS

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable


class Read(NamedTuple):
    """A call as it was made; `attributes` is empty where all are read."""

    operation: str
    index: str | None
    attributes: frozenset[str]
    is_consistent: bool


class Tables:
    def __init__(self) -> None:
        dynamodb = client("dynamodb")
        names = ("DeliveriesTable", "TasksTable", "SecretVersionsTable", "SubscriptionsTable")
        for name in names:
            create_table(name)
        self.deliveries = DeliveriesTable(dynamodb, names[0])
        self.tasks = TasksTable(dynamodb, names[1])
        self.versions = SecretVersionsTable(dynamodb, names[2])
        self.subscriptions = SubscriptionsTable(dynamodb, names[3])
        self.reads: list[Read] = []

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        asked = next(iter(params["RequestItems"].values())) if "RequestItems" in params else params
        names = asked.get("ExpressionAttributeNames", {})
        projected = filter(None, asked.get("ProjectionExpression", "").split(", "))
        attributes = frozenset(names[each] for each in projected)
        self.reads.append(
            Read(model.name, asked.get("IndexName"), attributes, asked.get("ConsistentRead", False))
        )


@pytest.fixture
def tables(aws: None) -> Iterator[Tables]:
    made = Tables()
    events = client("dynamodb").meta.events
    put("TasksTable", PENDING)
    events.register("provide-client-params.dynamodb", made.note)
    yield made
    events.unregister("provide-client-params.dynamodb", made.note)


PENDING = {
    "task_id": KEY.task_id,
    "provider": KEY.provider,
    "status": "pending",
    "queue": "work#0",
    "since_ms": NOW_MS,
    "empty_count": 0,
}


def of(operation: str, index: str | None, *attributes: str, consistent: bool = False) -> Read:
    return Read(operation, index, frozenset(attributes), consistent)


READS: list[tuple[str, Callable[[Tables], object], list[Read]]] = [
    (
        "deliveries of a task",
        lambda it: it.deliveries.ids_of_task("t"),
        [of("Query", "by_task", "delivery_id")],
    ),
    (
        "deliveries to a subscription",
        lambda it: it.deliveries.ids_of_subscription("s", 3),
        [of("Query", "by_subscription", "delivery_id")],
    ),
    (
        "the latest deliveries",
        lambda it: it.deliveries.latest(limit=1),
        [of("Scan", "by_subscription", "delivery_id", "created_at_ms")],
    ),
    (
        "a list of those for a task",
        lambda it: list(it.deliveries.listed(NOW_MS, task_id="t")),
        [of("Query", "by_task", "delivery_id", "created_at_ms", "status")],
    ),
    (
        "a list of those to a subscription",
        lambda it: list(it.deliveries.listed(NOW_MS, subscription_id="s")),
        [of("Query", "by_subscription", "delivery_id", "created_at_ms", "status")],
    ),
    (
        "a list of those of a day",
        lambda it: list(it.deliveries.listed(NOW_MS, since_ms=NOW_MS)),
        [of("Query", "by_day", "delivery_id", "created_at_ms")],
    ),
    (
        "a list by a scan",
        lambda it: list(it.deliveries.listed_by_scan(0, None)),
        [of("Scan", "by_subscription", "delivery_id", "created_at_ms", "status")],
    ),
    (
        "failed deliveries",
        lambda it: list(it.deliveries.failed("s", 0, NOW_MS, None)),
        [of("Query", "by_subscription", "delivery_id", "created_at_ms")],
    ),
    (
        "whether there is one",
        lambda it: it.deliveries.existing(["m"]),
        [of("BatchGetItem", None, "delivery_id", consistent=True)],
    ),
    (
        "whether one was delivered",
        lambda it: it.deliveries.delivered_since("s", 0),
        [of("Query", "by_subscription", "delivery_id", "status")] * 2,
    ),
    (
        "work",
        lambda it: it.tasks.work(0),
        [
            of("Query", "work"),
            of(
                "BatchGetItem",
                None,
                *("task_id", "provider", "since_ms", "streaming_since_ms", "suspicion", "trouble"),
            ),
        ],
    ),
    (
        "statuses",
        lambda it: it.tasks.statuses([KEY]),
        [of("BatchGetItem", None, "task_id", "provider", "status", consistent=True)],
    ),
    (
        "attributes of tasks",
        lambda it: it.tasks.get_many([KEY], ("task_id", "provider")),
        [of("BatchGetItem", None, "task_id", "provider", consistent=True)],
    ),
    (
        "attributes of tasks as of lately",
        lambda it: it.tasks.get_many([KEY], ("task_id", "provider"), consistent=False),
        [of("BatchGetItem", None, "task_id", "provider")],
    ),
    (
        "attributes of all tasks",
        lambda it: list(it.tasks.scan(("task_id",))),
        [of("Scan", None, "task_id", consistent=True)],
    ),
    ("a task of each provider", lambda it: it.tasks.of_id("t"), [of("Query", None, consistent=True)]),
    ("ended tasks", lambda it: list(it.tasks.ended(0)), [of("Scan", "ended")]),
    ("ended tasks of a provider", lambda it: list(it.tasks.ended(0, ["p"])), [of("Query", "ended")]),
    (
        "who has versions",
        lambda it: it.versions.ids(),
        [of("Scan", None, "subscription_id", consistent=True)],
    ),
    ("subscriptions", lambda it: it.subscriptions.all(), [of("Scan", None, consistent=True)]),
    (
        "subscriptions to an event",
        lambda it: it.subscriptions.naming("task.progress"),
        [of("Scan", None, "enabled", "providers", consistent=True)],
    ),
]


@pytest.mark.parametrize(("call", "reads"), [each[1:] for each in READS], ids=[each[0] for each in READS])
def test_no_more_is_read_than_is_wanted(
    tables: Tables, call: Callable[[Tables], object], reads: list[Read]
) -> None:
    call(tables)
    assert tables.reads == reads


def test_a_logged_delivery_is_read_without_its_payload(tables: Tables) -> None:
    tables.deliveries.get_logged(["m"])
    ((operation, index, attributes, is_consistent),) = tables.reads
    assert (operation, index, is_consistent) == ("BatchGetItem", None, True)
    assert {"delivery_id", "attempts", "status"} <= attributes
    assert not {"payload", "candidate"} & attributes
