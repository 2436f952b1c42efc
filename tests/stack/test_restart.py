"""What the embedded stack holds survives its end, its streams go on, and its API answers as before."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.stack.calling import Api, create_key
from tests.stack.driving import DeployedStack, begin_ended

from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox


def test_tasks_are_there_and_new_ones_are_taken_in_after_a_restart(
    stack: DeployedStack, home: Home, sandbox: Sandbox, unique: str
) -> None:
    begin_ended(sandbox, "musicmint", f"before-{unique}")
    stack.put("TasksTable", task_id=f"before-{unique}", provider="musicmint")
    before = stack.ended_task(f"before-{unique}", "musicmint")
    api = Api(stack, create_key(stack, f"restart-{unique}", "write"))
    running = home.running()
    assert running is not None
    ministack.stop(home, running)
    ministack.start(home, urlsplit(running.endpoint).port or 0)

    begin_ended(sandbox, "musicmint", f"after-{unique}")
    created = api("POST", "/v1/tasks", {"provider": "musicmint", "task_id": f"after-{unique}"})

    assert created.status == 201, created
    assert stack.task(f"before-{unique}", "musicmint")["event_id"] == before["event_id"]
    assert api("GET", f"/v1/tasks/musicmint/before-{unique}").json["status"] == "completed"
    assert stack.ended_task(f"after-{unique}", "musicmint")["status"] == "completed"
