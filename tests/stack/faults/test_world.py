from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.stack.faults import troubles
from tests.stack.faults.dice import Dice
from tests.stack.faults.drawing import draw
from tests.stack.faults.media import LARGEST_BYTES, Media
from tests.stack.faults.plan import SHORT, AssetTrouble, PlannedTask, ReceiverTrouble
from tests.stack.faults.world import World
from tests.support.patience import HANG_S

from fulfillment.assets import media_type_of
from fulfillment.download import Download, StartOver
from poller.decision import End, decide
from tunehook.http.client import open_client
from tunehook.http.guard import NetworkPolicy
from tunehook.http.transport import HttpTransport
from tunehook.providers.client import Provider
from tunehook.providers.config import parse_providers
from tunehook.providers.outcomes import Outcome
from tunehook.tasks import TaskKey, WorkItem

EMPTY = replace(draw(1, SHORT), tasks=(), assets=(), receivers=(), moments=(), query_many=())
TASK = PlannedTask("suno", "song", 0.0, 0.0, "hook-1", "completed", {"answers": [{"phase": "completed"}]})
FAST = ("5xx", "throttled", "html", "truncated", "reset", "lost")


@pytest.fixture
def run() -> Iterator[Callable[..., World]]:
    with ExitStack() as stack:
        yield lambda **parts: stack.enter_context(World(replace(EMPTY, **parts)))


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HANG_S)) as session:
        yield session


def path_of_audio(world: World) -> str:
    return world.links(TASK)[next(name for name in world.links(TASK) if name[1] == "audio")][0]


def with_trouble(
    run: Any, answers: list[dict[str, Any]], *, resumable: bool = True, word: str = "word"
) -> tuple[World, str]:
    """A world whose host does something with the first file of the task."""
    path = path_of_audio(run())
    return run(assets=(AssetTrouble(path, word, answers, resumable),)), path


async def noted(look: Callable[[], bool]) -> None:
    """Wait until the world's thread has noted what it has just sent."""
    async with asyncio.timeout(HANG_S):
        while not look():
            await asyncio.sleep(0.01)


async def given_up(request: Coroutine[Any, Any, Any], has_come: Callable[[], bool]) -> None:
    """Make a request, and go away once it has come and before it is answered."""
    sending = asyncio.create_task(request)
    await noted(has_come)
    assert sending.cancel(), "it was answered at once"
    with pytest.raises(asyncio.CancelledError):
        await sending


async def get(client: aiohttp.ClientSession, world: World, path: str, **headers: str) -> tuple[int, bytes]:
    async with client.get(f"{world.url}/assets/{path}", headers=headers) as response:
        status, body = response.status, await response.read()
    await noted(lambda: status >= 300 or world.served(path)[-1].whole)
    return status, body


async def get_broken(client: aiohttp.ClientSession, world: World, path: str) -> None:
    """Ask for a file that does not come as it was announced."""
    with pytest.raises(aiohttp.ClientError):
        await get(client, world, path)
    await noted(lambda: world.served(path)[-1].status is not None)


# --- tasks ----------------------------------------------------------------------------------------------


async def ask(http: HttpTransport, world: World, kind: str, task_id: str) -> Outcome:
    """Ask as a poller does whose provider does not pause."""
    provider = Provider(parse_providers(json.dumps(world.providers_secret()))[kind], http)
    return await provider.poll(task_id)


async def ended(http: HttpTransport, world: World, kind: str, task_id: str) -> End:
    """Ask about a task until the poller's own judgement ends it."""
    key = TaskKey(task_id, kind)
    task = WorkItem(key=key, queue="work#0", since_ms=0, deadline_ms=1_000_000, submitted_at_ms=0)
    while True:
        decision = decide(task, await ask(http, world, kind, task_id), 70_000)
        if isinstance(decision, End):
            return decision
        counts = {name: value or 0 for name, value in decision.changes.items() if name.endswith("_count")}
        task = replace(task, **counts)


@pytest.mark.parametrize("kind", ["musicmint", "qhaigc", "suno"])
@pytest.mark.parametrize("word", FAST)
async def test_a_task_that_meets_trouble_ends_as_planned(run: Any, kind: str, word: str) -> None:
    world = run()
    async with HttpTransport() as http:
        for seed in range(3):
            answers = troubles.of_provider(word, {"phase": "processing"}, 2, Dice(seed))
            rule = {"answers": [*answers, {"phase": "failed", "reason": "no"}]}
            world.begin(PlannedTask(kind, f"song-{seed}", 0, 0, None, "failed", rule))
            decision = await ended(http, world, kind, f"song-{seed}")
            assert decision.end.failure is not None
            assert (decision.end.failure.code, decision.end.failure.reason) == ("provider_failed", "no")
    assert {book.poll_count for book in world.task_books()} == {3}


def test_a_task_is_at_its_provider_once_it_is_begun(run: Any) -> None:
    world = run()
    assert world.task_books() == []
    rule = {"answers": [{"phase": "processing", "until_s": 20}, {"phase": "completed"}]}
    world.begin(replace(TASK, rule=rule, age_s=30))
    (book,) = world.task_books()
    assert (book.kind, book.task_id, book.outcome) == ("suno", "song", "completed")


async def test_the_links_of_a_task_lead_to_its_files(run: Any, client: Any) -> None:
    world = run()
    for kind, rule in (
        ("musicmint", {}),
        ("qhaigc", {}),
        ("suno", {"video": True}),
    ):
        task = PlannedTask(kind, f"of-{kind}", 0, 0, None, "completed", TASK.rule | rule)
        world.begin(task)
        async with HttpTransport() as http:
            outcome: Any = await ask(http, world, kind, task.task_id)
        named = {
            (clip.clip_id, name): tuple(world.path_of(url) for url in urls if url)
            for clip in outcome.result.clips
            for name, urls in (
                ("audio", (clip.audio_url, clip.audio_source_url)),
                ("cover", (clip.cover_url, clip.cover_source_url)),
                ("large_cover", (clip.large_cover_url,)),
                ("video", (clip.video_url,)),
            )
            if any(urls)
        }
        assert named == world.links(task)


def test_a_task_that_fails_with_a_clip_has_the_files_of_one(run: Any) -> None:
    rule = {"answers": [{"phase": "failed", "clips": 1}]}
    task = replace(TASK, status="failed", rule=rule)
    assert [name for _, name in run().links(task)] == ["audio", "cover", "large_cover"]
    assert run().links(replace(task, rule={"answers": [{"phase": "failed"}]})) == {}


# --- files ----------------------------------------------------------------------------------------------


async def test_a_file_is_served_and_in_the_book(run: Any, client: Any) -> None:
    world = run()
    for (_, kind), (path, *_) in world.links(replace(TASK, rule=TASK.rule | {"video": True})).items():
        status, body = await get(client, world, path)
        (served,) = world.served(path)
        assert status == served.status == 200
        assert len(body) == served.sent == Media(EMPTY.seed).size(path)
        assert served.whole
        assert hashlib.sha256(body).hexdigest() == served.sha256 == world.sha256(path)
        assert media_type_of(kind, body[:8192]).extension == path.rpartition(".")[2].replace("jpeg", "jpg")


def test_no_two_files_are_alike() -> None:
    media = Media(1)
    paths = [f"suno/song/{number}.mp3" for number in range(50)]
    assert len({media.sha256(path) for path in paths}) == 50
    assert media.sha256(paths[0]) != Media(2).sha256(paths[0])


async def test_the_rest_of_a_file_can_be_had(run: Any, client: Any) -> None:
    world = run()
    path = path_of_audio(world)
    _, body = await get(client, world, path)
    status, rest = await get(client, world, path, range="bytes=5000-")
    assert (status, rest) == (206, body[5000:])
    served = world.served(path)[-1]
    assert (served.status, served.start, served.whole, served.sha256) == (206, 5000, True, world.sha256(path))


async def test_a_rest_that_is_none_is_refused(run: Any, client: Any) -> None:
    world = run()
    path = path_of_audio(world)
    size = Media(EMPTY.seed).size(path)
    assert (await get(client, world, path, range=f"bytes={size}-"))[0] == 416
    assert not world.served(path)[0].whole


async def test_a_file_that_differs_a_download_says_so_and_is_in_the_book_as_it_was_sent(
    run: Any, client: Any
) -> None:
    world, path = with_trouble(run, [{"status": 503, "times": 1}], word=troubles.DIFFERS)
    await get(client, world, path)
    _, first = await get(client, world, path)
    _, second = await get(client, world, path)
    assert first != second
    assert [each.sha256 for each in world.served(path)] == [
        None,
        *(hashlib.sha256(body).hexdigest() for body in (first, second)),
    ]


async def test_the_rest_of_a_file_that_differs_is_all_of_another(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"status": 503, "times": 1}], word=troubles.DIFFERS)
    await get(client, world, path)
    async with client.get(f"{world.url}/assets/{path}") as response:
        etag, whole = response.headers["etag"], await response.read()
    status, body = await get(client, world, path, **{"range": "bytes=100-", "if-range": etag})
    assert (status, len(body)) == (200, len(whole))


async def test_a_host_without_etags_begins_anew(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"status": 503, "times": 1}], resumable=False)
    await get(client, world, path)
    async with client.get(f"{world.url}/assets/{path}", headers={"range": "bytes=5000-"}) as response:
        assert response.status == 200
        assert "etag" not in response.headers
        assert hashlib.sha256(await response.read()).hexdigest() == world.sha256(path)


async def test_a_refused_file_is_in_the_book_and_comes_later(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"status": 404, "times": 1}, {"status": 503, "times": 1}])
    statuses = [(await get(client, world, path))[0] for _ in range(3)]
    assert statuses == [served.status for served in world.served(path)] == [404, 503, 200]
    assert [served.whole for served in world.served(path)] == [False, False, True]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_file_that_is_cut_is_not_whole(run: Any, client: Any, reset: bool, chunked: bool) -> None:
    answer = {"cut_after_bytes": 7000, "reset": reset, "chunked": chunked, "times": 1}
    world, path = with_trouble(run, [answer])
    await get_broken(client, world, path)
    (served,) = world.served(path)
    assert (served.status, served.sent, served.whole, served.sha256) == (200, 7000, False, None)


async def test_a_file_in_chunks_without_the_last_one_is_not_whole(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"cut_after_bytes": LARGEST_BYTES, "chunked": True, "times": 1}])
    await get_broken(client, world, path)
    assert not world.served(path)[0].whole


async def test_a_file_that_is_reset_at_once_has_no_answer(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"reset": True}])
    with pytest.raises(aiohttp.ClientError):
        await get(client, world, path)
    served, *_ = world.served(path)
    assert (served.status, served.sent, served.whole) == (None, 0, False)


async def test_a_file_that_comes_late_is_whole(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"delay_s": 0.1}])
    assert (await get(client, world, path))[0] == 200
    assert world.served(path)[0].sha256 == world.sha256(path)


async def test_a_file_that_was_cut_can_be_resumed(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"cut_after_bytes": 7000, "times": 1}])
    await get_broken(client, world, path)
    assert (await get(client, world, path, range="bytes=7000-"))[0] == 206
    assert world.served(path)[-1].sha256 == world.sha256(path)


async def test_a_file_of_which_too_much_is_announced_is_not_whole(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"length_off_by": 1, "times": 1}])
    await get_broken(client, world, path)
    assert not world.served(path)[0].whole


async def test_a_file_of_which_too_little_is_announced_is_a_shorter_one(run: Any) -> None:
    world, path = with_trouble(run, [{"length_off_by": -500, "times": 1}])
    url = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"GET /assets/{path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    head, body = (await reader.read()).split(b"\r\n\r\n", 1)
    writer.close()
    size = Media(EMPTY.seed).size(path)
    assert f"content-length: {size - 500}" in head.decode().lower()
    assert len(body) == size
    await noted(lambda: world.served(path)[0].whole)
    (served,) = world.served(path)
    assert (served.whole, served.sha256) == (True, hashlib.sha256(body[:-500]).hexdigest())


async def test_a_file_without_a_length_is_whole(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"chunked": True}])
    async with client.get(f"{world.url}/assets/{path}") as response:
        assert "content-length" not in response.headers
        assert hashlib.sha256(await response.read()).hexdigest() == world.sha256(path)
    assert world.served(path)[0].sha256 == world.sha256(path)


async def test_a_file_whose_client_goes_away_is_not_whole(run: Any, client: Any) -> None:
    world, path = with_trouble(run, [{"delay_s": HANG_S}])
    await given_up(get(client, world, path), lambda: bool(world.served(path)))
    await asyncio.sleep(0.1)
    (served,) = world.served(path)
    assert (served.status, served.whole) == (None, False)


async def downloaded(world: World, path: str) -> str:
    """Copy a file as tunehook does, but without its waits; return its digest."""

    async def at_once(_: float) -> None:
        pass

    async with open_client(guard=NetworkPolicy.ANY, timeout=None) as http:
        download = Download(http, f"{world.url}/assets/{path}", max_bytes=LARGEST_BYTES, sleep=at_once)
        while True:
            hasher = hashlib.sha256()
            try:
                async for chunk in download.chunks():
                    hasher.update(chunk)
            except StartOver:
                continue
            return hasher.hexdigest()


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("word", troubles.ASSET)
async def test_a_file_in_trouble_comes_as_its_host_has_served_it(
    run: Any, word: str, resumable: bool
) -> None:
    media = Media(EMPTY.seed)
    for seed in range(4):
        size = media.size(path_of_audio(run()))
        answers = troubles.of_asset(word, size, 2, Dice(seed))
        world, path = with_trouble(run, answers, resumable=resumable, word=word)
        digest = await downloaded(world, path)
        await noted(lambda world=world, path=path: world.served(path)[-1].whole)
        assert digest in {served.sha256 for served in world.served(path)}
        assert digest == world.sha256(path) or word in ("length_too_small", troubles.DIFFERS)


async def test_a_file_that_no_clip_has_is_not_found(run: Any, client: Any) -> None:
    world = run()
    assert (await get(client, world, "suno/song/other.mp3"))[0] == 404
    assert world.served() == []


def test_a_link_to_elsewhere_has_no_path(run: Any) -> None:
    world = run()
    assert world.path_of(f"{world.url}/assets/suno/a/b.mp3") == "suno/a/b.mp3"
    assert world.path_of("https://cdn.example.com/assets/suno/a/b.mp3") is None


# --- receivers ------------------------------------------------------------------------------------------


BODY = {"type": "task.completed", "data": {"task_id": "song"}}


async def post(
    client: aiohttp.ClientSession, url: str, delivery_id: str = "msg_1", body: Any = BODY
) -> aiohttp.ClientResponse:
    async with client.post(
        url, json=body, headers={"webhook-id": delivery_id}, allow_redirects=False
    ) as response:
        return response


def with_receiver(run: Any, *answers: dict[str, Any]) -> tuple[World, str]:
    world = run(receivers=(ReceiverTrouble("hook-1", "song", "word", list(answers)),))
    return world, str(world.hook_url(TASK))


def test_a_task_without_a_hook_has_no_url(run: Any) -> None:
    assert run().hook_url(replace(TASK, hook_name=None)) is None


def test_the_subscriptions_lead_to_receivers_of_their_names(run: Any) -> None:
    world = run()
    items = [*world.subscriptions(), *world.subscriptions(late=True)]
    # The late ones come last, wherever they are in the plan.
    planned = sorted(EMPTY.subscriptions, key=lambda each: each.is_late)
    assert [item["subscription_id"] for item in items] == [each.subscription_id for each in planned]
    assert all(item["url"] == f"{world.url}/receiver/{item['subscription_id']}" for item in items)


async def test_a_webhook_is_kept_and_accepted(run: Any, client: Any) -> None:
    world = run()
    assert (await post(client, world.hook_url(TASK))).status == 204
    await noted(lambda: world.received()[0].accepted)
    (receipt,) = world.received()
    assert (receipt.request.name, receipt.request.method) == ("hook-1", "POST")
    assert json.loads(receipt.request.body) == BODY
    assert (receipt.delivery_id, receipt.number, receipt.word) == ("msg_1", 1, "")
    assert (receipt.status, receipt.accepted) == (204, True)
    assert receipt.answered_at is not None
    assert receipt.answered_at >= receipt.request.received_at


async def test_the_receipts_of_a_delivery_get_its_answers_in_turn(run: Any, client: Any) -> None:
    world, url = with_receiver(run, {"status": 503}, {"status": 429, "headers": {"retry-after": "3"}})
    answers = [await post(client, url) for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 429, 204]
    assert answers[1].headers["retry-after"] == "3"
    await noted(lambda: world.received()[-1].accepted)
    assert [receipt.word for receipt in world.received()] == ["word", "word", ""]
    assert [receipt.number for receipt in world.received()] == [1, 2, 3]
    assert [receipt.accepted for receipt in world.received()] == [False, False, True]


async def test_another_delivery_of_the_same_task_meets_the_trouble_anew(run: Any, client: Any) -> None:
    _, url = with_receiver(run, {"status": 503})
    statuses = [(await post(client, url, delivery_id)).status for delivery_id in ("a", "b", "a", "b")]
    assert statuses == [503, 503, 204, 204]


async def test_other_receivers_and_tasks_do_not_meet_the_trouble(run: Any, client: Any) -> None:
    world, url = with_receiver(run, {"status": 503})
    assert (await post(client, f"{world.url}/receiver/to-standard")).status == 204
    assert (await post(client, url, body=BODY | {"data": {"task_id": "other"}})).status == 204


@pytest.mark.parametrize(
    "body",
    [
        {"type": "task.completed", "timestamp": "", "data": {"task_id": "song"}},
        {"id": "evt", "specversion": "1.0", "type": "task.completed", "data": {"task_id": "song"}},
        {"task_id": "song", "status": "SUCCESS", "data": [{"id": "clip"}]},
        {"id": "song", "status": "completed", "results": []},
    ],
    ids=["standard", "cloudevents", "provider", "provider-musicmint"],
)
async def test_a_webhook_of_any_format_meets_its_trouble(run: Any, client: Any, body: Any) -> None:
    _, url = with_receiver(run, {"status": 503})
    assert (await post(client, url, body=body)).status == 503


@pytest.mark.parametrize("body", ["text", [1], {"data": []}, None])
async def test_a_webhook_that_tells_of_no_task_is_kept(run: Any, client: Any, body: Any) -> None:
    world = run()
    assert (await post(client, world.hook_url(TASK), body=body)).status == 204
    assert len(world.received()) == 1


async def test_a_reset_is_no_answer(run: Any, client: Any) -> None:
    world, url = with_receiver(run, {"reset": True})
    with pytest.raises(aiohttp.ClientOSError):
        await post(client, url)
    (receipt,) = world.received()
    assert (receipt.status, receipt.accepted, receipt.answered_at) == (None, False, None)


async def test_a_receiver_that_hangs_never_answers(run: Any, client: Any) -> None:
    world, url = with_receiver(run, {"hang": True})
    sending = asyncio.create_task(post(client, url))
    await noted(lambda: bool(world.received()))
    await asyncio.sleep(0.2)
    assert not sending.done()
    sending.cancel()
    assert (world.received()[0].word, world.received()[0].status) == ("word", None)


async def test_a_slow_answer_whose_sender_has_gone_is_none(run: Any, client: Any) -> None:
    # So late that a slow machine has gone before, and no later than is waited for.
    world, url = with_receiver(run, {"delay_s": 2.0})
    await given_up(post(client, url), lambda: bool(world.received()))
    await asyncio.sleep(2.2)
    assert not world.received()[0].accepted


async def test_a_slow_answer_is_one(run: Any, client: Any) -> None:
    world, url = with_receiver(run, {"delay_s": 0.2})
    assert (await post(client, url)).status == 204
    await noted(lambda: world.received()[0].accepted)


# --- where no request may go ----------------------------------------------------------------------------


async def test_a_redirect_leads_to_the_tripwire(run: Any, client: Any) -> None:
    answer = troubles.of_receiver("redirect", 1, Dice(1))
    world, url = with_receiver(run, answer)
    location = (await post(client, url)).headers["location"]
    assert world.tripped() == []
    await post(client, location)
    (tripped,) = world.tripped()
    assert tripped.first_line == "POST /redirected HTTP/1.1"


async def test_a_connection_without_a_request_trips_too(run: Any) -> None:
    world = run()
    url = urlsplit(world.forbidden_tasks()[0].hook_url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"\x16\x03\x01")
    writer.write_eof()
    await noted(lambda: any(tripped.first_line for tripped in world.tripped()))
    writer.close()
    assert [tripped.first_line for tripped in world.tripped()] == ["\x16\x03\x01"]


def test_the_forbidden_tasks_lead_to_names_too(run: Any) -> None:
    hosts = {urlsplit(each.hook_url).hostname for each in run().forbidden_tasks()}
    assert {"127.0.0.1", "localhost", "2130706433"} <= hosts


async def test_a_forbidden_task_ends_well_with_links_to_the_tripwire(run: Any, client: Any) -> None:
    world = run()
    forbidden = world.forbidden_tasks()
    assert len({each.task.task_id for each in forbidden}) == len(forbidden) >= 10
    for each in forbidden:
        world.begin_forbidden(each)
        async with HttpTransport() as http:
            outcome: Any = await ask(http, world, each.task.kind, each.task.task_id)
        assert all(clip.audio_url.startswith(each.assets_url) for clip in outcome.result.clips)
    async with client.get(forbidden[-1].assets_url):
        pass
    assert len(world.tripped()) == 1


def test_a_world_that_has_ended_listens_no_more() -> None:
    with World(EMPTY) as world:
        port = urlsplit(world.url).port

    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", port)

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(connect())


def test_a_whole_plan_can_be_played() -> None:
    plan = draw(3, SHORT)
    with World(plan) as world:
        for task in plan.tasks:
            world.begin(task)
        assert len(world.task_books()) == 60
