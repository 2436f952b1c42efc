import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.patience import HANG_S

from tunehook.http.guard import ForbiddenAddress, NetworkPolicy
from tunehook.http.resolver import GuardedResolver, Lookup, system_lookup

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
    with pytest.raises(socket.gaierror, match="not a name that DNS can carry"):
        await hosts(GuardedResolver(PUBLIC), name)


async def test_a_name_without_addresses_does_not_resolve() -> None:
    with pytest.raises(socket.gaierror, match="the name has no address"):
        await hosts(GuardedResolver(PUBLIC, fixed()))


async def test_a_name_that_had_no_addresses_is_asked_for_again() -> None:
    left = [[], answers("8.8.8.8")]
    resolver = GuardedResolver(PUBLIC, lambda host, port, family: left.pop(0))
    with pytest.raises(socket.gaierror):
        await resolver.resolve("name.example", 443)
    assert [each["host"] for each in await resolver.resolve("name.example", 443)] == ["8.8.8.8"]


async def test_who_names_no_port_and_no_family_asks_for_none() -> None:
    asked: list[tuple[str, int, socket.AddressFamily]] = []

    def lookup(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        asked.append((host, port, family))
        return answers("8.8.8.8")

    (found,) = await GuardedResolver(PUBLIC, lookup).resolve("name.example")
    assert (asked, found["port"]) == ([("name.example", 0, socket.AF_UNSPEC)], 0)


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "localhost.", "app.localhost"])
def test_this_machine_is_found_in_both_families_whatever_the_system_says(name: str) -> None:
    assert [answer[4][:2] for answer in system_lookup(name, 80, socket.AF_UNSPEC)] == [
        ("127.0.0.1", 80),
        ("::1", 80),
    ]
    (answer,) = system_lookup(name, 80, socket.AF_INET6)
    assert answer[4][:2] == ("::1", 80)


def test_of_other_names_the_families_are_asked_for_that_this_machine_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Mock(return_value=[])
    monkeypatch.setattr(socket, "getaddrinfo", asked)
    system_lookup("localhost.example", 80, socket.AF_UNSPEC)
    assert asked.call_args.kwargs == {"flags": socket.AI_ADDRCONFIG}


class Counting:
    """A look-up that counts, and waits until it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        self.release.wait()
        return answers("8.8.8.8")


async def test_addresses_are_good_for_10_s_of_the_wall_clock() -> None:
    now_s = [1_000.0]
    lookup = Counting()
    lookup.release.set()
    resolver = GuardedResolver(PUBLIC, lookup, clock=lambda: now_s[0])
    for moment_s, times in [(1_000.0, 1), (1_009.9, 1), (1_010.1, 2), (1_015.0, 2), (900.0, 3)]:
        now_s[0] = moment_s
        assert await resolver.resolve("name.example", 443)
        assert len(lookup.asked) == times, moment_s


async def test_a_name_that_did_not_resolve_is_asked_for_again() -> None:
    failures = [OSError("no"), None]

    def lookup(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        if failure := failures.pop(0):
            raise failure
        return answers("8.8.8.8")

    resolver = GuardedResolver(PUBLIC, lookup)
    with pytest.raises(OSError, match="no"):
        await resolver.resolve("name.example", 443)
    assert await resolver.resolve("name.example", 443)


async def test_who_asks_for_a_name_that_hangs_waits_for_the_lookup_that_is_under_way_in_any_client() -> None:
    lookup = Counting()
    asking = []
    for _ in range(3):  # as one client after the other is made and closed
        resolver = GuardedResolver(PUBLIC, lookup)
        asking += [asyncio.create_task(resolver.resolve("name.example", 443)) for _ in range(5)]
        await asyncio.sleep(0)
        await resolver.close()
    asking[0].cancel()
    lookup.release.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(each, list) for each in found[1:])
    assert lookup.asked == ["name.example"]


async def test_one_client_after_the_other_uses_the_same_threads() -> None:
    threads: set[int] = set()

    def lookup(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        threads.add(threading.get_ident())
        return answers("8.8.8.8")

    for number in range(20):
        await hosts(GuardedResolver(PUBLIC, lookup), f"name-{number}.example")
    assert len(threads) < 20


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


async def test_addresses_are_asked_for_again_after_just_10_s() -> None:
    now_s = [1_000.0]
    lookup = Counting()
    lookup.release.set()
    resolver = GuardedResolver(PUBLIC, lookup, clock=lambda: now_s[0])
    for moment_s, times in [(1_000.0, 1), (1_000.0, 1), (1_009.999, 1), (1_010.0, 2)]:
        now_s[0] = moment_s
        await resolver.resolve("name.example", 443)
        assert len(lookup.asked) == times, moment_s
    await resolver.close()
    await resolver.resolve("name.example", 443)
    assert len(lookup.asked) == 3


async def test_an_address_says_all_that_a_connection_needs() -> None:
    (found,) = await GuardedResolver(PUBLIC, fixed("8.8.8.8")).resolve("name.example", 443)
    assert found == {
        "hostname": "name.example",
        "host": "8.8.8.8",
        "port": 443,
        "family": socket.AF_INET,
        "proto": 6,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }


async def test_the_addresses_of_1000_names_are_remembered_those_asked_for_last() -> None:
    lookup = Counting()
    lookup.release.set()
    resolver = GuardedResolver(PUBLIC, lookup)
    for number in range(1000):
        await resolver.resolve(f"{number}.example")
    await resolver.resolve("0.example")
    assert len(lookup.asked) == 1000
    await resolver.resolve("1000.example")
    await resolver.resolve("1.example")
    assert len(lookup.asked) == 1001
    await resolver.resolve("0.example")
    assert len(lookup.asked) == 1002


async def test_no_more_than_128_names_are_asked_for_at_a_time(stuck: threading.Event) -> None:
    begun = threading.Semaphore(0)
    count = [0]

    def lookup(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        count[0] += 1
        begun.release()
        stuck.wait()
        return answers("8.8.8.8")

    resolver = GuardedResolver(PUBLIC, lookup)
    asking = [asyncio.create_task(resolver.resolve(f"{number}.example")) for number in range(200)]
    await asyncio.sleep(0)
    for _ in range(128):
        assert await asyncio.to_thread(begun.acquire, timeout=HANG_S)
    assert not begun.acquire(blocking=False)
    stuck.set()
    await asyncio.gather(*asking)
    assert count == [200]
