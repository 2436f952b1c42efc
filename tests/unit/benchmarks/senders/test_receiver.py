import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from benchmarks.senders.books import Books, new_event_id
from benchmarks.senders.receiver import KEPT, Receiver, at_once, first


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(session: aiohttp.ClientSession, url: str, body: str) -> int:
    async with session.post(url, data=body, allow_redirects=False) as answer:
        await answer.read()
        return answer.status


async def test_requests_are_entered_by_their_event_and_endpoint(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    books, others = Books(), Books()
    one, two = receiver.open("one", books), receiver.open("two", others)
    event_id, other = new_event_id(), new_event_id()
    for url, each in ((one, event_id), (one, event_id), (two, other)):
        assert await post(session, url, f"{{{each}}}") == 200
    assert [arrival.endpoint for arrival in books.arrivals[event_id]] == ["one", "one"]
    assert list(others.arrivals) == [other]


async def test_what_is_about_no_event_or_for_no_endpoint_is_entered_nowhere(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    books = Books()
    url = receiver.open("one", books)
    assert await post(session, url, "ping") == 200
    assert await post(session, f"{url}-not", new_event_id()) == 200
    assert (receiver.strangers, books.arrivals) == (2, {})


async def test_the_first_requests_are_kept_whole(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    url = receiver.open("one", Books())
    bodies = [f'{{"id":"{new_event_id()}"}}' for _ in range(KEPT + 1)]
    for body in bodies:
        async with session.post(url, data=body, headers={"Webhook-Id": "msg_1"}):
            pass
    kept = receiver.kept("one")
    assert [each.body.decode() for each in kept] == bodies[:KEPT]
    assert kept[0].headers["webhook-id"] == "msg_1"


async def test_an_endpoint_may_refuse_the_first_request_of_each_event(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    url = receiver.open("one", Books(), first(503, {"retry-after": "7"}))
    a, b = new_event_id(), new_event_id()
    async with session.post(url, data=a) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert [await post(session, url, each) for each in (a, b, b)] == [200, 503, 200]


async def test_an_endpoint_may_be_turned(receiver: Receiver, session: aiohttp.ClientSession) -> None:
    url = receiver.open("one", Books())
    receiver.turn("one", at_once(410))
    assert await post(session, url, new_event_id()) == 410


async def test_a_redirect_that_is_followed_is_noted(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    if receiver.forbidden_url is None:
        pytest.skip("this machine has no second address on loopback")
    url = receiver.open("one", Books(), at_once(302, {"location": f"{receiver.forbidden_url}/forbidden"}))
    assert await post(session, url, new_event_id()) == 302
    assert receiver.followed == []
    async with session.post(url, data=new_event_id()) as answer:
        assert answer.status == 200
    assert receiver.followed == ["/forbidden"]


async def test_one_that_hangs_answers_when_the_receiver_closes(session: aiohttp.ClientSession) -> None:
    books = Books()
    async with Receiver() as receiver:
        url = receiver.open("one", books, receiver.hang)
        asked = asyncio.create_task(post(session, url, new_event_id()))
        while not books.arrivals:
            await asyncio.sleep(0)
        assert not asked.done()
    assert await asked == 200


async def test_one_that_drips_begins_its_body_and_goes_on(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    url = receiver.open("one", Books(), receiver.drip)
    async with session.post(url, data=new_event_id()) as answer:
        assert answer.status == 200
        assert await answer.content.readexactly(1) == b"."
        assert not answer.content.at_eof()


async def test_one_without_end_sends_more_than_anybody_wants(
    receiver: Receiver, session: aiohttp.ClientSession
) -> None:
    url = receiver.open("one", Books(), receiver.endless)
    async with session.post(url, data=new_event_id()) as answer:
        assert len(await answer.content.readexactly(2_000_000)) == 2_000_000
        assert not answer.content.at_eof()


async def test_senders_may_reach_it_by_another_url() -> None:
    async with Receiver(url="https://receiver.example.com") as receiver:
        assert receiver.open("one", Books()) == "https://receiver.example.com/one"
