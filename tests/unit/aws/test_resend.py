import asyncio

import pytest

from tunehook.aws.resend import resend, resend_in_loop

# As documented, and not imported: a bound that moves is to be noticed.
ATTEMPTS = 3
BACKOFF_S = 0.1


class Service:
    """Refuses of each call what its next word says."""

    def __init__(self, *refused: str) -> None:
        self.refused = list(refused)
        self.calls: list[str] = []

    def send(self, entries: list[str]) -> list[str]:
        self.calls.append("".join(entries))
        refused = self.refused.pop(0) if self.refused else ""
        return [entry for entry in entries if entry in refused]


def test_what_is_taken_at_once_costs_one_call_and_no_pause(pauses: list[float]) -> None:
    service = Service()
    assert resend(service.send, list("abc")) == []
    assert (service.calls, pauses) == (["abc"], [])


def test_those_that_were_refused_are_sent_again_alone(pauses: list[float]) -> None:
    service = Service("bc", "c")
    assert resend(service.send, list("abc")) == []
    assert service.calls == ["abc", "bc", "c"]


def test_what_is_refused_every_time_is_returned(pauses: list[float]) -> None:
    service = Service(*["b"] * 9)
    assert resend(service.send, list("abc")) == ["b"]
    assert service.calls == ["abc"] + ["b"] * (ATTEMPTS - 1)


def test_each_pause_is_longer_than_the_one_before(pauses: list[float]) -> None:
    resend(Service(*["a"] * 9).send, ["a"], attempts=5)
    assert len(pauses) == 4
    for number, pause in enumerate(pauses):
        assert 0.5 <= pause / (BACKOFF_S * 2**number) <= 1.0


def test_a_fault_is_raised(pauses: list[float]) -> None:
    def send(entries: list[str]) -> list[str]:
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        resend(send, ["a"])


async def test_from_the_event_loop_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def send(entries: list[str]) -> list[str]:
        return service.send(entries)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    service = Service(*["b"] * 9)
    assert await resend_in_loop(send, list("abc")) == ["b"]
    assert service.calls == ["abc"] + ["b"] * (ATTEMPTS - 1)
    assert [0.5 <= pause / (BACKOFF_S * 2**number) <= 1.0 for number, pause in enumerate(pauses)] == [
        True
    ] * 2
