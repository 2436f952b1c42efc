"""Whatever happens to a poller between a provider's answer and the event, the next pass brings it to its end.

The poller that things happen to is a process of the test's own with the real handler in it, between which and the
embedded AWS a proxy stands. The pass that follows is the stack's own, started as the schedule starts it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.stack.watching import BusWatch, QuietShard, in_work_index, lives
from tests.support.aws_proxy import (
    Act,
    AwsProxy,
    Call,
    Rule,
    delayed,
    dropped,
    entries_refused,
    run_aws_proxy,
    throttled,
    together,
    unanswered,
)
from tests.support.poller_process import PollerProcess

from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox

PROVIDER = "musicmint"


@pytest.fixture(scope="module")
def shard(stack: DeployedStack, home: Home, sandbox: Sandbox) -> Iterator[QuietShard]:
    with QuietShard(stack, home) as quiet:
        yield quiet


@pytest.fixture(scope="module")
def bus(stack: DeployedStack) -> Iterator[BusWatch]:
    with BusWatch(stack) as watch:
        yield watch


@dataclass
class Scene:
    """A shard that only pollers of the test watch, and the proxy through which they reach AWS."""

    stack: DeployedStack
    sandbox: Sandbox
    shard: QuietShard
    bus: BusWatch
    proxy: AwsProxy
    pollers: list[PollerProcess] = field(default_factory=list)

    def new_poller(self) -> PollerProcess:
        """Start a poller that waits for its invocation."""
        function = self.stack.client("lambda").get_function_configuration(
            FunctionName=self.stack.outputs["PollerFunction"]
        )
        environment = {
            **self.stack.environment.variables(),
            **function["Environment"]["Variables"],
            "AWS_ENDPOINT_URL": self.proxy.url,
            "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
        }
        self.pollers.append(PollerProcess(environment, function["Timeout"]))
        return self.pollers[-1]

    def submit(self, *task_ids: str) -> None:
        """Put tasks that their provider has ended into the table, and wait until they are pending."""
        for task_id in task_ids:
            begin_ended(self.sandbox, PROVIDER, task_id)
            self.stack.put("TasksTable", task_id=task_id, provider=PROVIDER)
        for task_id in task_ids:
            eventually(lambda task_id=task_id: self.status(task_id) == "pending")

    def status(self, task_id: str) -> str | None:
        return self.stack.task(task_id, PROVIDER).get("status")

    def is_in_index(self, task_id: str) -> bool:
        return in_work_index(self.stack, task_id)

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """Return the events about the end of a task that are on the bus so far."""
        return self.bus.about(task_id, "TaskCompleted")

    def assert_all_is_done(self, task_id: str) -> None:
        """Wait until all is done for a task that has ended, and hold what was done to what must be."""
        webhooks = eventually(lambda: webhooks_about(self.sandbox, "main", task_id), moved=self.stack.moved)
        eventually(lambda: not self.is_in_index(task_id))
        images = lives(self.stack, task_id)
        assert sum(not is_ended(before) and is_ended(after) for before, after in pairwise(images)) == 1
        ((event_id, _),) = {
            (image["event_id"], image["detected_at_ms"]) for image in images if is_ended(image)
        }
        assert {event["detail"]["event_id"] for event in self.events(task_id)} == {event_id}
        assert len({request.headers["webhook-id"] for request in webhooks}) == 1


@pytest.fixture
def scene(stack: DeployedStack, sandbox: Sandbox, shard: QuietShard, bus: BusWatch) -> Iterator[Scene]:
    # A poller of the test before may have taken the lease.
    shard.hold()
    with run_aws_proxy(stack.environment.endpoint) as proxy:
        scene = Scene(stack, sandbox, shard, bus, proxy)
        try:
            yield scene
        finally:
            for poller in scene.pollers:
                poller.close()


def is_ended(item: dict[str, Any]) -> bool:
    return item.get("status") in ("completed", "failed")


def is_about(call: Call, task_id: str) -> bool:
    return bool(call.parameters["Key"] == {"task_id": {"S": task_id}, "provider": {"S": PROVIDER}})


def details(task_id: str) -> Callable[[Call], bool]:
    """Match the update that writes the details of a task's end, before that."""
    return lambda call: (
        call.parameters["Key"].get("task_id") == {"S": task_id} and not is_about(call, task_id)
    )


def ends(task_id: str) -> Callable[[Call], bool]:
    """Match the update that ends a task."""

    def matches(call: Call) -> bool:
        values = call.parameters.get("ExpressionAttributeValues", {}).values()
        return is_about(call, task_id) and {"S": "completed"} in values

    return matches


def leaves(task_id: str) -> Callable[[Call], bool]:
    """Match the update that takes an ended task out of the work index."""
    return lambda call: is_about(call, task_id) and not ends(task_id)(call)


def task_of(entry: dict[str, Any]) -> str:
    """Return the task that an entry of PutEvents is about; empty where that is none."""
    return str(json.loads(entry["Detail"]).get("task_id", ""))


def tells(task_id: str) -> Callable[[Call], bool]:
    """Match the PutEvents that has the event about a task in it."""
    return lambda call: task_id in map(task_of, call.parameters["Entries"])


@pytest.mark.parametrize(
    ("operation", "matching", "fate", "status_then", "events_then"),
    [
        pytest.param("UpdateItem", details, dropped, "pending", 0, id="answered-no-details"),
        pytest.param("UpdateItem", details, unanswered, "pending", 0, id="details-alone"),
        pytest.param("UpdateItem", ends, dropped, "pending", 0, id="answered-not-updated"),
        pytest.param("UpdateItem", ends, unanswered, "completed", 0, id="updated-unheard"),
        pytest.param("PutEvents", tells, dropped, "completed", 0, id="updated-not-emitted"),
        pytest.param("PutEvents", tells, unanswered, "completed", 1, id="emitted-unheard"),
        pytest.param("UpdateItem", leaves, dropped, "completed", 1, id="emitted-not-left"),
    ],
)
def test_what_a_killed_poller_leaves_behind_the_next_pass_brings_to_its_end(
    scene: Scene,
    unique: str,
    operation: str,
    matching: Callable[[str], Callable[[Call], bool]],
    fate: Callable[[Callable[[], None]], Act],
    status_then: str,
    events_then: int,
) -> None:
    task_id = f"killed-{unique}"
    poller = scene.new_poller()
    service = "events" if operation == "PutEvents" else "dynamodb"
    scene.proxy.add(Rule(service, operation, fate(poller.kill), where=matching(task_id)))
    scene.submit(task_id)
    poller.invoke({"started_by": "schedule"})
    eventually(lambda: not poller.is_running)

    assert scene.status(task_id) == status_then
    assert scene.is_in_index(task_id)
    assert len(scene.events(task_id)) == events_then

    with scene.shard.next_pass():
        scene.assert_all_is_done(task_id)
    assert len(scene.events(task_id)) == events_then + 1


def test_a_task_whose_update_is_throttled_is_left_to_the_next_pass(scene: Scene, unique: str) -> None:
    task_id = f"throttled-{unique}"
    poller = scene.new_poller()
    rule = Rule("dynamodb", "UpdateItem", throttled(), where=ends(task_id))
    scene.proxy.add(rule)
    scene.submit(task_id)
    poller.invoke({"started_by": "schedule"})
    eventually(lambda: rule.matched >= 4)

    assert poller.is_running
    assert scene.status(task_id) == "pending"
    assert scene.is_in_index(task_id)

    poller.kill()
    with scene.shard.next_pass():
        scene.assert_all_is_done(task_id)


@pytest.mark.parametrize(
    "fate",
    [
        pytest.param(entries_refused(lambda _entry: True), id="all-entries-fail"),
        pytest.param(throttled(), id="throttled"),
    ],
)
def test_events_that_cannot_be_put_are_left_to_the_next_pass(scene: Scene, unique: str, fate: Act) -> None:
    task_ids = [f"unput{number}-{unique}" for number in range(3)]
    poller = scene.new_poller()
    rule = Rule("events", "PutEvents", fate)
    scene.proxy.add(rule)
    scene.submit(*task_ids)
    poller.invoke({"started_by": "schedule"})
    eventually(lambda: rule.matched >= 5)

    assert poller.is_running
    for task_id in task_ids:
        assert scene.status(task_id) == "completed"
        assert scene.is_in_index(task_id)
        assert scene.events(task_id) == []

    poller.kill()
    with scene.shard.next_pass():
        for task_id in task_ids:
            scene.assert_all_is_done(task_id)


def test_of_events_that_are_refused_in_part_the_others_go_out_and_the_rest_is_left_to_the_next_pass(
    scene: Scene, unique: str
) -> None:
    taken = [f"taken{number}-{unique}" for number in range(2)]
    refused = [f"refused{number}-{unique}" for number in range(2)]
    poller = scene.new_poller()
    refusal = entries_refused(lambda entry: task_of(entry) in refused)
    # The first call waits until all tasks have ended: the second has some of both kinds in it.
    scene.proxy.add(Rule("events", "PutEvents", delayed(2.0, refusal), calls={1}))
    scene.proxy.add(Rule("events", "PutEvents", refusal))
    scene.submit(*taken, *refused)
    poller.invoke({"started_by": "schedule"})
    eventually(lambda: not any(map(scene.is_in_index, taken)))

    told = [set(map(task_of, call.parameters["Entries"])) for call in scene.proxy.made("events", "PutEvents")]
    assert any(tasks & set(taken) and tasks & set(refused) for tasks in told)
    for task_id in refused:
        assert scene.status(task_id) == "completed"
        assert scene.is_in_index(task_id)
        assert scene.events(task_id) == []

    poller.kill()
    with scene.shard.next_pass():
        for task_id in (*taken, *refused):
            scene.assert_all_is_done(task_id)
            assert len(scene.events(task_id)) == 1


def test_an_event_whose_acceptance_is_not_heard_of_comes_again_with_the_same_id(
    scene: Scene, unique: str
) -> None:
    task_id = f"unheard-{unique}"
    poller = scene.new_poller()
    scene.proxy.add(Rule("events", "PutEvents", unanswered(), calls={1}))
    scene.submit(task_id)
    poller.invoke({"started_by": "schedule"})

    scene.assert_all_is_done(task_id)
    assert len(scene.events(task_id)) == 2


def test_two_pollers_that_watch_the_same_shard_at_once_end_each_task_once(scene: Scene, unique: str) -> None:
    task_ids = [f"contested{number}-{unique}" for number in range(3)]
    rules = [Rule("dynamodb", "UpdateItem", together(2), where=ends(task_id)) for task_id in task_ids]
    scene.proxy.add(*rules)
    pollers = [scene.new_poller(), scene.new_poller()]
    scene.submit(*task_ids)
    for poller in pollers:
        poller.invoke({"started_by": "schedule"})

    for task_id in task_ids:
        scene.assert_all_is_done(task_id)
        assert len(scene.events(task_id)) == 1
    assert [rule.matched for rule in rules] == [2, 2, 2]
