"""A task is told of when its files are settled or its receivers have waited long enough, whichever comes first."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items, put
from tests.support.media import MP3
from tests.support.tasks import NOW_MS, clip, completed
from tests.support.virtual import Clock
from tests.unit.fulfillment.test_deaths import SERVICES, Killed, Life, Mortal, was_killed
from tests.unit.fulfillment.test_recovery import recover
from tests.unit.fulfillment.world import FAILED, HOOK, World, keys, manifest, subscribe

from fulfillment.retry_policy import RetryLater
from tunehook.events import TaskEnded, archived_event_id
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Status

DETECTED_MS = NOW_MS + 60_000
DUE_MS = DETECTED_MS + 60_000
MISSING = "/clip-2.mp3"
HOOK_ID = notify_hook_subscription_id(HOOK)
ARCHIVED = "task.archived"


@pytest.fixture
def world(bucket: str, http: Callable[..., Any]) -> World:
    world = World(http)
    world.now_ms = DETECTED_MS + 1_000
    world.refused = {MISSING}
    return world


async def look(world: World, event: TaskEnded, at_ms: int, **options: Any) -> int | None:
    """Look at a task whose files were asked for first a second after its end; return when to look again."""
    world.now_ms = at_ms
    try:
        await world.fulfill(event, since_ms=DETECTED_MS + 1_000, **options)
    except RetryLater as again:
        return again.after_s
    return None


async def pend(world: World, event: TaskEnded) -> None:
    """Let a task be told of without its last file."""
    assert await look(world, event, DETECTED_MS + 1_000) is not None
    assert await look(world, event, DUE_MS) is not None


async def settle(world: World, event: TaskEnded, at_ms: int = DUE_MS + 30_000) -> None:
    world.refused.clear()
    assert await look(world, event, at_ms) is None


class TestWhen:
    async def test_what_is_settled_in_time_is_told_once(self, world: World) -> None:
        subscribe("sub")
        await settle(world, world.end(notify_hook=HOOK), DETECTED_MS + 1_000)
        assert world.told() == {"sub": "complete", HOOK_ID: "complete"}
        assert world.told(ARCHIVED) == {}

    async def test_files_are_waited_for_until_the_receivers_are_due(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        assert await look(world, event, DUE_MS - 1_500) == 1
        assert world.told() == {}

    @pytest.mark.parametrize(("early_ms", "after_s"), [(59_000, 10), (40_000, 10), (8_700, 8), (2_000, 2)])
    async def test_the_next_look_is_not_later_than_that(
        self, world: World, early_ms: int, after_s: int
    ) -> None:
        assert await look(world, world.end(), DUE_MS - early_ms) == after_s

    async def test_then_they_are_told_without_what_is_missing(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        await pend(world, event)
        assert world.told() == {"sub": "pending"}
        assert world.deliveries()["sub"]["created_at_ms"] == DUE_MS
        assert (world.archived(), "archived_at_ms" in world.item()) == ([], False)
        assert [message["attempt"] for message in world.messages()] == [1]

    async def test_who_is_due_within_a_second_is_told_by_the_same_look(self, world: World) -> None:
        subscribe("sub")
        assert await look(world, world.end(), DUE_MS - 50) is not None
        assert world.told() == {"sub": "pending"}

    async def test_whatever_is_known_then_is_told(self, world: World) -> None:
        subscribe("sub", format="cloudevents")
        world.gone = {"/clip-1.jpeg"}
        await pend(world, world.end())
        told = json.loads(world.deliveries()["sub"]["payload"])
        first, second = (
            {
                each["type"]: {key: each.get(key) for key in ("status", "source_url", "reason")}
                for each in clip
            }
            for clip in (each["assets"] for each in told["clips"])
        )
        assert first["audio"] == {"status": "archived", "source_url": None, "reason": None}
        assert first["cover"] == {"status": "unavailable", "source_url": None, "reason": "HTTP 410"}
        assert second["audio"] == {
            "status": "pending",
            "source_url": "https://cdn.example.com/clip-2.mp3",
            "reason": "the file is of no known type: it is text, such as a web page",
        }

    async def test_without_patience_they_are_told_at_once(self, world: World) -> None:
        subscribe("sub")
        world.patience_s = 0
        assert await look(world, world.end(), DETECTED_MS + 1_000) is not None
        assert world.told() == {"sub": "pending"}

    async def test_with_all_patience_they_are_told_at_the_end(self, world: World) -> None:
        subscribe("sub")
        world.patience_s = 600
        event = world.end()
        await pend(world, event)
        assert world.told() == {}
        assert await look(world, event, DETECTED_MS + 595_000) is None
        assert world.told() == {"sub": "partial"}
        assert world.told(ARCHIVED) == {}

    async def test_a_first_look_that_comes_late_has_a_moment_for_the_files(self, world: World) -> None:
        subscribe("sub")
        world.now_ms = DUE_MS + 900_000
        world.refused.clear()
        await world.fulfill(world.end(), since_ms=world.now_ms)
        assert (world.told(), world.told(ARCHIVED)) == ({"sub": "complete"}, {})

    async def test_a_failed_task_with_clips_is_told_the_same_way(self, world: World) -> None:
        subscribe("sub")
        event = world.end(completed(status=Status.FAILED, failure=FAILED.failure))
        await pend(world, event)
        assert (world.told("task.failed"), world.told(ARCHIVED)) == ({"sub": "pending"}, {})
        await settle(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete"}

    async def test_a_task_without_files_is_told_at_once(self, world: World) -> None:
        subscribe("sub")
        await settle(world, world.end(FAILED), DETECTED_MS + 1_000)
        assert (world.told("task.failed"), world.told(ARCHIVED)) == ({"sub": "empty"}, {})

    async def test_trouble_with_a_file_of_ours_does_not_keep_the_receivers_waiting(
        self, world: World
    ) -> None:
        subscribe("sub")
        event = world.end()

        class Full:
            """An S3 that takes no files."""

            def __getattr__(self, name: str) -> Any:
                return getattr(client("s3"), name)

            def put_object(self, Key: str, **options: Any) -> Any:  # noqa: N803 - boto3's name
                if Key.startswith("results/"):
                    raise fault("SlowDown", "PutObject")
                return client("s3").put_object(Key=Key, **options)

        with pytest.raises(ExceptionGroup):
            await look(world, event, DUE_MS, clients={"s3": Full()})
        assert world.told() == {"sub": "pending"}

    async def test_those_who_could_not_be_told_are_told_by_the_next_look(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        broken = Faulty(client("sqs"), send_message_batch=[fault(operation="SendMessageBatch")])
        with pytest.raises(ExceptionGroup):
            await look(world, event, DUE_MS, clients={"sqs": broken})
        assert world.messages() == []
        await look(world, event, DUE_MS + 10_000)
        assert [message["attempt"] for message in world.messages()] == [1]


def test_they_are_told_in_the_middle_of_a_long_download(bucket: str) -> None:
    clock = Clock(DETECTED_MS + 1_000)

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(100 if request.url.path == MISSING else 0)
        return httpx.Response(200, stream=httpx.ByteStream(MP3))

    world = World(lambda _: httpx.AsyncClient(transport=httpx.MockTransport(slow)))
    world.clock = clock
    subscribe("sub")
    clips = (clip("clip-1", cover_url=None), clip("clip-2", cover_url=None))
    clock.run(world.fulfill(world.end(completed(clips=clips)), since_ms=clock()))
    (first, then) = (world.deliveries()["sub"], world.deliveries(ARCHIVED)["sub"])
    assert (world.told(), first["created_at_ms"]) == ({"sub": "pending"}, DUE_MS)
    assert (world.told(ARCHIVED), then["created_at_ms"]) == (
        {"sub": "complete"},
        DETECTED_MS + 101_000,
    )


class TestArchived:
    async def test_whoever_was_told_pending_is_told_when_the_rest_is_settled(self, world: World) -> None:
        subscribe("sub", events=["task.completed"])
        event = world.end(notify_hook=HOOK)
        await pend(world, event)
        world.messages()
        await settle(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete", HOOK_ID: "complete"}
        assert world.told() == {"sub": "pending", HOOK_ID: "pending"}
        assert world.deliveries(ARCHIVED)[HOOK_ID]["url"] == HOOK
        # One message each, and none for what was told before.
        sent = [message["delivery_id"] for message in world.messages()]
        assert sorted(sent) == sorted(each["delivery_id"] for each in world.deliveries(ARCHIVED).values())

    async def test_that_event_has_an_id_of_its_own_which_is_that_on_the_bus(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        await pend(world, event)
        await settle(world, event)
        (on_bus,) = world.archived()
        told = world.deliveries(ARCHIVED)["sub"]
        assert told["event_id"] == on_bus["event_id"] == archived_event_id(event.event_id) != event.event_id
        assert told["event_at_ms"] == world.item()["archived_at_ms"] == world.now_ms
        assert told["delivery_id"] != world.deliveries()["sub"]["delivery_id"]
        payload = json.loads(told["payload"])
        assert (payload["task_id"], payload["status"]) == ("task-1", "completed")
        assert {each["status"] for clip in payload["clips"] for each in clip["assets"]} == {"archived"}

    async def test_what_never_came_is_settled_after_ten_minutes(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        await pend(world, event)
        assert await look(world, event, DETECTED_MS + 1_000 + 570_000) is None
        assert world.told(ARCHIVED) == {"sub": "partial"}

    async def test_whoever_was_told_with_all_files_is_not_told_again(self, world: World) -> None:
        subscribe("early")
        event = world.end()
        await pend(world, event)
        subscribe("late")
        await settle(world, event)
        assert world.told() == {"early": "pending", "late": "complete"}
        assert world.told(ARCHIVED) == {"early": "complete"}

    async def test_whoever_names_it_is_told_of_every_task(self, world: World) -> None:
        subscribe("archived", events=[ARCHIVED])
        subscribe("both", events=["task.completed", ARCHIVED])
        subscribe("elsewhere", events=[ARCHIVED], providers=["musicmint"])
        await settle(world, world.end(), DETECTED_MS + 1_000)
        assert world.told() == {"both": "complete"}
        assert world.told(ARCHIVED) == {"archived": "complete", "both": "complete"}

    async def test_whoever_names_it_and_was_told_pending_is_told_once(self, world: World) -> None:
        subscribe("both", events=["task.completed", ARCHIVED])
        event = world.end()
        await pend(world, event)
        await settle(world, event)
        assert world.told(ARCHIVED) == {"both": "complete"}
        assert len(items("DeliveriesTable")) == 2

    async def test_the_providers_own_format_has_no_words_for_it(self, world: World) -> None:
        subscribe("provider", format="provider")
        subscribe("named", format="provider", events=["task.completed", ARCHIVED])
        event = world.end(notify_hook=HOOK, notify_format="provider")
        await pend(world, event)
        await settle(world, event)
        assert set(world.deliveries()) == {"provider", "named", HOOK_ID}
        assert world.deliveries(ARCHIVED) == {}

    async def test_a_subscription_that_was_changed_meanwhile_is_told_all_the_same(self, world: World) -> None:
        subscribe("sub", "gone")
        event = world.end()
        await pend(world, event)
        subscribe("sub", events=["task.failed"])
        client("dynamodb").delete_item(TableName="SubscriptionsTable", Key={"subscription_id": {"S": "gone"}})
        await settle(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete", "gone": "complete"}

    async def test_a_delivery_that_was_deleted_by_hand_meanwhile_stops_nobody(self, world: World) -> None:
        subscribe("sub", "gone")
        event = world.end()
        await pend(world, event)
        deleted = {"delivery_id": {"S": world.deliveries()["gone"]["delivery_id"]}}
        client("dynamodb").delete_item(TableName="DeliveriesTable", Key=deleted)
        client("dynamodb").delete_item(TableName="SubscriptionsTable", Key={"subscription_id": {"S": "gone"}})
        await settle(world, event)
        assert world.told() == {"sub": "pending"}
        assert world.told(ARCHIVED) == {"sub": "complete"}

    async def test_a_task_that_was_put_again_meanwhile_owes_its_old_run_nothing_less(
        self, world: World
    ) -> None:
        subscribe("sub")
        event = world.end(notify_hook=HOOK)
        await pend(world, event)
        put("TasksTable", {"task_id": "task-1", "provider": "suno"})
        await settle(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete", HOOK_ID: "complete"}

    async def test_the_receivers_of_a_run_whose_place_a_later_one_took_are_told(self, world: World) -> None:
        subscribe("sub")
        old = world.end()
        await pend(world, old)
        world.refused.clear()
        later = completed(detected_at_ms=DUE_MS + 5_000, clips=(clip("clip-1"),))
        await world.fulfill(world.end(later, now_ms=NOW_MS + 70_000))
        await settle(world, old)
        told = {each["event_id"]: json.loads(each["payload"])["archive"] for each in items("DeliveriesTable")}
        assert told[archived_event_id(old.event_id)] == "partial"

    async def test_a_record_that_was_changed_by_hand_stops_nobody(self, world: World) -> None:
        subscribe("sub", "other")
        event = world.end()
        await pend(world, event)
        put("DeliveriesTable", world.deliveries()["other"] | {"payload": "[{"})
        await settle(world, event)
        assert set(world.deliveries(ARCHIVED)) == {"sub"}

    async def test_what_lies_in_the_notices_place_and_is_none_is_replaced(self, world: World) -> None:
        subscribe("sub")
        event = world.end()
        key = f"notices/{event.event_id}.json"
        client("s3").put_object(Bucket="results", Key=key, Body=b"<html>")
        await pend(world, event)
        await settle(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete"}

    async def test_what_was_never_made_is_recovered_for_who_was_told_that_files_are_pending(
        self, world: World
    ) -> None:
        subscribe("sub")
        event = world.end()
        await pend(world, event)
        await settle(world, event)
        lost = world.deliveries(ARCHIVED)["sub"]["delivery_id"]
        client("dynamodb").delete_item(TableName="DeliveriesTable", Key={"delivery_id": {"S": lost}})
        await recover(world, event)
        assert world.told(ARCHIVED) == {"sub": "complete"}

    async def test_to_do_it_again_changes_nothing(self, world: World) -> None:
        subscribe("sub", "named", events=["task.completed", ARCHIVED])
        event = world.end(notify_hook=HOOK)
        await pend(world, event)
        await settle(world, event)
        before = (items("DeliveriesTable"), world.item(), manifest())
        await look(world, event, DUE_MS + 60_000)
        assert (items("DeliveriesTable"), world.item(), manifest()) == before


class Writer(Mortal):
    """A client of which only the calls that change something are part of a life."""

    def __getattr__(self, name: str) -> Any:
        return (
            getattr(self._real, name)
            if name.startswith(("get", "head", "scan"))
            else super().__getattr__(name)
        )


class Prompt:
    """A task of which one file comes after its receivers were told; lives may end at any call of any look."""

    LOOKS_MS = (DETECTED_MS + 1_000, DUE_MS, DUE_MS + 30_000)

    def __init__(self, world: World) -> None:
        self.world = world
        subscribe("one")
        subscribe("named", events=["task.completed", ARCHIVED])
        subscribe("provider", format="provider")
        clips = (clip("clip-1", cover_url=None), clip("clip-2", cover_url=None))
        self.event = world.end(completed(clips=clips), notify_hook=HOOK)

    def live(self, at_ms: int, *lives: Life) -> None:
        """Let lives look at the task at the same time."""
        self.world.now_ms = at_ms
        self.world.refused = {MISSING} if at_ms <= DUE_MS else set()

        async def work() -> None:
            outcomes = await asyncio.gather(*map(self._live, lives), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None and not isinstance(outcome, RetryLater):
                    raise outcome

        Clock(at_ms).run(work())

    async def _live(self, life: Life) -> None:
        clients: dict[str, Any] = {name: Writer(client(name), life) for name in SERVICES if name != "http"}
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.world.answer)) as http:
            await self.world.fulfill(self.event, since_ms=self.LOOKS_MS[0], clients=clients | {"http": http})

    def told(self) -> list[tuple[str, str, str]]:
        return sorted(
            (each["subscription_id"], each["type"], json.loads(each["payload"]).get("archive", ""))
            for each in items("DeliveriesTable")
        )

    def messages(self) -> set[str]:
        return {message["delivery_id"] for message in self.world.messages()}

    def wipe(self) -> None:
        for key in keys():
            client("s3").delete_object(Bucket="results", Key=key)
        for each in items("DeliveriesTable"):
            client("dynamodb").delete_item(
                TableName="DeliveriesTable", Key={"delivery_id": {"S": each["delivery_id"]}}
            )
        client("dynamodb").update_item(
            TableName="TasksTable",
            Key={"task_id": {"S": "task-1"}, "provider": {"S": "suno"}},
            UpdateExpression="REMOVE assets, archived_at_ms",
        )
        self.messages()
        self.world.archived()


FIRST = [(each, "task.completed", "pending") for each in (HOOK_ID, "named", "one")]
EXPECTED = sorted(
    [*FIRST, ("provider", "task.completed", "")]
    + [(each, ARCHIVED, "complete") for each in (HOOK_ID, "named", "one")]
)


@pytest.fixture
def prompt(bucket: str) -> Prompt:
    return Prompt(World(lambda _: httpx.AsyncClient()))


def expect(prompt: Prompt, remark: object = None) -> None:
    assert prompt.told() == EXPECTED, remark
    assert prompt.messages() == {each["delivery_id"] for each in items("DeliveriesTable")}, remark
    assert len({each["event_id"] for each in prompt.world.archived()}) == 1, remark


@pytest.mark.parametrize("number", [1, 2])
def test_wherever_a_look_dies_everybody_is_told_the_same(prompt: Prompt, number: int) -> None:
    def live_until(last: int | None) -> Life:
        prompt.wipe()
        for at_ms in prompt.LOOKS_MS[:number]:
            prompt.live(at_ms, Life())
        life = Life(last, after=True)
        prompt.live(prompt.LOOKS_MS[number], life)
        return life

    calls = live_until(None).calls
    assert calls > 6
    for last in range(calls):
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - within a group or by itself
            live_until(last)
        assert was_killed(caught.value)
        for at_ms in prompt.LOOKS_MS[number:]:
            prompt.live(at_ms, Life())
        expect(prompt, f"died after write {last} of look {number}")


def test_two_at_once_tell_everybody_the_same(prompt: Prompt) -> None:
    for at_ms in prompt.LOOKS_MS:
        prompt.live(at_ms, Life(), Life())
    expect(prompt)


def test_a_look_that_is_late_beside_one_that_settles_tells_nobody_otherwise(prompt: Prompt) -> None:
    """Each receiver is told without the file or with it; the former are told the rest, and nobody else is."""
    world = prompt.world
    prompt.live(prompt.LOOKS_MS[0], Life())

    class Halted(Life):
        """Ends for good before it has made its last record."""

        def call(self, work: Callable[[], Any]) -> Any:
            if len(items("DeliveriesTable")) == 2:
                raise Killed
            return super().call(work)

    with pytest.raises(BaseException):  # noqa: B017, PT011 - within a group or by itself
        prompt.live(DUE_MS, Halted())
    half = prompt.told()
    assert len(half) == 2
    prompt.live(DUE_MS + 30_000, Life())
    told = prompt.told()
    pending = {name for name, _, archive in told if archive == "pending"}
    assert {name for name, kind, _ in told if kind == ARCHIVED} == pending | {"named"}
    assert {name for name, kind, _ in told if kind != ARCHIVED} == {HOOK_ID, "named", "one", "provider"}
    assert world.messages()


class TestFilters:
    """A filter looks at the data as they are when the webhook is made; the rest follows what it has let through."""

    async def test_what_it_excludes_is_told_of_neither_the_end_nor_the_files(self, world: World) -> None:
        subscribe("others", filter={"metadata": {"order": [8]}}, events={"task.completed", ARCHIVED})
        subscribe("sub", filter={"metadata": {"order": [7]}}, events={"task.completed", ARCHIVED})
        event = world.end()
        await pend(world, event)
        await settle(world, event)
        assert world.told() == {"sub": "pending"}
        assert set(world.told(ARCHIVED)) == {"sub"}

    async def test_who_asks_for_complete_files_is_told_of_the_end_once_they_are(self, world: World) -> None:
        subscribe("sub", filter={"archive": ["complete"]})
        event = world.end()
        await pend(world, event)
        assert world.told() == {}
        await settle(world, event)
        assert world.told() == {"sub": "complete"}
        assert world.told(ARCHIVED) == {}

    async def test_who_was_told_as_files_were_pending_is_told_of_them_whatever_is_asked(
        self, world: World
    ) -> None:
        subscribe("sub", filter={"archive": ["pending"]})
        event = world.end()
        await pend(world, event)
        await settle(world, event)
        assert world.told() == {"sub": "pending"}
        assert set(world.told(ARCHIVED)) == {"sub"}

    async def test_a_message_that_was_not_sent_then_is_sent_although_nothing_is_pending_any_more(
        self, world: World
    ) -> None:
        subscribe("sub", filter={"archive": ["pending"]})
        event = world.end()
        assert await look(world, event, DETECTED_MS + 1_000) is not None
        sqs = Faulty(client("sqs"), send_message_batch=[fault("ServiceUnavailable")])
        with pytest.raises(ExceptionGroup):
            await look(world, event, DUE_MS, clients={"sqs": sqs})
        (made,) = world.deliveries().values()
        assert world.messages() == []
        await settle(world, event)
        assert made["delivery_id"] in [each["delivery_id"] for each in world.messages()]
