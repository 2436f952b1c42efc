"""What the light client of DynamoDB makes of any answer, on raw sockets, beside boto3.

It is asked in both ways: from a thread, and from the event loop. boto3 is asked the same where it does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import boto3
import pytest
from boto3.dynamodb.conditions import Attr
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)
from tests.support.patience import HANG_S

from tunehook.aws.dynamodb import LightDynamoDB
from tunehook.aws.table import Table

ITEM: dict[str, Any] = {"id": {"S": "one"}, "b": {"B": b"\0"}}
ON_THE_WIRE: dict[str, Any] = {"id": {"S": "one"}, "b": {"B": "AA=="}}
REQUEST: dict[str, Any] = {"TableName": "things", "Key": {"id": {"S": "one"}}, "UpdateExpression": "REMOVE a"}
REFUSED = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"}


@dataclass(frozen=True)
class Turn:
    """What the server does when a request has come: it may answer, and may end the connection afterwards."""

    answer: bytes = b""
    ends: bool = True
    resets: bool = False
    hangs: bool = False


def answer(
    body: Any, status: str = "200 OK", *, checksum: int | None = None, missing: int = 0, **turn: bool
) -> Turn:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(content) + missing}\r\nx-amzn-requestid: r1\r\n"
    if turn.get("ends", True) and turn.pop("says_so", True):
        head += "connection: close\r\n"
    if checksum is not None:
        head += f"x-amz-crc32: {checksum}\r\n"
    return Turn(f"{head}\r\n".encode() + content, **turn)


FINE = answer({"Attributes": ON_THE_WIRE})
BROKEN = answer(b"<html>no</html>", "503 Service Unavailable")
RESET, CLOSED, SILENT = Turn(resets=True), Turn(), Turn(hangs=True)
THROTTLED = answer(
    {"__type": "x#ProvisionedThroughputExceededException", "message": "slow"}, "400 Bad Request"
)


@dataclass
class Server:
    """Plays its turns, one a request, on whatever connection that comes; the last one again and again."""

    turns: Sequence[Turn]
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line.split(b":")[1]
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                self.requests.append(await reader.readexactly(int(length)))
                turn = self.turns[min(len(self.requests), len(self.turns)) - 1]
                if turn.hangs:
                    await reader.read()
                writer.write(turn.answer)
                if turn.resets:
                    writer.transport.abort()
                    return
                await writer.drain()
                if turn.ends:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.ended.set()


@contextlib.asynccontextmanager
async def serving(*turns: Turn) -> AsyncIterator[Server]:
    server = Server(turns)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(writer):
            await server.handle(reader, writer)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(HANG_S):
            yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook.aws.light._longest_pause_s", lambda *_, **__: 0.0)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


@functools.cache
def session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="id", aws_secret_access_key="secret", region_name="eu-west-1")


def boto3_at(port: int, read_timeout: float = HANG_S) -> Any:
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=HANG_S,
        read_timeout=read_timeout,
    )
    return session().client("dynamodb", endpoint_url=f"http://127.0.0.1:{port}", config=config)


def light_at(port: int, read_timeout: float = HANG_S) -> LightDynamoDB:
    return LightDynamoDB(boto3_at(port, read_timeout), Credentials("id", "secret"))


Way = Callable[[int, float], Awaitable[Any]]


async def by_boto3(port: int, read_timeout: float) -> Any:
    return await asyncio.to_thread(boto3_at(port, read_timeout).update_item, **REQUEST)


async def from_a_thread(port: int, read_timeout: float) -> Any:
    return await asyncio.to_thread(light_at(port, read_timeout).update_item, **REQUEST)


async def from_the_loop(port: int, read_timeout: float) -> Any:
    light = light_at(port, read_timeout)
    try:
        return await light.update_item_in_loop(**REQUEST)
    finally:
        await light.close_in_loop()


LIGHT: tuple[Way, ...] = (from_a_thread, from_the_loop)
ALL: tuple[Way, ...] = (by_boto3, *LIGHT)


async def asked(way: Way, *turns: Turn, read_timeout: float = HANG_S) -> tuple[Any, int]:
    """What an update comes to, and how many requests came."""
    async with serving(*turns) as server:
        try:
            answered = await way(server.port, read_timeout)
        except (ClientError, BotoCoreError) as error:
            return error, len(server.requests)
        return answered, len(server.requests)


@pytest.mark.parametrize("way", ALL)
@pytest.mark.parametrize(
    "before",
    [
        [],
        [BROKEN],
        [answer(b"", "500 Internal Server Error")],
        [answer({"__type": "x#InternalServerError"}, "500 Internal Server Error"), RESET],
        [RESET],
        [CLOSED, CLOSED],
        [THROTTLED, BROKEN, THROTTLED],
        [answer({"Attributes": ON_THE_WIRE}, checksum=7)],
        [answer({"__type": "x#ReplicatedWriteConflictException", "message": "m"}, "400 Bad Request")],
        [answer(b"", "429 Too Many Requests")],
    ],
)
async def test_what_may_pass_is_tried_again_and_the_answer_says_so(way: Way, before: list[Turn]) -> None:
    answered, requests = await asked(way, *before, FINE)
    assert answered["Attributes"] == ITEM
    assert answered["ResponseMetadata"]["RetryAttempts"] == len(before) == requests - 1
    assert answered["ResponseMetadata"]["RequestId"] == "r1"


@pytest.mark.parametrize("way", LIGHT)
@pytest.mark.parametrize(
    "first",
    [
        answer(json.dumps({"Attributes": ON_THE_WIRE}).encode(), missing=9),
        answer(b'{"Attributes": '),
        answer(b"[]"),
        answer(b"", "204 No Content"),
    ],
)
async def test_an_answer_that_is_not_whole_is_none(way: Way, first: Turn) -> None:
    # boto3 takes the first two for an answer without attributes, where no checksum tells.
    answered, requests = await asked(way, first, FINE)
    assert answered["Attributes"] == ITEM
    assert (answered["ResponseMetadata"]["RetryAttempts"], requests) == (1, 2)


@pytest.mark.parametrize("way", ALL)
async def test_a_checksum_that_matches_is_fine(way: Way) -> None:
    body = json.dumps({"Attributes": ON_THE_WIRE}).encode()
    answered, requests = await asked(way, answer(body, checksum=crc32(body)))
    assert (answered["Attributes"], requests) == (ITEM, 1)


@pytest.mark.parametrize(
    ("status", "body", "code", "requests"),
    [
        ("400 Bad Request", REFUSED | {"Item": ON_THE_WIRE}, "ConditionalCheckFailedException", 1),
        ("400 Bad Request", {"__type": "x#ValidationException", "Message": "m"}, "ValidationException", 1),
        (
            "400 Bad Request",
            {"__type": "x#ExpiredTokenException", "message": "m"},
            "ExpiredTokenException",
            1,
        ),
        ("403 Forbidden", {"__type": "x#AccessDeniedException:more"}, "AccessDeniedException", 1),
        ("400 Bad Request", b"", "400", 1),
        ("413 Too Large", b"a proxy's words", "413", 1),
        ("503 Service Unavailable", b"<html>no</html>", "503", 4),
        ("500 Internal Server Error", {"__type": "x#InternalServerError"}, "InternalServerError", 4),
        ("400 Bad Request", {"__type": "ThrottlingException", "message": "m"}, "ThrottlingException", 4),
    ],
)
async def test_a_refusal_is_boto3s_error(status: str, body: Any, code: str, requests: int) -> None:
    expected, came = await asked(by_boto3, answer(body, status))
    assert (expected.response["Error"]["Code"], came) == (code, requests)
    for way in LIGHT:
        error, came = await asked(way, answer(body, status))
        assert came == requests
        assert str(error) == str(expected)
        assert type(error).__name__ == type(expected).__name__
        assert error.operation_name == "UpdateItem"
        assert error.response.get("Item") == expected.response.get("Item")
        metadata, of_boto3 = error.response["ResponseMetadata"], expected.response["ResponseMetadata"]
        for name in ("HTTPStatusCode", "RetryAttempts"):
            assert metadata[name] == of_boto3[name]
        assert metadata["RequestId"] == "r1"


@pytest.mark.parametrize("way", ALL)
@pytest.mark.parametrize(("turn", "kind"), [(RESET, ConnectionClosedError), (CLOSED, ConnectionClosedError)])
async def test_what_never_answers_is_given_up_after_four_tries(
    way: Way, turn: Turn, kind: type[Exception]
) -> None:
    error, requests = await asked(way, turn)
    assert (type(error), requests) == (kind, 4)


@pytest.mark.parametrize("way", LIGHT)
async def test_a_checksum_that_never_matches_is_an_error(way: Way) -> None:
    # boto3 gives such an answer out after its last try.
    error, requests = await asked(way, answer({"Attributes": ON_THE_WIRE}, checksum=7))
    assert (type(error), requests) == (HTTPClientError, 4)


@pytest.mark.parametrize("way", ALL)
async def test_a_silent_peer_is_given_up(way: Way) -> None:
    error, requests = await asked(way, SILENT, read_timeout=0.05)
    assert type(error) is ReadTimeoutError
    assert requests <= 4


@pytest.mark.parametrize("way", ALL)
async def test_a_place_where_nobody_listens(way: Way) -> None:
    async with serving(FINE) as server:
        port = server.port
    with pytest.raises(EndpointConnectionError, match=f"127.0.0.1:{port}"):
        await way(port, HANG_S)


@pytest.mark.parametrize("loop", [False, True])
async def test_a_connection_is_kept_and_one_that_ended_meanwhile_is_not_used(loop: bool) -> None:
    kept = answer({"Attributes": ON_THE_WIRE}, ends=False)
    async with serving(kept, answer({"Attributes": ON_THE_WIRE}, says_so=False), kept) as server:
        light = light_at(server.port)
        for number, connections in enumerate((1, 1, 2), 1):
            if connections == 2:
                await server.ended.wait()
            answered = await _update(light, loop=loop)
            assert answered["ResponseMetadata"]["RetryAttempts"] == 0
            assert (len(server.requests), server.connections) == (number, connections)
        await light.close_in_loop()


@pytest.mark.parametrize("loop", [False, True])
async def test_one_that_ends_under_a_request_counts_as_a_retry(loop: bool) -> None:
    # The request may have been done: whoever made it must know that an earlier try may be its own.
    kept = answer({"Attributes": ON_THE_WIRE}, ends=False)
    async with serving(kept, CLOSED, FINE) as server:
        light = light_at(server.port)
        tries = [(await _update(light, loop=loop))["ResponseMetadata"]["RetryAttempts"] for _ in range(2)]
        assert (tries, len(server.requests)) == ([0, 1], 3)
        await light.close_in_loop()


async def _update(light: LightDynamoDB, *, loop: bool) -> Any:
    if loop:
        return await light.update_item_in_loop(**REQUEST)
    return await asyncio.to_thread(light.update_item, **REQUEST)


async def test_a_write_whose_answer_was_lost_is_known_as_ones_own() -> None:
    applied = answer(REFUSED | {"Item": ON_THE_WIRE}, "400 Bad Request")
    async with serving(RESET, applied) as server:
        light = light_at(server.port)
        table = Table(light, "things")  # type: ignore[arg-type]
        write = await table.update_in_loop(
            {"id": "one"},
            set={"b": b"\0"},
            condition=Attr("b").not_exists(),
            mine=lambda it: it["b"] == b"\0",
        )
        assert (write.done, len(server.requests)) == (True, 2)
        await light.close_in_loop()


async def test_a_deletion_whose_answer_was_lost_is_known_as_ones_own() -> None:
    gone = answer(REFUSED, "400 Bad Request")
    async with serving(RESET, gone) as server:
        table = Table(light_at(server.port), "things")  # type: ignore[arg-type]
        assert (await asyncio.to_thread(table.delete, {"id": "one"})).done
    async with serving(gone) as server:
        table = Table(light_at(server.port), "things")  # type: ignore[arg-type]
        assert not (await asyncio.to_thread(table.delete, {"id": "one"})).done


async def test_a_service_that_is_down_is_not_asked_four_times_by_every_call() -> None:
    # The quota of retries, as botocore has it: 500, of which each costs 14.
    async with serving(BROKEN) as server:
        light = light_at(server.port)
        calls = 40
        for _ in range(calls):
            with pytest.raises(ClientError):
                await light.update_item_in_loop(**REQUEST)
        assert len(server.requests) == calls + 500 // 14
        await light.close_in_loop()


@pytest.mark.parametrize("way", LIGHT)
async def test_credentials_that_are_changed_count_from_the_next_call_on(way: Way) -> None:
    class Rotating(Credentials):
        """Others at each call."""

        asked = 0

        def get_frozen_credentials(self) -> Any:
            self.asked += 1
            return Credentials(f"id{self.asked}", "secret", f"token{self.asked}").get_frozen_credentials()

    heads: list[str] = []
    async with serving(BROKEN, FINE) as server:
        light = LightDynamoDB(boto3_at(server.port), Rotating("", ""))

        def note(request: Any, **_: Any) -> None:
            heads.append(f"{request.headers['X-Amz-Security-Token']} {request.headers['Authorization']}")

        light.meta.events.register("before-send.dynamodb", note)
        await _update(light, loop=way is from_the_loop)
        await light.close_in_loop()
    assert [head.partition("/")[0] for head in heads] == [
        f"token{number} AWS4-HMAC-SHA256 Credential=id{number}" for number in (1, 2)
    ]


async def test_where_there_is_a_proxy_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(FINE) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        own = session().client(
            "dynamodb",
            endpoint_url="http://dynamodb.example",
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
        )
        light = LightDynamoDB(own, Credentials("id", "secret"))
        assert (await light.update_item_in_loop(**REQUEST))["Attributes"] == ITEM
        assert len(proxy.requests) == 1
