"""Fulfillment that dies at any of its calls, in turn, and is run again: the end is the same."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support.aws import BUCKET, client
from tests.support.media import MP3, MP4
from tests.support.tasks import NOW_MS, clip, completed
from tests.support.virtual import Clock
from tests.unit.fulfillment.world import HOOK, World, keys, manifest, subscribe

# As documented, and not imported: a bound that moves is to be noticed.
PUT_BYTES = 8 * 1024 * 1024


VIDEO = MP4.ljust(PUT_BYTES + 1000, b"\x00")
SERVICES = ("dynamodb", "s3", "events", "sqs", "http")


class Killed(BaseException):
    """The function's process is gone."""


class Life:
    """Counts the calls of a run, and ends before the one of number `last`, or right after it."""

    def __init__(self, last: int | None = None, *, after: bool = False) -> None:
        self.calls = 0
        self._last = last
        self._after = after
        self._is_over = False

    def call(self, work: Callable[[], Any]) -> Any:
        if self._is_over or (self.calls == self._last and not self._after):
            self._is_over = True
            raise Killed
        self._is_over = self._after and self.calls == self._last
        self.calls += 1
        try:
            return work()
        finally:
            if self._is_over:
                raise Killed


class Mortal:
    """A client whose calls are part of a life."""

    def __init__(self, real: Any, life: Life) -> None:
        self._real = real
        self._life = life

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if name.startswith("_") or not callable(attribute):
            return attribute
        return lambda *args, **kwargs: self._life.call(lambda: attribute(*args, **kwargs))


class Mortality:
    """A world in which a task with a small file and a large one is fulfilled by lives that end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.downloads = 0
        self.videos = 0
        self.is_first = False
        subscribe("one", "two")
        clips = (clip(cover_url=None, video_url="https://cdn.example.com/clip-1.mp4"),)
        self.event = world.end(completed(clips=clips), notify_hook=HOOK)

    def serve(self, request: httpx.Request) -> httpx.Response:
        self.downloads += 1
        self.videos += request.url.path.endswith("mp4")
        body = VIDEO if request.url.path.endswith("mp4") else MP3
        return httpx.Response(200, stream=httpx.ByteStream(body))

    def live(self, *lives: Life) -> None:
        """Let lives begin at the same time, and go on in turns."""

        async def work() -> None:
            await asyncio.gather(*(self._live(life) for life in lives))

        # moto cannot be asked by several threads at once; this loop asks it itself.
        Clock(NOW_MS).run(work())

    async def _live(self, life: Life) -> None:
        http = httpx.AsyncClient(
            transport=httpx.MockTransport(lambda request: life.call(lambda: self.serve(request)))
        )
        clients: dict[str, Any] = {name: Mortal(client(name), life) for name in SERVICES if name != "http"}
        async with http:
            await self.world.fulfill(self.event, clients=clients | {"http": http}, is_first=self.is_first)

    def state(self) -> dict[str, Any]:
        s3 = client("s3")
        objects = {}
        for key in keys():
            answer = s3.get_object(Bucket=BUCKET, Key=key)
            objects[key] = (answer["Body"].read(), answer["Metadata"], answer.get("ContentDisposition"))
        return {
            "objects": objects,
            "manifest": manifest(),
            "item": self.world.item(),
            "deliveries": self.world.deliveries(),
            "told": {message["delivery_id"] for message in self.world.messages()},
            "archived": {event["event_id"]: event for event in self.world.archived()},
        }


@pytest.fixture
def mortality(bucket: str) -> Mortality:
    return Mortality(World(lambda _: httpx.AsyncClient()))


@pytest.mark.parametrize("is_first", [False, True], ids=["again", "another message"])
def test_wherever_a_run_dies_the_next_one_comes_to_the_same_end(mortality: Mortality, is_first: bool) -> None:
    mortality.is_first = is_first
    whole = Life()
    mortality.live(whole)
    expected = mortality.state()
    assert whole.calls > 15
    for after in (False, True):
        for last in range(whole.calls):
            _wipe(mortality)
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - within a group or by itself
                mortality.live(Life(last, after=after))
            assert was_killed(caught.value)
            mortality.live(Life())
            assert mortality.state() == expected, f"died at call {last}, after it: {after}"


@pytest.mark.parametrize("is_first", [False, True])
def test_two_at_once_come_to_the_same_end_as_one(mortality: Mortality, is_first: bool) -> None:
    mortality.is_first = is_first
    mortality.live(Life())
    expected = mortality.state()
    _wipe(mortality)
    mortality.live(Life(), Life())
    assert mortality.state() == expected


def test_what_is_there_whole_is_not_copied_twice(mortality: Mortality) -> None:
    mortality.live(Life())
    asked = mortality.downloads
    client("s3").delete_object(Bucket=BUCKET, Key="results/suno/task-1/manifest.json")
    mortality.live(Life())
    assert mortality.downloads == asked == 2


def test_a_large_file_that_is_there_is_not_had_again_wherever_the_run_died_after_that(
    mortality: Mortality,
) -> None:
    whole = Life()
    mortality.live(whole)
    died_with_it = 0
    for last in range(whole.calls):
        _wipe(mortality)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - within a group or by itself
            mortality.live(Life(last, after=True))
        assert was_killed(caught.value)
        was_there = "results/suno/task-1/clip-1/video.mp4" in keys()
        mortality.videos = 0
        mortality.live(Life())
        assert mortality.videos == (not was_there), f"died after call {last}"
        died_with_it += was_there
    assert died_with_it > 3


def _wipe(mortality: Mortality) -> None:
    s3, dynamodb = client("s3"), client("dynamodb")
    for key in keys():
        s3.delete_object(Bucket=BUCKET, Key=key)
    for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for delivery in mortality.world.deliveries().values():
        dynamodb.delete_item(TableName="DeliveriesTable", Key={"delivery_id": {"S": delivery["delivery_id"]}})
    dynamodb.update_item(
        TableName="TasksTable",
        Key={"task_id": {"S": "task-1"}, "provider": {"S": "suno"}},
        UpdateExpression="REMOVE assets, archived_at_ms",
    )
    mortality.world.messages()
    mortality.world.emitted()


def was_killed(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(was_killed(each) for each in error.exceptions)
    return isinstance(error, Killed)
