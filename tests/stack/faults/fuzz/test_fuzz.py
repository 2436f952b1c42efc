"""The deployed stack under thousands of malformed items and messages: they end as foretold, and the valid ones well."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter

import pytest
from botocore.exceptions import ClientError
from tests.stack.driving import HANG_S, DeployedStack
from tests.stack.faults.fuzz import messages, values
from tests.stack.faults.fuzz.items import End, FuzzedItem
from tests.stack.faults.fuzz.messages import Fate
from tests.stack.faults.fuzz.onslaught import RECEIVER, Onslaught, Outcome
from tests.stack.faults.fuzz.seeds import words

from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox

MALFORMED_MIN = 2_000
"""At least so many malformed items, and as many malformed messages."""

NAMED = "InvalidInput"
"""The one error by which a function may refuse a message: it names the field."""


@pytest.fixture(scope="module")
def outcome(home: Home, stack: DeployedStack, sandbox: Sandbox, request: pytest.FixtureRequest) -> Outcome:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{words()}")  # noqa: T201
    onslaught = Onslaught(home, stack, sandbox, f"fuzz{uuid.uuid4().hex[:8]}")
    outcome = onslaught.run()
    with capture.global_and_fixture_disabled():
        print(report(outcome))  # noqa: T201
    return outcome


def report(outcome: Outcome) -> str:
    """Return the figures of a run, for people."""
    items = Counter(item.end.name.lower() for item in (*outcome.tasks, *outcome.subscriptions))
    fates = Counter(message.fate.name.lower() for sent in outcome.messages.values() for message in sent)
    delays = {moment: max(outcome.delays_s(moment), default=0) for moment in ("before", "among", "after")}
    delays["of that from acceptance to detection"] = max(outcome.detection_s(), default=0)
    return "\n".join(
        f"{name}: " + ", ".join(f"{what} {figure:g}" for what, figure in figures.items())
        for name, figures in (
            ("items", items),
            ("messages", fates),
            ("seconds", {what: round(seconds, 1) for what, seconds in outcome.seconds.items()}),
            (
                "slowest valid task, s",
                {moment: round(delay_s, 1) for moment, delay_s in delays.items()},
            ),
        )
    )


def test_there_is_enough_of_it(outcome: Outcome) -> None:
    items = [*outcome.tasks, *outcome.subscriptions]
    assert sum(item.end not in (End.ACCEPTED, End.USABLE) for item in items) >= MALFORMED_MIN
    assert sum(map(len, outcome.messages.values())) >= MALFORMED_MIN


def has_expired(item: FuzzedItem) -> bool:
    """Return whether DynamoDB may have taken it away: whoever writes `expires_at` says so."""
    moment = item.attributes.get("expires_at", {}).get("N")
    return moment is not None and float(moment) < time.time()


def task_ended_as_foretold(item: FuzzedItem, outcome: Outcome) -> bool:
    task = outcome.task_items.get((item.attributes["task_id"]["S"], item.attributes["provider"]["S"]))
    if task is None:
        return item.end in (End.IGNORED, End.FORGED) and has_expired(item)
    match item.end:
        case End.REJECTED:
            return task.get("status") == "rejected" and item.names_a_field(task["error"])
        case End.ACCEPTED:
            return task.get("status") == "completed" and "archived_at_ms" in task and "queue" not in task
        case End.IGNORED:
            return task.keys() == item.attributes.keys()
    return True


def test_every_bad_task_is_rejected_by_its_field_and_every_acceptable_one_is_completed(
    outcome: Outcome,
) -> None:
    wrong = [item for item in outcome.tasks if not task_ended_as_foretold(item, outcome)]
    assert not wrong, (len(wrong), wrong[0])


def test_every_bad_subscription_says_which_field_is_bad(outcome: Outcome) -> None:
    for item in outcome.subscriptions:
        now = outcome.subscription_items[item.attributes["subscription_id"]["S"]]
        reason = now.get("disabled_reason")
        assert item.names_a_field(reason) if item.end is End.UNUSABLE else reason is None, (item, reason)


def test_every_valid_task_is_told_of_once(outcome: Outcome, stack: DeployedStack, sandbox: Sandbox) -> None:
    """Once of its end, and once of its files if they came a minute after it, as they do on a busy machine.

    Of a request that is made again, the attempt before is on record: its receiver was too slow.
    """
    told: dict[str, list[str]] = {task_id: [] for task_id in outcome.put_at_s}
    requests: Counter[tuple[str, str]] = Counter()
    for request in sandbox.received(RECEIVER):
        body = json.loads(request.body)
        if (task_id := body["data"]["task_id"]) in told:
            requests[task_id, body["type"]] += 1
            if requests[task_id, body["type"]] == 1:
                pending = " pending" if body["data"]["archive"] == "pending" else ""
                told[task_id].append(body["type"] + pending)
    later = ["task.completed pending", "task.archived"]
    assert {task_id: each for task_id, each in told.items() if each not in (["task.completed"], later)} == {}
    deliveries = {
        (each["task_id"], each["type"]): each
        for each in stack.items("DeliveriesTable", "task_id", "type", "subscription_id", "status", "attempts")
        if each["subscription_id"] == RECEIVER and each["task_id"] in told
    }
    assert deliveries.keys() == requests.keys()
    for what, count in requests.items():
        assert deliveries[what]["status"] == "delivered", what
        assert count <= len(deliveries[what]["attempts"]), (what, count, deliveries[what])


def test_forged_tasks_hold_up_no_valid_one(outcome: Outcome) -> None:
    assert max(outcome.detection_s()) < HANG_S


@pytest.mark.parametrize("queue", ["FulfillmentQueue", "DeliveriesQueue"])
def test_the_dead_letters_are_the_malformed_messages_and_no_others(outcome: Outcome, queue: str) -> None:
    malformed = Counter(message.body for message in outcome.messages[queue] if message.fate is Fate.DEAD)
    dead = Counter(outcome.dead[queue])
    assert not (others := dead - malformed), (others.total(), next(iter(others))[:500])
    assert not (lost := malformed - dead), (lost.total(), next(iter(lost))[:500])


def test_no_function_fails_otherwise_than_by_a_refusal_that_names_a_field(outcome: Outcome) -> None:
    unnamed = [
        line
        for line in outcome.lines
        if "exception_name=" in line.rest and f"exception_name={NAMED} " not in f"{line.rest} "
    ]
    assert not unnamed, (len(unnamed), str(unnamed[0])[:3_000])
    allowed = {"message_failed", "message_given_up", "message_comes_again", "item_unreadable"}
    others = {line.message for line in outcome.lines if line.level in ("ERROR", "CRITICAL")} - allowed
    assert not others


def test_no_invocation_fails(outcome: Outcome) -> None:
    raw = [line for line in outcome.printed.splitlines() if not line.startswith("{")]
    failed = [
        line for line in raw if "Traceback" in line or "failed processing" in line or "timed out" in line
    ]
    assert not failed, failed[:3]


@pytest.mark.parametrize("number", range(len(values.REFUSED)))
def test_what_no_item_can_hold_is_refused_by_the_table(stack: DeployedStack, number: int) -> None:
    item = {"task_id": {"S": "refused"}, "provider": {"S": "musicmint"}, "metadata": values.REFUSED[number]}
    with pytest.raises(ClientError, match="ValidationException"):
        stack.client("dynamodb").put_item(TableName=stack.outputs["TasksTable"], Item=item)


@pytest.mark.parametrize("number", range(len(messages.REFUSED)))
def test_what_no_message_can_hold_is_refused_by_the_queue(stack: DeployedStack, number: int) -> None:
    with pytest.raises(ClientError):
        stack.client("sqs").send_message(
            QueueUrl=stack.outputs["FulfillmentQueue"], MessageBody=messages.REFUSED[number]
        )
