"""The deployed API under malformed requests, and forged and malformed callbacks, one at a time.

Each is refused as it has to be, none does anything, and nothing secret gets into a log. `make soak` sends 2,000 of
each, by ``TUNEHOOK_MALFORMED``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest
from tests.stack.calling import Answer, Api, callback_path, create_key
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.stack.faults.fuzz.api_requests import FuzzedRequest, Keys, Targets, api_requests
from tests.stack.faults.fuzz.callbacks import Aim, FuzzedCallback, callbacks
from tests.stack.faults.fuzz.seeds import generator, words
from tests.stack.watching import BusWatch, LogsFrom, logged

from tunehook_local.embedded.logs import lines
from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Kind, Sandbox, Scenario, TaskRule, parse, run_sandbox

COUNT: Final = int(os.environ.get("TUNEHOOK_MALFORMED", "400"))
"""How many requests, and how many callbacks."""

TASKS_OF_EACH: Final = 3
UNKNOWN_IDS: Final = 8
ASKED_EVERY_S: Final = 5.0
"""No more often than this a provider is asked about a task by its age, and no more often for callbacks."""

PROCESSING: Final = parse(TaskRule, {"task_id": "*", "answers": [{"phase": "processing"}]})


@dataclass
class Outcome:
    """What was sent and answered, what was there before, and what came of it."""

    prefix: str
    logs: LogsFrom
    """What is logged from there on is of this file."""
    secrets: list[str] = field(default_factory=list)
    victims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of tasks that had not ended, by provider."""
    requests: list[tuple[FuzzedRequest, Answer]] = field(default_factory=list)
    callbacks: list[tuple[FuzzedCallback, Answer]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    """The victims' after all that, before their provider has ended them."""
    ends: dict[str, int] = field(default_factory=dict)
    """How many events of their end there were, once it had."""
    asked_at_s: dict[str, list[float]] = field(default_factory=dict)
    """When the provider was asked about each of them while the callbacks came."""


def _send(outcome: Outcome, api: Api, keys: Keys, aim: Aim) -> None:
    (provider, *_) = outcome.victims
    targets = Targets(provider, outcome.victims[provider], "main")
    for request in api_requests(generator("api"), outcome.prefix, keys, targets, COUNT):
        answer = api.send(request.method, request.path, request.headers, request.body)
        outcome.requests.append((request, answer))
    for callback in callbacks(generator("callbacks"), aim, COUNT):
        answer = api.send("POST", callback.path, callback.headers, callback.body)
        outcome.callbacks.append((callback, answer))


@pytest.fixture(scope="module")
def outcome(home: Home, stack: DeployedStack, sandbox: Sandbox, main_secret: str) -> Iterator[Outcome]:
    """All of it, sent while tasks of a sandbox of their own have not ended; then that ends them."""
    unique = uuid.uuid4().hex[:8]
    outcome = Outcome(f"malformed-{unique}", LogsFrom.now(home))
    configured = sandbox.providers_secret()
    with run_sandbox(parse(Scenario, {"tasks": []})) as own:
        aimed_at = {f"{kind}-{unique}": entry for kind, entry in own.providers_secret().items()}
        outcome.victims = {
            name: tuple(f"watched{number}-{name}" for number in range(TASKS_OF_EACH)) for name in aimed_at
        }
        with stack.configured(configured | aimed_at), BusWatch(stack) as bus:
            keys = Keys(
                create_key(stack, f"admin-{unique}", "admin"), create_key(stack, f"read-{unique}", "read")
            )
            paths = {name: callback_path(stack, name) for name in aimed_at}
            outcome.secrets = [
                *(
                    keys.admin,
                    keys.read,
                    main_secret,
                    main_secret.removeprefix("whsec_"),
                    stack.master_secret(),
                ),
                *(key.rpartition("_")[2] for key in (keys.admin, keys.read)),
                *(path.rpartition("/")[2] for path in paths.values()),
                *(entry["api_key"] for entry in configured.values()),
            ]
            watched = [(name, task_id) for name, ids in outcome.victims.items() for task_id in ids]
            for name, task_id in watched:
                own.create_task(aimed_at[name]["kind"], task_id, rule=PROCESSING)
                stack.put("TasksTable", task_id=task_id, provider=name)
            for name, task_id in watched:
                eventually(lambda name=name, task_id=task_id: "status" in stack.task(task_id, name))
            unknown = tuple(f"unknown{number}-{unique}" for number in range(UNKNOWN_IDS))
            _send(outcome, Api(stack), keys, Aim(paths, outcome.victims, unknown))
            outcome.statuses = {task_id: stack.task(task_id, name)["status"] for name, task_id in watched}
            outcome.asked_at_s = {
                record.task_id: [moment.timestamp() for moment in record.polled_at]
                for record in own.task_records()
            }
            for name, task_id in watched:
                begin_ended(own, aimed_at[name]["kind"], task_id)
            for name, task_id in watched:
                stack.ended_task(task_id, name)
                eventually(lambda task_id=task_id: webhooks_about(sandbox, "main", task_id))
            outcome.ends = {task_id: len(bus.about(task_id, "TaskCompleted")) for _, task_id in watched}
            yield outcome


@pytest.fixture(autouse=True)
def _named_seed() -> None:
    print(words())  # noqa: T201


def test_each_request_is_refused_as_it_has_to_be(outcome: Outcome) -> None:
    assert len(outcome.requests) == COUNT
    wrong = [
        (request, answer)
        for request, answer in outcome.requests
        if answer.status not in request.statuses or (request.of_ours and not answer.is_problem)
    ]
    assert not wrong, (len(wrong), {request.kind for request, _ in wrong}, wrong[0])


def test_each_callback_is_answered_by_200_and_in_one_way(outcome: Outcome) -> None:
    assert len(outcome.callbacks) == COUNT
    wrong = [
        (callback.kind, callback.path, callback.body[:200], answer)
        for callback, answer in outcome.callbacks
        if answer.status != 200 and (callback.is_addressed or answer.status >= 500)
    ]
    assert not wrong, (len(wrong), wrong[0])
    # Nobody can tell from it what is known, and what is right.
    assert len({answer.body for callback, answer in outcome.callbacks if callback.is_addressed}) == 1


def test_no_task_was_ended_but_by_its_provider(outcome: Outcome) -> None:
    assert set(outcome.statuses.values()) == {"pending"}
    assert set(outcome.ends.values()) == {1}


def test_nothing_was_made(outcome: Outcome, stack: DeployedStack) -> None:
    made = [
        *(each for each in stack.items("TasksTable", "task_id") if outcome.prefix in each["task_id"]),
        *(
            each
            for each in stack.items("SubscriptionsTable", "subscription_id")
            if outcome.prefix in each["subscription_id"]
        ),
    ]
    assert not made
    assert stack.item("SubscriptionsTable", subscription_id="main").get("disabled_reason") is None


def test_a_flood_of_callbacks_costs_one_question_more_per_task_and_5_s(outcome: Outcome) -> None:
    watched = {task_id for ids in outcome.victims.values() for task_id in ids}
    asked_at_s = {task_id: outcome.asked_at_s[task_id] for task_id in watched if outcome.asked_at_s[task_id]}
    assert asked_at_s
    for task_id, moments in asked_at_s.items():
        # The usual ones, and as many for the callbacks; one more at each end, for the time that they are on their way.
        assert len(moments) <= 2 * (moments[-1] - moments[0]) / ASKED_EVERY_S + 2, task_id


def test_no_invocation_failed(outcome: Outcome, stack: DeployedStack, home: Home) -> None:
    raw = [
        line
        for text in logged(stack, home, outcome.logs)
        for line in text.splitlines()
        if not line.startswith("{")
        and any(mark in line for mark in ("Traceback", "failed processing", "timed out"))
    ]
    assert not raw, raw[:3]
    errors = [
        line
        for line in lines(home, stack.environment, "api")
        if line.level in ("ERROR", "CRITICAL") and line.at_ms >= outcome.logs.at_ms
    ]
    assert not errors, (len(errors), str(errors[0])[:3_000])


def test_no_key_token_or_secret_is_in_a_log(outcome: Outcome, stack: DeployedStack, home: Home) -> None:
    found = {secret for text in logged(stack, home) for secret in outcome.secrets if secret in text}
    assert not found


def test_the_api_does_its_work_afterwards(outcome: Outcome, stack: DeployedStack, sandbox: Sandbox) -> None:
    api = Api(stack, create_key(stack, f"after-{outcome.prefix}", "write"))
    task_id = f"after-{outcome.prefix}"
    begin_ended(sandbox, Kind.SUNO, task_id)
    created = api("POST", "/v1/tasks", {"provider": "suno", "task_id": task_id})
    assert created.status == 201, created
    assert stack.ended_task(task_id, "suno")["status"] == "completed"
    assert api("GET", f"/v1/tasks/suno/{task_id}").json["status"] == "completed"
