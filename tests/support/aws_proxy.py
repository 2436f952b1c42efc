"""A proxy before the embedded AWS that does to chosen calls what a test wants done to them.

Each call is matched against rules by its service, its operation and what it says; the first rule that matches and
has an act for this call decides. All other calls go through as they came, byte for byte, so that their signatures
hold: the embedded AWS verifies them over the name of the host that the client has called, which is the proxy's.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from tests.support.patience import HANG_S
from yarl import URL

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_OF_ONE_CONNECTION = ("connection", "expect", "keep-alive", "transfer-encoding")
_OF_A_SIGNATURE = ("authorization", "content-length", "x-amz-content-sha256", "x-amz-date")
_JSON = {"content-type": "application/x-amz-json-1.0"}
_FORM = "application/x-www-form-urlencoded"
_NO_LINGER = struct.pack("ii", 1, 0)
_THROTTLED = {
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "lambda": (429, "TooManyRequestsException"),
    "s3": (503, "SlowDown"),
}
_BROKEN = {
    "dynamodb": (500, "InternalServerError"),
    "events": (500, "InternalException"),
    "lambda": (500, "ServiceException"),
    "s3": (500, "InternalError"),
    "secretsmanager": (500, "InternalServiceError"),
}


@dataclass(frozen=True)
class Call:
    """One AWS request.

    `service` is the name that it is signed for (``dynamodb``, ``events``, ``lambda``, ``s3``); `operation` is its
    name (``UpdateItem``), or method and path where the protocol knows no names (``PUT /bucket/key``). `access_key_id`
    tells whose it is. Of a link that was signed beforehand, both service and key are empty.
    """

    service: str
    operation: str
    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    access_key_id: str = ""
    is_altered: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the call says, where it is JSON."""
        return json.loads(self.body or b"{}")

    def altered(self, parameters: dict[str, Any]) -> Call:
        """Return the call as one that says something else; the proxy signs it when it is forwarded."""
        return replace(self, body=json.dumps(parameters).encode(), is_altered=True)


@dataclass(frozen=True)
class Answer:
    """What is answered to a call."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """What the answer says, where it is JSON."""
        return json.loads(self.body or b"{}")


Forward = Callable[[Call], Awaitable[Answer]]
Act = Callable[[Call, Forward], Awaitable[Answer | None]]
"""Gives the answer to a call; None breaks the connection off instead."""


@dataclass
class Rule:
    """Which calls get which act.

    `operation` is a pattern of `fnmatch`; `calls` are those of the matching calls that are meant, counted from 1.
    """

    service: str
    operation: str
    act: Act
    calls: Container[int] = range(1, sys.maxsize)
    where: Callable[[Call], bool] = lambda _call: True
    matched: int = 0

    def takes(self, call: Call) -> bool:
        """Count a call if it matches; return whether it is one of those that are meant."""
        if call.service != self.service or not fnmatchcase(call.operation, self.operation):
            return False
        if not self.where(call):
            return False
        self.matched += 1
        return self.matched in self.calls


def dropped(before: Callable[[], None] = lambda: None) -> Act:
    """Do something (kill the caller, say), and drop the call: AWS never hears of it."""

    async def act(call: Call, forward: Forward) -> None:
        before()

    return act


def unanswered(then: Callable[[], None] = lambda: None) -> Act:
    """Let the call happen, do something (kill the caller, say), and drop the answer: the caller never hears of it."""

    async def act(call: Call, forward: Forward) -> None:
        await forward(call)
        then()

    return act


def doubled() -> Act:
    """Let the call happen twice at once, as if it had been made twice; the answer is that of one of them."""

    async def act(call: Call, forward: Forward) -> Answer:
        answer, _ = await asyncio.gather(forward(call), forward(call))
        return answer

    return act


def failed(code: str, status: int = 400) -> Act:
    """Answer with an error of the service; the call does not happen."""

    async def act(call: Call, forward: Forward) -> Answer:
        return _error(call, status, code)

    return act


def throttled() -> Act:
    """Answer with the service's own error for too many calls."""

    async def act(call: Call, forward: Forward) -> Answer:
        return _error(call, *_THROTTLED.get(call.service, (400, "ThrottlingException")))

    return act


def broken() -> Act:
    """Answer with the service's own error for a fault within it."""

    async def act(call: Call, forward: Forward) -> Answer:
        return _error(call, *_BROKEN.get(call.service, (500, "InternalError")))

    return act


async def forwarded(call: Call, forward: Forward) -> Answer:
    """Let the call through."""
    return await forward(call)


def delayed(seconds: float, then: Act = forwarded) -> Act:
    """Let the call wait before something else is done to it."""

    async def act(call: Call, forward: Forward) -> Answer | None:
        await asyncio.sleep(seconds)
        return await then(call, forward)

    return act


def together(count: int) -> Act:
    """Hold calls back until there are `count` of them, then let them all happen at once."""
    barrier = asyncio.Barrier(count)

    async def act(call: Call, forward: Forward) -> Answer:
        await barrier.wait()
        return await forward(call)

    return act


def entries_refused(where: Callable[[dict[str, Any]], bool]) -> Act:
    """Let PutEvents refuse some of its entries, in an answer with status 200; the bus never sees those."""

    async def act(call: Call, forward: Forward) -> Answer:
        entries = call.parameters["Entries"]
        taken = [entry for entry in entries if not where(entry)]
        results: Iterator[Any] = iter(())
        if taken:
            answer = await forward(call.altered({"Entries": taken}))
            results = iter(answer.content["Entries"])
        refusal = {"ErrorCode": "InternalFailure", "ErrorMessage": "as the test wants it"}
        content = {
            "FailedEntryCount": len(entries) - len(taken),
            "Entries": [refusal if where(entry) else next(results) for entry in entries],
        }
        return Answer(200, CIMultiDict(_JSON), json.dumps(content).encode())

    return act


def _error(call: Call, status: int, code: str) -> Answer:
    message = "as the test wants it"
    if call.service == "s3" or call.headers.get("content-type", "").startswith(_FORM):
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = error if call.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        return Answer(status, CIMultiDict({"content-type": "application/xml"}), body.encode())
    body = json.dumps({"__type": code, "message": message})
    return Answer(status, CIMultiDict(_JSON | {"x-amzn-errortype": code}), body.encode())


class AwsProxy:
    """A proxy that runs: where it is, its rules, and the calls that have come, oldest first.

    Rules may be added and removed at any time and from any thread. While the embedded AWS is not there, connections
    break off.

    Parameters
    ----------
    upstream : str
        The URL of the embedded AWS.
    credentials : botocore.credentials.Credentials
        What a call is signed with whose body an act has changed.
    kept : int or None
        How many of the last calls are kept; all of them by default.
    """

    def __init__(self, upstream: str, credentials: Credentials, kept: int | None = None) -> None:
        self.url = ""
        self.calls: deque[Call] = deque(maxlen=kept)
        self._upstream = URL(upstream)
        self._credentials = credentials
        self._rules: list[Rule] = []

    def add(self, *rules: Rule) -> None:
        """Add rules, behind those that are there."""
        self._rules.extend(rules)

    def remove(self, *rules: Rule) -> None:
        """Take rules away; calls that they have taken already are not let go."""
        self._rules = [rule for rule in self._rules if not any(rule is each for each in rules)]

    def made(self, service: str, operation: str) -> list[Call]:
        """Return the calls of an operation (a pattern of `fnmatch`) that have come so far."""
        return [
            call for call in self.calls if call.service == service and fnmatchcase(call.operation, operation)
        ]

    async def serve(self, stopped: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Run until it is told to stop."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        # The bytes of a body are the answer's own business, and so is how many connections it takes.
        async with aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            self._session = session
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                on_ready()
                await stopped.wait()
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = await _read(request)
        self.calls.append(call)
        # Each rule counts the calls that match it, whether or not another one decides.
        taking = [rule for rule in tuple(self._rules) if rule.takes(call)]
        try:
            answer = await (taking[0].act(call, self._forward) if taking else self._forward(call))
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            answer = None
        if answer is None:
            _break_off(request)
            return web.Response()
        body = None if call.method == "HEAD" else answer.body
        return web.Response(status=answer.status, headers=answer.headers, body=body)

    async def _forward(self, call: Call) -> Answer:
        if call.is_altered:
            call = self._signed_anew(call)
        async with self._session.request(
            call.method,
            self._upstream.join(URL(call.target, encoded=True)),
            headers=_without(call.headers, _OF_ONE_CONNECTION),
            # Of large bodies in plain bytes aiohttp warns.
            data=io.BytesIO(call.body),
            allow_redirects=False,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        ) as answer:
            # That of an answer to HEAD is of a body that does not come.
            own = _OF_ONE_CONNECTION if call.method == "HEAD" else (*_OF_ONE_CONNECTION, "content-length")
            headers = _without(answer.headers, own)
            return Answer(answer.status, headers, await answer.read())

    def _signed_anew(self, call: Call) -> Call:
        scope = _SCOPE.search(call.headers["authorization"])
        assert scope is not None, "only a signed call can be signed anew"
        headers = _without(call.headers, (*_OF_A_SIGNATURE, *_OF_ONE_CONNECTION, "x-amz-security-token"))
        request = AWSRequest(
            method=call.method,
            url=f"http://{call.headers['host']}{call.target}",
            headers=dict(headers),
            data=call.body,
        )
        SigV4Auth(self._credentials, scope["service"], scope["region"]).add_auth(request)
        return replace(call, headers=CIMultiDict(request.headers.items()))


async def _read(request: web.Request) -> Call:
    body = await request.read()
    headers = CIMultiDict(request.headers)
    scope = _SCOPE.search(headers.get("authorization", ""))
    target = headers.get("x-amz-target", "")
    form = headers.get("content-type", "").startswith(_FORM)
    action = dict(parse_qsl(body.decode())).get("Action") if form else target.rpartition(".")[2]
    return Call(
        service=scope["service"] if scope else "",
        operation=action or f"{request.method} {request.path}",
        method=request.method,
        target=request.raw_path,
        headers=headers,
        body=body,
        access_key_id=scope["key"] if scope else "",
    )


def _without(headers: Any, names: tuple[str, ...]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in names)


def _break_off(request: web.Request) -> None:
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()


@contextmanager
def run_aws_proxy(
    upstream: str, access_key_id: str = "test", secret: str = "test", *, kept: int | None = None
) -> Iterator[AwsProxy]:
    """Run a proxy before the AWS at `upstream`, in a thread of its own, for as long as the context lasts."""
    proxy = AwsProxy(upstream, Credentials(access_key_id, secret), kept)
    stopped = asyncio.Event()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=loop.run_until_complete,
        args=(proxy.serve(stopped, ready.set),),
        name="aws-proxy",
        daemon=True,
    )
    thread.start()
    try:
        assert ready.wait(HANG_S), "the proxy did not come up"
        yield proxy
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
