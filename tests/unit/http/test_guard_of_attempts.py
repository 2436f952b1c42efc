"""Where an attempt may go, from the subscription's URL to the socket."""

import socket
from typing import Any

import pytest
from tests.unit.http.wire import OK, answering, serving
from tests.unit.webhooks.world import START_MS, delivery

from tunehook.http.guard import NetworkPolicy
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.transport import HttpTransport
from tunehook.subscriptions import Subscription
from webhooks.attempt import Result, Sender
from webhooks.policy import ResponseClass
from webhooks.subscription_cache import Subscribed

PUBLIC, ANY = NetworkPolicy.PUBLIC, NetworkPolicy.ANY


class Answers:
    """A DNS that gives one list of addresses after the other, and the last one from then on."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]


async def attempt(url: str, policy: NetworkPolicy = PUBLIC, lookup: Lookup = system_lookup) -> Result:
    async with HttpTransport(guard=policy, lookup=lookup) as client:
        sender = Sender(client, policy, "https://bucket/{}".format, 5)
        return await sender.attempt(
            delivery(),
            Subscribed(item={"url": url}, usable=Subscription(subscription_id="sub", url=url)),
            "m" * 40,
            START_MS,
        )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.1",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127。0。0。1",
    ],
)
async def test_no_spelling_of_this_machine_is_connected_to(host: str) -> None:
    async with serving(OK) as wire:
        result = await attempt(f"https://{host}:{wire.port}/")
    assert (result.response_class, result.attempt.error) == (ResponseClass.FAILED, "ForbiddenAddress")
    assert wire.connections == 0


@pytest.mark.parametrize("host", ["①②⑦.0.0.1", "１２７.0.0.1", "⑩.0.0.1"])
async def test_digits_of_idna_lead_nowhere(host: str) -> None:
    async with serving(OK) as wire:
        result = await attempt(f"https://{host}:{wire.port}/")
    assert result.attempt.error in ("ForbiddenAddress", "InvalidInput")
    assert wire.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ("10.0.0.1",),
        ("8.8.8.8", "169.254.169.254"),
        ("2606:4700::1111", "::ffff:10.0.0.1"),
        ("64:ff9b::a9fe:a9fe",),
        ("fd00:ec2::254", "8.8.8.8"),
    ],
)
async def test_one_forbidden_address_among_the_answers_is_enough(addresses: tuple[str, ...]) -> None:
    result = await attempt("https://receiver.example/", lookup=Answers(addresses))
    assert result.attempt.error == "ForbiddenAddress"


@pytest.mark.parametrize("name", ["localhost.", "localhost.localdomain", "metadata.google.internal"])
async def test_a_name_is_judged_by_what_it_resolves_to(name: str) -> None:
    assert (
        await attempt(f"https://{name}/", lookup=Answers(("127.0.0.1",)))
    ).attempt.error == "ForbiddenAddress"


async def test_a_name_is_looked_up_once_an_attempt_and_that_answer_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tunehook.http.resolver.check_address", lambda address, policy: None)
    monkeypatch.setattr("tunehook.http.connections.check_address", lambda address, policy: None)
    lookup = Answers(("127.0.0.1",), ("192.0.2.1",))
    async with serving(OK) as wire:
        await attempt(f"https://receiver.example:{wire.port}/", lookup=lookup)
    assert wire.connections == 1
    assert lookup.asked == ["receiver.example"]


async def test_a_resolver_that_changes_its_answer_after_a_good_attempt_is_judged_anew() -> None:
    lookup = Answers(("127.0.0.1",))
    async with serving(OK) as wire:
        url = f"http://receiver.example:{wire.port}/"
        assert (await attempt(url, ANY, lookup)).response_class is ResponseClass.DELIVERED
        result = await attempt(url.replace("http:", "https:"), PUBLIC, lookup)
    assert result.attempt.error == "ForbiddenAddress"
    assert wire.connections == 1


async def test_a_redirect_to_this_machine_is_not_followed() -> None:
    async with serving(OK) as target:
        script = answering(
            f"HTTP/1.1 302 Found\r\nlocation: {target.url}\r\ncontent-length: 0\r\n\r\n".encode()
        )
        async with serving(script) as wire:
            result = await attempt(wire.url, ANY)
    assert (result.response_class, result.attempt.status_code) == (ResponseClass.FAILED, 302)
    assert target.connections == 0


async def test_an_internationalised_name_goes_over_the_wire_in_idna() -> None:
    lookup = Answers(("127.0.0.1",))
    async with serving(OK) as wire:
        result = await attempt(f"http://bücher.example:{wire.port}/für?ä=ö", ANY, lookup)
    assert result.response_class is ResponseClass.DELIVERED
    assert lookup.asked == ["xn--bcher-kva.example"]
    assert wire.requests[0][0]["host"] == f"xn--bcher-kva.example:{wire.port}"


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OK) as proxy, serving(OK) as wire:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await attempt(wire.url, ANY)).response_class is ResponseClass.DELIVERED
    assert (proxy.connections, wire.connections) == (0, 1)
