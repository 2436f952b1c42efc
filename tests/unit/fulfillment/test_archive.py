import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.aws import fault
from tests.support.tasks import KEY
from tests.support.virtual import Clock

from fulfillment.archive import CONCURRENCY, KEEP_S, LINK_S, WAITS_S, Archive
from fulfillment.assets import Asset, MediaType
from fulfillment.transfer import Copied, NotCopied
from tunehook.events import ArchivedAsset

BEST, SECOND = "https://cdn.example.com/1.mp3", "https://up.example.com/1.mp3"
AUDIO = Asset("clip-1", "audio", (BEST, SECOND))
REFUSED = NotCopied("HTTP 403")
FINAL = NotCopied("HTTP 410", is_final=True)


class Links:
    """Stands where `Transfer` does: each link gives its answers in turn, and the last one from then on."""

    def __init__(self, takes_s: float = 0, **answers: Any) -> None:
        self._answers = answers
        self._takes_s = takes_s
        self.tried: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def copy(self, url: str, kind: str, key_of: Callable[[MediaType], str]) -> Copied:
        self.tried.append(url)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self._takes_s)
        finally:
            self.at_once -= 1
        answers = self._answers.get({BEST: "best", SECOND: "second"}.get(url, "other"), [None])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            raise answer
        return Copied(key_of(MediaType("audio/mpeg", "mp3")), "audio/mpeg", 7, "00ff")


def keep(links: Links, *assets: Asset) -> tuple[list[ArchivedAsset], float]:
    """Keep files in virtual time; return what came of it, and how many seconds it took."""
    clock = Clock(0)
    kept = clock.run(Archive(links).keep(KEY, assets or (AUDIO,)))  # type: ignore[arg-type]
    return kept, clock() / 1000


def test_a_kept_file_says_where_it_lies_and_what_it_is() -> None:
    kept, took_s = keep(Links())
    assert kept == [
        ArchivedAsset(
            clip_id="clip-1",
            type="audio",
            source_url=BEST,
            status="archived",
            key="results/suno/task-1/clip-1/audio.mp3",
            content_type="audio/mpeg",
            bytes=7,
            sha256="00ff",
        )
    ]
    assert took_s == 0


def test_a_fresh_file_that_is_refused_first_is_asked_again() -> None:
    links = Links(best=[REFUSED, REFUSED, None])
    (asset,), took_s = keep(links)
    assert (asset.status, asset.source_url, took_s) == ("archived", BEST, 3)


def test_a_link_that_is_refused_every_time_gives_way_to_the_second_best() -> None:
    links = Links(best=[REFUSED])
    (asset,), took_s = keep(links)
    assert (asset.status, asset.source_url) == ("archived", SECOND)
    assert links.tried == [BEST] * len(WAITS_S) + [SECOND]
    assert took_s == sum(WAITS_S)


def test_a_link_that_is_refused_for_good_is_not_asked_again() -> None:
    links = Links(best=[FINAL])
    keep(links)
    assert links.tried == [BEST, SECOND]


def test_a_file_that_cannot_be_had_is_told_with_all_reasons() -> None:
    (asset,), _ = keep(Links(best=[REFUSED], second=[FINAL]))
    assert (asset.status, asset.reason) == ("unavailable", "HTTP 403; HTTP 410")
    assert (asset.source_url, asset.key) == (BEST, None)


def test_one_file_that_cannot_be_had_does_not_take_the_others_along() -> None:
    others = [Asset("clip-2", "audio", ("https://x/2",)), Asset("clip-2", "cover", ("https://x/c",))]
    kept, _ = keep(Links(best=[FINAL], second=[FINAL]), AUDIO, *others)
    assert [(asset.clip_id, asset.type, asset.status) for asset in kept] == [
        ("clip-1", "audio", "unavailable"),
        ("clip-2", "audio", "archived"),
        ("clip-2", "cover", "archived"),
    ]


def test_a_link_that_drips_gives_way_to_the_second_best() -> None:
    class Dripping(Links):
        async def copy(self, url: str, kind: str, key_of: Callable[[MediaType], str]) -> Copied:
            if url == BEST:
                await asyncio.sleep(3600)
            return await super().copy(url, kind, key_of)

    (asset,), took_s = keep(Dripping())
    assert (asset.status, asset.source_url, took_s) == ("archived", SECOND, LINK_S)


def test_files_that_drip_are_given_up_before_the_functions_time_is_over() -> None:
    many = [Asset(f"clip-{number}", "audio", (BEST, SECOND)) for number in range(3 * CONCURRENCY)]
    kept, took_s = keep(Links(takes_s=3600), *many)
    assert {asset.status for asset in kept} == {"unavailable"}
    assert kept[0].reason == "not copied in time; not copied in time"
    assert took_s == KEEP_S


def test_no_more_than_a_few_files_are_copied_at_once() -> None:
    links = Links(takes_s=1)
    keep(links, *(Asset(f"clip-{number}", "audio", (BEST,)) for number in range(3 * CONCURRENCY)))
    assert links.most_at_once == CONCURRENCY


def test_trouble_with_s3_is_raised() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        keep(Links(best=[fault("SlowDown", "PutObject")]))
    assert caught.group_contains(type(fault()), match="SlowDown")


def test_nothing_to_keep_is_nothing_kept() -> None:
    async def none() -> list[ArchivedAsset]:
        return await Archive(Links()).keep(KEY, [])  # type: ignore[arg-type]

    assert Clock(0).run(none()) == []
