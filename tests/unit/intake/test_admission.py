import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import BUS, Faulty, client, create_table, fault, items, put, stream_image
from tests.support.tasks import NOW_MS

from intake.admission import Intake
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import to_attributes
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy
from tunehook.ids import shard_of
from tunehook.tasks import TaskKey

# As documented, and not imported: a bound that moves is to be noticed.
LEASE_MS = 12_000
START_AGAIN_AFTER_MS = 10_000

SHARDS = 4
NEW: dict[str, Any] = {"task_id": "task-1", "provider": "suno"}


class Lambdas:
    """The Lambda service, as far as intake uses it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.invocations: list[dict[str, Any]] = []
        self._error = error

    def invoke(self, **invocation: Any) -> None:
        self.invocations.append(invocation)
        if self._error:
            raise self._error


class World:
    def __init__(self, lambdas: Lambdas | None = None, dynamodb: Any = None, events: Any = None) -> None:
        self.now_ms = NOW_MS
        self.lambdas = lambdas or Lambdas()
        dynamodb = dynamodb or client("dynamodb")
        self.leases = Leases(dynamodb, "PollerLeasesTable")
        self.intake = Intake(
            TasksTable(dynamodb, "TasksTable"),
            self.leases,
            lambda: EventBus(events or client("events"), BUS),
            StreamMarks(dynamodb, "ProviderStatesTable"),
            self.lambdas,  # type: ignore[arg-type]
            fulfillment=lambda: FulfillmentQueue(client("sqs"), "none"),
            stream="arn:of-the-stream",
            poller_function="the-poller",
            shard_count=SHARDS,
            policy=NetworkPolicy.PUBLIC,
            clock=lambda: self.now_ms,
        )

    def take_in(self, item: dict[str, Any], **now_there: Any) -> int | None:
        put("TasksTable", item | now_there)
        return self.intake.take_in(stream_image(item))


@pytest.fixture
def world(aws: None) -> World:
    create_table("TasksTable")
    create_table("PollerLeasesTable")
    return World()


def test_a_good_item_becomes_pending_in_the_shard_that_is_returned(world: World) -> None:
    shard = world.take_in(NEW)
    assert shard == shard_of("task-1", SHARDS)
    (item,) = items("TasksTable")
    assert (item["status"], item["queue"]) == ("pending", f"work#{shard}")
    assert item["deadline_ms"] == NOW_MS + 3_600_000


def test_a_bad_item_is_rejected_with_its_field_and_its_shard_gets_work(world: World) -> None:
    shard = world.take_in(NEW | {"timeout_s": 5})
    assert shard == shard_of("task-1", SHARDS)
    (item,) = items("TasksTable")
    assert item["status"] == "rejected"
    assert item["error"].startswith("timeout_s: ")
    assert item["queue"] == f"work#{shard}"


def test_an_item_that_is_cancelled_before_it_was_seen_is_not_taken_in(world: World) -> None:
    put("TasksTable", NEW)
    cancelled = world.intake.tasks.cancel(TaskKey("task-1", "suno"), NOW_MS)
    assert world.intake.take_in(stream_image(NEW)) is None
    assert items("TasksTable") == [cancelled.item]
    assert world.lambdas.invocations == []


def test_a_cancelled_item_that_is_put_again_is_a_new_run(world: World) -> None:
    world.take_in(NEW)
    cancelled = world.intake.tasks.cancel(TaskKey("task-1", "suno"), NOW_MS)
    put("TasksTable", NEW)
    images = {"OldImage": stream_image(cancelled.item or {}), "NewImage": stream_image(NEW)}
    assert world.intake.take_change(images) == shard_of("task-1", SHARDS)
    assert items("TasksTable")[0]["status"] == "pending"


def test_the_shard_is_known_before_it_gets_its_first_task(world: World) -> None:
    full = World(dynamodb=Faulty(client("dynamodb"), update_item=[None, fault()]))
    with pytest.raises(type(fault())):
        full.take_in(NEW)
    assert world.leases.shards() == {shard_of("task-1", SHARDS)}


def test_a_shard_is_made_known_once(world: World) -> None:
    dynamodb = Faulty(client("dynamodb"))
    counting = World(dynamodb=dynamodb)
    counting.take_in(NEW)
    counting.take_in(NEW)
    tables = [call["TableName"] for name, call in dynamodb.calls if name == "update_item"]
    assert tables == ["PollerLeasesTable", "TasksTable", "TasksTable"]


def test_a_private_hook_is_rejected(world: World) -> None:
    world.take_in(NEW | {"notify_hook": "http://127.0.0.1/"})
    assert items("TasksTable")[0]["error"].startswith("notify_hook: ")


@pytest.mark.parametrize("metadata", [{"a": {"x", "y"}}, {"a": b"x"}, {"a": {b"x"}}, {"k" * 300_000: b"x"}])
def test_metadata_of_any_kind_is_rejected_and_not_stuck(world: World, metadata: dict[str, Any]) -> None:
    world.take_in(NEW | {"metadata": metadata})
    (item,) = items("TasksTable")
    assert item["status"] == "rejected"
    assert item["error"].startswith("metadata.")


@pytest.mark.parametrize("ballast", [b"\xff" * 50_000, {b"x" * 50_000}, {"deep": [b"x" * 50_000]}])
def test_bytes_count_for_the_size_of_an_item(world: World, ballast: object) -> None:
    world.take_in(NEW | {"ballast": ballast})
    assert items("TasksTable")[0]["error"].startswith("item: is 50")


def test_a_number_of_126_digits_is_taken_in_like_any_other(world: World) -> None:
    image = stream_image(NEW) | {"metadata": {"M": {"large": {"N": "9" * 38 + "0" * 88}}}}
    put("TasksTable", NEW | {"metadata": {"large": Decimal("9" * 38 + "E+88")}})
    assert world.intake.take_in(image) is not None


def test_an_item_that_has_a_status_is_not_new(world: World) -> None:
    assert world.take_in(NEW | {"status": "completed"}) is None
    assert items("TasksTable") == [NEW | {"status": "completed"}]


@pytest.mark.parametrize("item", [NEW, NEW | {"timeout_s": 5}], ids=["good", "bad"])
def test_an_item_that_was_changed_meanwhile_is_left_to_its_own_record(
    world: World, item: dict[str, Any]
) -> None:
    world.take_in(item, timeout_s=900)
    assert items("TasksTable") == [NEW | {"timeout_s": 900}]


def test_the_same_record_twice_changes_nothing_and_wakes_the_poller_twice(world: World) -> None:
    shard = world.take_in(NEW)
    before = items("TasksTable")
    world.now_ms += 1
    # Whoever took it in may have died before it woke the poller.
    assert shard is not None
    assert world.intake.take_in(stream_image(NEW)) == shard
    assert items("TasksTable") == before


def test_the_record_of_a_task_that_is_through_wakes_nobody(world: World) -> None:
    world.take_in(NEW)
    client("dynamodb").update_item(
        TableName="TasksTable",
        Key=to_attributes({"task_id": NEW["task_id"], "provider": NEW["provider"]}),
        UpdateExpression="REMOVE queue, since_ms",
    )
    assert world.intake.take_in(stream_image(NEW)) is None


def test_a_fault_of_the_table_is_raised_so_that_the_record_comes_again(world: World) -> None:
    faulty = World(dynamodb=Faulty(client("dynamodb"), update_item=[fault()]))
    with pytest.raises(type(fault())):
        faulty.take_in(NEW)


def test_a_poller_is_started_for_the_shard_without_waiting_for_it(world: World) -> None:
    world.intake.wake_poller(3)
    (invocation,) = world.lambdas.invocations
    assert (invocation["FunctionName"], invocation["InvocationType"]) == ("the-poller", "Event")
    assert json.loads(invocation["Payload"]) == {"started_by": "intake", "shard": 3}


def test_no_poller_is_started_while_one_runs(world: World) -> None:
    world.leases.take_over(3, "someone", NOW_MS - LEASE_MS + 1)
    world.intake.wake_poller(3)
    assert world.lambdas.invocations == []


def test_a_poller_of_another_shard_does_not_count(world: World) -> None:
    world.leases.take_over(2, "someone", NOW_MS)
    world.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 1


def test_a_lease_that_has_run_out_does_not_count(world: World) -> None:
    world.leases.take_over(3, "someone", NOW_MS - LEASE_MS)
    world.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 1


def test_a_start_that_fails_is_no_failure(world: World) -> None:
    throttled = Lambdas(fault("TooManyRequestsException", "Invoke"))
    World(lambdas=throttled).intake.wake_poller(3)
    assert len(throttled.invocations) == 1


def test_all_intakes_together_start_one_poller_in_ten_seconds(world: World) -> None:
    worlds = [World(lambdas=world.lambdas) for _ in range(5)]
    for moment_ms in range(NOW_MS, NOW_MS + START_AGAIN_AFTER_MS, 1_000):
        for each in worlds:
            each.now_ms = moment_ms
            each.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 1
    world.now_ms += START_AGAIN_AFTER_MS
    world.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 2


def test_a_poller_is_started_at_once_where_the_one_before_has_had_the_lease_and_let_it_go(
    world: World,
) -> None:
    world.intake.wake_poller(3)
    assert world.leases.take_if_free(3, "started", NOW_MS + 300)
    world.leases.give_up(3, "started", NOW_MS + 2_000)
    world.now_ms += 2_500
    world.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 2


def test_a_start_that_fails_keeps_nobody_from_the_next(world: World) -> None:
    throttled = Lambdas(fault("TooManyRequestsException", "Invoke"))
    World(lambdas=throttled).intake.wake_poller(3)
    world.intake.wake_poller(3)
    assert len(world.lambdas.invocations) == 1


def test_a_claim_of_the_start_whose_answer_is_lost_is_ones_own(world: World) -> None:
    class Repeating:
        """A client that makes each update a second time, as boto3 does when an answer is lost."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client("dynamodb"), name)

        def update_item(self, **request: Any) -> Any:
            client("dynamodb").update_item(**request)
            return client("dynamodb").update_item(**request)

    repeated = World(dynamodb=Repeating())
    repeated.intake.wake_poller(3)
    assert len(repeated.lambdas.invocations) == 1


@pytest.mark.parametrize("fails_at", [0, 1], ids=["claimed", "undone"])
def test_a_start_that_cannot_be_noted_is_no_failure(world: World, fails_at: int) -> None:
    lambdas = Lambdas(fault("TooManyRequestsException", "Invoke"))
    faulty = Faulty(client("dynamodb"), update_item=[*[None] * fails_at, fault()])
    World(dynamodb=faulty, lambdas=lambdas).intake.wake_poller(3)
    assert len(lambdas.invocations) == fails_at


def test_a_lease_that_cannot_be_read_is_no_failure(world: World) -> None:
    dynamodb = Faulty(client("dynamodb"), get_item=[fault(operation="GetItem")])
    faulty = World(dynamodb=dynamodb)
    faulty.intake.wake_poller(3)
    assert faulty.lambdas.invocations == []
    # Nor is a start undone that was not begun.
    assert [name for name, _ in dynamodb.calls] == ["get_item"]


def test_an_item_that_not_even_a_rejection_fits_on_does_not_hold_up_others(world: World) -> None:
    message = "Item size to update has exceeded the maximum allowed size"
    refusal = ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "UpdateItem")
    full = World(dynamodb=Faulty(client("dynamodb"), update_item=[None, refusal]))
    assert full.take_in(NEW | {"timeout_s": 1}) is None
