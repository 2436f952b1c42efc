"""What is told of kept files within the bounds of an event and of an item."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.tasks import KEY, NOW_MS, ended

from fulfillment.archived_event import archived_event, record_assets
from tunehook.events import ArchivedAsset, ManifestLocation, archived_event_id, size_of, task_ended

EVENT = task_ended(ended())
MANIFEST = ManifestLocation(bucket="results", key="manifest.json")
OVERSIZED = ClientError(
    {"Error": {"Code": "ValidationException", "Message": "Item size to update has exceeded the maximum"}},
    "UpdateItem",
)


def asset(number: int = 0, url: str = "https://h/1", **fields: Any) -> ArchivedAsset:
    values = {"type": "audio", "status": "archived", "key": f"results/{number}", "content_type": "audio/mpeg"}
    return ArchivedAsset(clip_id=f"clip-{number}", source_url=url, **values | fields)


def told(*assets: ArchivedAsset, again_ms: int | None = None) -> Any:
    return archived_event(EVENT, assets, MANIFEST, NOW_MS, again_ms)


def test_what_fits_is_told_whole() -> None:
    event = told(asset(0), asset(1, status="unavailable", key=None, reason="HTTP 410"))
    assert (event.truncated, event.archive, event.task_event_id) == (False, "partial", EVENT.event_id)
    assert event.assets[0].source_url == "https://h/1"
    assert (event.task_id, event.provider, event.manifest) == (KEY.task_id, KEY.provider, MANIFEST)
    assert event.archived_at.isoformat() == "2027-01-15T08:00:00+00:00"


def test_one_that_was_asked_for_again_is_another_event() -> None:
    assert told().event_id == archived_event_id(EVENT.event_id)
    assert told(again_ms=7).event_id == archived_event_id(EVENT.event_id, 7) != told().event_id


@pytest.mark.parametrize(("more", "is_whole"), [(0, True), (1, False)])
def test_the_links_and_types_are_left_out_first_just_beyond_200_kb(more: int, is_whole: bool) -> None:
    room = 200_000 - size_of(told(asset(0, "")))
    event = told(asset(0, "x" * (room + more)))
    assert event.truncated is not is_whole
    (kept,) = event.assets
    assert (kept.source_url is not None, kept.content_type is not None) == (is_whole, is_whole)
    assert kept.key == "results/0"


def test_then_the_files_are_and_how_much_is_kept_is_told_all_the_same() -> None:
    event = told(*(asset(number, key="k" * 300) for number in range(700)))
    assert (event.assets, event.truncated, event.archive) == ((), True, "complete")


class Tasks:
    """Refuses so many writes, since the item would be too large."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.calls: list[tuple[Any, ...]] = []

    async def record_assets(self, key: Any, event_id: str, assets: Any, at_ms: int, **options: Any) -> bool:
        self.calls.append((assets, options))
        if self.faults:
            raise self.faults.pop(0)
        return True


WHOLE = {
    "clip_id": "clip-0",
    "type": "audio",
    "source_url": "https://h/1",
    "status": "archived",
    "key": "results/0",
    "content_type": "audio/mpeg",
}
SHORT = {name: value for name, value in WHOLE.items() if name not in ("source_url", "content_type")}


@pytest.mark.parametrize(
    ("refusals", "last"),
    [
        (0, ([WHOLE], {"truncated": False})),
        (1, ([SHORT], {"truncated": True})),
        (2, ([], {"truncated": True})),
        (3, ([], {"truncated": True, "without": ("clips", "provider_object")})),
    ],
)
async def test_an_item_says_as_much_as_there_is_room_for(refusals: int, last: Any) -> None:
    tasks: Any = Tasks(*[OVERSIZED] * refusals)
    assert await record_assets(tasks, KEY, EVENT.event_id, [asset()], NOW_MS)
    assert (len(tasks.calls), tasks.calls[-1]) == (refusals + 1, last)


async def test_any_other_trouble_is_raised_at_once() -> None:
    throttled = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "UpdateItem")
    tasks: Any = Tasks(throttled)
    with pytest.raises(ClientError):
        await record_assets(tasks, KEY, EVENT.event_id, [asset()], NOW_MS)
    assert len(tasks.calls) == 1
