import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.support.aws import BUS, Context, Faulty, client, fault, items
from tests.unit.cli.conftest import OUTPUTS

from intake import app
from intake.admission import Intake
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import to_attributes
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy

EVENT = json.dumps({"detail-type": "TaskFailed", "detail": {"provider": "my-gw", "task_id": "t-1"}})


@pytest.fixture
def use(operated: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what puts clients of a test's own in the place of moto's, by service."""

    def put_in_place(**own: Any) -> None:
        monkeypatch.setattr(
            "tunehook.aws.clients.client",
            lambda service, **_: (
                own["lambdas" if service == "lambda" else service]
                if ("lambdas" if service == "lambda" else service) in own
                else client(service)
            ),
        )

    return put_in_place


def send(output: str, *bodies: str, **options: Any) -> None:
    for body in bodies:
        client("sqs").send_message(QueueUrl=OUTPUTS[output], MessageBody=body, **options)


def messages(output: str) -> list[dict[str, Any]]:
    """Return what is to be received from a queue now."""
    found = []
    while (
        some := client("sqs")
        .receive_message(
            QueueUrl=OUTPUTS[output], MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        .get("Messages")
    ):
        found += some
    return found


def bodies(output: str) -> list[str]:
    """Return what is in a queue; a message that somebody has received, and neither removed nor put back, fails."""
    found = sorted(message["Body"] for message in messages(output))
    names: Any = ["ApproximateNumberOfMessagesNotVisible"]
    attributes = client("sqs").get_queue_attributes(QueueUrl=OUTPUTS[output], AttributeNames=names)[
        "Attributes"
    ]
    assert int(attributes[names[0]]) == len(found)
    return found


class IntakeFunction:
    """Lambda with the real intake in it, over moto's tables; it notes what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.failure: str | None = None
        dynamodb = client("dynamodb")
        intake = Intake(
            TasksTable(dynamodb, "TasksTable"),
            Leases(dynamodb, "PollerLeasesTable"),
            lambda: EventBus(client("events"), BUS),
            StreamMarks(dynamodb, "ProviderStatesTable"),
            self,  # type: ignore[arg-type]
            fulfillment=lambda: FulfillmentQueue(client("sqs"), "none"),
            stream="arn:of-the-stream",
            poller_function="tunehook-poller",
            shard_count=1,
            policy=NetworkPolicy.PUBLIC,
        )
        monkeypatch.setattr(app, "intake", lambda: intake)

    def invoke(self, FunctionName: str, Payload: bytes, **options: Any) -> dict[str, Any]:  # noqa: N803
        if FunctionName == "tunehook-poller":
            return {}
        assert FunctionName == "tunehook-intake"
        if self.failure:
            said = json.dumps({"errorType": "Misconfigured", "errorMessage": self.failure})
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(said.encode())}
        event = json.loads(Payload)
        self.sizes.append(len(event["Records"]))
        answer = app.handler(event, Context())  # type: ignore[arg-type]
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def intake(use: Any, monkeypatch: pytest.MonkeyPatch) -> IntakeFunction:
    function = IntakeFunction(monkeypatch)
    use(lambdas=function)
    return function


def put_task(task_id: str, **attributes: Any) -> None:
    item = {"task_id": task_id, "provider": "my-gw", **attributes}
    client("dynamodb").put_item(TableName="TasksTable", Item=to_attributes(item))


def test_the_list_shows_every_queue_and_takes_nothing_away(tunehook: Any, operated: None) -> None:
    send("FulfillmentDeadLetters", EVENT)
    send("PollerDeadLetters", '{"started_by": "schedule"}')
    result = tunehook("dlq", "list")
    assert result.exit_code == 0
    rows = [line.split()[0] for line in result.stdout.splitlines()]
    assert rows == ["QUEUE", "fulfillment", "poller"]
    assert "TaskFailed of my-gw t-1" in result.stdout
    assert bodies("FulfillmentDeadLetters") == [EVENT]
    assert bodies("PollerDeadLetters") == ['{"started_by": "schedule"}']


def test_one_queue_may_be_listed_alone(tunehook: Any, operated: None) -> None:
    send("FulfillmentDeadLetters", EVENT)
    send("PollerDeadLetters", "{}")
    (letter,) = json.loads(tunehook("dlq", "list", "fulfillment", "--json").stdout)
    assert (letter["queue"], letter["body"], letter["reason"]) == ("fulfillment", EVENT, None)


def test_an_empty_list_says_so_on_stderr(tunehook: Any, operated: None) -> None:
    result = tunehook("dlq", "list")
    assert (result.stdout, result.stderr) == ("", "The dead-letter queues are empty.\n")
    assert tunehook("dlq", "list", "--json").stdout == "[]\n"


def test_the_list_says_that_there_is_more(tunehook: Any, operated: None) -> None:
    send("DeliveriesDeadLetters", *(str(number) for number in range(13)))
    result = tunehook("dlq", "list", "--limit", "12")
    assert len(result.stdout.splitlines()) == 13
    assert "There are more in deliveries" in result.stderr
    assert len(bodies("DeliveriesDeadLetters")) == 13


def test_what_was_looked_at_is_put_back_even_if_looking_fails(tunehook: Any, use: Any) -> None:
    send("DeliveriesDeadLetters", *(str(number) for number in range(11)))
    use(sqs=Faulty(client("sqs"), receive_message=[None, fault("AccessDenied", "ReceiveMessage")]))
    result = tunehook("dlq", "list", "deliveries")
    assert (result.exit_code, "AWS denies ReceiveMessage" in result.stderr) == (2, True)
    assert len(bodies("DeliveriesDeadLetters")) == 11


@pytest.mark.parametrize(
    ("queue", "source", "back"),
    [
        ("fulfillment", "FulfillmentDeadLetters", "FulfillmentQueue"),
        ("deliveries", "DeliveriesDeadLetters", "DeliveriesQueue"),
    ],
)
def test_work_goes_back_to_the_queue_that_it_came_from(
    tunehook: Any, operated: None, queue: str, source: str, back: str
) -> None:
    sent = sorted(f"body {number}" for number in range(12))
    send(source, *sent)
    result = tunehook("dlq", "redrive", queue)
    assert (result.exit_code, result.stdout) == (0, f"Moved 12 messages back to the {queue} queue.\n")
    assert bodies(back) == sent
    assert bodies(source) == []


def test_a_message_keeps_its_group(tunehook: Any, operated: None) -> None:
    send("DeliveriesDeadLetters", "body", MessageGroupId="of one receiver")
    tunehook("dlq", "redrive", "deliveries")
    (message,) = messages("DeliveriesQueue")
    assert message["Attributes"]["MessageGroupId"] == "of one receiver"


def test_no_more_is_moved_than_the_limit(tunehook: Any, operated: None) -> None:
    send("FulfillmentDeadLetters", *(str(number) for number in range(15)))
    assert "Moved 11 messages" in tunehook("dlq", "redrive", "fulfillment", "--limit", "11").stdout
    assert (len(bodies("FulfillmentQueue")), len(bodies("FulfillmentDeadLetters"))) == (11, 4)


def test_what_could_not_be_sent_lies_where_it_lay(tunehook: Any, use: Any) -> None:
    send("FulfillmentDeadLetters", "1", "2", "3")
    use(sqs=Faulty(client("sqs"), send_message=[None, fault("AccessDenied", "SendMessage")]))
    result = tunehook("dlq", "redrive", "fulfillment")
    assert (result.exit_code, "AWS denies SendMessage" in result.stderr) == (2, True)
    assert (len(bodies("FulfillmentQueue")), len(bodies("FulfillmentDeadLetters"))) == (1, 2)


def test_what_could_not_be_removed_may_come_twice_and_is_not_lost(tunehook: Any, use: Any) -> None:
    send("FulfillmentDeadLetters", "1")
    use(sqs=Faulty(client("sqs"), delete_message_batch=[fault("InternalError", "DeleteMessageBatch")]))
    assert tunehook("dlq", "redrive", "fulfillment").exit_code == 2
    assert (bodies("FulfillmentQueue"), bodies("FulfillmentDeadLetters")) == (["1"], ["1"])


def test_a_removal_that_is_refused_is_told(tunehook: Any, use: Any) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(client("sqs"), name)

        def delete_message_batch(self, **call: Any) -> Any:
            return {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}

    send("PollerDeadLetters", "1")
    use(sqs=Refusing())
    result = tunehook("dlq", "redrive", "poller")
    assert (result.exit_code, result.stderr) == (
        2,
        "tunehook: SQS does not remove 1 messages (InternalError): they will be received again\n",
    )


def test_intake_takes_in_what_has_no_status(tunehook: Any, intake: IntakeFunction) -> None:
    send("IntakeDeadLetters", "{}", "{}")
    put_task("lost", metadata={"exact": Decimal("0.12345678901234567890123456789")}, notify_format="standard")
    put_task("refused", timeout_s=1)
    put_task("under way", status="pending")
    result = tunehook("dlq", "redrive", "intake")
    assert (result.exit_code, result.stdout) == (0, "Processed 2 items and removed 2 records.\n")
    assert {item["task_id"]: item["status"] for item in items("TasksTable")} == {
        "lost": "pending",
        "refused": "rejected",
        "under way": "pending",
    }
    assert bodies("IntakeDeadLetters") == []


def test_an_item_with_bytes_in_it_is_taken_in(tunehook: Any, intake: IntakeFunction) -> None:
    put_task("t", notify_hook=b"\x00\xff", metadata={"set": {b"a"}})
    assert "Processed 1 item" in tunehook("dlq", "redrive", "intake").stdout
    (item,) = items("TasksTable")
    assert (item["status"], item["error"]) == ("rejected", "notify_hook: must be a string")


def test_intake_gets_at_most_ten_items_at_once(tunehook: Any, intake: IntakeFunction) -> None:
    for number in range(23):
        put_task(f"t-{number}")
    assert "Processed 23 items" in tunehook("dlq", "redrive", "intake").stdout
    assert intake.sizes == [10, 10, 3]


def test_failure_records_stay_while_an_item_has_no_status(
    tunehook: Any, intake: IntakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(self: Intake, image: Any, take_in: Any = Intake.take_in) -> Any:
        if image["task_id"] == {"S": "bad\x1b"}:
            raise RuntimeError
        return take_in(self, image)

    monkeypatch.setattr(Intake, "take_in", fails_for_one)
    send("IntakeDeadLetters", "{}")
    put_task("bad\x1b")
    put_task("good")
    result = tunehook("dlq", "redrive", "intake")
    assert (result.exit_code, result.stdout) == (1, "Processed 1 item and removed 0 records.\n")
    assert "warning: intake has not accepted 1 item; its log says why: my-gw bad\\x1b" in result.stderr
    assert bodies("IntakeDeadLetters") == ["{}"]


def test_failure_records_stay_if_intake_fails_as_a_whole(tunehook: Any, intake: IntakeFunction) -> None:
    send("IntakeDeadLetters", "{}")
    put_task("t")
    intake.failure = "TASKS_TABLE is not set"
    result = tunehook("dlq", "redrive", "intake")
    assert (result.exit_code, result.stderr) == (
        2,
        "tunehook: intake fails: Misconfigured: TASKS_TABLE is not set\n",
    )
    assert bodies("IntakeDeadLetters") == ["{}"]


def test_records_of_items_that_were_taken_in_since_are_removed(tunehook: Any, intake: IntakeFunction) -> None:
    send("IntakeDeadLetters", "{}")
    assert tunehook("dlq", "redrive", "intake").stdout == "Processed 0 items and removed 1 record.\n"
    assert (intake.sizes, bodies("IntakeDeadLetters")) == ([], [])


def test_records_of_the_poller_are_removed(tunehook: Any, operated: None) -> None:
    send("PollerDeadLetters", *("{}" for _ in range(12)))
    result = tunehook("dlq", "redrive", "poller")
    assert (result.exit_code, result.stdout.split(":")[0]) == (0, "Removed 12 records")
    assert bodies("PollerDeadLetters") == []


def test_a_queue_that_is_none_is_refused(tunehook: Any, operated: None) -> None:
    result = tunehook("dlq", "redrive", "nope")
    assert (result.exit_code, "'fulfillment', 'deliveries', 'intake', 'poller'" in result.stderr) == (2, True)
