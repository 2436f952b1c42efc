import bisect
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, fault, items, put
from tests.support.media import JPEG, MP3
from tests.support.tasks import KEY, NOW_MS, clip, completed
from tests.unit.fulfillment.world import (
    BUCKET,
    FAILED,
    HOOK,
    MANIFEST,
    World,
    keys,
    manifest,
    subscribe,
)

from fulfillment.retry_policy import RetryLater
from tunehook.errors import Unavailable
from tunehook.tasks import Status, TaskEnd


@pytest.fixture
def world(bucket: str, http: Callable[..., Any]) -> World:
    return World(http)


async def test_every_file_of_a_completed_task_is_kept_with_a_manifest(world: World) -> None:
    await world.fulfill(world.end())
    assert keys() == [
        "results/suno/task-1/clip-1/audio.mp3",
        "results/suno/task-1/clip-1/cover.jpg",
        "results/suno/task-1/clip-2/audio.mp3",
        "results/suno/task-1/clip-2/cover.jpg",
        MANIFEST,
    ]
    assert len(manifest()["assets"]) == 4
    assert manifest()["provider_object"] == {"task_id": "task-1", "status": "SUCCESS"}


async def test_a_first_try_lists_nothing_and_finds_what_lies_there(world: World) -> None:
    s3 = Faulty(client("s3"), get_paginator=[fault("AccessDenied", "ListObjectsV2")])
    event = world.end()
    await world.fulfill(event, clients={"s3": s3}, is_first=True)
    await world.fulfill(event, is_first=True)
    assert len(world.downloads) == 4
    client("s3").delete_object(Bucket=BUCKET, Key=MANIFEST)
    await world.fulfill(event, clients={"s3": s3}, is_first=True)
    assert [asset["status"] for asset in manifest()["assets"]] == ["archived"] * 4


async def test_lyrics_are_kept_whole_and_told_of(world: World) -> None:
    text = "[Verse]\n" + "la " * 10
    lyrics = clip("lyrics-1", prompt=None, audio_url=None, cover_url=None, text=text)
    subscribe("sub")
    await world.fulfill(world.end(completed(clips=(lyrics,))))
    assert keys() == ["results/suno/task-1/lyrics-1/lyrics.txt", MANIFEST]
    assert manifest()["clips"][0]["text"] == text
    (told,) = json.loads(world.deliveries()["sub"]["payload"])["clips"]
    assert (told["text"], told["assets"][0]["type"]) == (text, "lyrics")


async def test_outputs_are_kept_and_told_of_even_where_the_task_failed(world: World) -> None:
    bare = {"audio_url": None, "cover_url": None, "is_output": True}
    outputs = (
        clip("out-1", image_url="https://cdn.example.com/1.jpeg", **bare),
        clip("out-2", file_url="https://cdn.example.com/2.jpeg", **bare),
        clip("out-3", video_url="https://cdn.example.com/3", **bare),
        clip("out-4", file_url="https://cdn.example.com/page", **bare),
        clip("out-5", **bare),
    )
    world.refused.add("/page")
    subscribe("sub")
    event = world.end(replace(FAILED, clips=outputs))
    with pytest.raises(RetryLater):
        await world.fulfill(event)
    world.now_ms += 3_600_000
    await world.fulfill(event, since_ms=NOW_MS)
    assert [key for key in keys() if key.startswith("results/")] == [
        MANIFEST,
        "results/suno/task-1/out-1/image.jpg",
        "results/suno/task-1/out-2/file.jpg",
        "results/suno/task-1/out-3/video.mp3",
    ]
    (told,) = world.archived()
    assert (told["archive"], world.told("task.archived")) == ("partial", {"sub": "partial"})
    assert [(each["type"], each.get("remark"), each.get("reason")) for each in manifest()["assets"]] == [
        ("image", None, None),
        ("file", None, None),
        ("video", "unexpected", None),
        ("file", None, "the file is a web page (HTML)"),
    ]
    assert [clip["is_output"] for clip in manifest()["clips"]] == [True] * 5


async def test_an_output_that_lost_all_it_had_is_no_text(world: World) -> None:
    end = completed(clips=(clip("out-1", audio_url=None, cover_url=None, is_output=True),), truncated=True)
    await world.fulfill(world.end(end))
    assert manifest()["assets"] == []


async def test_lyrics_that_are_too_long_for_the_event_are_whole_in_the_manifest(world: World) -> None:
    texts = ["詞" * 25_000, "歌" * 25_000, "曲" * 25_000]
    clips = [
        clip(f"lyrics-{number}", prompt=None, audio_url=None, cover_url=None, text=text)
        for number, text in enumerate(texts)
    ]
    event = world.end(completed(clips=tuple(clips)))
    assert [each.text for each in event.clips] == [None] * 3
    await world.fulfill(event)
    assert [each["text"] for each in manifest()["clips"]] == texts
    (text, *_) = [client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys()]
    assert text == texts[0]


async def test_a_text_that_event_and_item_lack_is_told_as_unavailable(world: World) -> None:
    clips = [
        clip(f"lyrics-{number}", prompt=None, audio_url=None, cover_url=None, text="詞" * 25_000)
        for number in range(3)
    ]
    event = world.end(completed(clips=tuple(clips)))
    put("TasksTable", world.item() | {"clips": []})
    await world.fulfill(event)
    assert [(each["type"], each["status"]) for each in manifest()["assets"]] == [
        ("lyrics", "unavailable")
    ] * 3


@pytest.mark.parametrize("name", ["clips", "assets", "provider_object"])
@pytest.mark.parametrize("value", ["{", "[1]", 5, None, [1, {"clip_id": 3}], {"a": 1}])
async def test_an_item_that_was_changed_by_hand_stops_no_webhook(world: World, name: str, value: Any) -> None:
    subscribe("sub")
    event = world.end()
    put("TasksTable", world.item() | {name: value})
    await world.fulfill(event)
    assert len(manifest()["assets"]) == 4
    assert set(world.deliveries()) == {"sub"}


async def test_the_item_says_what_is_kept_and_since_when(world: World) -> None:
    await world.fulfill(world.end())
    assert [asset["status"] for asset in world.item()["assets"]] == ["archived"] * 4
    assert world.item()["archived_at_ms"] == world.now_ms


async def test_taskarchived_tells_where_everything_is(world: World) -> None:
    event = world.end()
    await world.fulfill(event)
    (archived,) = world.archived()
    assert (archived["archive"], len(archived["assets"])) == ("complete", 4)
    assert archived["task_event_id"] == event.event_id
    assert archived["manifest"] == {"bucket": BUCKET, "key": MANIFEST}
    assert archived["archived_at"] == "2027-01-15T08:01:30.000Z"


async def test_a_file_that_cannot_be_had_makes_the_archive_partial(world: World) -> None:
    world.refused = {"/clip-2.mp3"}
    event = world.end()
    await world.fulfill(event, since_ms=world.now_ms - 600_000)
    (archived,) = world.archived()
    assert archived["archive"] == "partial"
    assert [asset["status"] for asset in archived["assets"]].count("unavailable") == 1
    assert "results/suno/task-1/clip-2/audio.mp3" not in keys()
    assert world.item()["status"] == "completed"


class TestWaiting:
    async def test_files_that_may_come_are_waited_for_before_anybody_is_told(self, world: World) -> None:
        subscribe("sub")
        world.refused = {"/clip-2.mp3"}
        with pytest.raises(RetryLater) as caught:
            await world.fulfill(world.end())
        assert caught.value.after_s == 10
        assert (world.archived(), world.deliveries(), MANIFEST in keys()) == ([], {}, False)
        (missing,) = (each for each in world.item()["assets"] if each["status"] != "archived")
        assert missing == {
            "clip_id": "clip-2",
            "type": "audio",
            "status": "pending",
            "source_url": "https://cdn.example.com/clip-2.mp3",
            "reason": "the file is of no known type: it is text, such as a web page",
        }
        assert "archived_at_ms" not in world.item()

    async def test_only_what_is_missing_is_asked_for_again(self, world: World) -> None:
        subscribe("sub")
        world.refused = {"/clip-2.mp3"}
        event = world.end()
        with pytest.raises(RetryLater):
            await world.fulfill(event)
        world.refused.clear()
        world.downloads.clear()
        await world.fulfill(event, since_ms=world.now_ms - 30_000)
        assert world.downloads == ["https://cdn.example.com/clip-2.mp3"]
        assert world.archived()[0]["archive"] == "complete"
        assert list(world.deliveries()) == ["sub"]

    async def test_what_was_refused_for_good_is_not_asked_for_again(self, world: World) -> None:
        clips = (clip(cover_url=None), clip("clip-2", cover_url=None))
        world.gone = {"/clip-2.mp3"}
        world.refused = {"/clip-1.mp3"}
        event = world.end(completed(clips=clips))
        with pytest.raises(RetryLater):
            await world.fulfill(event)
        assert {each["clip_id"]: each["status"] for each in world.item()["assets"]} == {
            "clip-1": "pending",
            "clip-2": "unavailable",
        }
        world.refused.clear()
        world.gone.clear()
        await world.fulfill(event)
        assert [asset["status"] for asset in manifest()["assets"]] == ["archived", "unavailable"]

    @pytest.mark.parametrize(
        ("elapsed_s", "comes_again"), [(0, True), (560, True), (570, False), (9999, False)]
    )
    async def test_after_ten_minutes_a_task_is_told_of_without_its_missing_files(
        self, world: World, elapsed_s: int, comes_again: bool
    ) -> None:
        world.refused = {"/clip-2.mp3"}
        event = world.end()
        work = world.fulfill(event, since_ms=world.now_ms - elapsed_s * 1000)
        if comes_again:
            with pytest.raises(RetryLater):
                await work
        else:
            await work
            assert "archived_at_ms" in world.item()


JANUARY_2_OF_2100_MS = 4_102_531_200_000


class TestLargeFiles:
    """What an object of several parts does not say of itself stands in the item and the manifest."""

    DATA = MP3.ljust(8 * 1024 * 1024 + 9, b"\x00")

    @pytest.fixture
    def event(self, world: World) -> Any:
        world.large = {"/clip-1.mp3"}
        return world.end(completed(clips=(clip(cover_url=None), clip("clip-2", cover_url=None))))

    def digests(self) -> list[str]:
        return [each["sha256"] for each in manifest()["assets"]]

    async def test_its_digest_is_that_of_its_bytes_everywhere(self, world: World, event: Any) -> None:
        await world.fulfill(event)
        digest = hashlib.sha256(self.DATA).hexdigest()
        (archived,) = world.archived()
        for assets in (archived["assets"], manifest()["assets"], world.item()["assets"]):
            assert (assets[0]["sha256"], assets[0]["bytes"]) == (digest, len(self.DATA))

    async def test_the_next_pass_has_its_digest_from_the_item(self, world: World, event: Any) -> None:
        world.refused = {"/clip-2.mp3"}
        with pytest.raises(RetryLater):
            await world.fulfill(event)
        world.refused.clear()
        world.downloads.clear()
        s3 = Faulty(client("s3"))
        await world.fulfill(event, clients={"s3": s3})
        assert self.read(s3) == []
        assert world.downloads == ["https://cdn.example.com/clip-2.mp3"]
        assert self.digests()[0] == hashlib.sha256(self.DATA).hexdigest()

    async def test_where_the_item_is_lost_it_is_read_from_s3(self, world: World, event: Any) -> None:
        world.refused = {"/clip-2.mp3"}
        with pytest.raises(RetryLater):
            await world.fulfill(event)
        world.refused.clear()
        world.downloads.clear()
        put("TasksTable", world.item() | {"assets": []})
        s3 = Faulty(client("s3"))
        await world.fulfill(event, clients={"s3": s3})
        assert self.read(s3) == ["results/suno/task-1/clip-1/audio.mp3"]
        assert world.downloads == ["https://cdn.example.com/clip-2.mp3"]
        assert self.digests()[0] == hashlib.sha256(self.DATA).hexdigest()

    @pytest.mark.parametrize("is_newer", [False, True])
    async def test_what_is_asked_for_again_has_its_digest_from_the_manifest_of_that_object(
        self, world: World, event: Any, is_newer: bool
    ) -> None:
        await world.fulfill(event)
        put("TasksTable", world.item() | {"assets": []})
        # An object that was written after the manifest is not the one that it tells of.
        content = manifest() | {"archived_at": f"{2001 if is_newer else 2100}-01-01T00:00:00.000Z"}
        client("s3").put_object(Bucket=BUCKET, Key=MANIFEST, Body=json.dumps(content).encode())
        s3 = Faulty(client("s3"))
        await world.fulfill(event, again_ms=JANUARY_2_OF_2100_MS, clients={"s3": s3})
        assert self.read(s3) == (["results/suno/task-1/clip-1/audio.mp3"] if is_newer else [])
        assert self.digests()[0] == hashlib.sha256(self.DATA).hexdigest()

    def read(self, s3: Faulty) -> list[str]:
        return [
            each["Key"] for name, each in s3.calls if name == "get_object" and each["Key"].endswith(".mp3")
        ]


async def test_two_at_once_tell_of_the_same_bytes_though_their_host_marks_each_download(world: World) -> None:
    subscribe("sub")
    downloads = itertools.count()

    def marked(request: httpx.Request) -> httpx.Response:
        body = JPEG if request.url.path.endswith("jpeg") else MP3
        return httpx.Response(200, stream=httpx.ByteStream(body + b"%06d" % next(downloads)))

    event = world.end()
    world.http = httpx.AsyncClient(transport=httpx.MockTransport(marked))

    async def marked_late(request: httpx.Request) -> httpx.Response:
        if not world.deliveries():  # the other worker does all of it meanwhile
            await world.fulfill(event)
        return marked(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(marked_late)) as http:
        await world.fulfill(event, clients={"http": http})
    for asset in manifest()["assets"]:
        body = client("s3").get_object(Bucket=BUCKET, Key=asset["key"])["Body"].read()
        assert hashlib.sha256(body).hexdigest() == asset["sha256"]


class TestAgain:
    async def test_what_is_missing_is_copied_and_nobody_is_told_twice(self, world: World) -> None:
        subscribe("sub")
        world.refused = {"/clip-2.mp3"}
        event = world.end()
        await world.fulfill(event, since_ms=0)
        first, deliveries, _ = world.archived(), world.deliveries(), world.messages()
        world.refused.clear()
        world.downloads.clear()
        world.now_ms += 1000
        await world.fulfill(event, again_ms=world.now_ms)
        (second,) = world.archived()
        assert world.downloads == ["https://cdn.example.com/clip-2.mp3"]
        assert (second["archive"], manifest()["assets"][2]["status"]) == ("complete", "archived")
        assert second["event_id"] != first[0]["event_id"]
        assert (world.deliveries(), world.messages()) == (deliveries, [])
        assert (world.item()["archived_at_ms"], len(world.item()["assets"])) == (world.now_ms, 4)

    async def test_a_request_that_comes_twice_is_done_once(self, world: World) -> None:
        event = world.end()
        await world.fulfill(event)
        world.now_ms += 1000
        request = world.now_ms
        await world.fulfill(event, again_ms=request)
        (first,) = world.archived()[1:]
        world.now_ms += 1000
        await world.fulfill(event, again_ms=request)
        (second,) = world.archived()
        assert second == first

    async def test_what_still_cannot_be_had_is_not_waited_for(self, world: World) -> None:
        world.refused = {"/clip-2.mp3"}
        event = world.end()
        await world.fulfill(event, since_ms=0)
        await world.fulfill(event, again_ms=world.now_ms + 1)
        assert [each["archive"] for each in world.archived()] == ["partial", "partial"]

    async def test_a_task_that_was_never_told_of_is_told_of(self, world: World) -> None:
        subscribe("sub")
        await world.fulfill(world.end(), again_ms=world.now_ms)
        assert list(world.deliveries()) == ["sub"]

    @pytest.mark.parametrize(
        "broken",
        [
            {"events": Faulty(client("events"), put_events=[fault(operation="PutEvents")])},
            {"dynamodb": Faulty(client("dynamodb"), update_item=[fault()])},
            {"dynamodb": Faulty(client("dynamodb"), put_item=[fault()])},
            {"sqs": Faulty(client("sqs"), send_message_batch=[fault(operation="SendMessageBatch")])},
        ],
        ids=["bus", "item", "delivery", "message"],
    )
    async def test_it_is_told_of_whatever_failed_the_first_time(
        self, world: World, broken: dict[str, Any]
    ) -> None:
        subscribe("sub")
        event, request_ms = world.end(), world.now_ms + 60_000  # by a clock that is before ours
        with pytest.raises((ClientError, ExceptionGroup)):
            await world.fulfill(event, again_ms=request_ms, clients=broken)
        world.now_ms += 1_000
        await world.fulfill(event, again_ms=request_ms)
        (message,) = world.messages()
        assert message["delivery_id"] == world.deliveries()["sub"]["delivery_id"]
        assert len({each["event_id"] for each in world.archived()}) == 1

    async def test_a_request_that_failed_tells_no_new_subscription_of_an_old_task(self, world: World) -> None:
        event = world.end()
        await world.fulfill(event)
        subscribe("late")
        world.now_ms += 1_000
        broken = Faulty(client("dynamodb"), update_item=[fault()])
        with pytest.raises(ClientError):
            await world.fulfill(event, again_ms=world.now_ms, clients={"dynamodb": broken})
        await world.fulfill(event, again_ms=world.now_ms)
        assert world.deliveries() == {}


class TestLaterRun:
    async def test_an_old_run_that_comes_late_leaves_the_manifest_of_the_later_one(
        self, world: World
    ) -> None:
        subscribe("sub")
        old = world.end()
        new = world.end(
            completed(
                detected_at_ms=NOW_MS + 80_000,
                clips=(clip("clip-1", audio_url="https://cdn.example.com/new.mp3"),),
            ),
            now_ms=NOW_MS + 70_000,
        )
        await world.fulfill(new)
        before, item = manifest(), world.item()
        world.downloads.clear()
        await world.fulfill(old)
        assert (manifest(), world.item(), world.downloads) == (before, item, [])
        _, told = world.archived()
        assert (told["task_event_id"], told["archive"]) == (old.event_id, "partial")
        assert {each["event_id"] for each in items("DeliveriesTable")} == {old.event_id, new.event_id}

    async def test_the_later_run_replaces_the_manifest_of_the_old_one(self, world: World) -> None:
        await world.fulfill(world.end())
        new = world.end(completed(detected_at_ms=NOW_MS + 80_000), now_ms=NOW_MS + 70_000)
        await world.fulfill(new)
        assert manifest()["event_id"] == new.event_id

    async def test_a_later_run_that_writes_its_manifest_meanwhile_keeps_it(self, world: World) -> None:
        old = world.end()
        new = world.end(completed(detected_at_ms=NOW_MS + 80_000), now_ms=NOW_MS + 70_000)
        await world.fulfill(new)
        before = manifest()

        class Late:
            """An S3 that shows the manifest only to whoever looks for the second time."""

            looks = 0

            def __getattr__(self, name: str) -> Any:
                return getattr(client("s3"), name)

            def get_object(self, **where: Any) -> Any:
                self.looks += 1
                if self.looks == 1:
                    raise fault("NoSuchKey", "GetObject")
                return client("s3").get_object(**where)

        await world.fulfill(old, clients={"s3": Late()})
        assert manifest() == before

    async def test_what_lies_in_the_manifests_place_and_is_none_is_replaced(self, world: World) -> None:
        client("s3").put_object(Bucket=BUCKET, Key=MANIFEST, Body=b"<html>")
        event = world.end()
        await world.fulfill(event)
        assert manifest()["event_id"] == event.event_id


class TestBounds:
    def many(self) -> tuple[Any, ...]:
        long = "x" * 1500
        return tuple(
            clip(
                f"{position:02}-{'歌' * 115}",
                prompt=None,
                audio_url=f"https://cdn.example.com/{position}.mp3?{long}",
                cover_url=f"https://cdn.example.com/{position}.jpeg?{long}",
            )
            for position in range(46)
        )

    async def test_what_is_told_of_very_many_files_stays_within_bounds(self, world: World) -> None:
        subscribe("sub")
        await world.fulfill(world.end(completed(clips=self.many())))
        (told,) = world.archived()
        assert len(json.dumps(told, ensure_ascii=False).encode()) <= 200_000 + 2000
        assert (told["truncated"], told["archive"]) == (True, "complete")
        assert len(manifest()["assets"]) == 92
        assert world.item()["archived_at_ms"] == world.now_ms
        assert len(world.deliveries()["sub"]["payload"].encode()) <= 300_000

    @pytest.mark.parametrize(("room", "assets", "links"), [(3000, 4, 4), (800, 4, 0), (300, 0, 0)])
    async def test_a_full_item_says_what_there_is_room_for_and_that_the_manifest_has_the_rest(
        self, world: World, room: int, assets: int, links: int
    ) -> None:
        event = world.end()
        fill(room)
        await world.fulfill(event)
        item = world.item()
        assert item["archived_at_ms"] == world.now_ms
        assert len(item["assets"]) == assets
        assert len([asset for asset in item["assets"] if "source_url" in asset]) == links
        assert item.get("truncated", False) == (room < 3000)
        assert len(manifest()["assets"]) == 4

    async def test_an_item_without_any_room_gives_up_what_the_manifest_has(self, world: World) -> None:
        event = world.end()
        put("TasksTable", world.item())  # with its details, as an earlier version has written it
        full = ClientError(
            {"Error": {"Code": "ValidationException", "Message": "Item size to update has exceeded"}},
            "UpdateItem",
        )
        await world.fulfill(
            event, clients={"dynamodb": Faulty(client("dynamodb"), update_item=[full, full, full])}
        )
        item = world.item()
        assert (item["archived_at_ms"], item["truncated"], item["assets"]) == (world.now_ms, True, [])
        assert not {"clips", "provider_object"} & set(item)
        assert manifest()["provider_object"] == {"task_id": "task-1", "status": "SUCCESS"}


def fill(room: int) -> None:
    """Fill the item of the task until DynamoDB would take `room` bytes more."""

    dynamodb = client("dynamodb")
    where: Any = {"TableName": "TasksTable", "Key": {"task_id": {"S": "task-1"}, "provider": {"S": "suno"}}}

    def fits(size: int) -> bool:
        dynamodb.update_item(**where, UpdateExpression="REMOVE filler")
        try:
            dynamodb.update_item(
                **where,
                UpdateExpression="SET filler = :filler",
                ExpressionAttributeValues={":filler": {"S": "z" * size}},
            )
        except dynamodb.exceptions.ClientError:
            return False
        return True

    assert fits(bisect.bisect_left(range(410_000), True, key=lambda size: not fits(size)) - 1 - room)


async def test_a_task_without_clips_has_an_empty_archive_and_a_manifest(world: World) -> None:
    await world.fulfill(world.end(FAILED))
    (archived,) = world.archived()
    assert (archived["archive"], keys()) == ("empty", [MANIFEST])


async def test_the_clip_of_a_failed_task_is_kept(world: World) -> None:
    await world.fulfill(world.end(completed(status=Status.FAILED, failure=FAILED.failure)))
    assert "results/suno/task-1/clip-1/audio.mp3" in keys()


async def test_each_receiver_gets_one_delivery_and_one_message(world: World) -> None:
    subscribe("one", "two")
    subscribe("other", providers=["musicmint"])
    await world.fulfill(world.end(notify_hook=HOOK))
    deliveries = world.deliveries()
    hook = next(each for each in deliveries if each.startswith("hook_"))
    assert set(deliveries) == {"one", "two", hook}
    assert (deliveries[hook]["url"], "url" in deliveries["one"]) == (HOOK, False)
    messages = world.messages()
    assert {message["delivery_id"] for message in messages} == {
        delivery["delivery_id"] for delivery in deliveries.values()
    }
    assert {(message["attempt"], message["run"], message["due_at_ms"]) for message in messages} == {
        (1, 1, world.now_ms)
    }


@pytest.mark.parametrize(("end", "kind"), [(completed(), "task.completed"), (FAILED, "task.failed")])
async def test_a_delivery_tells_what_happened_and_when(world: World, end: TaskEnd, kind: str) -> None:
    subscribe("sub")
    await world.fulfill(world.end(end))
    delivery = world.deliveries()["sub"]
    assert (delivery["type"], delivery["event_at_ms"]) == (kind, end.detected_at_ms)
    assert (delivery["task_id"], delivery["provider"]) == ("task-1", "suno")


async def test_each_delivery_has_the_payload_of_its_format(world: World) -> None:
    subscribe("standard")
    subscribe("provider", format="provider")
    await world.fulfill(world.end())
    payloads = {name: json.loads(each["payload"]) for name, each in world.deliveries().items()}
    assert payloads["provider"] == {"task_id": "task-1", "status": "SUCCESS"}
    (audio, _) = payloads["standard"]["clips"][0]["assets"]
    assert audio["key"] == "results/suno/task-1/clip-1/audio.mp3"


async def test_to_do_it_twice_changes_nothing(world: World) -> None:
    subscribe("sub")
    event = world.end(notify_hook=HOOK)
    await world.fulfill(event)
    before = (world.item(), world.deliveries(), manifest(), len(world.downloads))
    world.archived()
    world.now_ms += 60_000
    await world.fulfill(event)
    assert (world.item(), world.deliveries(), manifest(), len(world.downloads)) == before
    assert world.archived() == []


async def test_a_second_time_still_sends_the_messages_that_a_crash_may_have_cost(world: World) -> None:
    subscribe("sub")
    event = world.end()
    broken = Faulty(client("sqs"), send_message_batch=[fault(operation="SendMessageBatch")])
    with pytest.raises(ExceptionGroup):
        await world.fulfill(event, clients={"sqs": broken})
    assert (len(world.deliveries()), world.messages()) == (1, [])
    await world.fulfill(event)
    (message,) = world.messages()
    assert message["delivery_id"] == world.deliveries()["sub"]["delivery_id"]


async def test_a_second_time_tells_the_same_of_the_kept_files(world: World) -> None:
    event = world.end()
    await world.fulfill(event)
    subscribe("late")
    await world.fulfill(event)
    payload = json.loads(world.deliveries()["late"]["payload"])
    assert [asset["status"] for asset in payload["clips"][0]["assets"]] == ["archived", "archived"]


async def test_a_crash_before_the_record_begins_anew(world: World) -> None:
    event = world.end()
    with pytest.raises(type(fault())):
        await world.fulfill(event, clients={"dynamodb": Faulty(client("dynamodb"), update_item=[fault()])})
    await world.fulfill(event)
    first, second = world.archived()
    assert first["event_id"] == second["event_id"]
    assert len(world.item()["assets"]) == 4


async def test_a_bus_that_does_not_take_the_event_is_tried_again_later(world: World) -> None:
    class Refusing:
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - boto3's name
            return {"Entries": [{"ErrorCode": "ThrottlingException"} for _ in Entries]}

    event = world.end()
    with pytest.raises(Unavailable):
        await world.fulfill(event, clients={"events": Refusing()})
    assert "archived_at_ms" not in world.item()


async def test_trouble_with_s3_tells_nobody_yet(world: World) -> None:
    subscribe("sub")
    event = world.end(FAILED)
    with pytest.raises(type(fault())):
        await world.fulfill(
            event, clients={"s3": Faulty(client("s3"), put_object=[fault("SlowDown", "PutObject")])}
        )
    assert (world.archived(), world.deliveries()) == ([], {})


async def test_a_task_that_was_put_again_keeps_its_new_run_and_tells_of_the_old_one(world: World) -> None:
    subscribe("sub", format="provider")
    event = world.end()
    world.end(completed(provider_object='{"run": 2}'), now_ms=NOW_MS + 1, notify_hook=HOOK)
    await world.fulfill(event)
    assert "assets" not in world.item()
    (delivery,) = world.deliveries().values()
    assert json.loads(delivery["payload"])["status"] == "SUCCESS"
    assert manifest()["provider_object"] is None


async def test_a_task_that_was_deleted_is_fulfilled_from_its_event_and_stays_deleted(world: World) -> None:
    subscribe("sub")
    event = world.end()
    key = {"task_id": {"S": KEY.task_id}, "provider": {"S": KEY.provider}}
    client("dynamodb").delete_item(TableName="TasksTable", Key=key)
    await world.fulfill(event)
    assert (items("TasksTable"), len(keys()), len(world.deliveries())) == ([], 5, 1)


async def test_what_was_kept_is_counted_once_with_how_long_it_took(world: World, capsys: Any) -> None:
    event = world.end()
    await world.fulfill(event)
    await world.fulfill(event)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [each["TasksArchived"] for each in told if "TasksArchived" in each] == [[1.0]]
    assert [each["ArchiveDuration"] for each in told if "ArchiveDuration" in each] == [[30_000.0]]


async def test_what_a_later_run_has_not_is_told_as_superseded(world: World) -> None:
    old = world.end()
    later = completed(detected_at_ms=NOW_MS + 80_000, clips=(clip("clip-1"),))
    await world.fulfill(world.end(later, now_ms=NOW_MS + 70_000))
    world.archived()
    await world.fulfill(old)
    (told,) = world.archived()
    words = "the task was put again, and its later run has no such file"
    assert [(each["clip_id"], each["type"], each["status"], each["reason"]) for each in told["assets"]] == [
        ("clip-1", "audio", "archived", None),
        ("clip-1", "cover", "archived", None),
        ("clip-2", "audio", "unavailable", words),
        ("clip-2", "cover", "unavailable", words),
    ]
    assert told["assets"][2]["source_url"] == "https://cdn.example.com/clip-2.mp3"


@pytest.mark.parametrize(("clashes", "is_written"), [(2, True), (3, False)])
async def test_a_manifest_is_written_three_times_at_most(
    world: World, clashes: int, is_written: bool
) -> None:
    s3 = Faulty(client("s3"), put_object=[fault("PreconditionFailed", "PutObject")] * clashes)
    work = world.fulfill(world.end(FAILED), clients={"s3": s3})
    if is_written:
        await work
    else:
        with pytest.raises(Unavailable, match="by others each time"):
            await work
    assert [name for name, _ in s3.calls].count("put_object") == 3
    assert (MANIFEST in keys()) is is_written
