"""The books of the store in memory, and a few tasks through the whole simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.aws_cost import read_figures
from benchmarks.million.__main__ import DEFAULTS, TURNED, live, rows_of_life, rows_of_options, usage_of
from benchmarks.million.document import (
    BEGIN,
    BEGIN_OF_OPTIONS,
    DOCUMENT,
    DOCUMENT_OF_OPTIONS,
    END,
    END_OF_OPTIONS,
    SCENARIOS,
    SIZES,
    document,
    document_of_options,
)
from benchmarks.million.dynamodb import ATTEMPTS, WRITE_UNITS_MAX, Books, DynamoDB
from benchmarks.million.expressions import condition, updated
from benchmarks.million.simulation import LONGEST_S, Figures, Processor, Size, World, arriving
from benchmarks.report import RESULTS
from boto3.dynamodb.conditions import Attr, ConditionExpressionBuilder, Key
from botocore.exceptions import ClientError
from tests.support.template import table_definition

from tunehook.aws.items import to_attributes
from tunehook.aws.table import Appended, Increased, Table, ValueOf

COME_FOR_S = 30.0
LIVED_S = COME_FOR_S + LONGEST_S + 15.0

FIGURES = Figures(question_s=0.0003, light_s=0.0005, call_s=0.001, delivery_s=0.0002, byte_s=4e-9)


def holds(wanted: Any, item: dict[str, Any]) -> bool:
    built = ConditionExpressionBuilder().build_expression(wanted)
    return condition(built.condition_expression)(
        to_attributes(item),
        built.attribute_name_placeholders,
        to_attributes(built.attribute_value_placeholders),
    )


class TestExpressions:
    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (Attr("a").eq(1), True),
            (Attr("a").eq("1"), False),
            (Attr("b").eq(1), False),
            (Attr("a").ne(2) & Attr("b").not_exists(), True),
            (~Attr("a").exists() | Attr("a").between(0, 1), True),
            (Attr("a").lt(1) | (Attr("c").gte("x") & Attr("a").is_in([1, 5])), True),
            (Attr("a").lte(Attr("d")), False),
            (Attr("d").contains("ex"), True),
            (Attr("e").contains("x") & ~Attr("e").contains("z"), True),
            (Attr("b").contains("x"), False),
        ],
    )
    def test_a_condition_holds_as_dynamodb_has_it(self, wanted: Any, expected: bool) -> None:
        assert holds(wanted, {"a": 1, "c": "x", "d": "text", "e": ["x", "y"]}) is expected

    def test_what_is_not_known_is_refused(self) -> None:
        with pytest.raises(NotImplementedError):
            holds(Attr("a").size().eq(1), {"a": "x"})
        with pytest.raises(NotImplementedError):
            updated("ADD #a :a", {}, {"#a": "a"}, {":a": {"N": "1"}})


@pytest.fixture
def table() -> Table:
    definitions = {"TasksTable": table_definition("TasksTable")}
    return Table(DynamoDB(definitions, lambda *_: None, lambda: 0.0), "TasksTable")  # type: ignore[arg-type]


KEY = {"task_id": "task-1", "provider": "gw"}
PENDING = {"status": "pending", "queue": "work#0", "since_ms": 5}


class TestStore:
    def test_updates_conditions_and_indexes_are_what_the_gateways_of_tables_expect(
        self, table: Table
    ) -> None:
        assert table.create(KEY, KEY | PENDING).done
        assert not table.create(KEY, KEY).done
        write = table.update(KEY, set={"list": Appended([1]), "first": ValueOf("since_ms", 0)}, read=True)
        assert write.item == KEY | PENDING | {"list": [1], "first": 5}
        assert table.update(KEY, set={"first": Increased(2)}, read=True).item == write.item | {"first": 7}
        assert table.update(KEY, set={"first": 5}).done
        refused = table.update(KEY, set={"status": "x"}, condition=Attr("status").eq("completed"))
        assert not refused.done
        assert refused.item == write.item
        work = Key("queue").eq("work#0")
        assert [each["task_id"] for each in table.query(work & Key("since_ms").gte(5), index="work")] == [
            "task-1"
        ]
        assert not list(table.query(work & Key("since_ms").gte(6), index="work"))
        assert table.update(KEY, remove=["queue", "since_ms"]).done
        assert not list(table.query(work, index="work"))
        assert [each["status"] for each in table.get_many([KEY, KEY | {"provider": "other"}])] == ["pending"]

    def test_a_write_takes_units_of_its_item_and_of_each_index_that_changes(self) -> None:
        definitions = {"TasksTable": table_definition("TasksTable")}
        dynamodb = DynamoDB(definitions, lambda *_: None, lambda: 0.0)
        table = Table(dynamodb, "TasksTable")  # type: ignore[arg-type]
        table.create(KEY, KEY | PENDING | {"provider_object": "x" * 3_100})
        assert dynamodb.writes.busiest == {"TasksTable": (3 + 1, "task-1"), "TasksTable/work": (1, "work#0")}
        table.update(KEY, set={"listed": "tasks#1", "listed_at_ms": 1})
        assert dynamodb.writes.units == {"TasksTable": 8, "TasksTable/work": 1, "TasksTable/listed": 1}


class TestBooks:
    PLACE = ("TasksTable/work", "work#0")

    def test_a_full_partition_makes_a_write_wait_for_a_later_second(self) -> None:
        books = Books(WRITE_UNITS_MAX)
        for _ in range(WRITE_UNITS_MAX):
            assert books.take([(self.PLACE, 1.0)], 0.9) == 0
        assert books.take([(self.PLACE, 1.0)], 0.9) > 0
        assert books.throttled["TasksTable/work"] >= 1
        assert books.busiest["TasksTable/work"] == (WRITE_UNITS_MAX, "work#0")
        assert books.take([(("TasksTable/work", "work#1"), 1.0)], 0.9) == 0

    def test_one_that_stays_full_refuses_the_call_in_the_end(self) -> None:
        books = Books(1.0)
        for second in range(10):
            books.take([(self.PLACE, 1.0)], float(second))
        with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
            books.take([(self.PLACE, 1.0)], 0.0)
        assert books.throttled["TasksTable/work"] == ATTEMPTS
        assert books.given_up["TasksTable/work"] == 1


def test_a_processor_does_one_thing_after_the_other() -> None:
    half = Processor(0.5)
    assert half.use(1.0, 0.0) == 2.0
    assert half.use(1.0, 0.0) == 4.0
    assert half.use(1.0, 10.0) == 2.0
    assert half.used_s == 3.0


def lived(size: Size, **subscription: Any) -> World:
    """Return a world in which a few tasks came and ended."""
    world = World(size, FIGURES, subscription)

    async def run() -> None:
        world.start(world.live(arriving(world, lambda _: 0.4, COME_FOR_S, seed=1)))
        await asyncio.sleep(LIVED_S)

    world.run(run())
    return world


class TestSimulation:
    def test_each_task_is_told_once_by_the_code_of_all_four(self) -> None:
        world = lived(Size(shard_count=2), events=["task.completed", "task.progress"])
        assert world.told == world.told_of_progress == world.put > 1
        assert not world.untold
        assert not world.told_again
        assert not world.pending
        assert not world.waiting
        assert min(world.detection_s) >= 0
        assert max(world.told_s) < 15
        assert world.calls["fulfillment", "s3 PutObject"] >= 5 * world.told
        assert all(function.invocations for function in world.functions)
        assert not world.dynamodb.writes.throttled
        rows = {row.name: row.value for row in rows_of_life(DEFAULTS, world, LIVED_S)}
        assert 0 < rows["defaults: in use: poller's processor"] < 10
        usage = usage_of(world, LIVED_S)
        assert usage["s3_puts"] >= 5 * world.told
        assert usage["dynamodb_write_units"] > 20 * world.told

    def test_a_function_that_is_full_lets_messages_wait(self) -> None:
        world = live(Size(fulfillment_concurrency=0), FIGURES, rate=0.2, warm_s=10.0, measured_s=60.0)
        assert world.told == 0
        assert world.waiting > 0
        assert world.untold

    def test_what_the_code_does_not_expect_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: Any) -> Any:
            raise NotImplementedError("contains")

        monkeypatch.setattr("tunehook.aws.subscriptions.SubscriptionsTable.naming", refused)
        with pytest.raises(NotImplementedError, match="contains"):
            lived(Size())


def test_what_things_take_is_among_the_results_of_the_benchmarks() -> None:
    figures = Figures.measured()
    assert 0 < figures.light_s < figures.call_s
    assert 0 < figures.byte_s < figures.delivery_s


def test_what_a_limit_adds_is_a_write_for_its_slots_and_one_for_each_wait() -> None:
    rows = {row.name: row.value for row in rows_of_options(FIGURES, come_s=10.0, lived_s=150.0)}
    limit = "option: `max_per_second`"
    assert 0 < rows[f"{limit}, not reached: write units"] <= 1.2
    assert rows[f"{limit}, not reached: SQS requests"] == 0
    assert rows["option: `events` with `task.progress`: webhooks"] == 1
    assert rows["option: `events` with `task.progress`: dollars for 1,000 tasks"] > 0


@pytest.mark.parametrize(
    ("path", "made", "marks"),
    [
        (DOCUMENT, document, (BEGIN, END)),
        (DOCUMENT_OF_OPTIONS, document_of_options, (BEGIN_OF_OPTIONS, END_OF_OPTIONS)),
    ],
)
def test_the_document_is_what_the_results_make_of_it(
    path: Path, made: Callable[[str, Any], str], marks: tuple[str, str]
) -> None:
    figures = read_figures(RESULTS / "million.json")
    text = path.read_text(encoding="utf-8")
    assert text == made(text, figures), "python -m benchmarks.million --write"
    assert [text.count(mark) for mark in marks] == [1, 1]


def test_the_document_has_the_sizes_that_were_simulated() -> None:
    scenarios = (DEFAULTS, *TURNED)
    assert tuple(each.name for each in scenarios) == SCENARIOS
    assert list(SIZES.values()) == [
        tuple(str(getattr(each.size, name)) for each in scenarios)
        for name in ("shard_count", "fulfillment_concurrency", "webhooks_concurrency", "max_concurrency")
    ]
