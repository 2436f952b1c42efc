"""The phases of a measurement: each hands events to one sender and fills its rows from the receiver's books."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from benchmarks.senders.adapter import Backlog, Endpoint, Refused, Sender
from benchmarks.senders.books import Books, new_event_id, percentile_ms
from benchmarks.senders.cells import (
    CRASHES,
    FAULTS,
    ROWS,
    Cell,
    gone_cell,
    number,
    redirect_cell,
    retry_after_cell,
    signature_cell,
)
from benchmarks.senders.processes import watching
from benchmarks.senders.receiver import Receiver, at_once, first
from benchmarks.senders.verifiers import VERIFIERS

ENDPOINTS: Final = 10
"""One of these is the one that does harm."""

PHASES: Final = ("drain", "latency", *FAULTS, *CRASHES, "answers")
"""In the order in which they are measured: what harms the sender comes after what it does unharmed."""

_LOOK_EVERY_S: Final = 0.1

Happening = Callable[[], Awaitable[None]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how long is waited.

    Attributes
    ----------
    count : int
        Events of the drain; three tenths as many are handed over around each crash.
    rate : float
        Events a second where time is measured.
    seconds : float
        For how long they come at that rate.
    clients : int
        Requests at once where as much as possible is handed over.
    body_bytes : int
        Of text in each event.
    retry_after_s : int
        What a receiver asks for.
    answers_s : float
        How long second attempts are waited for.
    quiet_s : float
        Without an arrival for so long, what is missing is lost.
    most_s : float
        What a phase may take; its rows stay empty otherwise.
    """

    count: int = 10_000
    rate: float = 50.0
    seconds: float = 40.0
    clients: int = 16
    body_bytes: int = 1_000
    retry_after_s: int = 45
    answers_s: float = 75.0
    quiet_s: float = 180.0
    most_s: float = 3_600.0


@dataclass
class Measurement:
    """Measures one sender.

    Parameters
    ----------
    sender : Sender
    receiver : Receiver
    sizes : Sizes
    pids : callable
        Returns the sender's processes now, if they are known.
    happenings : mapping
        What is done for each of `CRASHES`, if it can be.
    no_happening : mapping
        Why not, for the others.
    say : callable
        Is told what goes on.
    """

    sender: Sender
    receiver: Receiver
    sizes: Sizes
    pids: Callable[[], Sequence[int]] = tuple
    happenings: Mapping[str, Happening] = field(default_factory=dict)
    no_happening: Mapping[str, str] = field(default_factory=dict)
    say: Say = print

    async def run(self, phases: Collection[str] = PHASES) -> dict[str, Cell]:
        """Go through phases; the rows of one that failed are empty, for the reason that it failed."""
        cells: dict[str, Cell] = {}
        for phase in (each for each in PHASES if each in phases):
            self.say(f"{self.sender.name}: {phase}")
            try:
                async with asyncio.timeout(self.sizes.most_s):
                    found = await self._phase(phase)
            except TimeoutError:
                found = _empty(phase, f"the phase took more than {self.sizes.most_s:g} s")
            except Refused as refused:
                found = _empty(phase, str(refused))
            for key, cell in found.items():
                self.say(f"    {key}: {cell.why if cell.value is None else cell.value}")
            cells |= found
        return cells

    async def _phase(self, phase: str) -> dict[str, Cell]:
        if phase == "drain":
            return await self.drain()
        if phase == "latency":
            return await self.latency()
        if phase in FAULTS:
            return await self.beside(phase)
        return await (self.crash(phase) if phase in CRASHES else self.answers())

    async def drain(self) -> dict[str, Cell]:
        """Have many events delivered as quickly as the sender can.

        One that can hold events has all of them before the clock starts; for the others it starts with the first
        request of 16 clients that hand over as quickly as they are answered.
        """
        books = Books()
        url = self.receiver.open("drain", books)
        event_ids = [new_event_id() for _ in range(self.sizes.count)]
        if isinstance(self.sender, Backlog):
            await self.sender.hold("drain", event_ids, self._text)
            books.accepted = dict.fromkeys(event_ids, 0.0)
            endpoint, began_s = await self.sender.release("drain", url)
        else:
            endpoint = await self._endpoint("drain", url)
            began_s = self.receiver.clock()
            await self._hand_over(books, endpoint, iter(event_ids))
        await self._until_quiet(books)
        await self._remove(endpoint)
        return {
            "drained": Cell(len(books.accepted)),
            "drain_rate": number(books.rate(began_s), "nothing arrived"),
            "drain_lost": Cell(len(books.lost())),
        }

    async def latency(self) -> dict[str, Cell]:
        """Hand over at an even rate, to ten endpoints that answer at once."""
        books, endpoints = await self._ten("plain")
        async with watching(self.pids()) as memory:
            await self._evenly(books, endpoints)
            await self._until_quiet(books)
        kept = self.receiver.kept(endpoints[0].name)
        for endpoint in endpoints:
            await self._remove(endpoint)
        delays_s = books.delays_s()
        cells = {
            "rate": Cell(self.sizes.rate),
            "body": number(
                statistics.median(len(each.body) for each in kept) if kept else None, "nothing arrived"
            ),
            "p50": number(percentile_ms(delays_s, 50), "nothing arrived"),
            "p99": number(percentile_ms(delays_s, 99), "nothing arrived"),
            "memory": number(memory.most_mb, self._why_no_memory),
        }
        for name, verify in VERIFIERS.items():
            cells[f"signature_{name}"] = await asyncio.to_thread(
                signature_cell, verify, endpoints[0].secret, kept
            )
        return cells

    async def beside(self, fault: str) -> dict[str, Cell]:
        """Do the same while the first of the ten endpoints does harm; what is handed to it is not counted."""
        books, endpoints = await self._ten(fault)
        self.receiver.turn(
            endpoints[0].name,
            {"hang": self.receiver.hang, "drip": self.receiver.drip, "endless": self.receiver.endless}[fault],
        )
        others: set[str] = set()
        async with watching(self.pids()) as memory:
            for event_id, endpoint in await self._evenly(books, endpoints):
                if endpoint is not endpoints[0]:
                    others.add(event_id)
            await self._until_quiet(books, others)
        self.receiver.turn(endpoints[0].name, at_once())
        for endpoint in endpoints:
            await self._remove(endpoint)
        delays_s = books.delays_s(others)
        accepted = others & books.accepted.keys()
        arrived = len(accepted) - len(books.lost(accepted))
        return {
            f"{fault}_p50": number(percentile_ms(delays_s, 50), "nothing arrived"),
            f"{fault}_p99": number(percentile_ms(delays_s, 99), "nothing arrived"),
            f"{fault}_arrived": Cell(f"{arrived:,} of {len(accepted):,}"),
            f"{fault}_memory": number(memory.most_mb, self._why_no_memory),
        }

    async def crash(self, crash: str) -> dict[str, Cell]:
        """Hand over as quickly as possible, and have something break when half of it is handed over."""
        names = [f"{crash}_{each}" for each in ("accepted", "lost", "repeated")]
        happening = self.happenings.get(crash)
        if happening is None:
            return dict.fromkeys(names, Cell(None, self.no_happening.get(crash, "it cannot be done here")))
        books = Books()
        endpoint = await self._endpoint(crash, self.receiver.open(crash, books))
        event_ids = [new_event_id() for _ in range(max(2, self.sizes.count * 3 // 10))]
        middle = len(event_ids) // 2
        breaking: list[asyncio.Task[None]] = []

        async def happen() -> None:
            await happening()

        def each() -> Iterator[str]:
            for position, event_id in enumerate(event_ids):
                if position == middle:
                    breaking.append(asyncio.create_task(happen()))
                yield event_id

        await self._hand_over(books, endpoint, each(), pause_s=0.25)
        await asyncio.gather(*breaking)
        await self._until_quiet(books)
        await self._remove(endpoint)
        figures = (len(books.accepted), len(books.lost()), books.repeated)
        return {name: Cell(figure) for name, figure in zip(names, figures, strict=True)}

    async def answers(self) -> dict[str, Cell]:
        """Hand over an event to each of five endpoints, which redirect, ask for time, or are gone."""
        asked = {"retry-after": str(self.sizes.retry_after_s)}
        told = {
            "redirect": at_once(302, {"location": f"{self.receiver.forbidden_url}/forbidden"}),
            "plain": first(503),
            "503": first(503, asked),
            "429": first(429, asked),
            "gone": first(410),
        }
        books, endpoints, event_ids = Books(), {}, {}
        for name, answer in told.items():
            url = self.receiver.open(f"answers-{name}", books, answer)
            endpoints[name] = await self.sender.add_endpoint(f"answers-{name}", url)
            event_ids[name] = new_event_id()
        await asyncio.sleep(self.sender.settle_s)
        followed = len(self.receiver.followed)
        for name, endpoint in endpoints.items():
            await self._hand(books, endpoint, event_ids[name])
        waited_s = self.sizes.answers_s
        retried = {event_ids[name] for name in ("plain", "503", "429")}
        await self._until(lambda: all(books.gap_s(each) is not None for each in retried), waited_s)
        later = new_event_id()
        await self._hand(books, endpoints["gone"], later)
        await self._until(lambda: later in books.arrivals, min(waited_s, 30.0))
        for endpoint in endpoints.values():
            await self._remove(endpoint)
        gaps_s = {name: books.gap_s(event_id) for name, event_id in event_ids.items()}
        attempts = {name: len(books.arrivals.get(each, ())) for name, each in event_ids.items()}
        no_attempt = f"no second attempt within {waited_s:.0f} s"
        return {
            "redirect": redirect_cell(
                self.receiver.forbidden_url, attempts["redirect"], len(self.receiver.followed) - followed
            ),
            "plain_503": number(gaps_s["plain"], no_attempt),
            **{
                f"retry_after_{status}": retry_after_cell(
                    self.sizes.retry_after_s, gaps_s[status], gaps_s["plain"], waited_s
                )
                for status in ("503", "429")
            },
            "gone": gone_cell(attempts["gone"], len(books.arrivals.get(later, ())), gaps_s["plain"]),
        }

    @property
    def _why_no_memory(self) -> str:
        return "none of its processes was there" if self.pids() else "no --pid was given"

    @property
    def _text(self) -> str:
        return "la " * (self.sizes.body_bytes // 3)

    async def _endpoint(self, name: str, url: str) -> Endpoint:
        endpoint = await self.sender.add_endpoint(name, url)
        await asyncio.sleep(self.sender.settle_s)
        return endpoint

    async def _remove(self, endpoint: Endpoint) -> None:
        """Remove an endpoint; a sender that has forgotten it, or is gone, has been measured all the same."""
        try:
            await self.sender.remove_endpoint(endpoint)
        except Refused as refused:
            self.say(f"    left behind: {refused}")

    async def _ten(self, name: str) -> tuple[Books, list[Endpoint]]:
        books = Books()
        endpoints = [
            await self.sender.add_endpoint(
                f"{name}-{position}", self.receiver.open(f"{name}-{position}", books)
            )
            for position in range(ENDPOINTS)
        ]
        await asyncio.sleep(self.sender.settle_s)
        return books, endpoints

    async def _hand(self, books: Books, endpoint: Endpoint, event_id: str) -> bool:
        """Hand over an event; return whether it was accepted."""
        try:
            await self.sender.send(endpoint, event_id, self._text)
        except Refused:
            books.refused.add(event_id)
            return False
        books.accepted[event_id] = self.receiver.clock()
        return True

    async def _hand_over(
        self, books: Books, endpoint: Endpoint, event_ids: Iterator[str], pause_s: float = 0.0
    ) -> None:
        """Hand over as quickly as the answers come; a client whose event was refused pauses."""

        async def client() -> None:
            for event_id in event_ids:
                if not await self._hand(books, endpoint, event_id):
                    await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.sizes.clients):
                group.create_task(client())

    async def _evenly(self, books: Books, endpoints: Sequence[Endpoint]) -> list[tuple[str, Endpoint]]:
        """Hand over at the rate, to the endpoints in turn, whether or not the answers keep up."""
        handed: list[tuple[str, Endpoint]] = []
        number_of_events = max(2, round(self.sizes.rate * self.sizes.seconds))
        began_s = self.receiver.clock()
        async with asyncio.TaskGroup() as group:
            for position, endpoint in zip(range(number_of_events), cycle(endpoints), strict=False):
                await asyncio.sleep(max(0.0, began_s + position / self.sizes.rate - self.receiver.clock()))
                event_id = new_event_id()
                handed.append((event_id, endpoint))
                group.create_task(self._hand(books, endpoint, event_id))
        return handed

    async def _until_quiet(self, books: Books, among: Collection[str] | None = None) -> None:
        """Wait until all that was accepted has arrived, or nothing more has for a while."""
        seen, since_s = -1, self.receiver.clock()
        while books.lost(among):
            arrived = sum(map(len, books.arrivals.values()))
            if arrived != seen:
                seen, since_s = arrived, self.receiver.clock()
            elif self.receiver.clock() - since_s > self.sizes.quiet_s:
                return
            await asyncio.sleep(0.25)

    async def _until(self, is_so: Callable[[], bool], most_s: float) -> None:
        for _ in range(max(1, round(most_s / _LOOK_EVERY_S))):
            if is_so():
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _empty(phase: str, why: str) -> dict[str, Cell]:
    return dict.fromkeys((row.key for row in ROWS if row.phase == phase), Cell(None, why))
