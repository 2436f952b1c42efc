"""The console as a person has it: one walk in a real browser, against a deployed stack."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import pytest
from tests.stack.commanding import ARGUMENTS, environment
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.support.template import ROOT

from tunehook_local.sandbox import Sandbox

PYTHON: Final = ROOT / ".tunehook" / "tools" / "browser" / "bin" / "python"
WALK: Final = Path(__file__).with_name("console_walk.py")
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")

RECEIVER: Final = "main"

SHIFT: Final = 0.1
"""Below it, a page's layout shifts are called good (web.dev, Cumulative Layout Shift)."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: `apt-get install chromium`"),
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason="Playwright is not set up: `python requirements/environments.py command browser`",
    ),
]


class Walked(NamedTuple):
    """What a walk found, and what it was sent to."""

    report: dict[str, Any]
    task_id: str


@pytest.fixture(scope="module")
def subscription_id(stack: DeployedStack, sandbox: Sandbox) -> Iterator[str]:
    """A subscription whose secret this walk may rotate; the webhook that it sends again is another's, long known."""
    stack.put(
        "SubscriptionsTable",
        subscription_id="walked",
        url=sandbox.receiver_url("walked"),
        providers=["nobody"],
    )
    yield "walked"
    stack.client("dynamodb").delete_item(
        TableName=stack.outputs["SubscriptionsTable"], Key={"subscription_id": {"S": "walked"}}
    )


@pytest.fixture(scope="module")
def console(stack: DeployedStack) -> Iterator[str]:
    """The address that `tunehook console` prints."""
    process = subprocess.Popen(
        [*ARGUMENTS, "console", "--port", "0"], env=environment(stack), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as printed:
        try:
            yield printed.readline().strip()
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def walked(stack: DeployedStack, sandbox: Sandbox, subscription_id: str, console: str) -> Walked:
    """The walk: it begins when a song is kept and its webhook delivered."""
    task_id, new_id = "console/歌 <b>1</b>", "console-live"
    begin_ended(sandbox, "suno", task_id)
    stack.put("TasksTable", task_id=task_id, provider="suno")
    (told,) = eventually(lambda: webhooks_about(sandbox, RECEIVER, task_id), moved=stack.moved)
    delivery_id = told.headers["webhook-id"]
    eventually(
        lambda: stack.item("DeliveriesTable", delivery_id=delivery_id).get("status") == "delivered",
        moved=stack.moved,
    )
    begin_ended(sandbox, "suno", new_id)
    what = {
        "url": console,
        "browser": CHROMIUM,
        "task": f"/task?{urlencode({'task_id': task_id, 'provider': 'suno'})}",
        "delivery": f"/delivery?{urlencode({'id': delivery_id})}",
        "subscription": f"/subscription?{urlencode({'id': subscription_id})}",
        "new_id": new_id,
        "beginning": "console/",
    }
    walk = subprocess.Popen(
        [PYTHON, WALK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert walk.stdin is not None
    assert walk.stdout is not None
    with walk:
        print(json.dumps(what), file=walk.stdin, flush=True)
        for line in walk.stdout:
            said = json.loads(line)
            if "report" in said:
                return Walked(said["report"], task_id)
            assert said["do"] == ["put", new_id]
            stack.put("TasksTable", task_id=new_id, provider="suno")
            print(file=walk.stdin, flush=True)
    pytest.fail(f"the walk ended with status {walk.returncode} before its report")


def test_the_token_leaves_the_address_and_is_not_asked_for_again(walked: Walked) -> None:
    assert walked.report["entry"] == {"address": "/", "heading": "Tasks"}


def test_a_song_plays_and_seeks(walked: Walked) -> None:
    player = walked.report["player"]
    assert 0 < player["played"] < player["target"] < player["after"] <= player["duration"], player
    assert player["target"] == pytest.approx(player["duration"] / 2)


def test_a_new_task_appears_while_one_looks_and_the_focus_stays(walked: Walked) -> None:
    assert walked.report["live"] == {"is_same_page": True, "keeps_focus": True}


def test_a_filter_leaves_what_was_asked_for(walked: Walked) -> None:
    assert walked.report["filters"] == [walked.task_id]


def test_the_keyboard_alone_reaches_a_task(walked: Walked) -> None:
    keyboard = walked.report["keyboard"]
    assert keyboard["first"] == "#main"
    assert keyboard["reached"].startswith("/task?task_id="), keyboard


def test_sending_again_reaches_the_receiver(walked: Walked, sandbox: Sandbox, stack: DeployedStack) -> None:
    assert walked.report["resend"] == "It is sent again."
    told = eventually(
        lambda: (found := webhooks_about(sandbox, RECEIVER, walked.task_id))[1:] and found,
        moved=stack.moved,
    )
    assert len({each.headers["webhook-id"] for each in told}) == 1


def test_a_rotated_secret_is_shown_once(walked: Walked) -> None:
    rotated = walked.report["rotate"]
    assert rotated["secret"].startswith("whsec_")
    assert rotated["is_shown_again"] is False


def test_pages_fit_a_telephone_stand_still_and_can_be_read(walked: Walked) -> None:
    pages = walked.report["pages"]
    assert len(pages) == 10, pages
    assert {path: each["too_wide_px"] for path, each in pages.items() if each["too_wide_px"] > 0} == {}
    assert {path: each["shift"] for path, each in pages.items() if each["shift"] > SHIFT} == {}
    assert {path: each["too_faint"] for path, each in pages.items() if each["too_faint"]} == {}


def test_the_browser_complains_of_nothing(walked: Walked) -> None:
    assert walked.report["complaints"] == []
