"""What each role of the deployed stack may do, with the embedded AWS enforcing the policies of the template.

A role is taken on as Lambda and the Scheduler take it on, and makes the call; the table says who must come through.
Where a call comes through, it changes nothing that the stack works with.

That an event's source is `tunehook` the embedded AWS cannot enforce (docs/decisions/006): the test of the translated
template holds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.stack.driving import DeployedStack

from tunehook.deliveries import DeliveryMessage

ROLES = ("IntakeRole", "PollerRole", "FulfillmentRole", "WebhooksRole", "ApiRole", "ScheduleRole")
FUNCTION_ROLES = ROLES[:5]
INTAKE, POLLER, FULFILLMENT, WEBHOOKS, API, SCHEDULE = ROLES
TASK = {"task_id": {"S": "nobody's"}, "provider": {"S": "nobody"}}
SUBSCRIPTION = {"subscription_id": {"S": "nobody's"}}
DELIVERY = {"delivery_id": {"S": "nobody's"}}
API_KEY = {"key_id": {"S": "nobody's"}}
REQUEST = {"request_id": {"S": "nobody's"}}
HINT = {"queue": {"S": "hints#99"}, "hint": {"S": "nobody"}}
OBJECT = "results/nobody/permissions.txt"
INLINE = "inline/nobody/permissions.txt"
DENIALS = {"AccessDenied", "AccessDeniedException", "403"}

Call = Callable[["As"], Any]


@dataclass(frozen=True)
class As:
    """A role at work on the stack."""

    session: Any
    endpoint: str
    names: dict[str, str]

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint)

    def __getitem__(self, logical_id: str) -> str:
        """The name that a resource of the template has got."""
        return self.names[logical_id]


def get(table: str, key: dict[str, Any]) -> Call:
    return lambda role: role.client("dynamodb").get_item(TableName=role[table], Key=key)


def put(table: str, key: dict[str, Any]) -> Call:
    return lambda role: role.client("dynamodb").put_item(
        TableName=role[table], Item=key, ConditionExpression=f"attribute_exists({next(iter(key))})"
    )


def update(table: str, key: dict[str, Any]) -> Call:
    return lambda role: role.client("dynamodb").update_item(
        TableName=role[table],
        Key=key,
        UpdateExpression="SET probe = :probe",
        ExpressionAttributeValues={":probe": {"S": "probe"}},
        ConditionExpression=f"attribute_exists({next(iter(key))})",
    )


def delete(table: str, key: dict[str, Any]) -> Call:
    return lambda role: role.client("dynamodb").delete_item(TableName=role[table], Key=key)


def query(table: str, index: str, attribute: str) -> Call:
    return lambda role: role.client("dynamodb").query(
        TableName=role[table],
        IndexName=index,
        KeyConditionExpression="#key = :key",
        ExpressionAttributeNames={"#key": attribute},
        ExpressionAttributeValues={":key": {"S": "nobody's"}},
    )


def scan(table: str) -> Call:
    return lambda role: role.client("dynamodb").scan(TableName=role[table], Limit=1)


def secret(name: str) -> Call:
    return lambda role: role.client("secretsmanager").get_secret_value(SecretId=role[name])


def emit(bus: str) -> Call:
    entry = {"Source": "tunehook", "DetailType": "Probe", "Detail": "{}"}
    return lambda role: role.client("events").put_events(
        Entries=[entry | {"EventBusName": role.names.get(bus, bus)}]
    )


def invoke(function: str) -> Call:
    return lambda role: role.client("lambda").invoke(FunctionName=role[function], InvocationType="DryRun")


def receive(queue: str) -> Call:
    return lambda role: role.client("sqs").receive_message(QueueUrl=role[queue], VisibilityTimeout=0)


def send(queue: str) -> Call:
    message = DeliveryMessage(
        delivery_id="msg_nobodys", subscription_id="nobody", attempt=1, run=1, due_at_ms=0
    )
    return lambda role: role.client("sqs").send_message(
        QueueUrl=role[queue], MessageBody=message.model_dump_json()
    )


CALLS: dict[str, tuple[Call, set[str]]] = {
    # tasks
    "read a task": (get("TasksTable", TASK), {INTAKE, POLLER, FULFILLMENT, WEBHOOKS, API}),
    "write on a task": (update("TasksTable", TASK), {INTAKE, POLLER, FULFILLMENT, API}),
    "put a task": (put("TasksTable", TASK), {API}),
    "remove a task": (delete("TasksTable", TASK), set()),
    "look through the tasks": (scan("TasksTable"), {INTAKE, API}),
    "find work": (query("TasksTable", "work", "queue"), {POLLER, API}),
    # subscriptions
    "read a subscription": (get("SubscriptionsTable", SUBSCRIPTION), {FULFILLMENT, WEBHOOKS, API}),
    "write on a subscription": (update("SubscriptionsTable", SUBSCRIPTION), {FULFILLMENT, WEBHOOKS, API}),
    "put a subscription": (put("SubscriptionsTable", SUBSCRIPTION), {API}),
    "remove a subscription": (delete("SubscriptionsTable", SUBSCRIPTION), {API}),
    "look through the subscriptions": (scan("SubscriptionsTable"), {POLLER, FULFILLMENT, API}),
    # deliveries
    "read a delivery": (get("DeliveriesTable", DELIVERY), {FULFILLMENT, WEBHOOKS, API}),
    "write on a delivery": (update("DeliveriesTable", DELIVERY), {WEBHOOKS, API}),
    "put a delivery": (put("DeliveriesTable", DELIVERY), {FULFILLMENT, API}),
    "remove a delivery": (delete("DeliveriesTable", DELIVERY), set()),
    "look through the deliveries": (scan("DeliveriesTable"), set()),
    "list the deliveries of a subscription": (
        query("DeliveriesTable", "by_subscription", "subscription_id"),
        {WEBHOOKS, API},
    ),
    "list the deliveries of a task": (query("DeliveriesTable", "by_task", "task_id"), {API}),
    # leases, states of providers, gates
    "read a lease": (get("PollerLeasesTable", {"shard": {"N": "99"}}), {INTAKE, POLLER, API}),
    "write on a lease": (update("PollerLeasesTable", {"shard": {"N": "99"}}), {INTAKE, POLLER, API}),
    "remove a lease": (delete("PollerLeasesTable", {"shard": {"N": "99"}}), {POLLER}),
    "look through the leases": (scan("PollerLeasesTable"), {POLLER, API}),
    "read the states of providers": (
        lambda role: role.client("dynamodb").batch_get_item(
            RequestItems={role["ProviderStatesTable"]: {"Keys": [{"provider": {"S": "nobody"}}]}}
        ),
        {POLLER, API},
    ),
    "write on the state of a provider": (
        update("ProviderStatesTable", {"provider": {"S": "nobody"}}),
        {POLLER},
    ),
    "read how far the table was looked through": (
        get("ProviderStatesTable", {"provider": {"S": "nobody"}}),
        {INTAKE, POLLER},
    ),
    "note how far the table was looked through": (
        put("ProviderStatesTable", {"provider": {"S": "nobody"}}),
        {INTAKE},
    ),
    "remove the state of a provider": (delete("ProviderStatesTable", {"provider": {"S": "nobody"}}), set()),
    "read a gate": (get("ReceiverGatesTable", {"receiver": {"S": "nobody"}}), set()),
    "write on a gate": (update("ReceiverGatesTable", {"receiver": {"S": "nobody"}}), {WEBHOOKS}),
    # the HTTP API: its keys, its requests, and what providers have called back about
    "read an API key": (get("ApiKeysTable", API_KEY), {API}),
    "note the use of an API key": (update("ApiKeysTable", API_KEY), {API}),
    "put an API key": (put("ApiKeysTable", API_KEY), set()),
    "remove an API key": (delete("ApiKeysTable", API_KEY), set()),
    "look through the API keys": (scan("ApiKeysTable"), set()),
    "read a request": (get("ApiRequestsTable", REQUEST), {API}),
    "remember a request": (put("ApiRequestsTable", REQUEST), {API}),
    "forget a request": (delete("ApiRequestsTable", REQUEST), {API}),
    "look through the requests": (scan("ApiRequestsTable"), set()),
    "leave a hint": (put("CallbackHintsTable", HINT), {API}),
    "write on a hint": (update("CallbackHintsTable", HINT), {POLLER, API}),
    "take a hint": (delete("CallbackHintsTable", HINT), {POLLER}),
    "list the tasks": (query("TasksTable", "listed", "listed"), {API}),
    "list the deliveries of a day": (query("DeliveriesTable", "by_day", "created_on"), {API}),
    # results
    "read a result": (
        lambda role: role.client("s3").get_object(Bucket=role["ResultsBucket"], Key=OBJECT),
        {FULFILLMENT, WEBHOOKS, API},
    ),
    "keep a result": (
        lambda role: role.client("s3").put_object(Bucket=role["ResultsBucket"], Key=OBJECT, Body=b"probe"),
        {FULFILLMENT},
    ),
    "keep something elsewhere in the bucket": (
        lambda role: role.client("s3").put_object(
            Bucket=role["ResultsBucket"], Key="elsewhere", Body=b"probe"
        ),
        set(),
    ),
    "put a file that came inside an answer": (
        lambda role: role.client("s3").put_object(Bucket=role["ResultsBucket"], Key=INLINE, Body=b"probe"),
        {POLLER},
    ),
    "read a file that came inside an answer": (
        lambda role: role.client("s3").get_object(Bucket=role["ResultsBucket"], Key=INLINE),
        {FULFILLMENT},
    ),
    "remove a result": (
        lambda role: role.client("s3").delete_object(Bucket=role["ResultsBucket"], Key=OBJECT),
        set(),
    ),
    "list the results": (
        lambda role: role.client("s3").list_objects_v2(Bucket=role["ResultsBucket"], MaxKeys=1),
        {FULFILLMENT},
    ),
    "take the bucket's policy away": (
        lambda role: role.client("s3").delete_bucket_policy(Bucket=role["ResultsBucket"]),
        set(),
    ),
    # secrets
    "read the providers' keys": (secret("ProvidersSecret"), {POLLER, API}),
    "read the master secret": (secret("MasterSecret"), {WEBHOOKS, API}),
    "write the master secret": (
        lambda role: role.client("secretsmanager").put_secret_value(
            SecretId=role["MasterSecret"], SecretString="probe"
        ),
        set(),
    ),
    # events, queues, functions
    "emit an event": (emit("EventBus"), {INTAKE, POLLER, FULFILLMENT, WEBHOOKS}),
    "emit an event on the account's own bus": (emit("default"), set()),
    "take an ended task": (receive("FulfillmentQueue"), {FULFILLMENT}),
    "take a delivery": (receive("DeliveriesQueue"), {WEBHOOKS}),
    "send a delivery": (send("DeliveriesQueue"), {FULFILLMENT, WEBHOOKS, API}),
    "send to fulfillment": (send("FulfillmentQueue"), {INTAKE, POLLER, API}),
    "take a dead letter": (receive("DeliveriesDeadLetters"), set()),
    "count dead letters": (
        lambda role: role.client("sqs").get_queue_attributes(
            QueueUrl=role["DeliveriesDeadLetters"], AttributeNames=["ApproximateNumberOfMessages"]
        ),
        {POLLER, API},
    ),
    "start intake": (invoke("IntakeFunction"), {POLLER}),
    "start the poller": (invoke("PollerFunction"), {INTAKE, POLLER, API, SCHEDULE}),
    "warm up fulfillment": (invoke("FulfillmentFunction"), {POLLER}),
    "warm up webhooks": (invoke("WebhooksFunction"), {POLLER}),
    "call the API without a key": (invoke("ApiFunction"), set()),
    # the stack itself
    "remove the tasks' table": (
        lambda role: role.client("dynamodb").delete_table(TableName=role["TasksTable"]),
        set(),
    ),
    "remove the deliveries' table": (
        lambda role: role.client("dynamodb").delete_table(TableName=role["DeliveriesTable"]),
        set(),
    ),
    "remove a queue": (
        lambda role: role.client("sqs").delete_queue(QueueUrl=role["DeliveriesDeadLetters"]),
        set(),
    ),
    "change a role": (
        lambda role: role.client("iam").put_role_policy(
            RoleName=role["ScheduleRole"],
            PolicyName="probe",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
        ),
        set(),
    ),
    "read a function's environment": (
        lambda role: role.client("lambda").get_function_configuration(FunctionName=role["WebhooksFunction"]),
        set(),
    ),
    "make a log group": (lambda role: role.client("logs").create_log_group(logGroupName="/probe"), set()),
    "stop the schedule": (
        lambda role: role.client("scheduler").delete_schedule(Name=role["PollerFunctionEveryMinute"]),
        set(),
    ),
}
"""What may be tried, and whose roles come through."""


@pytest.fixture(scope="module")
def names(stack: DeployedStack) -> dict[str, str]:
    pages = stack.client("cloudformation").get_paginator("list_stack_resources")
    found = pages.paginate(StackName=stack.environment.stack_name)
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in found
        for each in page["StackResourceSummaries"]
    }


@contextmanager
def taken_on_by_anybody(iam: Any, role: str) -> Iterator[str]:
    """A role without the conditions of its trust, which no call here can meet; yields its ARN."""
    found = iam.get_role(RoleName=role)["Role"]
    trust = found["AssumeRolePolicyDocument"]
    open_trust = trust | {
        "Statement": [
            {key: value for key, value in each.items() if key != "Condition"} for each in trust["Statement"]
        ]
    }
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(open_trust))
    try:
        yield found["Arn"]
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))


@pytest.fixture(scope="module")
def roles(stack: DeployedStack, names: dict[str, str]) -> dict[str, As]:
    """Each role of the template, taken on."""
    taken_on = {}
    for name in ROLES:
        with taken_on_by_anybody(stack.client("iam"), names[name]) as arn:
            taken = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="permissions")
        credentials = taken["Credentials"]
        session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region_name=stack.environment.region,
        )
        taken_on[name] = As(session, stack.environment.endpoint, names)
    return taken_on


@pytest.fixture(scope="module", autouse=True)
def _a_result_to_read(stack: DeployedStack) -> Iterator[None]:
    places = [{"Bucket": stack.outputs["ResultsBucket"], "Key": key} for key in (OBJECT, INLINE)]
    for place in places:
        stack.client("s3").put_object(**place, Body=b"probe")
    yield
    for place in places:
        stack.client("s3").delete_object(**place)


def comes_through(call: Call, role: As) -> bool:
    """Whether the policies let a call through, whatever becomes of it then."""
    try:
        call(role)
    except ClientError as error:
        return error.response["Error"]["Code"] not in DENIALS
    return True


def test_the_table_leaves_no_role_out(names: dict[str, str]) -> None:
    assert {name for name in names if name.endswith("Role")} == set(ROLES)


def test_the_functions_work_under_the_roles_of_the_table(stack: DeployedStack, names: dict[str, str]) -> None:
    for role in FUNCTION_ROLES:
        function = names[role.replace("Role", "Function")]
        configured = stack.client("lambda").get_function_configuration(FunctionName=function)["Role"]
        assert configured.rpartition("/")[2] == names[role]


@pytest.mark.parametrize("what", CALLS)
def test_a_role_may_do_what_its_work_asks_for_and_is_refused_the_rest(
    what: str, roles: dict[str, As]
) -> None:
    call, expected = CALLS[what]
    assert {name for name, role in roles.items() if comes_through(call, role)} == expected
