"""Progress through the deployed stack: told in order while a task goes on, signed, once, and to nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import pytest
from tests.stack.driving import DeployedStack, eventually, webhooks_about
from tests.support.verifying import with_python

from tunehook.signatures import derive_secret
from tunehook.times import now_ms
from tunehook_local.sandbox import Kind, Sandbox, TaskRule, parse

APART_MS = 5_000
TYPES = ["task.progress", "task.completed"]


class Failing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def failing() -> Iterator[str]:
    """The URL of a receiver whose every answer is 500."""
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_phases_and_the_first_clip_are_told_until_the_end_and_no_question_is_asked_for_it(
    stack: DeployedStack, sandbox: Sandbox, failing: str, unique: str
) -> None:
    task_id, wants, lacks, fails = (f"{name}-{unique}" for name in ("task", "wants", "lacks", "fails"))
    for name, events in ((wants, TYPES), (lacks, TYPES[1:]), (fails, TYPES[:1])):
        stack.put(
            "SubscriptionsTable",
            subscription_id=name,
            url=failing if name == fails else sandbox.receiver_url(name),
            events=events,
            providers=[Kind.SUNO.value],
        )
    # What knows the subscriptions may have read them up to 15 s ago.
    since_ms = now_ms()
    eventually(lambda: now_ms() - since_ms > 15_000)

    def stands(**answer: Any) -> None:
        rule = {"task_id": "*", "answers": [answer]}
        sandbox.create_task(Kind.SUNO, task_id, rule=parse(TaskRule, rule))

    def told(receiver: str) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in webhooks_about(sandbox, receiver, task_id)]

    def is_told(kind: str, number: int) -> bool:
        return [each["type"] for each in told(wants)].count(kind) == number

    stands(phase="queued")
    stack.put(
        "TasksTable",
        task_id=task_id,
        provider=Kind.SUNO.value,
        metadata={"order": 7},
        notify_hook=sandbox.receiver_url(f"hook-{unique}"),
    )
    # Each step when the one before has arrived: on a slow machine a later one would overtake it.
    stands(phase="processing")
    eventually(lambda: is_told("task.progress", 1))
    stands(phase="processing", clips=1)
    eventually(lambda: is_told("task.progress", 2))
    stands(phase="completed")
    ended = stack.ended_task(task_id, Kind.SUNO.value)
    assert ended["status"] == "completed"
    assert "progress_told" not in ended
    eventually(lambda: is_told("task.completed", 1), moved=stack.moved)

    received = webhooks_about(sandbox, wants, task_id)
    progress, (end,) = told(wants)[:2], told(wants)[2:]
    steps = [(each["type"], each["data"]["phase"], bool(each["data"]["clips"])) for each in progress]
    assert steps == [
        ("task.progress", "processing", False),
        ("task.progress", "processing", True),
    ]
    (clip,) = progress[-1]["data"]["clips"]
    assert clip["stream_url"] or clip["source_url"]
    assert progress[-1]["data"]["metadata"] == {"order": 7}
    assert all(each["timestamp"] < end["data"]["detected_at"] for each in progress)
    secret = derive_secret(stack.master_secret(), wants, 1)
    assert [with_python(secret, each.headers, each.body) for each in received] == told(wants)
    # Nobody else was told, and each of it was sent once, whatever the answer was.
    eventually(lambda: told(lacks) and told(f"hook-{unique}"), moved=stack.moved)
    assert {each["type"] for each in (*told(lacks), *told(f"hook-{unique}"))} == {"task.completed"}
    deliveries = [each for each in stack.items("DeliveriesTable") if each["task_id"] == task_id]
    of_progress = [each for each in deliveries if each["type"] == "task.progress" and "attempts" in each]
    assert {each["subscription_id"] for each in of_progress} == {wants, fails}
    begun_ms = {
        name: sorted(each["attempts"][0]["at_ms"] for each in of_progress if each["subscription_id"] == name)
        for name in (wants, fails)
    }
    assert all(len(each["attempts"]) == 1 for each in of_progress)
    assert all(later - earlier >= APART_MS for each in begun_ms.values() for earlier, later in pairwise(each))
    assert "failing_since_ms" not in stack.item("SubscriptionsTable", subscription_id=fails)
