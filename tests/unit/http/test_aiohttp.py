"""What of aiohttp the wire rests on beyond its documents: a version that has changed any of it is seen here first.

Where a digest differs, read what became of the method, see whether what is said beside it still holds (the tests on raw
sockets show most of it), and write the new digest down.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector
from aiohttp.streams import DataQueue, StreamReader

from tunehook.http.connections import Connector, ResponseProtocol
from tunehook.http.guard import NetworkPolicy
from tunehook.http.resolver import system_lookup

should_close: Any = inspect.getattr_static(ResponseHandler, "should_close")

RELIED_ON: dict[Callable[..., Any], str] = {
    # Is given bytes as they come; hands on messages and bodies; reports what it cannot read by `set_exception`.
    ResponseHandler.data_received: "9bf7ecf8e50516cd",
    # Ends a body that has no other end, and fails whoever waits for a head.
    ResponseHandler.connection_lost: "84b98dfd8035e493",
    # Makes the parser for one answer, in `_parser`; is called before a request is sent, or where its head has come.
    ResponseHandler.set_response_params: "2eb047e322481533",
    # Is called for all that goes wrong, by aiohttp itself too.
    ResponseHandler.set_exception: "83971750bbd9f2f9",
    # Is true after anything that nobody has asked for.
    should_close.fget: "fef595ed5edda3ff",
    ResponseHandler.close: "beb58bdbd119f3e5",
    # A message that was read before an error is still handed over.
    DataQueue.read: "1340dfce4e1945b4",
    # What was buffered when an error came is lost; a second error replaces the first.
    StreamReader.readany: "766f946ae360b8ea",
    StreamReader.set_exception: "dfa3db714fb895ed",
    # Gives a kept connection or makes one, by `_factory` without arguments.
    BaseConnector.connect: "b9fe1f4d3e57ad12",
    BaseConnector._get: "4795a63c99f266c8",
    # Keeps a connection, unless its protocol says that it should be closed.
    BaseConnector._release: "105426e5b03d8213",
    # Asks the resolver each time, where no cache of its own is wanted; not for addresses.
    aiohttp.TCPConnector._resolve_host: "cebf1e6422a848ab",
    # Makes sockets by our factory.
    aiohttp.TCPConnector._wrap_create_connection: "7d64ce0836162099",
    # Writes the target as it is in the URL's path, and adds no header but Content-Type and Connection.
    aiohttp.ClientRequest.send: "82b495aa06760c64",
    # Reads heads until that of a final answer, and releases the connection at the body's end.
    aiohttp.ClientResponse.start: "bcbf178da3660180",
    aiohttp.ClientResponse.release: "91ea7fefe948cf98",
}


def digest_of(method: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]


@pytest.mark.parametrize("method", RELIED_ON, ids=lambda method: method.__qualname__)
def test_what_the_wire_rests_on_is_as_it_was_read(method: Callable[..., Any]) -> None:
    assert digest_of(method) == RELIED_ON[method]


async def test_a_protocol_has_the_attributes_that_are_looked_at() -> None:
    protocol = ResponseProtocol(asyncio.get_running_loop())
    assert protocol._parser is None
    assert protocol._payload is None
    assert protocol._exception is None
    assert protocol.transport is None
    assert protocol.should_close is False


async def test_the_connector_makes_its_connections_by_our_protocol() -> None:
    connector = Connector(NetworkPolicy.ANY, system_lookup, ssl=None, limit=1, keepalive_timeout=1)
    assert isinstance(connector._factory(), ResponseProtocol)
    assert not connector.use_dns_cache
    await connector.close()


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (aiohttp.ClientConnectorDNSError, {aiohttp.ClientConnectorError}),
        (aiohttp.ClientConnectorError, {aiohttp.ClientOSError}),
        (aiohttp.ClientConnectorCertificateError, {aiohttp.ClientSSLError, ValueError}),
        (aiohttp.ClientConnectorSSLError, {aiohttp.ClientSSLError}),
        (aiohttp.ConnectionTimeoutError, {TimeoutError, aiohttp.ClientConnectionError}),
        (aiohttp.SocketTimeoutError, {TimeoutError, aiohttp.ClientConnectionError}),
        (aiohttp.ServerDisconnectedError, {aiohttp.ClientConnectionError}),
        (aiohttp.ClientOSError, {aiohttp.ClientConnectionError, OSError}),
        (aiohttp.ClientPayloadError, {aiohttp.ClientError}),
        (aiohttp.ClientResponseError, {aiohttp.ClientError}),
        (aiohttp.InvalidURL, {aiohttp.ClientError, ValueError}),
    ],
)
def test_an_error_is_of_the_kinds_by_which_it_is_told_apart(error: type, bases: set[type]) -> None:
    assert all(issubclass(error, base) for base in bases)
