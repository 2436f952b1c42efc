"""What breaks a run breaks what it says it does, and nothing else. No stack is needed for that."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from tests.stack.driving import eventually
from tests.stack.faults import breaking as breaking_module
from tests.stack.faults import kills
from tests.stack.faults.breaking import Breaking
from tests.stack.faults.kills import (
    CAN_KILL,
    Halted,
    Killed,
    access_key_of,
    halt_worker,
    is_busy,
    kill_worker,
    worker_pids,
)
from tests.stack.faults.plan import Moment
from tests.support.aws_proxy import AwsProxy, run_aws_proxy
from tests.support.patience import HANG_S
from tests.support.upstream import Upstream

from tunehook.errors import Unavailable
from tunehook.operations.dead_letters import IntakeRun
from tunehook_local.embedded.state import Home

needs_proc = pytest.mark.skipif(not CAN_KILL, reason="nothing tells the processes apart")

WAITING = "import sys; print('up', flush=True); sys.stdin.readline()"
WORKING = "import time; print('up', flush=True); time.sleep(3_600)"


@contextmanager
def worker(home: Home, function_name: str, script: str = WAITING) -> Iterator[subprocess.Popen[str]]:
    """Run what looks like a worker of the embedded AWS whose files are in `home`, once it is up."""
    with starting_worker(home, function_name, script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        eventually(lambda: is_busy(process.pid) == (script is WORKING), every_s=0.01)
        yield process


@contextmanager
def starting_worker(home: Home, function_name: str, script: str) -> Iterator[subprocess.Popen[str]]:
    folder = home.temporary / f"ministack-lambda-{function_name}-a1b2c3"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"_worker{time.monotonic_ns()}.py"
    path.write_text(script)
    environment = {"AWS_ACCESS_KEY_ID": f"ASIA{function_name.upper()}"}
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@needs_proc
class TestKills:
    def test_a_worker_is_told_by_its_function_and_its_home(self, home: Home, tmp_path: Path) -> None:
        with (
            worker(home, "tunehook-poller") as meant,
            worker(home, "tunehook-intake"),
            worker(Home(tmp_path / "another"), "tunehook-poller"),
        ):
            assert worker_pids(home, "tunehook-poller") == [meant.pid]
            assert access_key_of(meant.pid) == "ASIATUNEHOOK-POLLER"

    def test_no_other_is_killed(self, home: Home, tmp_path: Path) -> None:
        with (
            worker(home, "tunehook-poller") as meant,
            worker(home, "tunehook-intake") as colleague,
            worker(Home(tmp_path / "another"), "tunehook-poller") as stranger,
        ):
            killed = kill_worker(home, "tunehook-poller", Random(1))
            assert meant.wait(HANG_S) == -9
            assert killed is not None
            assert (killed.pid, killed.was_busy) == (meant.pid, False)
            assert kill_worker(home, "tunehook-poller", Random(1)) is None
            assert colleague.poll() is None
            assert stranger.poll() is None

    @pytest.mark.parametrize("strike", [kill_worker, halt_worker])
    def test_it_is_on_record_as_of_before_the_signal(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, strike: Callable[..., Killed | Halted | None]
    ) -> None:
        moments, send = itertools.count(1), signal.pidfd_send_signal
        sent_at_ms: list[int] = []

        def sending(process: int, number: signal.Signals) -> None:
            sent_at_ms.append(next(moments))
            send(process, number)

        monkeypatch.setattr(kills, "now_ms", lambda: next(moments))
        monkeypatch.setattr(signal, "pidfd_send_signal", sending)
        with worker(home, "tunehook-poller"):
            struck = strike(home, "tunehook-poller", Random(1))
            assert struck is not None
            assert struck.at_ms < sent_at_ms[0]
            if isinstance(struck, Halted):
                struck.resume()

    def test_one_that_is_at_work_goes_before_one_that_waits(self, home: Home) -> None:
        with worker(home, "tunehook-webhooks"), worker(home, "tunehook-webhooks", WORKING) as busy:
            killed = kill_worker(home, "tunehook-webhooks", Random(1))
            assert killed is not None
            assert (killed.pid, killed.was_busy) == (busy.pid, True)

    def test_where_none_gets_to_work_in_time_one_that_waits_is_killed(self, home: Home) -> None:
        with worker(home, "tunehook-webhooks") as idle:
            killed = kill_worker(home, "tunehook-webhooks", Random(1), within_s=0.2)
            assert killed is not None
            assert (killed.pid, killed.was_busy) == (idle.pid, False)

    def test_where_there_is_none_one_is_waited_for(self, home: Home) -> None:
        with ThreadPoolExecutor(1) as thread:
            killing = thread.submit(
                kill_worker, home, "tunehook-webhooks", Random(1), appears_within_s=HANG_S
            )
            with starting_worker(home, "tunehook-webhooks", WORKING) as late:
                killed = killing.result()
                assert killed is not None
                assert killed.pid == late.pid


@dataclass
class Broken:
    """What a deployment is to that which breaks it."""

    home: Home
    proxy: AwsProxy
    keys: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    take_ins: int = 0
    edited: int = 7
    moved: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    def function_name(self, function: str) -> str:
        return f"tunehook-{function}"

    def function_keys(self) -> dict[str, str]:
        return self.keys

    def restart(self) -> None:
        self.restarts += 1

    def edit_items(self, chance: Random, share: float) -> int:
        return self.edited

    def move_subscription(self, subscription_id: str, number: int) -> str | None:
        self.moved.append(subscription_id)
        return "http://elsewhere"

    def take_in_what_the_stream_lost(self) -> IntakeRun:
        if self.faults:
            raise self.faults.pop()
        self.take_ins += 1
        return IntakeRun(2, (), 0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def deployment(home: Home, upstream: Upstream) -> Iterator[Broken]:
    with run_aws_proxy(upstream.url, kept=0) as proxy:
        yield Broken(home, proxy)


def call(deployment: Broken, service: str, operation: str, **parameters: Any) -> str:
    """Make a call as the poller would; return what became of it."""
    aws = boto3.client(
        service,
        endpoint_url=deployment.proxy.url,
        aws_access_key_id="ASIAPOLLER",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, proxies={}, read_timeout=20),
    )
    try:
        getattr(aws, operation)(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except (BotoCoreError, HTTPClientError) as error:
        return type(error).__name__
    return "well"


def update(deployment: Broken, task_id: str = "task") -> str:
    return call(deployment, "dynamodb", "update_item", TableName="Tasks", Key={"task_id": {"S": task_id}})


@contextmanager
def broken_by(deployment: Broken, *moments: Moment, seed: int = 0) -> Iterator[Breaking]:
    breaking = Breaking(deployment, moments, time.time(), seed=seed)
    breaking.start()
    try:
        yield breaking
    finally:
        breaking.stop()


@contextmanager
def window(
    deployment: Broken, act: str, target: str, *, share: float = 1.0, seed: int = 0
) -> Iterator[Breaking]:
    """Keep a window open."""
    already = len(deployment.proxy._rules)
    moment = Moment(0, act, target, for_s=3_600, share=share)
    with broken_by(deployment, moment, seed=seed) as breaking:
        eventually(lambda: len(deployment.proxy._rules) > already, every_s=0.01)
        yield breaking


class TestWindows:
    @pytest.mark.parametrize(
        ("act", "fate", "happens"),
        [
            ("throttle", "ProvisionedThroughputExceededException", False),
            ("fail", "InternalServerError", False),
            ("drop", "ConnectionClosedError", False),
            ("unanswered", "ConnectionClosedError", True),
        ],
    )
    def test_a_call_meets_what_was_planned_and_is_noted(
        self, deployment: Broken, upstream: Upstream, act: str, fate: str, happens: bool
    ) -> None:
        deployment.keys = {"ASIAPOLLER": "poller"}
        with window(deployment, act, "dynamodb:Update*") as breaking:
            assert update(deployment) == fate
            assert call(deployment, "dynamodb", "get_item", TableName="Tasks", Key={}) == "well"
            assert call(deployment, "events", "put_events", Entries=[{"Detail": "{}"}]) == "well"

        (done,) = breaking.done
        (hit,) = done.calls
        assert (hit.service, hit.operation, hit.about, hit.function) == (
            "dynamodb",
            "UpdateItem",
            ("task",),
            "poller",
        )
        assert done.what == f"{act}: 1 calls of dynamodb:Update*"
        assert len(upstream.requests) == 2 + happens

    def test_a_doubled_call_happens_twice_and_is_answered_once(
        self, deployment: Broken, upstream: Upstream
    ) -> None:
        with window(deployment, "double", "sqs:SendMessage*"):
            assert (
                call(deployment, "sqs", "send_message", QueueUrl="http://queue", MessageBody="{}") == "well"
            )
        assert len(upstream.requests) == 2

    def test_a_delayed_call_happens_and_is_answered_later(
        self, deployment: Broken, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaking_module, "DELAYS_S", (0.3, 0.3))
        with window(deployment, "delay", "dynamodb:UpdateItem"):
            began_s = time.monotonic()
            assert update(deployment) == "well"
            assert time.monotonic() - began_s >= 0.3

    def test_everything_passes_before_and_after(self, deployment: Broken) -> None:
        with broken_by(deployment, Moment(3_600, "fail", "dynamodb:*", for_s=1, share=1)):
            assert update(deployment) == "well"
        began_s = time.monotonic()
        with broken_by(deployment, Moment(0.4, "fail", "dynamodb:*", for_s=0.4, share=1)) as breaking:
            eventually(lambda: deployment.proxy._rules, every_s=0.01)
            assert time.monotonic() - began_s >= 0.4
            assert update(deployment) == "InternalServerError"
            eventually(lambda: breaking.is_over and not deployment.proxy._rules, every_s=0.01)
            assert time.monotonic() - began_s >= 0.8
            assert update(deployment) == "well"

    def test_one_that_nothing_came_in_stays_open_for_the_first_call(self, deployment: Broken) -> None:
        with broken_by(deployment, Moment(0, "fail", "dynamodb:*", for_s=0.1, share=1)) as breaking:
            eventually(lambda: breaking.is_over, every_s=0.01)
            assert breaking.done == []
            assert update(deployment) == "InternalServerError"
            eventually(lambda: breaking.done, every_s=0.01)
            assert update(deployment) == "well"
        assert [len(each.calls) for each in breaking.done] == [1]

    def test_nobody_waits_for_a_call_that_never_comes(self, deployment: Broken) -> None:
        with broken_by(deployment, Moment(0, "fail", "dynamodb:*", for_s=0.1, share=1)) as breaking:
            eventually(lambda: breaking.is_over, every_s=0.01)
        assert [len(each.calls) for each in breaking.done] == [0]
        assert update(deployment) == "well"

    def test_the_same_share_is_hit_each_time(self, deployment: Broken) -> None:
        def fates(seed: int) -> list[bool]:
            with window(deployment, "fail", "dynamodb:UpdateItem", share=0.5, seed=seed):
                return [update(deployment) == "well" for _ in range(20)]

        assert fates(1) == fates(1) != fates(2)
        assert 0 < sum(fates(1)) < 20

    def test_what_it_is_about_is_read_from_the_messages_within(self, deployment: Broken) -> None:
        body = json.dumps({"delivery_id": "msg_1", "run": 1, "attempt": 1})
        entries = [{"Id": "0", "MessageBody": body, "MessageGroupId": "sub"}]
        detail = json.dumps({"task_id": "task-2", "provider": "suno"})
        with (
            window(deployment, "fail", "sqs:SendMessageBatch") as sending,
            window(deployment, "fail", "events:PutEvents") as telling,
            window(deployment, "fail", "s3:PUT *") as keeping,
        ):
            call(deployment, "sqs", "send_message_batch", QueueUrl="http://queue", Entries=entries)
            call(deployment, "events", "put_events", Entries=[{"Detail": detail}])
            call(deployment, "s3", "put_object", Bucket="results", Key="results/suno/task-3/1.mp3", Body=b"{")
        abouts = [each.done[0].calls[0].about for each in (sending, telling, keeping)]
        assert abouts == [("msg_1",), ("task-2",), ("results/suno/task-3/1.mp3",)]

    def test_what_intake_could_not_do_is_done_afterwards_as_aws_would(self, deployment: Broken) -> None:
        deployment.keys = {"ASIAPOLLER": "intake"}
        deployment.faults = [Unavailable("intake fails")]
        with window(deployment, "fail", "dynamodb:UpdateItem") as breaking:
            update(deployment)
        assert deployment.take_ins == 1
        assert breaking.done[0].what.endswith("; 2 items taken in that the stream did not bring again")

    def test_what_others_could_not_do_is_left_to_them(self, deployment: Broken) -> None:
        deployment.keys = {"ASIAPOLLER": "poller"}
        with window(deployment, "fail", "dynamodb:UpdateItem"):
            update(deployment)
        assert deployment.take_ins == 0


def test_a_restart_brings_what_the_streams_have_lost(deployment: Broken) -> None:
    with broken_by(deployment, Moment(0, "restart", "aws")) as breaking:
        eventually(lambda: breaking.is_over, every_s=0.01)
    assert (deployment.restarts, deployment.take_ins) == (1, 1)
    assert breaking.done[0].what.startswith(
        "stopped the embedded AWS and started it again, in 0.0 s; 2 items"
    )


@needs_proc
def test_a_planned_kill_hits_the_function_that_it_names(deployment: Broken, home: Home) -> None:
    with (
        worker(home, "tunehook-fulfillment", WORKING) as meant,
        worker(home, "tunehook-webhooks", WORKING) as other,
    ):
        with broken_by(deployment, Moment(0.1, "kill", "fulfillment")) as breaking:
            assert meant.wait(HANG_S) == -9
            eventually(lambda: breaking.is_over, every_s=0.01)
        assert other.poll() is None
    assert [done.what for done in breaking.done] == [
        f"killed a worker of fulfillment ({meant.pid}), which was at work"
    ]


def state_of(pid: int) -> str:
    """What a process is at, as its kernel says: T where it is halted."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@needs_proc
def test_a_planned_halt_halts_the_function_that_it_names_for_as_long_as_it_says(
    deployment: Broken, home: Home
) -> None:
    with (
        worker(home, "tunehook-poller", WORKING) as meant,
        worker(home, "tunehook-webhooks", WORKING) as other,
    ):
        with broken_by(deployment, Moment(0, "halt", "poller", for_s=0.5)) as breaking:
            eventually(lambda: state_of(meant.pid) == "T", every_s=0.01)
            assert state_of(other.pid) != "T"
            eventually(lambda: breaking.is_over, every_s=0.01)
        assert state_of(meant.pid) != "T"
        assert meant.poll() is None
    assert [(done.what, done.often) for done in breaking.done] == [
        (f"halted a worker of poller ({meant.pid}), which was at work, for 0.5 s", 1)
    ]


@needs_proc
def test_what_is_halted_when_it_is_stopped_goes_on(deployment: Broken, home: Home) -> None:
    with worker(home, "tunehook-intake", WORKING) as meant:
        with broken_by(deployment, Moment(0, "halt", "intake", for_s=600)):
            eventually(lambda: state_of(meant.pid) == "T", every_s=0.01)
        assert state_of(meant.pid) != "T"


@needs_proc
@pytest.mark.parametrize("act", ["kill", "halt"])
def test_where_there_is_no_worker_nothing_is_done(
    deployment: Broken, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.setattr(breaking_module, "APPEARS_WITHIN_S", 0.0)
    with broken_by(deployment, Moment(0, act, "poller", for_s=1)) as breaking:
        eventually(lambda: breaking.is_over, every_s=0.01)
    assert [(done.what, done.often) for done in breaking.done] == [(f"poller had no worker to {act}", 0)]


def test_what_users_do_by_hand_is_counted(deployment: Broken) -> None:
    moments = [Moment(0, "edit", "TasksTable", share=0.5), Moment(0.1, "move", "to-standard")]
    with broken_by(deployment, *moments) as breaking:
        eventually(lambda: breaking.is_over, every_s=0.01)
    assert deployment.moved == ["to-standard"]
    assert [(done.what, done.often) for done in breaking.done] == [
        ("edited 7 items by hand", 7),
        ("moved to-standard to http://elsewhere", 1),
    ]


def test_what_has_not_come_when_it_is_stopped_does_not_come(deployment: Broken) -> None:
    with broken_by(
        deployment, Moment(60, "restart", "aws"), Moment(60, "fail", "dynamodb:*", 5, 1)
    ) as breaking:
        pass
    assert breaking.done == []
    assert deployment.restarts == 0


def test_a_moment_that_cannot_be_executed_is_an_error(deployment: Broken) -> None:
    breaking = Breaking(deployment, [Moment(0, "explode", "dynamodb:*")], time.time())
    breaking.start()
    eventually(lambda: breaking.is_over, every_s=0.01)
    with pytest.raises(ExceptionGroup):
        breaking.stop()
