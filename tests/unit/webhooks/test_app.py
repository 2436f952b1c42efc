import asyncio
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from standardwebhooks import Webhook
from tests.support.patience import HANG_S, until
from tests.unit.webhooks.world import create_tables, delivery

from tunehook.aws.clients import client
from tunehook.aws.deliveries import CLAIM_MS, DeliveriesTable
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.visibility import backoff_s
from tunehook.deliveries import message_for, message_of
from tunehook.errors import Misconfigured
from tunehook.http.connections import trusted_authorities
from tunehook.settings import load_settings
from tunehook.signatures import derive_secret
from tunehook.times import now_ms
from webhooks import app, worker
from webhooks.attempt import ATTEMPT_S
from webhooks.settings import WebhooksSettings
from webhooks.subscription_cache import SubscriptionCache

# As documented, and not imported: a bound that moves is to be noticed.
VISIBILITY_S = 30

MASTER = "a-master-secret-of-some-length-in-the-test"
PAYLOAD = json.dumps(
    {"task_id": "task", "clips": [{"clip_id": "c", "assets": [{"type": "audio", "key": "results/a b.mp3"}]}]}
)


class Context:
    function_name = "webhooks"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:webhooks"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Hooks(ThreadingHTTPServer):
    """A receiver that answers 200, or 500 on the path ``/fail``, or 410 on ``/gone``."""

    def __init__(self) -> None:
        self.connections = 0
        self.received: list[tuple[dict[str, str], bytes]] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hooks.received.append((dict(self.headers), body))
                self.send_response({"/fail": 500, "/gone": 410}.get(self.path, 200))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def verify_request(self, *_: object) -> bool:
        self.connections += 1
        return True

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with Hooks() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Stack:
    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb")
        self.sqs = boto3.client("sqs")
        create_tables(self.dynamodb)
        self.queue_url = self.sqs.create_queue(QueueName="deliveries")["QueueUrl"]
        self.dead_letters = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.secret = boto3.client("secretsmanager").create_secret(Name="master", SecretString=MASTER)["ARN"]
        self.deliveries: Any = DeliveriesTable(self.dynamodb, "deliveries")

    def event(self, *bodies: str) -> dict[str, Any]:
        return {
            "Records": [
                {
                    "messageId": f"m{number}",
                    "receiptHandle": f"receipt-{number}",
                    "body": body,
                    "eventSource": "aws:sqs",
                    "attributes": {"ApproximateReceiveCount": "2"},
                }
                for number, body in enumerate(bodies)
            ]
        }

    def deliver_to(self, subscription_id: str, url: str) -> str:
        item = to_attributes({"subscription_id": subscription_id, "url": url})
        self.dynamodb.put_item(TableName="subscriptions", Item=item)
        record = delivery(subscription_id=subscription_id, payload=PAYLOAD, now_ms=now_ms())
        self.deliveries.create(record)
        return message_for(record).model_dump_json()

    def busy(self, subscription_id: str) -> str:
        """Return a message whose attempt another worker is making."""
        body = self.deliver_to(subscription_id, "https://example.com/")
        asyncio.run(self.deliveries.claim_in_loop(message_of(body), now_ms()))
        return body

    def statuses(self) -> dict[str, str]:
        items = map(from_attributes, self.dynamodb.scan(TableName="deliveries")["Items"])
        return {item["subscription_id"]: item["status"] for item in items if "status" in item}


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    stack = Stack()
    for name, value in {
        "DELIVERIES_TABLE": "deliveries",
        "DELIVERIES_QUEUE": stack.queue_url,
        "SUBSCRIPTIONS_TABLE": "subscriptions",
        "SECRET_VERSIONS_TABLE": "versions",
        "DEAD_LETTERS": stack.dead_letters,
        "GATES_TABLE": "gates",
        "TASKS_TABLE": "tasks",
        "EVENT_BUS": "tunehook",
        "RESULTS_BUCKET": "results",
        "MASTER_SECRET": stack.secret,
        "NETWORK_POLICY": "any",
    }.items():
        monkeypatch.setenv(name, value)
    yield stack
    if app._worker.cache_info().currsize:
        app._worker().close()
    app._worker.cache_clear()


def handle(event: dict[str, Any]) -> Any:
    return app.handler(event, Context())  # type: ignore[arg-type]


def test_a_message_ends_as_a_verified_webhook_with_a_link(stack: Stack, hooks: Hooks) -> None:
    assert handle(stack.event(stack.deliver_to("one", hooks.url()))) == {"batchItemFailures": []}
    headers, body = hooks.received[0]
    verified = Webhook(derive_secret(MASTER, "one", 1)).verify(body, headers)
    (asset,) = verified["data"]["clips"][0]["assets"]
    assert "/results/a%20b.mp3?X-Amz-Algorithm=AWS4-HMAC-SHA256" in asset["url"]
    assert "X-Amz-Expires=3600" in asset["url"]
    assert stack.statuses() == {"one": "delivered"}


def test_an_empty_batch_warms_up(stack: Stack, hooks: Hooks, capsys: pytest.CaptureFixture[str]) -> None:
    trusted_authorities.cache_clear()
    assert handle({"Records": []}) == {"batchItemFailures": []}
    assert (app._worker.cache_info().currsize, trusted_authorities.cache_info().currsize) == (1, 1)
    assert capsys.readouterr().out == ""
    # The secret is known then: it is not read again for the first attempt.
    boto3.client("secretsmanager").delete_secret(SecretId=stack.secret, ForceDeleteWithoutRecovery=True)
    handle(stack.event(stack.deliver_to("one", hooks.url())))
    assert stack.statuses() == {"one": "delivered"}


def test_what_is_called_in_the_loop_is_closed_with_the_worker(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"dynamodb": client("dynamodb")}
    closed: list[Any] = []

    def make(service: str) -> Any:
        return made.setdefault(service, client(service))

    async def close(each: Any) -> None:
        closed.append(each)

    monkeypatch.setattr(worker, "client", make)
    monkeypatch.setattr(worker, "close_in_loop", close)
    worker.Worker(load_settings(WebhooksSettings), made["dynamodb"]).close()
    assert {name for name, each in made.items() if each in closed} == {"dynamodb", "sqs"}


def test_a_secret_that_cannot_be_read_when_it_warms_up_is_read_for_the_first_attempt(
    stack: Stack, hooks: Hooks
) -> None:
    secrets = boto3.client("secretsmanager")
    secrets.delete_secret(SecretId=stack.secret)
    assert handle({"Records": []}) == {"batchItemFailures": []}
    secrets.restore_secret(SecretId=stack.secret)
    handle(stack.event(stack.deliver_to("one", hooks.url())))
    assert stack.statuses() == {"one": "delivered"}


def test_a_failed_attempt_is_no_failure_of_the_batch_and_sends_the_next_message(
    stack: Stack, hooks: Hooks
) -> None:
    assert handle(stack.event(stack.deliver_to("one", hooks.url("/fail")))) == {"batchItemFailures": []}
    assert stack.statuses() == {"one": "pending"}
    attributes = stack.sqs.get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=["All"])[
        "Attributes"
    ]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"


def test_only_the_messages_that_failed_come_again(stack: Stack, hooks: Hooks) -> None:
    good = stack.deliver_to("good", hooks.url())
    answer = handle(stack.event(good, stack.busy("busy")))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert stack.statuses() == {"good": "delivered", "busy": "pending"}


def test_a_batch_that_fails_as_a_whole_is_reported_and_not_raised(stack: Stack) -> None:
    assert handle(stack.event(stack.busy("one"))) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_the_attempts_of_a_batch_are_made_at_the_same_time(stack: Stack, hooks: Hooks) -> None:
    together = threading.Barrier(5, timeout=HANG_S)
    finish = hooks.RequestHandlerClass.do_POST  # type: ignore[attr-defined]

    def wait_for_the_others(self: Any) -> None:
        together.wait()
        finish(self)

    hooks.RequestHandlerClass.do_POST = wait_for_the_others  # type: ignore[attr-defined]
    bodies = [stack.deliver_to(f"sub{number}", hooks.url(f"/{number}")) for number in range(5)]
    assert handle(stack.event(*bodies)) == {"batchItemFailures": []}
    assert set(stack.statuses().values()) == {"delivered"}


def test_the_calls_of_ten_messages_wait_at_the_same_time(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By default asyncio has a thread for each processor and four more: six in Lambda.
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    together = threading.Barrier(10, timeout=30)
    get = SubscriptionCache.get

    def get_together(*args: Any) -> Any:
        together.wait()
        return get(*args)

    bodies = [stack.deliver_to(f"sub{number}", hooks.url(f"/{number}")) for number in range(10)]
    monkeypatch.setattr(SubscriptionCache, "get", get_together)
    assert handle(stack.event(*bodies)) == {"batchItemFailures": []}
    assert set(stack.statuses().values()) == {"delivered"}


def test_the_master_secret_is_read_once_for_many_batches(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        handle(stack.event(stack.deliver_to(f"sub{number}", hooks.url())))
        boto3.client("secretsmanager").put_secret_value(SecretId=stack.secret, SecretString="b" * 40)
    headers, body = hooks.received[-1]
    Webhook(derive_secret(MASTER, "sub2", 1)).verify(body, headers)


def test_the_log_has_a_line_an_attempt_with_the_task_and_without_secrets(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    handle(stack.event(stack.deliver_to("one", hooks.url("/path-token"))))
    (line,) = [json.loads(line) for line in log.getvalue().splitlines() if "message_attempted" in line]
    assert (line["task_id"], line["status"], line["status_code"], line["attempt"]) == (
        "task",
        "delivered",
        200,
        1,
    )
    assert "path-token" not in log.getvalue()
    assert MASTER not in log.getvalue()
    assert "whsec_" not in log.getvalue()


def figures(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], Any]:
    """The metrics by name and dimensions, the service left out."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        if '"_aws"' not in line:
            continue
        record = json.loads(line)
        (directive,) = record["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], record["service"]) == ("tunehook", "webhooks")
        labels = [record[name] for name in sorted(directive["Dimensions"][0]) if name != "service"]
        found |= {(each["Name"], *labels): record[each["Name"]] for each in directive["Metrics"]}
    return found


def test_attempts_are_counted_by_outcome_and_error_class(
    stack: Stack, hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = stack.deliver_to("one", hooks.url()), stack.deliver_to("two", hooks.url("/fail"))
    refused = stack.deliver_to("three", "http://127.0.0.1:1/")
    handle(stack.event(good, bad, refused))
    told = figures(capsys)
    assert told["Attempts", "none", "delivered"] == [1.0]
    assert told["Attempts", "5xx", "failed"] == [1.0]
    assert told["Attempts", "ConnectError", "failed"] == [1.0]
    assert told["DeliveriesEnded", "delivered"] == [1.0]
    assert told["SubscriptionsFailing",] == [2.0]
    assert len(told["AttemptDuration",]) == len(told["EventToFirstAttempt",]) == 3
    assert told["Messages", "attempted"] == [3.0]


def test_a_disabled_subscription_and_a_delivery_given_up_are_counted(
    stack: Stack, hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("events").create_event_bus(Name="tunehook")
    handle(stack.event(stack.deliver_to("one", hooks.url("/gone"))))
    told = figures(capsys)
    assert told["DeliveriesGivenUp",] == told["SubscriptionsDisabled",] == [1.0]
    assert told["DeliveriesEnded", "failed"] == [1.0]


def test_in_lean_deliveries_are_counted_together_and_trouble_where_there_is_any(
    stack: Stack, hooks: Hooks, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBSERVABILITY", "lean")
    boto3.client("events").create_event_bus(Name="tunehook")
    handle(stack.event(stack.deliver_to("one", hooks.url())))
    assert figures(capsys) == {("DeliveriesEnded",): [1.0]}
    handle(stack.event(stack.deliver_to("two", hooks.url("/fail")), stack.busy("three")))
    assert figures(capsys) == {}
    handle(stack.event(stack.deliver_to("four", hooks.url("/gone"))))
    assert figures(capsys) == {
        ("DeliveriesEnded",): [1.0],
        ("DeliveriesGivenUp",): [1.0],
        ("SubscriptionsDisabled",): [1.0],
    }


def test_the_log_names_the_field_of_a_message_that_is_none_and_quotes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    body = json.loads(message_for(delivery()).model_dump_json()) | {"run": "a-token"}
    handle(stack.event(json.dumps(body)))
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["level"], line["message"]) == ("ERROR", "message_given_up")
    assert line["reason"].startswith("run: ")
    assert "exception" not in line
    assert "a-token" not in log.getvalue()


def test_a_message_that_comes_again_is_counted(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    handle(stack.event(stack.busy("one")))
    assert figures(capsys)["Messages", "fault"] == [1.0]


def test_what_can_never_succeed_lies_in_the_dead_letters_at_once_with_its_reason(
    stack: Stack, hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    good = stack.deliver_to("good", hooks.url())
    unreadable = stack.deliver_to("unreadable", hooks.url())
    stack.dynamodb.update_item(
        TableName="deliveries",
        Key=to_attributes({"delivery_id": json.loads(unreadable)["delivery_id"]}),
        UpdateExpression="SET payload = :by_hand",
        ExpressionAttributeValues=to_attributes({":by_hand": 7}),
    )
    assert handle(stack.event("no json", good, unreadable)) == {"batchItemFailures": []}
    assert figures(capsys)["Messages", "given_up"] == [2.0]
    lying = stack.sqs.receive_message(
        QueueUrl=stack.dead_letters, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    reasons = {each["Body"]: each["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"] for each in lying}
    assert set(reasons) == {"no json", unreadable}
    assert reasons["no json"].startswith("message: ")
    assert reasons[unreadable].startswith("payload: ")
    assert stack.statuses()["good"] == "delivered"


def test_the_client_of_dead_letters_is_made_once_and_for_the_first_of_them(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(stack.sqs)
        return stack.sqs

    monkeypatch.setattr(worker, "dead_letter_client", make)
    handle(stack.event(stack.deliver_to("good", hooks.url())))
    assert made == []
    for _ in range(2):
        handle(stack.event("no json", "nor this"))
    assert made == [stack.sqs]


def test_a_message_that_cannot_be_put_aside_comes_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEAD_LETTERS", f"{stack.dead_letters}-that-are-not-there")
    assert handle(stack.event("no json")) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_the_connections_of_a_batch_serve_the_next_ones(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks.RequestHandlerClass, "protocol_version", "HTTP/1.1")
    clock_s = [1_000.0]
    monkeypatch.setattr("tunehook.http.connections.time.time", lambda: clock_s[0])
    for pause_s in (0.0, 0.9, 14.0, 16.0):  # by the wall clock: Lambda halts the process between two batches
        clock_s[0] += pause_s
        handle(stack.event(stack.deliver_to(f"sub{pause_s}", hooks.url())))
    assert hooks.connections == 2


def test_a_connection_that_was_closed_between_two_batches_costs_no_attempt(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    monkeypatch.setattr(hooks.RequestHandlerClass, "protocol_version", "HTTP/1.1")
    answer, finish = hooks.RequestHandlerClass.do_POST, hooks.shutdown_request  # type: ignore[attr-defined]

    def answer_and_wait_for_a_moment(self: Any) -> None:
        answer(self)
        self.connection.settimeout(0.01)  # then it closes the connection, as idle

    monkeypatch.setattr(hooks.RequestHandlerClass, "do_POST", answer_and_wait_for_a_moment)

    def shutdown(request: Any) -> None:
        finish(request)
        closed.set()

    monkeypatch.setattr(hooks, "shutdown_request", shutdown)
    for number in range(3):
        handle(stack.event(stack.deliver_to(f"sub{number}", hooks.url())))
        assert closed.wait(30)  # nothing runs the worker's loop meanwhile
        closed.clear()
    assert set(stack.statuses().values()) == {"delivered"}
    records = [from_attributes(item) for item in stack.dynamodb.scan(TableName="deliveries")["Items"]]
    assert [len(record["attempts"]) for record in records if "status" in record] == [1, 1, 1]
    assert (hooks.connections, len(hooks.received)) == (3, 3)
    gates = [from_attributes(item) for item in stack.dynamodb.scan(TableName="gates")["Items"]]
    assert not any(name.startswith("failure_") for gate in gates for name in gate)


class Hiding:
    """Stands where the client of SQS hides messages: keeps the seconds for each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, int]] = []
        sqs = app._worker()._visibility
        monkeypatch.setattr(sqs, "change_message_visibility_batch", self._hide, raising=False)

    def _hide(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl.endswith("/deliveries")
        self.calls.append({each["ReceiptHandle"]: each["VisibilityTimeout"] for each in Entries})
        return {}


def test_a_message_that_failed_by_our_fault_comes_again_sooner_than_its_queue_would_have_it(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiding = Hiding(monkeypatch)
    monkeypatch.setattr(worker, "GRACE_S", 60.0)
    handle(stack.event(stack.deliver_to("one", hooks.url()), stack.busy("two")))
    assert hiding.calls == [{"receipt-1": backoff_s(2)}]


def test_while_a_receiver_is_slow_the_batch_is_hidden_for_a_short_time(
    stack: Stack, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiding = Hiding(monkeypatch)
    answer = hooks.RequestHandlerClass.do_POST  # type: ignore[attr-defined]

    def answer_late(self: Any) -> None:
        until(lambda: hiding.calls, "the call that hides the batch")
        answer(self)

    hooks.RequestHandlerClass.do_POST = answer_late  # type: ignore[attr-defined]
    handle(stack.event(*(stack.deliver_to(f"sub{number}", hooks.url()) for number in range(2))))
    assert hiding.calls == [{"receipt-0": VISIBILITY_S, "receipt-1": VISIBILITY_S}]


def test_a_claim_has_lapsed_when_the_message_of_a_dead_worker_comes_again() -> None:
    assert ATTEMPT_S < CLAIM_MS / 1000 < VISIBILITY_S


def test_a_missing_variable_is_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_SECRET")
    with pytest.raises(Misconfigured, match="MASTER_SECRET"):
        handle(stack.event("{}"))
