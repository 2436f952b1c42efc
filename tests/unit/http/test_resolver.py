import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.patience import HANG_S

from tunehook.http.guard import ForbiddenAddress, NetworkPolicy
from tunehook.http.resolver import GuardedResolver, Lookup

PUBLIC, ANY = NetworkPolicy.PUBLIC, NetworkPolicy.ANY


def answers(*addresses: str) -> list[tuple[Any, ...]]:
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 443, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in addresses
    ]


def fixed(*addresses: str) -> Lookup:
    return lambda host, port, family: answers(*addresses)


async def hosts(resolver: GuardedResolver, name: str = "name.example") -> list[str]:
    try:
        return [result["host"] for result in await resolver.resolve(name, 443)]
    finally:
        await resolver.close()


async def test_public_addresses_are_handed_on_as_they_are() -> None:
    assert await hosts(GuardedResolver(PUBLIC, fixed("8.8.8.8", "2606:4700::1"))) == [
        "8.8.8.8",
        "2606:4700::1",
    ]


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "10.0.0.1"),
        ("2606:4700::1", "8.8.8.8", "::ffff:169.254.169.254"),
        ("fe80::1%eth0",),
    ],
)
async def test_one_forbidden_address_rejects_the_name(addresses: Sequence[str]) -> None:
    with pytest.raises(ForbiddenAddress):
        await hosts(GuardedResolver(PUBLIC, fixed(*addresses)))


async def test_the_any_policy_hands_everything_on() -> None:
    assert await hosts(GuardedResolver(ANY, fixed("127.0.0.1"))) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "name", ["localhost", "127.1", "0x7f.1", "2130706433", "１２７.0.0.1", "127。0。0。1"]
)
async def test_odd_spellings_are_judged_by_what_the_system_makes_of_them(name: str) -> None:
    with pytest.raises(ForbiddenAddress):
        await hosts(GuardedResolver(PUBLIC), name)


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b"])
async def test_a_name_that_dns_cannot_carry_does_not_resolve(name: str) -> None:
    with pytest.raises(socket.gaierror):
        await hosts(GuardedResolver(PUBLIC), name)


async def test_a_name_without_addresses_does_not_resolve() -> None:
    with pytest.raises(socket.gaierror):
        await hosts(GuardedResolver(PUBLIC, fixed()))


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    release = threading.Event()
    yield release
    release.set()


async def test_a_lookup_that_hangs_does_not_hold_up_others(stuck: threading.Event) -> None:
    def lookup(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        if host == "hanging.example":
            stuck.wait()
        return answers("8.8.8.8")

    resolver = GuardedResolver(PUBLIC, lookup)
    hanging = [asyncio.create_task(resolver.resolve("hanging.example", 443)) for _ in range(20)]
    async with asyncio.timeout(HANG_S):
        assert await resolver.resolve("quick.example", 443)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await resolver.close()


def test_a_lookup_that_hangs_does_not_hold_up_the_end_of_the_loop(stuck: threading.Event) -> None:
    resolver = GuardedResolver(PUBLIC, lambda host, port, family: answers(str(stuck.wait())))

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await resolver.resolve("hanging.example", 443)
        await resolver.close()

    runner = threading.Thread(target=lambda: asyncio.run(give_up()))
    runner.start()
    runner.join(HANG_S)
    assert not runner.is_alive()
