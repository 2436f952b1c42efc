"""A stack of the version that is deployed is upgraded to this one in the middle of its work, and loses nothing.

What an upgrade meets is what the version before has written, not what this one would have: its items, its messages, its
indexes. The tree of that version is in git's history.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.stack.driving import eventually
from tests.stack.faults.deployment import Deployment, deployment
from tests.stack.faults.kills import CAN_KILL, is_busy
from tests.support.aws_proxy import Call, Rule, failed
from tests.support.deployed import RECORD
from tests.support.template import ROOT

from tunehook.operations.queues import WORK_QUEUES, DeadLetters, depth
from tunehook.signatures import derive_secret, notify_hook_subscription_id, sign
from tunehook.times import now_ms
from tunehook_local.sandbox import ReceivedRequest, Sandbox, Scenario, TaskRule, parse, run_sandbox

pytestmark = pytest.mark.skipif(not CAN_KILL, reason="nothing tells the processes apart")

DEPLOYED: str = json.loads(RECORD.read_text())["commit"]
"""The commit that is upgraded: the one whose tables `tests/contract/test_upgradable.py` keeps."""

PARTS = ("template.yaml", "LICENSE", "README.md", "functions", "layers")
KINDS = ("musicmint", "qhaigc", "suno")

HIDDEN_S = 120
"""How soon a message comes again whose worker the upgrade ends at its very beginning; in 24 min by the template."""

SUBSCRIPTIONS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "plain": ({}, (1,)),
    "rotated": ({"secret_version": 3, "previous_secret_until_ms": 1_000}, (3,)),
    "in-grace": ({"secret_version": 2, "previous_secret_until_ms": now_ms() + 3_600_000}, (2, 1)),
    "refuses": ({"secret_version": 2, "previous_secret_until_ms": now_ms() + 3_600_000}, (2, 1)),
}
"""By name, what a rotation by the deployed version has left on the item, and the versions that sign from then on."""

SCENARIO = {
    "tasks": [{"task_id": "*", "answers": [{"phase": "completed"}]}],
    "assets": [
        {"path": "*/slow/*", "answers": [{"drip_bytes": 20, "times": 1}, {}]},
        {"path": "*/late/*", "answers": [{"status": 404, "until_s": 20}, {}]},
    ],
    "receivers": [
        {
            "name": "refuses*",
            "answers": [{"status": 503, "headers": {"retry-after": "45"}, "times": 1}, {"status": 204}],
        }
    ],
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the deployed version."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", DEPLOYED, *PARTS], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode != 0:
        said = archive.stderr.decode(errors="replace").strip()
        pytest.skip(f"git's history here has no tree of {DEPLOYED} (a shallow clone?): {said}")
    folder = tmp_path_factory.mktemp("deployed")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def deployed(before: Path) -> Iterator[Deployment]:
    with deployment(before) as running:
        running.hide_messages_for(HIDDEN_S)
        yield running


@pytest.fixture(scope="module")
def sandbox(deployed: Deployment) -> Iterator[Sandbox]:
    with run_sandbox(parse(Scenario, SCENARIO)) as running:
        deployed.configure(running.providers_secret())
        for name, (rotation, _) in SUBSCRIPTIONS.items():
            url = running.receiver_url(name)
            deployed.put("SubscriptionsTable", subscription_id=name, url=url, **rotation)
        yield running


@dataclass
class Run:
    """The tasks of the test, and what its receivers were told of them."""

    deployed: Deployment
    sandbox: Sandbox
    providers: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, str] = field(default_factory=dict)

    def put(self, task_id: str, provider: str = "musicmint", *, goes_on: bool = False, hook: str = "") -> str:
        """Put a task that has 30 s behind it, and so is asked every few seconds; it has ended unless it goes on."""
        self.providers[task_id] = provider
        fields: dict[str, Any] = {"metadata": {"of": task_id}}
        if hook:
            self.hooks[hook] = task_id
            fields["notify_hook"] = self.sandbox.receiver_url(hook)
        self._begin(task_id, "processing" if goes_on else "completed")
        self.deployed.put("TasksTable", task_id=task_id, provider=provider, **fields)
        return task_id

    def finish(self, task_id: str) -> None:
        """Let a task that goes on have ended."""
        self._begin(task_id, "completed")

    def _begin(self, task_id: str, phase: str) -> None:
        provider = self.providers[task_id]
        kind = provider if provider in KINDS else "musicmint"
        rule = parse(TaskRule, {"answers": [{"phase": phase}]})
        self.sandbox.create_task(kind, task_id, rule=rule, age_s=30)

    def item(self, task_id: str) -> dict[str, Any]:
        return self.deployed.task(task_id, self.providers[task_id])

    def is_archived(self, task_id: str) -> bool:
        return "archived_at_ms" in self.item(task_id)

    @property
    def deliveries(self) -> set[tuple[str, str]]:
        """Who has to be told of what."""
        return {(name, task_id) for name in SUBSCRIPTIONS for task_id in self.providers} | {
            *self.hooks.items()
        }

    def requests(self) -> list[tuple[tuple[str, str], ReceivedRequest]]:
        """Return what came, with receiver and task."""
        return [
            ((each.name, json.loads(each.body)["data"]["task_id"]), each) for each in self.sandbox.received()
        ]

    def counts(self) -> Counter[tuple[str, str]]:
        """Return how often each receiver was told of each task's end."""
        return Counter(pair for pair, request in self.requests() if type_of(request) != "task.archived")

    def beyond(self, told: Counter[tuple[str, str]]) -> list[str]:
        """Return what came to whom was told more often than that: when, under which id, of which run."""
        much = self.counts() - told
        return [
            f"{request.received_at} {pair} {request.headers['webhook-id']} {request.body.decode()}"
            for pair, request in self.requests()
            if pair in much
        ]

    def told_later(self) -> Counter[tuple[str, str]]:
        """Return how often each receiver was told of each task that its files are settled."""
        return Counter(pair for pair, request in self.requests() if type_of(request) == "task.archived")

    def told_pending(self) -> Counter[tuple[str, str]]:
        """Return how often each was told an end before the files were settled: a busy machine takes a minute."""
        ids = {
            (pair, request.headers["webhook-id"])
            for pair, request in self.requests()
            if json.loads(request.body)["data"].get("archive") == "pending"
        }
        return Counter(pair for pair, _ in ids)

    def is_quiet(self) -> bool:
        """Return whether no work is in a queue, and nothing was given up but searches that were begun again."""
        self._forget_searches()
        aside = (each.output for each in DeadLetters if each is not DeadLetters.POLLER)
        sqs = self.deployed.client("sqs")
        outputs = (*WORK_QUEUES.values(), *aside)
        return not any(depth(sqs, self.deployed.outputs[output]).total for output in outputs)

    def _forget_searches(self) -> None:
        """Take away the dead letters of intake's search for what came while the stream was replaced.

        The upgrade ends its worker, or meets it with the code of before; the poller begins it again in the next minute.
        """
        sqs, url = self.deployed.client("sqs"), self.deployed.outputs[DeadLetters.INTAKE.output]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        for message in answer.get("Messages", ()):
            if json.loads(message["Body"]).get("requestPayload") == {"look_for_missed": True}:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def type_of(request: ReceivedRequest) -> str:
    return str(json.loads(request.body)["type"])


def is_about_unsent(call: Call) -> bool:
    return any('"unsent"' in entry["Detail"] for entry in call.parameters["Entries"])


def test_a_stack_of_the_deployed_version_is_upgraded_in_the_middle_of_a_run(
    deployed: Deployment, sandbox: Sandbox
) -> None:
    """Nothing is lost, doubled or signed differently.

    The embedded AWS ends workers in their work, which AWS does not.
    """
    run = Run(deployed, sandbox)
    with ThreadPoolExecutor(1) as thread:
        built = thread.submit(deployed.build)
        refused = {("refuses", first := run.put("refused", hook="refuses-hook")), ("refuses-hook", first)}
        eventually(lambda: refused <= run.counts().keys(), moved=deployed.moved)
        done = run.put("done", "qhaigc")
        eventually(lambda: run.is_archived(done), moved=deployed.moved)
        built.result()

    # Each of these waits for something that comes after the upgrade.
    run.put("slow")
    run.put("late", "suno")
    pending = [run.put(f"pending-{kind}", kind, goes_on=True) for kind in KINDS]
    pending.append(run.put("unconfigured", "not-yet"))
    eventually(lambda: any(map(is_busy, deployed.worker_pids("fulfillment"))), moved=deployed.moved)
    # All that is told with it is refused with it, so it comes last.
    refuses = Rule("events", "PutEvents", failed("InternalException", 500), where=is_about_unsent)
    deployed.proxy.add(refuses)
    unsent = run.put("unsent")
    eventually(lambda: run.item(unsent).get("status") == "completed", moved=deployed.moved)
    assert {run.item(task_id).get("status") for task_id in pending} == {"pending"}
    assert "last_error" in run.item("unconfigured")
    assert "queue" in run.item(unsent)
    assert "ProviderStatesTable" not in deployed.outputs
    without_a_stream(deployed)
    with ThreadPoolExecutor(1) as thread:
        upgrade = thread.submit(deployed.upgrade)
        while not upgrade.done():
            run.put(f"meanwhile-{len(run.providers)}")
            time.sleep(2)
        upgrade.result()
    run.put("afterwards")
    assert "ProviderStatesTable" in deployed.environment.outputs()
    first = run.item(unsent)["since_ms"]
    run.put(unsent)
    eventually(lambda: run.item(unsent).get("since_ms", first) != first, moved=deployed.moved)
    for task_id in pending:
        run.finish(task_id)
    deployed.proxy.remove(refuses)
    # As the schedule does within the minute.
    deployed.client("lambda").invoke(
        FunctionName=deployed.function_name("poller"),
        InvocationType="Event",
        Payload=json.dumps({"started_by": "schedule"}),
    )
    providers = sandbox.providers_secret()
    deployed.configure(providers | {"not-yet": providers["musicmint"]})

    put_twice = {(name, unsent) for name in SUBSCRIPTIONS}
    told = Counter(dict.fromkeys(run.deliveries, 1) | dict.fromkeys(refused | put_twice, 2))
    eventually(lambda: run.counts() >= told, moved=deployed.moved)
    eventually(lambda: run.told_later() >= run.told_pending(), moved=deployed.moved)
    eventually(run.is_quiet, moved=deployed.moved)
    assert run.counts() == told, run.beyond(told)
    assert run.told_later() == run.told_pending()
    assert all(map(run.is_archived, run.providers))
    assert_signed_as_ever(run)
    ids = {(pair, request.headers["webhook-id"]) for pair, request in run.requests()}
    ends = len(run.deliveries) + len(put_twice)
    assert len(ids) == len({each for _, each in ids}) == ends + run.told_pending().total()


def without_a_stream(deployed: Deployment) -> None:
    """Let the Tasks table have no stream until the upgrade makes one.

    On AWS that is a part of the upgrade: another view of the items is another stream, and it begins when the one before
    has been switched off. The embedded AWS would change the view of the one that there is.
    """
    deployed.client("dynamodb").update_table(
        TableName=deployed.outputs["TasksTable"], StreamSpecification={"StreamEnabled": False}
    )


def assert_signed_as_ever(run: Run) -> None:
    """Each request has the signatures of those versions of its secret that signed before."""
    master = run.deployed.master_secret()
    signed_by = {
        name: [derive_secret(master, name, version) for version in versions]
        for name, (_, versions) in SUBSCRIPTIONS.items()
    }
    for hook in run.hooks:
        hook_id = notify_hook_subscription_id(run.sandbox.receiver_url(hook))
        signed_by[hook] = [derive_secret(master, hook_id, 1)]
    for pair, request in run.requests():
        headers = request.headers
        timestamp_s = int(headers["webhook-timestamp"])
        signature = sign(headers["webhook-id"], timestamp_s, request.body, signed_by[request.name])
        assert headers["webhook-signature"] == signature, pair
