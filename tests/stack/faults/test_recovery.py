"""What recovers by itself, and what does so by an operator's hand: once the cause is gone, all ends well."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.stack.commanding import Command
from tests.stack.driving import begin_ended, eventually
from tests.stack.faults.deployment import Deployment, deployment
from tests.stack.faults.kills import CAN_KILL, is_busy, kill_workers
from tests.support.aws_proxy import Call, Rule, dropped, failed
from tests.support.verifying import with_python

from tunehook import __version__
from tunehook.signatures import derive_secret, notify_hook_subscription_id
from tunehook_cli.operating.dead_letters import letters
from tunehook_cli.operating.queues import WORK_QUEUES, DeadLetters, depth
from tunehook_cli.sandbox import ReceivedRequest, Sandbox, Scenario, TaskRule, parse, run_sandbox

pytestmark = pytest.mark.skipif(not CAN_KILL, reason="nothing tells the processes apart")

SUBSCRIPTIONS = ("first", "second")

NEXT_VERSION = f"{__version__}.post1"

SCENARIO = {
    "tasks": [{"task_id": "*", "answers": [{"phase": "completed"}]}],
    "assets": [
        {"path": "*slow-*", "answers": [{"drip_bytes": 100, "times": 1}, {}]},
        {"path": "*late-*", "answers": [{"status": 404, "until_s": 20}, {}]},
    ],
    "receivers": [
        {
            "name": "refuses-*",
            "answers": [{"status": 503, "headers": {"retry-after": "30"}, "times": 1}, {"status": 204}],
        }
    ],
}


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    with deployment() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def next_version(deployed: Deployment) -> Iterator[Future[None]]:
    """The next version, which is built while other tests wait for something."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(deployed.build, raise_version)


def agent(request: ReceivedRequest) -> str:
    return request.headers["user-agent"]


def raise_version(source: Path) -> None:
    path = source / "layers" / "tunehook" / "tunehook" / "__init__.py"
    before = path.read_text()
    after = before.replace(f'"{__version__}"', f'"{NEXT_VERSION}"')
    assert before != after
    path.write_text(after)


@pytest.fixture(scope="module")
def sandbox(deployed: Deployment) -> Iterator[Sandbox]:
    with run_sandbox(parse(Scenario, SCENARIO)) as running:
        deployed.configure(running.providers_secret())
        for name in SUBSCRIPTIONS:
            deployed.put("SubscriptionsTable", subscription_id=name, url=running.receiver_url(name))
        # From now on there are workers, and receivers that have answered.
        begin_ended(running, "musicmint", "well")
        deployed.put("TasksTable", task_id="well", provider="musicmint")
        eventually(lambda: len(running.received()) == len(SUBSCRIPTIONS), within_s=60)
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


def are_put_aside(deployed: Deployment, count: int, queue: DeadLetters, function: str) -> bool:
    """Return whether so many messages are given up, and nobody is at them any more."""
    at_work = any(map(is_busy, deployed.worker_pids(function)))
    return waiting(deployed, queue) == count and not at_work


def new_items_put_aside(deployed: Deployment) -> int:
    (put_aside,) = letters(deployed.as_operated(), [DeadLetters.INTAKE], 50)
    return sum(int(each.about.partition(" ")[0]) for each in put_aside)


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
        eventually(lambda: all(death.killed for death in deaths), within_s=60)
    deliveries = {(name, task_id) for name in SUBSCRIPTIONS for task_id in tasks}
    eventually(lambda: books.counts(tasks).keys() == deliveries, within_s=60)
    eventually(lambda: is_all_quiet(deployed), within_s=60)
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
        eventually(lambda: new_items_put_aside(deployed) == len(tasks), within_s=60)
    assert not any("status" in deployed.task(task_id, kind) for task_id, kind in tasks.items())

    dies = Rule(
        "dynamodb", "UpdateItem", dropped(killing(deployed, "poller")), where=takes_the_lease(deployed)
    )
    with fault(deployed, dies):
        assert re.match("Had 3 items taken in", redriven(DeadLetters.INTAKE))
        eventually(lambda: waiting(deployed, DeadLetters.POLLER), within_s=30)
    assert {deployed.task(task_id, kind)["status"] for task_id, kind in tasks.items()} == {"pending"}

    denied = failed("AccessDenied", 403)
    rules = [
        Rule("s3", "PUT *", denied),
        Rule("sqs", "ChangeMessageVisibility*", denied, where=of_queue(deployed, "FulfillmentQueue")),
    ]
    with fault(deployed, *rules), impatient(deployed, "FulfillmentQueue"):
        assert re.match(r"Removed \d+ records?: every start", redriven(DeadLetters.POLLER))
        # Its coming starts a poller at once, which the schedule would do within the minute.
        tasks[last] = "musicmint"
        put(last, "musicmint", notify_hook=books.hooks[hook])
        put_aside = partial(are_put_aside, deployed, len(tasks), DeadLetters.FULFILLMENT, "fulfillment")
        eventually(put_aside, within_s=60)
    assert books.counts(tasks) == {}

    rules = [
        Rule("dynamodb", "UpdateItem", denied, where=of_table(deployed, "DeliveriesTable")),
        Rule("sqs", "ChangeMessageVisibility*", denied, where=of_queue(deployed, "DeliveriesQueue")),
    ]
    deliveries = {(name, task_id) for name in SUBSCRIPTIONS for task_id in tasks} | {(hook, last)}
    with fault(deployed, *rules), impatient(deployed, "DeliveriesQueue"):
        said = redriven(DeadLetters.FULFILLMENT)
        assert said == f"Moved {len(tasks)} messages back to the fulfillment queue.\n"
        put_aside = partial(are_put_aside, deployed, len(deliveries), DeadLetters.DELIVERIES, "webhooks")
        eventually(put_aside, within_s=60)
    assert books.counts(tasks) == {}

    said = redriven(DeadLetters.DELIVERIES)
    assert said == f"Moved {len(deliveries)} messages back to the deliveries queue.\n"
    eventually(lambda: is_all_quiet(deployed), within_s=60)
    assert books.counts(tasks) == dict.fromkeys(deliveries, 1)
    for task_id, kind in tasks.items():
        item = deployed.task(task_id, kind)
        assert (item["status"], "archived_at_ms" in item) == ("completed", True)
        assert {asset["status"] for asset in item["assets"]} == {"archived"}
        assert f"results/{kind}/{task_id}/manifest.json" in deployed.keys(kind, task_id)


def test_a_stack_that_is_upgraded_in_the_middle_of_a_run_loses_nothing_and_doubles_nothing(
    deployed: Deployment, sandbox: Sandbox, unique: str, next_version: Future[None]
) -> None:
    """Tasks are in every state, and new ones come all the while. The embedded AWS ends workers in their work, which AWS
    does not.
    """
    hooks = {f"refuses-{number}-{unique}": f"refused-{number}" for number in range(2)}
    books = Books(deployed, sandbox, hooks)
    kinds: dict[str, str] = {}

    def put(name: str, kind: str = "musicmint", *, lasts_s: float = 0.0, **more: str) -> str:
        """Put a task that has 30 s behind it, and so is asked every few seconds, and `lasts_s` before it."""
        task_id = f"{name}-{unique}"
        under_way = [{"phase": "processing", "until_s": 30 + lasts_s}] if lasts_s else []
        rule = parse(TaskRule, {"answers": [*under_way, {"phase": "completed"}]})
        sandbox.create_task(kind, task_id, rule=rule, age_s=30)
        deployed.put("TasksTable", task_id=task_id, provider=kind, **more)
        kinds[task_id] = kind
        return task_id

    next_version.result(timeout=120)
    slow, late = put("slow"), put("late")
    refused = {(hook, put(name, notify_hook=books.hooks[hook])) for hook, name in hooks.items()}
    done = put("done", "qhaigc")
    pending = [put(f"pending-{kind}", kind, lasts_s=30) for kind in ("musicmint", "qhaigc", "suno")]

    def is_in_every_state() -> bool:
        told = books.counts(kinds)
        items = {task_id: deployed.task(task_id, kinds[task_id]) for task_id in (slow, late, *pending)}
        return (
            {("first", done), ("second", done)} | refused <= told.keys()
            and all(items[task_id].get("status") == "pending" for task_id in pending)
            and all(items[task_id].get("status") == "completed" for task_id in (slow, late))
            and not any("archived_at_ms" in items[task_id] for task_id in (slow, late))
            and any(map(is_busy, deployed.worker_pids("fulfillment")))
        )

    eventually(is_in_every_state, within_s=30)
    assert {agent(request) for _, _, request in books.requests(kinds)} == {f"tunehook/{__version__}"}
    with ThreadPoolExecutor(1) as thread:
        upgrade = thread.submit(deployed.upgrade)
        # The poller that was ended holds the lease for 12 s: what comes then starts the next one, before the schedule.
        more = 8
        while more:
            put(f"meanwhile-{len(kinds)}", lasts_s=0 if upgrade.done() else 20)
            more -= upgrade.done()
            time.sleep(2)
        upgrade.result()

    deliveries = {(name, task_id) for name in SUBSCRIPTIONS for task_id in kinds}
    eventually(lambda: books.counts(kinds).keys() >= deliveries, within_s=120)
    eventually(lambda: is_all_quiet(deployed), within_s=60)
    assert books.counts(kinds) == dict.fromkeys(deliveries, 1) | dict.fromkeys(refused, 2)
    told = books.requests(kinds)
    assert len({request.headers["webhook-id"] for _, _, request in told}) == len(deliveries | refused)
    before, after = f"tunehook/{__version__}", f"tunehook/{NEXT_VERSION}"
    assert {agent(request) for _, task_id, request in told if task_id in pending} == {after}
    for each in refused:
        assert [agent(request) for *names, request in told if tuple(names) == each] == [before, after]
    assert all(is_archived(deployed, task_id, kind) for task_id, kind in kinds.items())
