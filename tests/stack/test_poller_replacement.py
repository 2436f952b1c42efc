"""The minute's schedule heals what is lost: a poller that was killed is replaced."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.stack.driving import DeployedStack, begin_ended, eventually
from tests.stack.faults.kills import CAN_KILL, kill_workers, worker_pids

from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Kind, Sandbox, TaskRule, parse


@pytest.mark.skipif(not CAN_KILL, reason="nothing tells the processes apart")
def test_a_killed_poller_is_replaced_by_the_schedule(
    stack: DeployedStack, home: Home, sandbox: Sandbox, unique: str
) -> None:
    task_id = f"goes-on-{unique}"
    goes_on = parse(TaskRule, {"answers": [{"phase": "processing"}]})
    # Old enough to be asked every 5 s from the first question on.
    sandbox.create_task(Kind.MUSICMINT, task_id, rule=goes_on, age_s=30)
    stack.put("TasksTable", task_id=task_id, provider="musicmint")

    def questions_since(moment: datetime) -> list[datetime]:
        (book,) = (book for book in sandbox.task_records() if book.task_id == task_id)
        return [asked_at for asked_at in book.polled_at if asked_at > moment]

    begun_at = datetime.now(UTC)
    eventually(lambda: len(questions_since(begun_at)) >= 2)
    poller = stack.outputs["PollerFunction"]
    killed = kill_workers(home, poller)
    killed_at = datetime.now(UTC)

    eventually(lambda: questions_since(killed_at))

    # Otherwise it would be asked about for as long as the stack is there.
    begin_ended(sandbox, Kind.MUSICMINT, task_id)
    stack.ended_task(task_id, "musicmint")
    assert killed
    assert set(worker_pids(home, poller)).isdisjoint(killed)
