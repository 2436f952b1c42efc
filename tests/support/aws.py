"""moto's AWS, with what the template describes in it."""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import itertools
import json
import threading
from collections.abc import Callable, Collection
from typing import Any

import boto3
import moto.core.models
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item
from moto.secretsmanager.models import SecretsManagerBackend
from tests.support.reading import READINGS
from tests.support.template import table_definition

from tunehook.aws.clients import client as made_client
from tunehook.aws.items import from_attributes, to_attributes

REGION = "eu-west-1"
BUCKET = "results"
BUS = "tunehook"

# For the library requests, which nothing here uses, moto would register a thousand patterns in each test.
moto.core.models.RESPONSES_METHODS.clear()

# It knows nothing of threads: one that reads an item while another changes it fails.
_one_at_a_time = threading.RLock()
_process_request = BotocoreStubber.process_request


def _process_alone(self: BotocoreStubber, request: Any) -> Any:
    with _one_at_a_time:
        return _process_request(self, request)


BotocoreStubber.process_request = _process_alone

_project_paths = Item.project


def _project(item: Item, paths: list[list[str]]) -> Item:
    """Return what an index or a projection has of an item; moto makes all of it plain and back, once an attribute."""
    if any(len(path) != 1 or path[0].endswith("]") for path in paths):
        return _project_paths(item, paths)
    found = Item(item.hash_key, item.range_key, {})
    for (name,) in paths:
        if name in item.attrs:
            dict.__setitem__(found.attrs, name, item.attrs[name])
    return found


Item.project = _project

_serialize_structure = BaseJSONSerializer._serialize_type_structure


def _serialize(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Write an attribute's value by the one type that it has; moto looks for each of ten, under several names."""
    if shape.name != "AttributeValue" or type(value) is not dict or len(value) != 1 or not key:
        return _serialize_structure(self, serialized, value, shape, key)
    ((kind, held),) = value.items()
    written: dict[str, Any] = {}
    if held is not None:
        self._serialize(written, held, shape.members[kind], kind)
    return self._default_serialize(serialized, written, shape, key)


BaseJSONSerializer._serialize_type_structure = _serialize


@functools.cache
def session() -> boto3.Session:
    """Return a session that has read botocore's descriptions of services once for all tests."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


@functools.cache
def client(service: str) -> Any:
    """Return a client that is made once for all tests: to make one costs more than most tests do."""
    return session().client(service)


def mend_secrets(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Let moto give the version that was made current by its label: it goes on giving the one that was put as such."""
    move = SecretsManagerBackend.update_secret_version_stage

    def move_and_note(backend: Any, *, secret_id: str, version_stage: str, **versions: Any) -> Any:
        answer = move(backend, secret_id=secret_id, version_stage=version_stage, **versions)
        if version_stage == "AWSCURRENT":
            backend.secrets[secret_id].default_version_id = versions["move_to_version_id"]
        return answer

    setattr_(SecretsManagerBackend, "update_secret_version_stage", move_and_note)


def create_table(logical_id: str, name: str | None = None) -> None:
    """Make an empty table of the template, in moto itself: by a request it takes thirty times as long."""
    definition = copy.deepcopy(table_definition(logical_id))
    dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].create_table(
        name or logical_id,
        schema=definition["KeySchema"],
        throughput=None,
        attr=definition["AttributeDefinitions"],
        global_indexes=definition.get("GlobalSecondaryIndexes", []),
        indexes=[],
        streams=None,
        billing_mode=definition["BillingMode"],
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )


def put(table: str, item: dict[str, Any]) -> None:
    client("dynamodb").put_item(TableName=table, Item=to_attributes(item))


def items(table: str) -> list[dict[str, Any]]:
    """Return the items of a table; those of tasks and deliveries as they are read."""
    found = [from_attributes(item) for item in client("dynamodb").scan(TableName=table)["Items"]]
    return READINGS[table](found) if table in READINGS else found


def watched_bus() -> Callable[[], list[dict[str, Any]]]:
    """Make the bus, and a queue behind it; return what empties the queue of the events that have come."""
    sqs, events = client("sqs"), client("events")
    queue = sqs.create_queue(QueueName="watch")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name=BUS)
    events.put_rule(Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": ["tunehook"]}))
    events.put_targets(Rule="all", EventBusName=BUS, Targets=[{"Id": "watch", "Arn": arn}])
    return lambda: received(queue)


def received(queue: str) -> list[dict[str, Any]]:
    """Take all messages from a queue and return their bodies."""
    bodies = []
    while messages := client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            bodies.append(json.loads(message["Body"]))
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def dead_letter_queues() -> dict[str, str]:
    """Return the URLs of the dead-letter queues as the poller's settings have them, which are made if need be."""
    sqs = client("sqs")
    names = ("fulfillment", "deliveries", "intake", "poller")
    return {f"{name}_dead_letters": sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"] for name in names}


def fault(code: str = "ProvisionedThroughputExceededException", operation: str = "UpdateItem") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as the test wants it"}}, operation)


class Faulty:
    """A client that does what the real one does, except that some calls fail.

    Each method of a faulty client takes its next fault from `faults`; where that is None, or when there is none
    left, the call goes through. All calls are counted in `calls`.
    """

    def __init__(self, real: Any, **faults: list[Exception | None]) -> None:
        self._real = real
        self._faults = faults
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, kwargs))
            waiting = self._faults.get(name)
            if waiting and (error := waiting.pop(0)) is not None:
                raise error
            return attribute(*args, **kwargs)

        return call


WRITES = (
    "update_item",
    "put_item",
    "delete_item",
    "transact_write_items",
    "put_object",
    "complete_multipart_upload",
)


class Losing:
    """A client of DynamoDB or S3 that loses answers after the writes were applied.

    Parameters
    ----------
    real : DynamoDBClient or S3Client
        What applies the writes.
    at : collection of int, optional
        Which writes, counted from 0; by default all.
    gives_up : bool
        Whether it raises then, as botocore does when no try was answered; otherwise it makes the call again, as
        botocore does first, and says so as botocore does.
    """

    def __init__(self, real: Any, at: Collection[int] | None = None, *, gives_up: bool = False) -> None:
        self._real = real
        self._at = at
        self._gives_up = gives_up
        self.writes: list[str] = []
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if name not in WRITES:
            return attribute

        def call(**kwargs: Any) -> Any:
            number = len(self.writes)
            self.writes.append(name)
            if self._at is not None and number not in self._at:
                return attribute(**kwargs)
            self.lost += 1
            with contextlib.suppress(ClientError):
                attribute(**kwargs)
            if self._gives_up:
                raise ReadTimeoutError(endpoint_url="https://dynamodb.example")
            try:
                answer = attribute(**kwargs)
            except ClientError as error:
                error.response["ResponseMetadata"]["RetryAttempts"] = 1
                raise
            answer["ResponseMetadata"]["RetryAttempts"] = 1
            return answer

        return call


def losing_client(at: Collection[int] | None = None) -> Any:
    """Return a client of DynamoDB that itself makes calls again whose answers are lost; parameters as of `Losing`.

    For use with moto. The client waits up to a tenth of a second before it makes a call again.
    """
    real = made_client("dynamodb", session=session())
    numbers = itertools.count()
    again = False

    def lose(request: Any, event_name: str, **_: Any) -> Any:
        nonlocal again
        if again:
            again = False
            return
        if at is not None and next(numbers) not in at:
            return
        again = True
        botocore_stubber(event_name, request)
        raise ReadTimeoutError(endpoint_url=request.url)

    for operation in ("UpdateItem", "PutItem", "DeleteItem", "TransactWriteItems"):
        real.meta.events.register_first(f"before-send.dynamodb.{operation}", lose)
    return real


class Context:
    """What Lambda hands to a handler."""

    function_name = "function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


def stream_image(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as Lambda shows it in a stream's record: bytes are base64 text there."""
    return stream_attributes(to_attributes(item))


def stream_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attribute values as Lambda shows them in a stream's record."""
    return {name: _in_json(attribute) for name, attribute in attributes.items()}


def _in_json(attribute: dict[str, Any]) -> dict[str, Any]:
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            value = base64.b64encode(value).decode()
        case "BS":
            value = [base64.b64encode(each).decode() for each in value]
        case "M":
            value = {name: _in_json(each) for name, each in value.items()}
        case "L":
            value = [_in_json(each) for each in value]
    return {kind: value}
