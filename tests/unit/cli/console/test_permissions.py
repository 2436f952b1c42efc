"""The console does on AWS what docs/deploying.md says of it, and no more."""

from dataclasses import replace

from starlette.testclient import TestClient
from tests.support.aws import client
from tests.support.permissions import Watched, documented
from tests.unit.cli.console.conftest import client_of, fill
from tests.unit.cli.console.test_safety import PAGES

from tunehook.operations.stack import Stack

CHANGES = [
    ("/task/rerun?task_id=task-1&provider=suno", {}),
    ("/task/cancel?task_id=waits&provider=suno", {}),
    ("/task/archive?task_id=full&provider=suno", {}),
    ("/delivery/resend?id=msg_full_1", {}),
    ("/subscriptions/new", {"url": "https://new.example/"}),
    ("/subscription/change?id=sub-2", {"url": "https://x.example/3", "format": "standard"}),
    (
        "/subscription/change?id=sub-2",
        {"url": "https://x.example/3", "format": "standard", "signature": "v1a"},
    ),
    ("/subscription/rotate?id=sub-1", {}),
    ("/subscription/disable?id=sub-1", {}),
    ("/subscription/enable?id=sub-1", {}),
    ("/subscription/recover?id=sub-1", {"since": "1d"}),
    ("/subscription/delete?id=sub-2", {"name": "sub-2"}),
    ("/providers/set", {"name": "suno", "max_concurrency": "7"}),
    ("/providers/check", {"name": "suno"}),
    ("/providers/callback-url", {"name": "suno"}),
    ("/dead-letters/redrive", {"queue": "deliveries"}),
    ("/dead-letters/redrive", {"queue": "poller"}),
]


def watched(found: Stack) -> tuple[Stack, list[str]]:
    taken: list[str] = []
    return replace(found, open_client=lambda service, **_: Watched(client(service), service, taken)), taken


def read_all(page: TestClient) -> None:
    for path in [*PAGES, "/task?task_id=full", "/task?task_id=waits", "/delivery?id=msg_full_1"]:
        assert page.get(path).status_code == 200, path
    assert page.get("/media?key=results/suno/task-1/c/audio.mp3").status_code == 200


def test_reading_takes_what_is_documented(found: Stack) -> None:
    fill(found, "odd")
    stack, taken = watched(found)
    read_all(client_of(stack, read_only=True))
    assert set(taken) <= documented()["console --read-only"] | documented()[""]


def test_changing_takes_what_is_documented(found: Stack) -> None:
    fill(found, "odd")
    stack, taken = watched(found)
    page = client_of(stack)
    read_all(page)
    for path, fields in CHANGES:
        assert page.post(path, data=fields).status_code in (200, 303), path
    assert set(taken) <= documented()["console"] | documented()[""]
