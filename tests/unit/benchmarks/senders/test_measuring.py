"""Each phase beside a played sender that has one fault, and what the table says of it."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from typing import Final

import aiohttp
import pytest
from benchmarks.senders.adapter import Endpoint, Refused
from benchmarks.senders.cells import ROWS, Cell
from benchmarks.senders.measuring import PHASES, Measurement, Sizes
from benchmarks.senders.receiver import Receiver
from standardwebhooks import Webhook

SECRET: Final = f"whsec_{base64.b64encode(b's' * 24).decode()}"
OTHER: Final = f"whsec_{base64.b64encode(b'o' * 24).decode()}"
SIZES: Final = Sizes(
    count=40,
    rate=1_000,
    seconds=0.04,
    clients=4,
    body_bytes=30,
    retry_after_s=45,
    answers_s=0.2,
    quiet_s=0.0,
)
PLAIN_WAIT_S: Final = 5.0


class Clock:
    """Goes on by a millisecond whenever it is looked at, and by what somebody says that they waited."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


class Played:
    """Delivers within `send`, with the faults that it is given."""

    name = "played"
    settle_s = 0.0

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.loses: Collection[int] = ()
        """The numbers of the events that are lost."""
        self.repeats: Collection[int] = ()
        self.refuses: Collection[int] = ()
        self.secret: str | None = SECRET
        self.follows = False
        self.retries = True
        self.retries_410 = False
        self.disables = True
        self.waits_s: dict[int, float] = {}
        """By status, where that is not what the receiver asks for."""
        self.endpoints: dict[str, str] = {}
        self.removed: list[str] = []
        self._session = session
        self._clock = clock
        self._numbers = itertools.count()
        self._disabled: set[str] = set()

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        self.endpoints[name] = url
        return Endpoint(name, name, SECRET)

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        self.removed.append(endpoint.id)

    async def close(self) -> None:
        pass

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        number = next(self._numbers)
        if number in self.refuses:
            raise Refused("POST /events", 503, "")
        if number in self.loses or endpoint.id in self._disabled:
            return
        await self._deliver(endpoint, event_id, text)
        if number in self.repeats:
            await self._deliver(endpoint, event_id, text)

    async def _deliver(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        body = f'{{"id":"{event_id}","text":"{text}"}}'
        headers = {}
        if self.secret is not None:
            now = datetime.now(UTC)
            headers = {
                "webhook-id": event_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": Webhook(self.secret).sign(event_id, now, body),
            }
        url = self.endpoints[endpoint.id]
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=self.follows
        ) as answer:
            status, asked = answer.status, answer.headers.get("retry-after")
            if answer.content_length is not None:
                await answer.read()
            else:
                answer.close()  # a body that drips, or has no end
        if status == 410:
            if self.disables:
                self._disabled.add(endpoint.id)
            if self.retries_410:
                await self._deliver(endpoint, event_id, text)
        elif status >= 400 and self.retries:
            self._clock.now_s += self.waits_s.get(status, float(asked) if asked else PLAIN_WAIT_S)
            await self._deliver(endpoint, event_id, text)


class Holding(Played):
    """Holds what it is given until it is told to send it."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        super().__init__(session, clock)
        self.held: list[str] = []

    async def hold(self, name: str, event_ids: Collection[str], text: str) -> None:
        self.held = list(event_ids)

    async def release(self, name: str, url: str) -> tuple[Endpoint, float]:
        endpoint, began_s = await self.add_endpoint(name, url), self._clock()
        for event_id in self.held:
            await self.send(endpoint, event_id, "la")
        return endpoint, began_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def receiver(clock: Clock) -> AsyncIterator[Receiver]:
    async with Receiver(clock=clock) as receiver:
        yield receiver


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def played(session: aiohttp.ClientSession, clock: Clock) -> Played:
    return Played(session, clock)


def measurement(played: Played, receiver: Receiver, sizes: Sizes = SIZES) -> Measurement:
    return Measurement(played, receiver, sizes, say=lambda _line: None)


def values(cells: dict[str, Cell]) -> dict[str, float | str | None]:
    return {key: cell.value for key, cell in cells.items()}


async def test_a_drain_counts_what_is_lost(played: Played, receiver: Receiver) -> None:
    played.loses = {3, 7}
    found = values(await measurement(played, receiver).drain())
    assert (found["drained"], found["drain_lost"]) == (40, 2)
    assert isinstance(found["drain_rate"], float)
    assert found["drain_rate"] > 0
    assert played.removed == ["drain"]


async def test_a_drain_counts_what_was_accepted_alone(played: Played, receiver: Receiver) -> None:
    played.refuses = {0, 1, 2, 39}
    found = values(await measurement(played, receiver).drain())
    assert (found["drained"], found["drain_lost"]) == (36, 0)


async def test_a_drain_of_a_sender_that_delivers_nothing_has_no_rate(
    played: Played, receiver: Receiver
) -> None:
    played.loses = range(40)
    found = await measurement(played, receiver).drain()
    assert found["drain_rate"] == Cell(None, "nothing arrived")
    assert found["drain_lost"].value == 40


async def test_a_sender_that_holds_events_is_timed_from_their_release(
    session: aiohttp.ClientSession, clock: Clock, receiver: Receiver
) -> None:
    holding = Holding(session, clock)
    holding.loses = {5}
    found = values(await measurement(holding, receiver).drain())
    assert len(holding.held) == 40
    assert (found["drained"], found["drain_lost"]) == (40, 1)


async def test_latency_is_measured_at_ten_endpoints_and_signatures_are_verified(
    played: Played, receiver: Receiver
) -> None:
    found = values(await measurement(played, receiver).latency())
    assert len(played.endpoints) == 10
    assert found["rate"] == 1_000
    assert isinstance(found["p50"], float)
    assert isinstance(found["p99"], float)
    assert found["p99"] >= found["p50"] >= 0
    assert found["signature_python"] == "4 of 4"
    assert found["signature_node"] in {"4 of 4", None}
    assert found["memory"] is None


async def test_a_wrong_signature_is_not_verified(played: Played, receiver: Receiver) -> None:
    played.secret = OTHER
    found = values(await measurement(played, receiver).latency())
    assert found["signature_python"] == "0 of 4"
    assert found["signature_node"] in {"0 of 4", None}


async def test_without_a_signature_the_rows_are_empty(played: Played, receiver: Receiver) -> None:
    played.secret = None
    found = await measurement(played, receiver).latency()
    assert found["signature_python"].value is None
    assert "Standard Webhooks" in found["signature_python"].why


@pytest.mark.parametrize("fault", ["drip", "endless"])
async def test_beside_a_harmful_endpoint_the_others_alone_count(
    fault: str, played: Played, receiver: Receiver
) -> None:
    # Every tenth event goes to the harmful one: of the others, one is lost and one is refused.
    played.loses, played.refuses = {0, 10, 11}, {20, 25}
    found = values(await measurement(played, receiver).beside(fault))
    assert found[f"{fault}_arrived"] == "34 of 35"
    assert isinstance(found[f"{fault}_p99"], float)


async def test_what_waits_for_one_that_hangs_does_not_hold_up_the_phase(
    played: Played, receiver: Receiver
) -> None:
    # The played sender gives up at once there, as its session would wait for as long as the endpoint.
    played.refuses = {0, 10, 20, 30}
    found = values(await measurement(played, receiver).beside("hang"))
    assert found["hang_arrived"] == "36 of 36"


async def test_a_crash_happens_in_the_middle(played: Played, receiver: Receiver) -> None:
    seen: list[int] = []

    async def happen() -> None:
        seen.append(len(measured.receiver.kept("kill")))

    measured = Measurement(played, receiver, SIZES, happenings={"kill": happen}, say=lambda _line: None)
    played.loses, played.repeats, played.refuses = {1}, {2, 3, 4}, {5, 6}
    found = values(await measured.crash("kill"))
    assert len(seen) == 1
    assert found == {"kill_accepted": 10, "kill_lost": 1, "kill_repeated": 3}


async def test_a_crash_that_cannot_be_caused_leaves_its_rows_empty(
    played: Played, receiver: Receiver
) -> None:
    measured = Measurement(
        played, receiver, SIZES, no_happening={"restart": "no --restart-command was given"}
    )
    found = await measured.crash("restart")
    assert set(found.values()) == {Cell(None, "no --restart-command was given")}
    assert set(found) == {row.key for row in ROWS if row.phase == "restart"}


async def test_a_command_that_fails_leaves_the_rows_empty(played: Played, receiver: Receiver) -> None:
    async def fail() -> None:
        raise Refused("--kill-command", 0, "ended with the status 1")

    measured = Measurement(played, receiver, SIZES, happenings={"kill": fail}, say=lambda _line: None)
    found = await measured.run(["kill"])
    assert {cell.value for cell in found.values()} == {None}
    assert "ended with the status 1" in found["kill_lost"].why


async def test_a_sender_that_has_forgotten_an_endpoint_has_been_measured(
    played: Played, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgotten(_endpoint: Endpoint) -> None:
        raise Refused("DELETE /endpoints/drain", 404, "")

    monkeypatch.setattr(played, "remove_endpoint", forgotten)
    found = await measurement(played, receiver).run(["drain"])
    assert found["drained"].value == 40


async def test_a_sender_whose_processes_are_gone_has_no_memory(played: Played, receiver: Receiver) -> None:
    measured = Measurement(played, receiver, SIZES, lambda: [2**30], say=lambda _line: None)
    assert (await measured.latency())["memory"] == Cell(None, "none of its processes was there")


async def test_a_sender_that_does_as_it_is_told(played: Played, receiver: Receiver) -> None:
    found = values(await measurement(played, receiver).answers())
    assert str(found["retry_after_503"]).startswith("honoured: 45.0 s")
    assert str(found["retry_after_429"]).startswith("honoured: 45.0 s")
    assert found["plain_503"] == pytest.approx(PLAIN_WAIT_S, abs=0.1)
    assert found["gone"] == "endpoint disabled"
    assert found["redirect"] in {"not followed", None}
    assert len(played.removed) == 5


async def test_a_redirect_that_is_followed_is_found(played: Played, receiver: Receiver) -> None:
    played.follows = True
    found = values(await measurement(played, receiver).answers())
    assert found["redirect"] in {"followed", None}


async def test_a_sender_that_waits_as_it_likes(played: Played, receiver: Receiver) -> None:
    played.waits_s = {503: 13.0, 429: 60.0}
    found = values(await measurement(played, receiver).answers())
    assert str(found["retry_after_503"]).startswith("not honoured: 13.0 s")
    assert str(found["retry_after_429"]).startswith("honoured: 60.0 s")


async def test_a_sender_that_tries_once(played: Played, receiver: Receiver) -> None:
    played.retries = False
    found = values(await measurement(played, receiver).answers())
    assert found["plain_503"] is None
    assert str(found["retry_after_503"]).startswith("no second attempt")


@pytest.mark.parametrize(
    ("retries", "disables", "said"),
    [
        (True, True, "retried"),
        (False, True, "endpoint disabled"),
        (False, False, "given up; the endpoint is sent to"),
    ],
)
async def test_what_a_sender_makes_of_410(
    retries: bool, disables: bool, said: str, played: Played, receiver: Receiver
) -> None:
    played.retries_410, played.disables = retries, disables
    assert (await measurement(played, receiver).answers())["gone"].value == said


async def test_a_phase_that_takes_too_long_leaves_its_rows_empty(played: Played, receiver: Receiver) -> None:
    found = await measurement(played, receiver, Sizes(count=40, most_s=0.0)).run(["drain"])
    assert {cell.value for cell in found.values()} == {None}
    assert "took more than 0 s" in found["drained"].why


async def test_a_run_fills_every_row_or_says_why_not(played: Played, receiver: Receiver) -> None:
    found = await measurement(played, receiver).run([each for each in PHASES if each != "hang"])
    assert set(found) == {row.key for row in ROWS if row.phase != "hang"}
    assert all(cell.why for cell in found.values() if cell.value is None)
