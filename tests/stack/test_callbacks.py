"""What a provider's callback does in a deployed stack: a question about its task at once, and nothing but that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from tests.stack.calling import Api, callback_path
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.stack.watching import BusWatch

from tunehook.aws.items import to_attributes
from tunehook.times import now_ms
from tunehook_local.sandbox import Kind, Sandbox, TaskRule, parse

PROCESSING: Final = parse(TaskRule, {"task_id": "*", "answers": [{"phase": "processing"}]})
UNKNOWN: Final = parse(TaskRule, {"task_id": "*", "answers": [{"phase": "not_found"}]})
TAKEN_IN_AFTER_MS: Final = 60_000
ATTEMPTS: Final = 4
"""How often two tasks are compared: a machine that stands still for 15 s spoils a comparison."""


@pytest.fixture
def provider(stack: DeployedStack, sandbox: Sandbox, unique: str) -> Iterator[str]:
    """A provider of this test alone: whether its callbacks come is remembered of it. It is asked again after 20 s.

    The function that takes callbacks knows a new one after 5 s: until then a callback leaves nothing.
    """
    name, task_id = f"calls-{unique}", f"known-{unique}"
    configured = sandbox.providers_secret()
    with stack.configured(configured | {name: configured[Kind.MUSICMINT]}):
        path = callback_path(stack, name)
        sandbox.create_task(Kind.MUSICMINT, task_id, rule=UNKNOWN)

        def is_known() -> bool:
            call_back(stack, path, task_id)
            return hint_about(stack, task_id) is not None

        eventually(is_known)
        yield name


def call_back(stack: DeployedStack, path: str, task_id: str) -> None:
    """Call as a provider does whose task is complete."""
    body = {"code": 200, "msg": "ok", "data": {"callbackType": "complete", "task_id": task_id, "data": []}}
    answer = Api(stack)("POST", path, body)
    assert answer.status == 200, answer


def hint_about(stack: DeployedStack, task_id: str) -> dict[str, Any] | None:
    """Return the hint of a task, if the poller has not done what it says."""
    found = [each for each in stack.items("CallbackHintsTable") if each["task_id"] == task_id]
    return found[0] if found else None


def times_asked(sandbox: Sandbox, task_id: str) -> int:
    return sum(record.poll_count for record in sandbox.task_records() if record.task_id == task_id)


def put_processing(stack: DeployedStack, sandbox: Sandbox, provider: str, task_id: str) -> None:
    """Put a task that has not ended, and wait until it was asked about once."""
    sandbox.create_task(Kind.MUSICMINT, task_id, rule=PROCESSING)
    stack.put("TasksTable", task_id=task_id, provider=provider)
    eventually(lambda: times_asked(sandbox, task_id), every_s=0.05)


def test_a_task_that_was_called_about_is_asked_before_one_that_was_due_sooner(
    stack: DeployedStack, sandbox: Sandbox, provider: str, unique: str
) -> None:
    path = callback_path(stack, provider)

    def is_asked_first(number: int) -> bool:
        sooner, called = f"sooner{number}-{unique}", f"called{number}-{unique}"
        for task_id in (sooner, called):
            put_processing(stack, sandbox, provider, task_id)
        begin_ended(sandbox, Kind.MUSICMINT, called)
        call_back(stack, path, called)
        assert stack.ended_task(called, provider)["status"] == "completed"
        return times_asked(sandbox, sooner) == 1

    assert any(is_asked_first(number) for number in range(ATTEMPTS))


def test_a_callback_is_not_believed_and_without_the_token_not_even_heard(
    stack: DeployedStack, sandbox: Sandbox, provider: str, unique: str
) -> None:
    task_id = f"forged-{unique}"
    path = callback_path(stack, provider)
    put_processing(stack, sandbox, provider, task_id)

    call_back(stack, f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}", task_id)
    assert hint_about(stack, task_id) is None
    call_back(stack, path, task_id)
    # It is gone once the provider was asked, and has said that the task has not ended.
    eventually(lambda: hint_about(stack, task_id) is None and times_asked(sandbox, task_id) > 1)
    assert stack.task(task_id, provider)["status"] == "pending"

    begin_ended(sandbox, Kind.MUSICMINT, task_id)
    call_back(stack, path, task_id)
    assert stack.ended_task(task_id, provider)["status"] == "completed"
    # About what has ended there is nothing to ask.
    call_back(stack, path, task_id)
    assert hint_about(stack, task_id) is None


@contextmanager
def a_poller(stack: DeployedStack, sandbox: Sandbox, provider: str, unique: str) -> Iterator[None]:
    """Have a poller run that knows a provider: a new task starts one. Without it the schedule does, within a minute."""
    task_id = f"starts-{unique}"
    put_processing(stack, sandbox, provider, task_id)
    try:
        yield
    finally:
        begin_ended(sandbox, Kind.MUSICMINT, task_id)


def test_a_task_that_nobody_put_is_taken_in_after_a_minute_and_a_later_put_adopts_it(
    stack: DeployedStack, sandbox: Sandbox, provider: str, unique: str
) -> None:
    task_id = f"unheard-{unique}"
    begin_ended(sandbox, Kind.MUSICMINT, task_id)
    with BusWatch(stack) as bus:
        call_back(stack, callback_path(stack, provider), task_id)
        hint = hint_about(stack, task_id)
        assert hint is not None
        assert hint["take_in_at_ms"] - hint["hinted_at_ms"] == TAKEN_IN_AFTER_MS
        assert stack.task(task_id, provider) == {}
        with a_poller(stack, sandbox, provider, unique):
            make_the_minute_pass(stack, hint)
            taken_in = stack.ended_task(task_id, provider)
        assert (taken_in["status"], taken_in["taken_in"]) == ("completed", True)
        eventually(lambda: webhooks_about(sandbox, "main", task_id))

        hook = sandbox.receiver_url("adopter")
        stack.put("TasksTable", task_id=task_id, provider=provider, metadata={"order": 7}, notify_hook=hook)
        (told,) = eventually(lambda: webhooks_about(sandbox, "adopter", task_id))
        adopted = stack.ended_task(task_id, provider)

        assert json.loads(told.body)["data"]["metadata"] == {"order": 7}
        assert adopted["event_id"] == taken_in["event_id"]
        assert len(bus.about(task_id, "TaskCompleted")) == 1
        assert len(webhooks_about(sandbox, "main", task_id)) == 1


def make_the_minute_pass(stack: DeployedStack, hint: dict[str, Any]) -> None:
    """Let the moment be over at which a hint's task may be taken in."""
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["CallbackHintsTable"],
        Key=to_attributes({"queue": hint["queue"], "hint": hint["hint"]}),
        UpdateExpression="SET take_in_at_ms = :now",
        ConditionExpression="attribute_exists(hinted_at_ms)",
        ExpressionAttributeValues=to_attributes({":now": now_ms()}),
    )
