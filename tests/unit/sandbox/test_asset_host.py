from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from tunehook_local.sandbox.clips import MEDIA, Clip
from tunehook_local.sandbox.scenario import Kind

CLIP = Clip(Kind.SUNO, "a song/1", 0)


def test_the_clips_of_a_task_have_links_of_their_own() -> None:
    clips = [Clip(Kind.SUNO, task_id, index) for task_id in ("a", "b") for index in (0, 1)]
    assert len({clip.url("x", ending) for clip in clips for ending in clip.files()}) == 4 * 7


def test_two_clips_of_a_task_are_two_recordings() -> None:
    first, second = (Clip(Kind.SUNO, "a", index).track.audio.read_bytes() for index in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("ending", "content_type"),
    [
        (".mp3", "audio/mpeg"),
        ("-source.mp3", "audio/mpeg"),
        ("-stream.mp3", "audio/mpeg"),
        (".jpeg", "image/jpeg"),
        ("-source.jpeg", "image/jpeg"),
        ("-large.jpeg", "image/jpeg"),
        (".mp4", "video/mp4"),
    ],
)
async def test_every_file_of_a_clip_is_served(
    start: Any, client: Any, ending: str, content_type: str
) -> None:
    sandbox = await start({})
    async with client.get(CLIP.url(f"{sandbox.url}/assets", ending)) as response:
        assert response.status == 200
        assert response.headers["content-type"] == content_type
        assert response.headers["etag"]
        body = await response.read()
    assert int(response.headers["content-length"]) == len(body)
    assert body == CLIP.files()[ending].read_bytes()


def test_a_signed_link_holds_what_a_client_may_spell_otherwise() -> None:
    _, _, query = Clip(Kind.SUNO, "a", 0, signed=True).url("x", ".mp3").partition("?")
    assert "%2F" in query
    assert "%3D" in query


async def test_a_signed_link_is_served_as_it_is_spelled_and_no_otherwise(start: Any, client: Any) -> None:
    rule = {"task_id": "a*", "signed": True, "answers": [{"phase": "completed"}]}
    sandbox = await start({"tasks": [rule]})
    link = Clip(Kind.SUNO, "a song", 0, signed=True).url(f"{sandbox.url}/assets", ".mp3")
    spellings = {
        link: 200,
        link.replace("%2F", "/"): 403,
        link.replace("%2F", "%2f"): 403,
        link.replace("%3D", "="): 403,
        link.partition("?")[0]: 403,
        f"{link}&more": 403,
    }
    found = {}
    for spelling in spellings:
        async with client.get(URL(spelling, encoded=True)) as response:
            found[spelling] = response.status
    assert found == spellings


async def test_a_range_of_a_file_can_be_had(start: Any, client: Any) -> None:
    sandbox = await start({})
    headers = {"range": "bytes=10-19"}
    async with client.get(CLIP.url(f"{sandbox.url}/assets", ".mp3"), headers=headers) as response:
        assert response.status == 206
        assert await response.read() == (MEDIA / "morning.mp3").read_bytes()[10:20]


@pytest.mark.parametrize(
    "path", ["suno/b/{id}.mp3", "suno/a/{id}.wav", "suno/a/none.mp3", "other/a/{id}.mp3"]
)
async def test_a_link_that_no_clip_has_is_not_found(start: Any, client: Any, path: str) -> None:
    sandbox = await start({})
    clip_id = Clip(Kind.SUNO, "a", 0).clip_id
    async with client.get(f"{sandbox.url}/assets/{path.format(id=clip_id)}") as response:
        assert response.status == 404


async def test_the_host_may_refuse_first_and_serve_later(start: Any, client: Any) -> None:
    rule = {"path": "suno/*.mp3", "answers": [{"status": 403, "times": 2}]}
    sandbox = await start({"assets": [rule]})
    statuses = []
    for ending in (".mp3", ".mp3", ".jpeg", ".mp3"):
        async with client.get(CLIP.url(f"{sandbox.url}/assets", ending)) as response:
            statuses.append(response.status)
    assert statuses == [403, 403, 200, 200]


async def test_refusals_are_counted_for_each_link(start: Any, client: Any) -> None:
    sandbox = await start({"assets": [{"answers": [{"status": 404, "times": 1}]}]})
    statuses = []
    for index in (0, 1):
        url = Clip(Kind.SUNO, "a", index).url(f"{sandbox.url}/assets", ".mp3")
        async with client.get(url) as response:
            statuses.append(response.status)
    assert statuses == [404, 404]


async def test_a_file_may_be_cut_in_the_middle(start: Any, client: Any) -> None:
    sandbox = await start({"assets": [{"answers": [{"cut_after_bytes": 1000, "times": 1}]}]})
    url = CLIP.url(f"{sandbox.url}/assets", ".mp3")
    async with client.get(url) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        assert int(response.headers["content-length"]) == (MEDIA / "morning.mp3").stat().st_size
        assert len(await response.content.readexactly(1000)) == 1000
        with pytest.raises(Exception, match="payload"):
            await response.content.read()
    async with client.get(url) as response:
        assert await response.read() == (MEDIA / "morning.mp3").read_bytes()


async def test_the_host_may_answer_with_a_page(start: Any, client: Any) -> None:
    page = {"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>sign in</html>"}
    sandbox = await start({"assets": [{"answers": [page]}]})
    async with client.get(CLIP.url(f"{sandbox.url}/assets", ".mp3")) as response:
        assert (response.status, response.content_type) == (200, "text/html")


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"range": "bytes=10-"}, 206, "bytes 10-48707/48708"),
        ({"range": "bytes=-5"}, 206, "bytes 48703-48707/48708"),
        ({"range": "bytes=10-19", "if-range": '"another"'}, 200, None),
        ({"range": "bytes=99999-"}, 416, "bytes */48708"),
        ({"range": "lines=1-2"}, 416, "bytes */48708"),
    ],
)
async def test_a_part_is_answered_as_hosts_do(
    start: Any, client: Any, asked: dict[str, str], status: int, told: str | None
) -> None:
    sandbox = await start({})
    async with client.get(CLIP.url(f"{sandbox.url}/assets", ".mp3"), headers=asked) as response:
        assert (response.status, response.headers.get("content-range")) == (status, told)
