"""What a fault of one message was: what may pass is told in its words, a bug as what it is."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.aws import fault
from tests.support.tasks import NOW_MS, ended
from tests.support.virtual_tests import in_virtual_time

from fulfillment import worker
from fulfillment.retry_policy import RetryLater
from fulfillment.worker import Worker, passing_reason, report
from tunehook.aws.clients import CONNECTIONS
from tunehook.aws.visibility import Message
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import task_ended

BUG = KeyError("x")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "not done in time"),
        (Unavailable("the bus did not take it"), "the bus did not take it"),
        (fault("SlowDown", "PutObject"), "SlowDown"),
        (BUG, None),
        (ExceptionGroup("both", [Unavailable("b"), TimeoutError(), Unavailable("b")]), "b, not done in time"),
        (ExceptionGroup("both", [Unavailable("b"), BUG]), None),
        (ExceptionGroup("deep", [ExceptionGroup("deeper", [fault("SlowDown")])]), "SlowDown"),
    ],
)
def test_what_may_pass_is_told_in_words(error: BaseException, words: str | None) -> None:
    assert passing_reason(error) == words


@pytest.mark.parametrize(
    ("result", "comes_again", "told"),
    [
        (None, False, []),
        (InvalidInput("item", "is none"), False, [("error", "message_given_up")]),
        (RetryLater(1, 10), True, [("info", "message_comes_again")]),
        (TimeoutError(), True, [("warning", "message_comes_again")]),
        (BUG, True, [("error", "message_failed")]),
    ],
)
def test_what_became_of_a_message_is_told_and_whether_it_comes_again(
    monkeypatch: pytest.MonkeyPatch, result: Any, comes_again: bool, told: list[tuple[str, str]]
) -> None:
    lines: list[tuple[str, str]] = []

    class Logger:
        def __getattr__(self, level: str) -> Any:
            return lambda words, **_: lines.append((level, words))

    monkeypatch.setattr(worker, "logger", Logger())
    assert report(result) is comes_again
    assert lines == told


class Held:
    """Stands where `VisibilityHeartbeat` does."""

    def __init__(self) -> None:
        self.again: list[int] = []

    async def retry_after(self, message: Message, after_s: int) -> None:
        self.again.append(after_s)


def test_the_loop_outlives_a_batch_and_threads_whose_calls_hang_do_not() -> None:
    made, over = bare_worker(), threading.Event()
    made._loop, made._in_loop = asyncio.new_event_loop(), ()
    loops: list[object] = []

    async def hang(*_: Any) -> list[None]:
        loops.append(asyncio.get_running_loop())
        for _ in range(CONNECTIONS):
            loops[0].run_in_executor(None, over.wait)  # type: ignore[attr-defined]
        return []

    async def ask(*_: Any) -> list[Any]:
        loops.append(asyncio.get_running_loop())
        return [await asyncio.to_thread(threading.current_thread)]

    try:
        made._handle = hang
        assert made.handle([], lambda: 0) == []
        made._handle = ask
        (thread,) = made.handle([], lambda: 0)
        assert thread is not threading.current_thread()
    finally:
        over.set()
    assert loops == [made._loop] * 2
    made.close()
    assert made._loop.is_closed()


def bare_worker() -> Any:
    """A worker of whose clients none is needed."""
    made: Any = Worker.__new__(Worker)
    made._settings = SimpleNamespace(archive_patience_s=60)
    return made


EVENT = task_ended(ended())
DUE_MS = NOW_MS + 120_000
"""A minute after its end was detected."""


@pytest.mark.parametrize(
    ("count", "due_in_s", "after_s"),
    [
        (1, 30.9, 10),
        (4, 30.9, 30),
        (4, 6.0, 6),
        (4, 5.9, 5),
        (4, 0.1, 5),
        (4, 0.0, 80),
        (4, -9.0, 80),
        (1, 0.1, 5),
    ],
)
def test_what_failed_comes_again_by_the_time_at_which_its_receivers_are_due(
    monkeypatch: pytest.MonkeyPatch, count: int, due_in_s: float, after_s: int
) -> None:
    monkeypatch.setattr(worker, "now_ms", lambda: DUE_MS - round(due_in_s * 1000))
    message = Message("", "receipt", count, NOW_MS + 61_000)
    assert bare_worker()._backoff_s(message, EVENT) == after_s
    assert bare_worker()._backoff_s(message, None) == (10 if count == 1 else 80)


@pytest.mark.parametrize(("remaining_ms", "within_s"), [(300_000, 200.0), (230_000, 200.0), (120_000, 90.0)])
async def test_copying_has_what_telling_leaves_of_the_time(
    monkeypatch: pytest.MonkeyPatch, remaining_ms: int, within_s: float
) -> None:
    given: list[Any] = []
    made = bare_worker()

    async def fulfil(*args: Any) -> None:
        given.append(args[-1])

    made._fulfill = fulfil
    monkeypatch.setattr(worker, "content_of", lambda body: EVENT)
    held: Any = Held()
    assert await made._handle_one(None, Message("", "receipt"), held, lambda: remaining_ms) is None
    assert (given, held.again) == ([within_s], [])


async def test_a_message_whose_files_may_come_is_looked_at_again_when_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, held = bare_worker(), Held()

    async def wait(*_: Any) -> None:
        raise RetryLater(missing=1, after_s=37)

    made._fulfill = wait
    monkeypatch.setattr(worker, "content_of", lambda body: EVENT)
    result = await made._handle_one(None, Message("", "receipt", 4), held, lambda: 300_000)
    assert isinstance(result, RetryLater)
    assert held.again == [37]


async def test_a_message_that_can_never_be_handled_goes_to_the_dead_letters_and_comes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, held, given_up = bare_worker(), Held(), []
    made._dead_letters, made._settings.dead_letters = "sqs", "https://queue"
    monkeypatch.setattr(worker, "dead_letter", lambda *args: given_up.append(args))
    message = Message("no JSON", "receipt", 1)
    result = await made._handle_one(None, message, held, lambda: 300_000)
    assert isinstance(result, InvalidInput)
    assert (given_up, held.again) == ([("sqs", "https://queue", message, result)], [])


@in_virtual_time
async def test_a_message_that_takes_too_long_is_left_five_seconds_before_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, held = bare_worker(), Held()

    async def hang(*_: Any) -> None:
        await asyncio.sleep(3_600)

    made._fulfill = hang
    monkeypatch.setattr(worker, "content_of", lambda body: EVENT)
    monkeypatch.setattr(worker, "now_ms", lambda: DUE_MS)
    result = await made._handle_one(None, Message("", "receipt", 2), held, lambda: 12_000)
    assert isinstance(result, TimeoutError)
    assert (asyncio.get_running_loop().time(), held.again) == (pytest.approx(7.0), [20])
