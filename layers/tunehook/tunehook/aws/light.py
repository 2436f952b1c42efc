"""Light clients of AWS's JSON services: their calls at a third to a half of boto3's processor time.

Each stands in for a boto3 client: the same parameters, answers and errors. What boto3 spends its time on is left out
(rules of endpoints, checks of parameters, shapes and events for each call); what is kept by others is used as it is:
botocore's HTTP session (connections, trust, proxies, the names of errors), credentials and retry quota. Everything
else that is asked of it is the boto3 client's own. See docs/decisions/067-a-light-client-of-dynamodb.md.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import random
import socket
from binascii import crc32
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from http.client import responses
from time import gmtime, sleep, strftime, time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import botocore
from boto3.dynamodb.types import Binary
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.retries.quota import RetryQuota
from botocore.utils import get_environ_proxies
from pydantic_core import from_json

from tunehook.aws.errors import THROTTLED

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

    from tunehook.http.transport import HttpTransport

_TRANSIENT: Final = frozenset(
    {"ReplicatedWriteConflictException", "RequestTimeout", "RequestTimeoutException"}
)
_TRANSIENT_STATUSES: Final = frozenset({500, 502, 503, 504})
_ERROR_STATUS: Final = 300
_THROTTLING_COST: Final = 5
_RETRY_COST: Final = 14
_THROTTLING_BASE_S: Final = 1.0
_BASE_S: Final = {"dynamodb": 0.025}
_DEFAULT_BASE_S: Final = 0.05
_LONGEST_S: Final = 20.0

_SIGNED: Final = "content-type;host;x-amz-date;x-amz-target"
_SIGNED_OF_SESSIONS: Final = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Signer:
    """Signs requests of one host and service by AWS Signature Version 4; the key of a day is derived once."""

    def __init__(self, host: str, region: str, service: str, json_version: str) -> None:
        self._host = host
        self._region = region
        self._service = service
        self._content_type = f"application/x-amz-json-{json_version}"
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def headers(
        self, target: str, body: bytes, credentials: ReadOnlyCredentials, now_s: float
    ) -> dict[str, str]:
        """Return the headers of a POST to the host's root at a time in seconds since 1970."""
        moment = strftime("%Y%m%dT%H%M%SZ", gmtime(now_s))
        day, token = moment[:8], credentials.token
        given = f"content-type:{self._content_type}\nhost:{self._host}\nx-amz-date:{moment}\n"
        signed = _SIGNED
        headers = {"Content-Type": self._content_type, "X-Amz-Date": moment, "X-Amz-Target": target}
        if token:
            given += f"x-amz-security-token:{token}\n"
            signed = _SIGNED_OF_SESSIONS
            headers["X-Amz-Security-Token"] = token
        canonical = f"POST\n/\n\n{given}x-amz-target:{target}\n\n{signed}\n{sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = self._key_of(str(credentials.secret_key), day)
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    def _key_of(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key


class Answer(NamedTuple):
    """An answer of DynamoDB that is whole."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def is_error(self) -> bool:
        return self.status >= _ERROR_STATUS

    @property
    def code(self) -> str:
        """The error's code, without its namespace."""
        code = str(self.body.get("__type") or self.status)
        return code.partition(":")[0].rpartition("#")[2]


class _Request(AWSPreparedRequest):
    """A signed request, as botocore's events and its session have them; the transport wants no more than `signed`."""

    def __init__(self, url: str, signed: dict[str, str], body: bytes) -> None:
        self.method = "POST"
        self.url = url
        self.signed = signed
        self.body = body
        self.stream_output = False
        self.context = None

    @cached_property
    def headers(self) -> HeadersDict:  # type: ignore[override]
        return HeadersDict(self.signed)


AwsFault = AwsConnectionError | HTTPClientError
"""No whole answer came."""


class _Retries:
    """The retries of one call, as botocore's ``standard`` mode has them."""

    def __init__(self, quota: RetryQuota, attempts_max: int, base_s: float) -> None:
        self._quota = quota
        self._attempts_max = attempts_max
        self._base_s = base_s
        self._paid = 1
        self.attempt = 0

    def pause_s(self, outcome: Answer | AwsFault) -> float | None:
        """Note what an attempt came to; return how long to wait for the next one, None if it was the last."""
        self.attempt += 1
        is_throttled = False
        if isinstance(outcome, Answer):
            if not outcome.is_error:
                self._quota.release(self._paid)
                return None
            code, status = outcome.code, outcome.status
            is_throttled = code in THROTTLED or status == HTTPStatus.TOO_MANY_REQUESTS
            if not (is_throttled or status in _TRANSIENT_STATUSES or code in _TRANSIENT):
                return None
        cost = _THROTTLING_COST if is_throttled else _RETRY_COST
        if self.attempt == self._attempts_max or not self._quota.acquire(cost):
            return None
        self._paid = cost
        longest_s = _longest_pause_s(self.attempt, _THROTTLING_BASE_S if is_throttled else self._base_s)
        return random.random() * longest_s  # noqa: S311 - a jitter


def _longest_pause_s(attempt: int, base_s: float) -> float:
    return min(base_s * 2.0 ** (attempt - 1), _LONGEST_S)


class LightClient:
    """A client of one service; threads may share it. It retries as boto3's ``standard`` mode does."""

    def __init__(
        self,
        client: Any,
        credentials: Credentials | None,
        bundle: str | None = None,
    ) -> None:
        """Take endpoint, region and settings of a boto3 client, which keeps what is not called often.

        `bundle` is a file of the authorities to trust instead of botocore's own.
        """
        config: Any = client.meta.config
        endpoint: Any = urlsplit(client.meta.endpoint_url)
        port = endpoint.port
        host = f"[{endpoint.hostname}]" if ":" in endpoint.hostname else endpoint.hostname
        if port is not None and port != _DEFAULT_PORTS.get(endpoint.scheme):
            host = f"{host}:{port}"
        self._client = client
        self._url = f"{endpoint.scheme}://{endpoint.netloc}/"
        service: Any = client.meta.service_model
        self._name: str = service.service_name
        self._target = f"{service.metadata['targetPrefix']}."
        self._signer = Signer(
            host, client.meta.region_name, service.signing_name, service.metadata["jsonVersion"]
        )
        self._credentials = credentials
        self._agent = f"tunehook botocore/{botocore.__version__}"
        self._attempts_max: int = config.retries["total_max_attempts"]
        self._quota = RetryQuota()
        self._base_s = _BASE_S.get(self._name, _DEFAULT_BASE_S)
        events: Any = client.meta.events
        self._emit = events.emit_until_response
        self._proxies = config.proxies or get_environ_proxies(self._url)
        self._bundle = bundle
        self._transport: HttpTransport | None = None
        self._connections_max: int = config.max_pool_connections
        self._connect_s: float = config.connect_timeout
        self._read_s: float = config.read_timeout

    @cached_property
    def _http(self) -> Any:
        session: Any = URLLib3Session
        return session(
            verify=self._bundle or True,
            proxies=self._proxies,
            timeout=(self._connect_s, self._read_s),
            max_pool_connections=self._connections_max,
            # A request is written in two pieces, of which the second would wait for the first to be confirmed.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def close_in_loop(self) -> None:
        """Close the connections of the event loop."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Make a call until it is answered by what no retry would change; raise botocore's errors."""
        body = _body(request)
        retries = _Retries(self._quota, self._attempts_max, self._base_s)
        while True:
            outcome: Answer | AwsFault
            try:
                outcome = self._send(operation, body)
            except (AwsConnectionError, HTTPClientError) as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                return self._result(operation, outcome, retries.attempt)
            sleep(pause_s)

    async def _call_in_loop(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Do as `_call` does, from the event loop and without a thread, whose switches would cost more."""
        body = _body(request)
        retries = _Retries(self._quota, self._attempts_max, self._base_s)
        while True:
            outcome: Answer | AwsFault
            try:
                outcome = await self._send_in_loop(operation, body)
            except (AwsConnectionError, HTTPClientError) as error:
                outcome = error
            pause_s = retries.pause_s(outcome)
            if pause_s is None:
                return self._result(operation, outcome, retries.attempt)
            await asyncio.sleep(pause_s)

    def _send(self, operation: str, body: bytes) -> Answer:
        """Make one call; raise what botocore raises where no whole answer came."""
        request, response = self._prepared(operation, body)
        if response is None:
            response = self._http.send(request)
        return _answer(response.status_code, response.headers, response.content)

    async def _send_in_loop(self, operation: str, body: bytes) -> Answer:
        """Make one call over the one transport; raise what botocore raises where no whole answer came."""
        if self._proxies:  # which the transport does not know
            return await asyncio.to_thread(self._send, operation, body)
        request, response = self._prepared(operation, body)
        if response is not None:
            return _answer(response.status_code, response.headers, response.content)
        # Only a function that has an event loop has use for aiohttp.
        from tunehook.aws.light_transport import open_transport, sent

        if self._transport is None:
            self._transport = open_transport(self._connections_max, self._connect_s, self._bundle)
            self._places = asyncio.Semaphore(self._connections_max)
        # The transport gives up who waits for a place for as long as a connection may take.
        async with self._places:
            reply = await sent(self._transport, self._url, request.signed, body, self._read_s)
        return _answer(reply.status, reply.headers, reply.body)

    def _prepared(self, operation: str, body: bytes) -> tuple[_Request, Any]:
        """Return a signed request, and the response that stands in for the wire's, if there is one."""
        if self._credentials is None:
            raise NoCredentialsError
        target = self._target + operation
        credentials = self._credentials.get_frozen_credentials()
        headers = self._signer.headers(target, body, credentials, time())
        headers["User-Agent"] = self._agent
        request = _Request(self._url, headers, body)
        # Whoever stands between the client and the wire (tests) does so by this event of botocore.
        _, response = self._emit(f"before-send.{self._name}.{operation}", request=request)
        return request, response

    def _result(self, operation: str, outcome: Answer | AwsFault, attempt: int) -> dict[str, Any]:
        """Return an answer as boto3 does, or raise the error that it is."""
        if not isinstance(outcome, Answer):
            raise outcome
        if not outcome.is_error:
            return outcome.body | {"ResponseMetadata": _metadata(outcome, attempt)}
        raise self._error(operation, outcome, attempt)

    def _error(self, operation: str, answer: Answer, attempt: int) -> Exception:
        code, body = answer.code, answer.body
        message = body.get("message", body.get("Message", ""))
        parsed = {name: value for name, value in body.items() if name != "__type"}
        parsed["Error"] = {"Message": message, "Code": code}
        parsed["ResponseMetadata"] = _metadata(answer, attempt)
        if attempt == self._attempts_max:
            parsed["ResponseMetadata"]["MaxAttemptsReached"] = True
        error_class: Any = self._client.exceptions.from_code(code)
        error: Exception = error_class(parsed, operation)
        return error


def _body(request: dict[str, Any]) -> bytes:
    return _encode(request).encode()


def _answer(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """Return an answer; raise `HTTPClientError` if it is not whole, as the write may have been applied."""
    named = {name.lower(): value for name, value in headers.items()}
    length, checksum = named.get("content-length"), named.get("x-amz-crc32")
    if length is not None and length != str(len(content)):
        raise HTTPClientError(error="the answer was cut")
    if checksum is not None and checksum != str(crc32(content)):
        raise HTTPClientError(error="the answer's checksum does not match")
    return Answer(status, named, _parsed(content, status))


def _metadata(answer: Answer, attempt: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": answer.headers,
        "RetryAttempts": attempt - 1,
    }
    if "x-amzn-requestid" in answer.headers:
        metadata["RequestId"] = answer.headers["x-amzn-requestid"]
    return metadata


def _parsed(content: bytes, status: int) -> dict[str, Any]:
    """Return the object that an answer is; of an error that is none, as proxies give them, its text or nothing."""
    try:
        parsed = _loads(content) if content else None
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    if status < _ERROR_STATUS:
        raise HTTPClientError(error="the answer is no JSON object")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and content.strip()[:6] in (b"", b"<html>"):
        return {"message": responses.get(status, "")}
    return {"message": content.decode(errors="replace")}


def _loads(content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError:  # half a surrogate pair, which Python takes
        return json.loads(content)


def _encoded(value: Any) -> str:
    """Return what JSON has in place of bytes."""
    match value:
        case Binary():
            value = value.value  # type: ignore[attr-defined]
        case bytes() | bytearray():
            pass
        case _:
            raise TypeError(f"{type(value).__name__} is no part of a request")
    return base64.b64encode(value).decode()


_encode: Final = json.JSONEncoder(default=_encoded, separators=(",", ":")).encode
