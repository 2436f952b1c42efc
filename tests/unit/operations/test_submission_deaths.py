"""A submission that dies at each of its calls, or whose answers are lost: no second song, and no id without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from tests.support.aws import Losing, client, create_table, items
from tests.unit.cli.conftest import no_embedded_aws, stack  # noqa: F401 - fixtures

from tunehook.aws.api_requests import IN_PROGRESS_MS
from tunehook.operations import submissions
from tunehook.operations.stack import find_stack
from tunehook.operations.submissions import (
    NotRecorded,
    OutcomeUnknown,
    ProviderRefused,
    SubmissionUnclear,
    submit_through,
)
from tunehook.providers.submission_answers import Refused, Submitted, Unclear
from tunehook.providers.submit import SubmitResult

NOW_MS = 1_795_890_000_000
ENTRY = {"kind": "suno", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"}
AWS = ("update_item", "put_item", "delete_item", "get_item", "transact_write_items", "get_secret_value")
TABLES = ("TasksTable", "ApiRequestsTable")
ANSWERS: dict[str, SubmitResult] = {
    "submitted": Submitted("task-1"),
    "refused": Refused(403, "no credit"),
    "unclear": Unclear("no answer within 20 s"),
}


class Death(BaseException):
    """The process is killed: no handler of errors of ours gets to see it."""


class Process:
    """Dies at one of its calls, before or after that one goes through; None lives."""

    def __init__(self, dies_at: int | None, *, after: bool) -> None:
        self._dies_at = dies_at
        self._after = after
        self.calls: list[str] = []

    def call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append(name)
        dies = len(self.calls) - 1 == self._dies_at
        if dies and not self._after:
            raise Death(name)
        result = method(*args, **kwargs)
        if dies:
            raise Death(name)
        return result


class Client:
    def __init__(self, process: Process, real: Any) -> None:
        self._process = process
        self._real = real

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name not in AWS:
            return method
        return lambda *args, **kwargs: self._process.call(name, method, *args, **kwargs)


class World:
    """A caller that sends the same until it knows, and a provider that counts its songs."""

    def __init__(self, answer: SubmitResult, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = answer
        self.asked = 0
        self.now_ms = NOW_MS
        monkeypatch.setattr(submissions, "now_ms", lambda: self.now_ms)

    def send(self, *_: Any) -> SubmitResult:
        self.asked += 1
        return self.answer

    def submit(self, process: Process, dynamodb: Any = None) -> str:
        """Return what the caller learns: the id, or the name of the error."""

        def opened(service: str, **_: Any) -> Any:
            real = dynamodb if service == "dynamodb" and dynamodb is not None else client(service)
            return Client(process, real)

        try:
            done = submit_through(
                find_stack(opened, "tunehook"),
                "gw",
                "music",
                {"prompt": "la"},
                idempotency_key="order-1017",
                metadata={"order": 1017},
                send=lambda *given: process.call("provider", self.send, *given),
                sleep=lambda _: None,
            )
        except NotRecorded as error:
            return error.task_id
        except (OutcomeUnknown, ProviderRefused, SubmissionUnclear, ReadTimeoutError) as error:
            return type(error).__name__
        return str(done.submission.item["task_id"])


@pytest.fixture(params=ANSWERS)
def world(
    stack: None,  # noqa: F811 - the fixture
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    secret = json.dumps({"gw": ENTRY})
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=secret)
    return World(ANSWERS[request.param], monkeypatch)


def empty() -> None:
    for table in TABLES:
        client("dynamodb").delete_table(TableName=table)
        create_table(table)


UNDISTURBED = {"submitted": "task-1", "refused": "ProviderRefused", "unclear": "SubmissionUnclear"}
AGAIN = UNDISTURBED | {"unclear": "OutcomeUnknown"}


def name_of(world: World) -> str:
    return next(name for name, answer in ANSWERS.items() if answer is world.answer)


def test_one_that_lives_makes_so_many_calls(world: World) -> None:
    process = Process(None, after=False)
    assert world.submit(process) == UNDISTURBED[name_of(world)]
    is_task = name_of(world) == "submitted"
    record = "transact_write_items" if is_task else "update_item"
    # The providers, the master secret for the callback URL, the intention, the call, the answer.
    assert process.calls == ["get_secret_value", "get_secret_value", "update_item", "provider", record]
    assert world.submit(Process(None, after=False)) == AGAIN[name_of(world)]
    assert world.asked == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_call_makes_no_second_song_and_leaves_no_id_unsaid(world: World, after: bool) -> None:
    unhurt = Process(None, after=after)
    world.submit(unhurt)
    for dies_at, call in enumerate(unhurt.calls):
        empty()
        world.asked, world.now_ms = 0, NOW_MS
        with pytest.raises(Death, match=call):
            world.submit(Process(dies_at, after=after))
        was_asked = world.asked
        place = f"call {dies_at} ({call})"
        learnt = set()
        for _ in range(3):
            learnt.add(world.submit(Process(None, after=after)))
            world.now_ms += IN_PROGRESS_MS
        assert world.asked <= 1, place
        kept = [item["task_id"] for item in items("TasksTable")]
        if kept:
            # The id is in the table, and who sends the same again is told it.
            assert kept == ["task-1"], place
            assert learnt == {"task-1"}, place
        elif was_asked:
            # Nobody knows the answer but the provider, or it was a no.
            assert learnt <= {"OutcomeUnknown", "ProviderRefused"}, place
            assert len(learnt) == 1, place
        elif world.asked:
            assert learnt <= {UNDISTURBED[name_of(world)], AGAIN[name_of(world)]}, place
        else:
            # The intention was written, and it died before the call.
            assert learnt == {"OutcomeUnknown"}, place


@pytest.mark.parametrize("gives_up", [False, True], ids=["repeated", "given up"])
def test_lost_answers_of_writes_make_no_second_song_either(world: World, gives_up: bool) -> None:
    for lost in range(3):
        empty()
        world.asked, world.now_ms = 0, NOW_MS
        losing = Losing(client("dynamodb"), {lost}, gives_up=gives_up)
        first = world.submit(Process(None, after=False), losing)
        again = world.submit(Process(None, after=False))
        assert world.asked <= 1, lost
        if first == "ReadTimeoutError":
            # The intention may be written: whoever has written it, the provider was not asked, and is not.
            assert (again, world.asked) == ("OutcomeUnknown", 0)
        else:
            assert first == UNDISTURBED[name_of(world)], lost
            assert again == AGAIN[name_of(world)], lost
            assert [item["task_id"] for item in items("TasksTable")] == ["task-1"] * (first == "task-1"), lost
