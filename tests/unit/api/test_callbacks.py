"""Callbacks: what each leaves behind, and that each is answered alike."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from tests.support.aws import Context, Faulty, client, create_table, fault, items, put
from tests.support.recipes import RECIPE
from tests.support.tasks import NOW_MS
from tests.unit.api.test_stack import environment
from tests.unit.intake.test_admission import Lambdas

from api import app
from api.callbacks import CallbackReceiver, Known, Secrets, receiver
from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.leases import Leases
from tunehook.aws.poller_starts import PollerStarts
from tunehook.aws.tasks import TasksTable
from tunehook.callbacks import callback_token, kie_signature
from tunehook.errors import Misconfigured
from tunehook.ids import shard_of
from tunehook.providers.config import read_providers
from tunehook.signatures import sign

MASTER = "m" * 43
SECRET = "the-secret-of-callbacks"
ENTRY = {"kind": "suno", "base_url": "https://gw.example.com", "api_key": "sk-0123456789abcdef"}
SHARDS = 3
ROUTE = "POST /v1/callbacks/{provider}/{token}"


class Log:
    """What is logged, as one text."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: object, /, **keys: Any) -> None:
        self.lines.append({"event": event} | keys)

    warning = error = info


class World:
    def __init__(self, dynamodb: Any = None, *, takes_in: bool = True, **fields: Any) -> None:
        self.now_ms = NOW_MS
        self.reads = 0
        self.fails = False
        self.lambdas = Lambdas()
        self.configured = {"my-gw": ENTRY | fields}
        dynamodb = dynamodb or client("dynamodb")
        self.receiver = CallbackReceiver(
            TasksTable(dynamodb, "TasksTable"),
            CallbackHintsTable(dynamodb, "CallbackHintsTable"),
            PollerStarts(
                Leases(dynamodb, "PollerLeasesTable"),
                self.lambdas,  # type: ignore[arg-type]
                "the-poller",
                Log(),
                clock=lambda: self.now_ms,
            ),
            Secrets(self.read, clock=lambda: self.now_ms / 1000),
            shard_count=SHARDS,
            takes_in=takes_in,
            clock=lambda: self.now_ms,
        )

    def read(self) -> Known:
        self.reads += 1
        if self.fails:
            raise Misconfigured("the secret is not there")
        return Known(MASTER, read_providers(json.dumps(self.configured)).usable)

    def call(self, body: Any, /, **changes: Any) -> None:
        """Send a callback, and hold that it is answered as every other."""
        answer = self.receiver.answer(event(body, **changes))
        assert (answer["statusCode"], answer["body"]) == (200, '{"status": "received"}')

    @property
    def hints(self) -> dict[str, dict[str, Any]]:
        return {item["task_id"]: item for item in items("CallbackHintsTable")}

    @property
    def started(self) -> list[int]:
        return [json.loads(each["Payload"])["shard"] for each in self.lambdas.invocations]


def event(body: Any, /, **changes: Any) -> dict[str, Any]:
    """An event of the HTTP API, payload 2.0, with the right path."""
    path = {"provider": "my-gw", "token": callback_token(MASTER, "my-gw", 1)}
    return {
        "version": "2.0",
        "routeKey": ROUTE,
        "rawQueryString": "",
        "headers": {},
        "pathParameters": path,
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
    } | changes


def put_task(task_id: str, status: str | None = "pending", provider: str = "my-gw") -> None:
    item = {"task_id": task_id, "provider": provider}
    put("TasksTable", item if status is None else item | {"status": status})


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    with mock_aws():
        for name in ("TasksTable", "CallbackHintsTable", "PollerLeasesTable"):
            create_table(name)
        yield


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr("api.callbacks.logger", log)
    return log


@pytest.mark.parametrize("status", ["pending", None])
def test_a_task_that_waits_gets_a_hint_and_its_shard_a_poller(status: str | None) -> None:
    world, shard = World(), shard_of("task-1", SHARDS)
    put_task("task-1", status)
    world.call({"data": {"task_id": "task-1"}})
    assert world.hints["task-1"] == {
        "queue": f"hints#{shard}",
        "hint": "my-gw#task-1",
        "task_id": "task-1",
        "provider": "my-gw",
        "hinted_at_ms": NOW_MS,
        "expires_at": NOW_MS // 1000 + 3600,
    }
    assert world.started == [shard]


def test_calls_that_come_again_renew_the_hint_and_start_no_other_poller() -> None:
    world = World()
    put_task("task-1")
    for _ in range(5):
        world.call({"task_id": "task-1"})
        world.now_ms += 100
    assert world.hints["task-1"]["hinted_at_ms"] == NOW_MS + 400
    assert len(world.started) == 1


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "rejected"])
def test_a_task_that_has_ended_gets_none(status: str) -> None:
    world = World()
    put_task("task-1", status)
    world.call({"id": "task-1", "task_id": "task-1"})
    assert (world.hints, world.started) == ({}, [])


def test_an_unknown_task_may_be_taken_in_after_a_minute_and_starts_nothing() -> None:
    world = World()
    world.call({"task_id": "task-1"})
    world.now_ms += 30_000
    world.call({"task_id": "task-1"})
    assert world.hints["task-1"]["take_in_at_ms"] == NOW_MS + 60_000
    assert world.hints["task-1"]["hinted_at_ms"] == NOW_MS
    assert world.started == []


def test_where_nothing_is_taken_in_an_unknown_task_leaves_nothing() -> None:
    world = World(takes_in=False)
    put_task("task-2")
    world.call([{"task_id": "task-1"}, {"task_id": "task-2"}])
    assert set(world.hints) == {"task-2"}


def test_the_task_of_another_provider_is_another_task() -> None:
    world = World()
    put_task("task-1", provider="other")
    world.call({"task_id": "task-1"})
    assert world.hints["task-1"]["provider"] == "my-gw"
    assert "take_in_at_ms" in world.hints["task-1"]


def test_an_id_beside_that_of_a_known_task_is_not_taken_in() -> None:
    world = World()
    put_task("task-1")
    world.call({"id": "event-9", "data": {"id": "task-1"}})
    world.call({"request_id": "request-9", "data": {"task_id": "task-2"}})
    assert set(world.hints) == {"task-1", "task-2"}


def test_a_described_provider_has_its_ids_where_its_recipe_says() -> None:
    recipe = RECIPE | {"callback": {"id": ["ticket", "job.number"]}}
    world = World(kind="described", recipe=recipe)
    put_task("t-1")
    put_task("7")
    world.call({"ticket": "t-1"})
    world.call({"job": {"number": 7}})
    world.call({"tickets": "t-2"})
    assert set(world.hints) == {"t-1", "7"}


def test_replicates_callback_counts_if_it_is_signed_with_the_secret_of_the_account() -> None:
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    scheme = {"callback_scheme": "standard-webhooks", "callback_secret": secret}
    world = World(kind="described", recipe="replicate", **scheme)
    put_task("ufawqhfynnddngldkgtslldrkq")
    body = json.dumps(
        {"id": "ufawqhfynnddngldkgtslldrkq", "status": "succeeded", "input": {"id": "an-input"}}
    )
    sent_s = NOW_MS // 1000
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(sent_s)}
    world.call(body, headers=headers | {"webhook-signature": sign("msg_1", sent_s, b"{}", [secret])})
    assert world.hints == {}
    world.call(body, headers=headers | {"webhook-signature": sign("msg_1", sent_s, body.encode(), [secret])})
    assert set(world.hints) == {"ufawqhfynnddngldkgtslldrkq"}


def test_fals_callback_counts_for_the_request_and_not_for_what_it_made() -> None:
    world = World(kind="described", recipe="fal", base_url="https://queue.fal.run/fal-ai/flux")
    put_task("123e4567-e89b-12d3-a456-426614174000")
    ids = {"request_id": "123e4567-e89b-12d3-a456-426614174000", "gateway_request_id": "another"}
    world.call(ids | {"status": "ERROR", "error": "Invalid status code: 422", "payload": {"id": "an-output"}})
    assert set(world.hints) == {"123e4567-e89b-12d3-a456-426614174000"}


def test_each_task_of_a_list_counts() -> None:
    world = World()
    put_task("task-1")
    world.call([{"task_id": "task-1"}, {"task_id": "task-2"}])
    assert "take_in_at_ms" not in world.hints["task-1"]
    assert "take_in_at_ms" in world.hints["task-2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pathParameters": {"provider": "my-gw", "token": "x" * 43}},
        {"pathParameters": {"provider": "my-gw", "token": callback_token(MASTER, "my-gw", 2)}},
        {"pathParameters": {"provider": "my-gw", "token": callback_token(MASTER, "other", 1)}},
        {"pathParameters": {"provider": "other", "token": callback_token(MASTER, "other", 1)}},
        {"pathParameters": {"provider": "\ud800", "token": "\ud800"}},
        {"pathParameters": None},
        {"pathParameters": {}},
    ],
)
def test_a_wrong_url_leaves_nothing(changes: dict[str, Any]) -> None:
    world = World()
    put_task("task-1")
    world.call({"task_id": "task-1"}, **changes)
    assert (world.hints, world.started) == ({}, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"body": None},
        {"body": "!", "isBase64Encoded": True},
        {"body": "\ud800"},
        {"body": "x" * 1_100_000},
        {"headers": None, "rawQueryString": None},
        {"headers": {"content-type": "text/plain", "x": None}},
        {"body": ["no", "text"]},
    ],
)
def test_what_is_malformed_leaves_nothing(changes: dict[str, Any]) -> None:
    world = World()
    world.call("", **changes)
    assert world.hints == {}


def test_a_body_in_base64_and_a_query_are_read() -> None:
    world = World()
    put_task("task-1")
    put_task("task-2")
    world.call(base64.b64encode(b'{"task_id": "task-1"}').decode(), isBase64Encoded=True)
    world.call("", rawQueryString="taskId=task-2")
    assert set(world.hints) == {"task-1", "task-2"}


def test_a_version_that_was_retired_opens_nothing() -> None:
    world = World(callback_version=2)
    put_task("task-1")
    world.call({"task_id": "task-1"})
    assert world.hints == {}


class TestVerification:
    def test_where_a_secret_is_configured_it_must_be_shown(self, log: Log) -> None:
        world = World(callback_scheme="header", callback_secret=SECRET)
        put_task("task-1")
        for headers in ({}, {"x-webhook-secret": "another"}, {"x-webhook-secret": ""}):
            world.call({"task_id": "task-1"}, headers=headers)
        assert world.hints == {}
        world.call({"task_id": "task-1"}, headers={"X-Webhook-Secret": SECRET})
        assert set(world.hints) == {"task-1"}
        assert [line["result"] for line in log.lines] == ["not verified"] * 3 + ["noted"]
        assert SECRET not in str(log.lines)

    def test_kies_signature_counts_for_the_task_that_it_is_for(self) -> None:
        world = World(callback_scheme="kie", callback_secret=SECRET)
        stamp = str(NOW_MS // 1000)
        headers = {
            "x-webhook-timestamp": stamp,
            "x-webhook-signature": kie_signature(SECRET, "task-1", stamp),
        }
        put_task("task-1")
        put_task("task-2")
        world.call([{"task_id": "task-1"}, {"task_id": "task-2"}], headers=headers)
        assert set(world.hints) == {"task-1"}


class TestSecrets:
    def test_they_are_read_once_a_minute(self) -> None:
        world = World()
        for _ in range(130):
            world.call({"task_id": "task-1"})
            world.now_ms += 1_000
        assert world.reads == 3

    def test_a_new_provider_is_known_after_5_s_and_a_flood_to_none_reads_them_no_more_often(self) -> None:
        world = World()
        put_task("task-1", provider="new-gw")
        path = {"provider": "new-gw", "token": callback_token(MASTER, "new-gw", 1)}
        for _ in range(51):
            world.call({"task_id": "task-1"}, pathParameters=path)
            world.now_ms += 100
        assert (world.reads, world.hints) == (2, {})
        world.configured["new-gw"] = ENTRY
        world.now_ms += 5_000
        world.call({"task_id": "task-1"}, pathParameters=path)
        assert (world.reads, set(world.hints)) == (3, {"task-1"})

    def test_a_new_url_is_known_after_5_s(self) -> None:
        world = World()
        put_task("task-1")
        world.call({})
        world.configured["my-gw"] = ENTRY | {"callback_version": 2}
        path = {"provider": "my-gw", "token": callback_token(MASTER, "my-gw", 2)}
        world.call({"task_id": "task-1"}, pathParameters=path)
        assert world.hints == {}
        world.now_ms += 5_000
        world.call({"task_id": "task-1"}, pathParameters=path)
        assert set(world.hints) == {"task-1"}

    def test_while_they_cannot_be_read_old_ones_count(self) -> None:
        world = World()
        put_task("task-1")
        world.call({})
        world.fails = True
        for _ in range(61):
            world.now_ms += 1_000
            world.call({"task_id": "task-1"})
        assert set(world.hints) == {"task-1"}

    def test_a_flood_does_not_read_them_more_often_while_that_fails(self) -> None:
        world = World()
        world.fails = True
        for _ in range(100):
            world.call({"task_id": "task-1"})
        assert (world.reads, world.hints) == (1, {})
        world.fails, world.now_ms = False, world.now_ms + 5_000
        world.call({"task_id": "task-1"})
        assert set(world.hints) == {"task-1"}


@pytest.mark.parametrize("operation", ["batch_get_item", "update_item"])
@pytest.mark.parametrize("error", [fault(), ReadTimeoutError(endpoint_url="https://dynamodb.example")])
def test_one_that_cannot_be_noted_is_answered_all_the_same(
    operation: str, error: Exception, log: Log
) -> None:
    world = World(Faulty(client("dynamodb"), **{operation: [error]}))
    put_task("task-1")
    world.call({"task_id": "task-1"})
    assert [line["event"] for line in log.lines] == ["callback_not_noted"]


def test_a_slow_table_keeps_no_provider_waiting(log: Log) -> None:
    world = World()
    write = world.receiver.hints.put_unknown

    def slowly(*args: Any) -> bool:
        world.now_ms += 2_600
        return write(*args)

    world.receiver.hints.put_unknown = slowly  # type: ignore[method-assign]
    world.call([{"task_id": f"task-{number}"} for number in range(9)])
    assert len(world.hints) == 2
    assert log.lines[-1]["left"] == 7


def test_the_log_says_what_came_without_what_was_in_it(log: Log) -> None:
    world = World()
    put_task("task-1")
    world.call([{"task_id": "task-1"}, {"task_id": "task-2"}])
    world.call("", pathParameters={"provider": "guessed", "token": "t"})
    assert log.lines == [
        {
            "event": "callback_received",
            "provider": "my-gw",
            "result": "noted",
            "known": 1,
            "waiting": 1,
            "unknown": 1,
            "left": 0,
            "verified": False,
        },
        {"event": "callback_received", "result": "unknown provider"},
    ]


def test_2000_that_are_forged_or_malformed_end_nothing_and_tell_nothing(log: Log) -> None:
    dice = random.Random(19)
    world = World(Faulty(client("dynamodb")))
    put_task("task-1")
    token = callback_token(MASTER, "my-gw", 1)
    for number in range(2_000):
        body = "".join(chr(dice.randrange(1, 0x3000)) for _ in range(dice.randrange(60)))
        shape = dice.randrange(8)
        forged = {
            0: body,
            1: json.dumps({"task_id": body, "status": "SUCCESS", "data": [body]}),
            2: json.dumps({"task_id": "task-1", "status": "FAILURE"}),
            3: '{"task_id": "task-1"',
            4: "[" * 5_000,
            5: f"task_id={body}&id={number}",
            6: json.dumps([{"id": number}] * 40),
            7: "",
        }[shape]
        # One in sixteen has the right token: what is behind it costs AWS calls.
        given = token if number % 16 == 0 else token[:-1] + dice.choice("ABCx/ ")
        changes: dict[str, Any] = {"pathParameters": {"provider": "my-gw", "token": given}}
        if number % 3 == 0:
            changes["isBase64Encoded"] = True
        world.call(forged, **changes)
    (task,) = items("TasksTable")
    assert task["status"] == "pending"
    told = str(log.lines)
    assert not [line for line in log.lines if line["event"] != "callback_received"]
    assert token not in told
    assert MASTER not in told
    assert "task-1" not in told


def test_the_function_hands_callbacks_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (environment() | {"AWS_REGION": "eu-west-1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("api.stack.client", lambda service, **_: client(service))
    settings = environment()
    client("secretsmanager").create_secret(Name=settings["MASTER_SECRET"], SecretString=MASTER)
    providers = json.dumps({"my-gw": ENTRY})
    client("secretsmanager").create_secret(Name=settings["PROVIDERS_SECRET"], SecretString=providers)
    for cached in (app.stack, receiver):
        cached.cache_clear()
    answer = app.handler(event({"task_id": "task-1"}), Context())
    for cached in (app.stack, receiver):
        cached.cache_clear()
    assert answer["statusCode"] == 200
    assert [item["task_id"] for item in items(settings["CALLBACK_HINTS_TABLE"])] == ["task-1"]
