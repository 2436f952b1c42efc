"""What recovers by itself, and what does so by an operator's hand: once the cause is gone, all ends well."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from tests.stack.commanding import Command
from tests.stack.driving import begin_ended, eventually
from tests.stack.faults.deployment import Deployment, deployment
from tests.stack.faults.kills import CAN_KILL, is_busy, kill_workers
from tests.support.aws_proxy import Call, Rule, dropped, failed
from tests.support.verifying import with_python

from tunehook.operations.dead_letters import list_messages
from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook_local.sandbox import ReceivedRequest, Sandbox, Scenario, parse, run_sandbox

pytestmark = pytest.mark.skipif(not CAN_KILL, reason="nothing tells the processes apart")

SUBSCRIPTIONS = ("first", "second")

SCENARIO = {"tasks": [{"task_id": "*", "answers": [{"phase": "completed"}]}]}


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    with deployment() as running:
        yield running


@pytest.fixture(scope="module")
def sandbox(deployed: Deployment) -> Iterator[Sandbox]:
    with run_sandbox(parse(Scenario, SCENARIO)) as running:
        deployed.configure(running.providers_secret())
        for name in SUBSCRIPTIONS:
            deployed.put("SubscriptionsTable", subscription_id=name, url=running.receiver_url(name))
        # From now on there are workers, and receivers that have answered.
        begin_ended(running, "musicmint", "well")
        deployed.put("TasksTable", task_id="well", provider="musicmint")
        eventually(lambda: len(running.received()) == len(SUBSCRIPTIONS), moved=deployed.moved)
        yield running


@contextmanager
def fault(deployed: Deployment, *rules: Rule) -> Iterator[None]:
    """Have something be wrong for a while."""
    deployed.proxy.add(*rules)
    try:
        yield
    finally:
        deployed.proxy.remove(*rules)


@contextmanager
def impatient(deployed: Deployment, queue: str, *, receives: int = 1) -> Iterator[None]:
    """Have a queue's messages come again within seconds, and be put aside after so many receipts."""
    sqs, url = deployed.client("sqs"), deployed.outputs[queue]
    names = ["VisibilityTimeout", "RedrivePolicy"]
    usual = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    hasty = json.dumps(json.loads(usual["RedrivePolicy"]) | {"maxReceiveCount": receives})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "3", "RedrivePolicy": hasty})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=usual)


@contextmanager
def impatient_stream(deployed: Deployment) -> Iterator[None]:
    """Have the stream's records be given up in seconds, instead of after ten tries."""
    lambdas = deployed.client("lambda")
    (mapping,) = lambdas.list_event_source_mappings(FunctionName=deployed.function_name("intake"))[
        "EventSourceMappings"
    ]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], MaximumRecordAgeInSeconds=2)
    try:
        yield
    finally:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], MaximumRecordAgeInSeconds=-1)


class Death:
    """The death of a worker by the first call of a kind that it makes; those that it makes with it do not happen."""

    def __init__(
        self,
        deployed: Deployment,
        function: str,
        service: str,
        operation: str,
        where: Callable[[Call], bool] = lambda _call: True,
    ) -> None:
        self.killed = False
        self._over_at_s = math.inf
        self._kill = killing(deployed, function)
        self.rule = Rule(
            service,
            operation,
            dropped(self._die),
            where=lambda call: time.monotonic() < self._over_at_s and where(call),
        )

    def _die(self) -> None:
        if not self.killed:
            self._kill()
            self.killed = True
            self._over_at_s = time.monotonic() + 0.5


def killing(deployed: Deployment, function: str) -> Callable[[], None]:
    """Kill whichever worker of a function it is that has just called."""

    def kill() -> None:
        assert kill_workers(deployed.home, deployed.function_name(function))

    return kill


def of_table(deployed: Deployment, table: str) -> Callable[[Call], bool]:
    return lambda call: call.parameters["TableName"] == deployed.outputs[table]


def of_queue(deployed: Deployment, queue: str) -> Callable[[Call], bool]:
    return lambda call: call.parameters["QueueUrl"] == deployed.outputs[queue]


def takes_in(task_ids: Iterable[str]) -> Callable[[Call], bool]:
    """Match what intake says of tasks; the poller does not know them before."""
    keys = [{"S": task_id} for task_id in task_ids]
    return lambda call: call.parameters["Key"].get("task_id") in keys


def takes_the_lease(deployed: Deployment) -> Callable[[Call], bool]:
    """Match a poller's first call; intake makes a shard known in the name of nobody."""

    def matches(call: Call) -> bool:
        values = call.parameters.get("ExpressionAttributeValues", {}).values()
        return of_table(deployed, "PollerLeasesTable")(call) and {"S": "nobody"} not in values

    return matches


def waiting(deployed: Deployment, queue: DeadLetters) -> int:
    return depth(deployed.client("sqs"), deployed.outputs[queue.output]).waiting


def put_aside_about(deployed: Deployment, queue: DeadLetters) -> list[str]:
    """Return what the messages of a dead-letter queue are about, each as often as it is there."""
    (put_aside,) = list_messages(deployed.as_operated(), [queue], 50)
    return [each.about for each in put_aside]


def are_put_aside(deployed: Deployment, count: int, queue: DeadLetters, function: str) -> bool:
    """Return whether messages about so much are given up, and nobody is at them any more.

    Two may be about the same: on a machine so slow that a worker cannot say in time that it is at a message, that is
    handled twice.
    """
    at_work = any(map(is_busy, deployed.worker_pids(function)))
    to_come = depth(deployed.client("sqs"), deployed.outputs[WORK_QUEUES[queue]]).total
    return not at_work and not to_come and len(set(put_aside_about(deployed, queue))) == count


def new_items_put_aside(deployed: Deployment) -> int:
    """Return how many new items intake has been given in vain.

    On a slow machine a new stack's scan of the table may be under way as intake is killed, and be put aside too.
    """
    told = (re.match(r"(\d+) new items? ", about) for about in put_aside_about(deployed, DeadLetters.INTAKE))
    return sum(int(items[1]) for items in told if items)


def is_all_quiet(deployed: Deployment) -> bool:
    """Return whether no work is in a queue, so that nothing comes any more."""
    aside = (each.output for each in DeadLetters if each is not DeadLetters.POLLER)
    outputs = (*WORK_QUEUES.values(), *aside)
    return not any(depth(deployed.client("sqs"), deployed.outputs[output]).total for output in outputs)


class Books:
    """What the receivers were told, and how often: each request is verified when it is looked at."""

    def __init__(self, deployed: Deployment, sandbox: Sandbox, hooks: Iterable[str] = ()) -> None:
        self._sandbox = sandbox
        self.hooks = {name: sandbox.receiver_url(name) for name in hooks}
        master = deployed.master_secret()
        self._secrets = {name: derive_secret(master, name, 1) for name in SUBSCRIPTIONS} | {
            name: derive_secret(master, notify_hook_subscription_id(url), 1)
            for name, url in self.hooks.items()
        }

    def requests(self, task_ids: Iterable[str]) -> list[tuple[str, str, ReceivedRequest]]:
        """Return receiver, task, and request."""
        wanted = set(task_ids)
        told = [
            (each.name, with_python(self._secrets[each.name], each.headers, each.body), each)
            for each in self._sandbox.received()
            if each.name in self._secrets
        ]
        return [
            (name, payload["data"]["task_id"], request)
            for name, payload, request in told
            if payload["data"]["task_id"] in wanted
        ]

    def counts(self, task_ids: Iterable[str]) -> Counter[tuple[str, str]]:
        """Return how often each receiver was told of each task."""
        return Counter((name, task_id) for name, task_id, _ in self.requests(task_ids))


def is_archived(deployed: Deployment, task_id: str, kind: str = "musicmint") -> bool:
    return "archived_at_ms" in deployed.task(task_id, kind)


def test_what_a_killed_worker_was_at_is_done_after_all(
    deployed: Deployment, sandbox: Sandbox, unique: str
) -> None:
    books = Books(deployed, sandbox)
    tasks = [f"{name}-{unique}" for name in ("untaken", "unkept", "untold")]
    untaken, unkept, _ = tasks
    deaths = [
        Death(deployed, "intake", "dynamodb", "UpdateItem", takes_in([untaken])),
        Death(deployed, "fulfillment", "s3", f"PUT *{unkept}*"),
        Death(deployed, "webhooks", "dynamodb", "UpdateItem", of_table(deployed, "DeliveriesTable")),
    ]
    # Otherwise a worker that dies holds its messages for longer, each function in its own way.
    unheld = [
        Rule("sqs", "ChangeMessageVisibility*", failed("AccessDenied", 403), where=of_queue(deployed, queue))
        for queue in WORK_QUEUES.values()
    ]
    with (
        fault(deployed, *unheld, *(death.rule for death in deaths)),
        impatient(deployed, "FulfillmentQueue", receives=10),
        impatient(deployed, "DeliveriesQueue", receives=10),
    ):
        for task_id in tasks:
            begin_ended(sandbox, "musicmint", task_id)
            deployed.put("TasksTable", task_id=task_id, provider="musicmint")
        eventually(lambda: all(death.killed for death in deaths), moved=deployed.moved)
    deliveries = {(name, task_id) for name in SUBSCRIPTIONS for task_id in tasks}
    eventually(lambda: books.counts(tasks).keys() == deliveries, moved=deployed.moved)
    eventually(lambda: is_all_quiet(deployed), moved=deployed.moved)
    assert books.counts(tasks) == dict.fromkeys(deliveries, 1)
    assert all(is_archived(deployed, task_id) for task_id in tasks)


def test_what_lies_in_every_dead_letter_queue_ends_well_once_it_is_redriven(
    deployed: Deployment, sandbox: Sandbox, unique: str
) -> None:
    """The same tasks fall into each queue on their way, and are brought out of it by hand."""
    tunehook = Command(deployed)
    kinds = ("musicmint", "qhaigc", "suno")
    tasks = {f"lost-{kind}-{unique}": kind for kind in kinds}
    last = f"last-{unique}"
    hook = f"hook-{unique}"
    books = Books(deployed, sandbox, [hook])

    def put(task_id: str, kind: str, **more: str) -> None:
        begin_ended(sandbox, kind, task_id)
        deployed.put("TasksTable", task_id=task_id, provider=kind, **more)

    def redriven(queue: DeadLetters) -> str:
        said = tunehook("dlq", "redrive", queue)
        assert tunehook.status == 0, tunehook.errors
        return str(said)

    dies = Rule("dynamodb", "UpdateItem", dropped(killing(deployed, "intake")), where=takes_in(tasks))
    with fault(deployed, dies), impatient_stream(deployed):
        for task_id, kind in tasks.items():
            put(task_id, kind)
        eventually(lambda: new_items_put_aside(deployed) == len(tasks), moved=deployed.moved)
    assert not any("status" in deployed.task(task_id, kind) for task_id, kind in tasks.items())

    dies = Rule(
        "dynamodb", "UpdateItem", dropped(killing(deployed, "poller")), where=takes_the_lease(deployed)
    )
    with fault(deployed, dies):
        assert re.match("Processed 3 items", redriven(DeadLetters.INTAKE))
        eventually(lambda: waiting(deployed, DeadLetters.POLLER), moved=deployed.moved)
    assert {deployed.task(task_id, kind)["status"] for task_id, kind in tasks.items()} == {"pending"}

    denied = failed("AccessDenied", 403)
    rules = [
        Rule("s3", "PUT *", denied),
        Rule("sqs", "ChangeMessageVisibility*", denied, where=of_queue(deployed, "FulfillmentQueue")),
    ]
    with fault(deployed, *rules), impatient(deployed, "FulfillmentQueue"):
        assert re.match(r"Removed \d+ records?: the next run", redriven(DeadLetters.POLLER))
        # Its coming starts a poller at once, which the schedule would do within the minute.
        tasks[last] = "musicmint"
        put(last, "musicmint", notify_hook=books.hooks[hook])
        put_aside = partial(are_put_aside, deployed, len(tasks), DeadLetters.FULFILLMENT, "fulfillment")
        eventually(put_aside, moved=deployed.moved)
    assert books.counts(tasks) == {}

    rules = [
        Rule("dynamodb", "UpdateItem", denied, where=of_table(deployed, "DeliveriesTable")),
        Rule("sqs", "ChangeMessageVisibility*", denied, where=of_queue(deployed, "DeliveriesQueue")),
    ]
    deliveries = {(name, task_id) for name in SUBSCRIPTIONS for task_id in tasks} | {(hook, last)}
    with fault(deployed, *rules), impatient(deployed, "DeliveriesQueue"):
        there = waiting(deployed, DeadLetters.FULFILLMENT)
        said = redriven(DeadLetters.FULFILLMENT)
        assert said == f"Moved {there} messages back to the fulfillment queue.\n"
        put_aside = partial(are_put_aside, deployed, len(deliveries), DeadLetters.DELIVERIES, "webhooks")
        eventually(put_aside, moved=deployed.moved)
    assert books.counts(tasks) == {}

    there = waiting(deployed, DeadLetters.DELIVERIES)
    said = redriven(DeadLetters.DELIVERIES)
    assert said == f"Moved {there} messages back to the deliveries queue.\n"
    eventually(lambda: is_all_quiet(deployed), moved=deployed.moved)
    assert books.counts(tasks) == dict.fromkeys(deliveries, 1)
    for task_id, kind in tasks.items():
        item = deployed.task(task_id, kind)
        assert (item["status"], "archived_at_ms" in item) == ("completed", True)
        assert {asset["status"] for asset in item["assets"]} == {"archived"}
        assert f"results/{kind}/{task_id}/manifest.json" in deployed.keys(kind, task_id)
