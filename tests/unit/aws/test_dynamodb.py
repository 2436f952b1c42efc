"""The light client of DynamoDB beside boto3's: the same requests, answers and errors."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, NoCredentialsError
from tests.support.aws import REGION

from tunehook.aws.clients import client
from tunehook.aws.dynamodb import LightDynamoDB
from tunehook.aws.light import Signer

NOW_S = 1_796_000_000.0
TABLE = "things"
NAME = {"#a": "a"}
BYTES: dict[str, Any] = {
    "id": {"S": "bytes"},
    "B": {"B": b"\0\xff"},
    "l": {"L": [{"M": {"x": {"BS": [b"a"]}}}]},
}
KEY = {"id": {"S": "one"}}


@functools.cache
def boto3_client() -> Any:
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    retries = {"mode": "standard", "total_max_attempts": 4}
    return session.client("dynamodb", config=Config(retries=retries))  # type: ignore[arg-type]


@pytest.fixture
def both(aws: None) -> tuple[Any, Any]:
    """boto3's client and the light one, before a table of moto's with a few items."""
    own = boto3_client()
    own.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    own.put_item(TableName=TABLE, Item=BYTES)
    for number in range(5):
        own.put_item(
            TableName=TABLE, Item={"id": {"S": f"{number}"}, "a": {"N": f"{number}"}, "t": {"S": "曲"}}
        )
    return own, LightDynamoDB(own, Credentials("testing", "testing"))


def outcome(call: Callable[[], Any]) -> Any:
    """What a call came to, without what differs from answer to answer."""
    try:
        answer = call()
    except ClientError as error:
        # boto3 has the message twice where the model has the error.
        left_out = {"ResponseMetadata", "message"}
        plain = {name: each for name, each in error.response.items() if name not in left_out}
        return type(error), str(error), error.operation_name, plain, status(error.response)
    if isinstance(answer, list):
        return [without_metadata(page) for page in answer]
    return without_metadata(answer), status(answer)


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in answer.items() if name != "ResponseMetadata"}


def status(answer: Any) -> tuple[int, int]:
    metadata = answer["ResponseMetadata"]
    return metadata["HTTPStatusCode"], metadata["RetryAttempts"]


REFUSED = {
    "UpdateExpression": "SET #a = :a",
    "ConditionExpression": "attribute_not_exists(id)",
    "ExpressionAttributeNames": NAME,
    "ExpressionAttributeValues": {":a": {"B": b"\1"}},
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda own: own.get_item(TableName=TABLE, Key={"id": {"S": "3"}}, ConsistentRead=True),
    "get bytes": lambda own: own.get_item(TableName=TABLE, Key={"id": {"S": "bytes"}}),
    "get nothing": lambda own: own.get_item(TableName=TABLE, Key=KEY),
    "get of no table": lambda own: own.get_item(TableName="nowhere", Key=KEY),
    "put": lambda own: own.put_item(TableName=TABLE, Item=KEY | {"b": {"B": b"x"}}),
    "put anew": lambda own: own.put_item(TableName=TABLE, Item=BYTES, ReturnValues="ALL_OLD"),
    "put refused": lambda own: own.put_item(
        TableName=TABLE, Item={"id": {"S": "bytes"}}, ConditionExpression="attribute_not_exists(id)"
    ),
    "update": lambda own: own.update_item(
        TableName=TABLE,
        Key={"id": {"S": "bytes"}},
        UpdateExpression="SET #a = :a",
        ExpressionAttributeNames=NAME,
        ExpressionAttributeValues={":a": {"B": b"\1"}},
        ReturnValues="ALL_NEW",
    ),
    "update refused": lambda own: own.update_item(TableName=TABLE, Key={"id": {"S": "bytes"}}, **REFUSED),
    "update malformed": lambda own: own.update_item(TableName=TABLE, Key=KEY, UpdateExpression="SET"),
    "delete": lambda own: own.delete_item(
        TableName=TABLE, Key={"id": {"S": "bytes"}}, ReturnValues="ALL_OLD"
    ),
    "delete refused": lambda own: own.delete_item(
        TableName=TABLE, Key=KEY, ConditionExpression="attribute_exists(id)"
    ),
    "query": lambda own: own.query(
        TableName=TABLE,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": {"S": "bytes"}},
    ),
    "scan": lambda own: own.scan(TableName=TABLE, Limit=2),
    "count": lambda own: own.scan(TableName=TABLE, Select="COUNT"),
    "batch": lambda own: own.batch_get_item(
        RequestItems={TABLE: {"Keys": [{"id": {"S": each}} for each in ("bytes", "2", "none")]}}
    ),
    "transaction": lambda own: own.transact_write_items(
        TransactItems=[{"Put": {"TableName": TABLE, "Item": KEY}}], ClientRequestToken="token"
    ),
    "transaction refused": lambda own: own.transact_write_items(
        TransactItems=[
            {"Update": {"TableName": TABLE, "Key": {"id": {"S": "bytes"}}, **REFUSED}},
            {"Put": {"TableName": TABLE, "Item": KEY}},
        ],
        ClientRequestToken="token",
    ),
    "pages": lambda own: list(own.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)),
    "pages of two": lambda own: list(
        own.get_paginator("scan").paginate(TableName=TABLE, PaginationConfig={"PageSize": 2})
    ),
    "pages of two, three in all": lambda own: list(
        own.get_paginator("scan").paginate(TableName=TABLE, PaginationConfig={"PageSize": 2, "MaxItems": 3})
    ),
    "pages of a query": lambda own: list(
        own.get_paginator("query").paginate(
            TableName=TABLE,
            KeyConditionExpression="id = :id",
            ExpressionAttributeValues={":id": {"S": "3"}},
            PaginationConfig={"MaxItems": 1},
        )
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_comes_to_the_same_as_boto3s(both: tuple[Any, Any], name: str) -> None:
    own, light = both
    asked: dict[str, list[Any]] = {}
    for who, asking in (("boto3", own), ("light", light)):
        before = own.scan(TableName=TABLE)["Items"]
        bodies = asked[who] = []

        def note(request: Any, bodies: list[Any] = bodies, **_: Any) -> None:
            target = request.headers["X-Amz-Target"]
            bodies.append((target if isinstance(target, str) else target.decode(), json.loads(request.body)))

        own.meta.events.register_first("before-send.dynamodb", note)
        asked[f"{who} had"] = outcome(lambda asking=asking: CALLS[name](asking))
        own.meta.events.unregister("before-send.dynamodb", note)
        for item in own.scan(TableName=TABLE)["Items"]:
            own.delete_item(TableName=TABLE, Key={"id": item["id"]})
        for item in before:
            own.put_item(TableName=TABLE, Item=item)
    assert asked["light"] == asked["boto3"] != []
    assert asked["light had"] == asked["boto3 had"]


async def test_an_update_from_the_event_loop_does_the_same(both: tuple[Any, Any]) -> None:
    own, light = both
    with pytest.raises(ClientError) as expected:
        own.update_item(TableName=TABLE, Key={"id": {"S": "bytes"}}, **REFUSED)
    with pytest.raises(type(expected.value)) as refused:
        await light.update_item_in_loop(TableName=TABLE, Key={"id": {"S": "bytes"}}, **REFUSED)
    assert refused.value.response["Item"] == expected.value.response["Item"] == BYTES
    free = {name: each for name, each in REFUSED.items() if name != "ConditionExpression"}
    del free["ReturnValuesOnConditionCheckFailure"]
    answer = await light.update_item_in_loop(
        TableName=TABLE, Key={"id": {"S": "bytes"}}, ReturnValues="ALL_NEW", **free
    )
    assert answer["Attributes"] == BYTES | {"a": {"B": b"\1"}}


async def test_an_item_that_is_put_from_the_event_loop_is_put_the_same(both: tuple[Any, Any]) -> None:
    _, light = both
    replaced = await light.put_item_in_loop(
        TableName=TABLE, Item=BYTES | {"a": {"S": "x"}}, ReturnValues="ALL_OLD"
    )
    assert replaced["Attributes"] == BYTES
    absent = {
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    with pytest.raises(ClientError) as refused:
        await light.put_item_in_loop(TableName=TABLE, Item=BYTES, **absent)
    assert refused.value.response["Item"] == BYTES | {"a": {"S": "x"}}


def test_everything_else_is_boto3s(both: tuple[Any, Any]) -> None:
    own, light = both
    assert light.describe_table(TableName=TABLE)["Table"] == own.describe_table(TableName=TABLE)["Table"]
    assert light.exceptions is own.exceptions
    assert light.get_paginator("list_tables").paginate().build_full_result() == {"TableNames": [TABLE]}


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize("url", ["https://dynamodb.cn-north-1.amazonaws.com.cn/", "http://127.0.0.1:4566/"])
def test_a_request_is_signed_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, url: str, token: str | None
) -> None:
    moment = datetime.fromtimestamp(NOW_S, UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: moment.replace(tzinfo=None))
    credentials, body = Credentials("AKID", "s3cret", token), '{"曲": 1}'.encode()
    signer = Signer(url.split("/")[2], "cn-north-1", "dynamodb", "1.0")
    headers = signer.headers("DynamoDB_20120810.PutItem", body, credentials.get_frozen_credentials(), NOW_S)
    given = {name: headers[name] for name in ("Content-Type", "X-Amz-Target")}
    request = AWSRequest("POST", url, headers=given, data=body)
    SigV4Auth(credentials, "dynamodb", "cn-north-1").add_auth(request)
    assert headers == dict(request.headers.items())


def test_a_key_is_derived_anew_for_another_day_and_for_other_credentials() -> None:
    signer = Signer("host", "eu-west-1", "dynamodb", "1.0")
    asked = [(secret, NOW_S + days * 86_400) for secret in ("one", "two") for days in (0, 1)]

    def signatures(signers: list[Signer]) -> list[str]:
        return [
            each.headers("t", b"", Credentials("id", secret).get_frozen_credentials(), at_s)["Authorization"]
            for each, (secret, at_s) in zip(signers, asked, strict=True)
        ]

    assert signatures([signer] * 4) == signatures(
        [Signer("host", "eu-west-1", "dynamodb", "1.0") for _ in asked]
    )
    assert len(set(signatures([signer] * 4))) == 4


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://dynamodb.eu-west-1.amazonaws.com/"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
        (
            {"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"},
            "https://dynamodb-fips.us-east-1.amazonaws.com/",
        ),
        (
            {"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "https://dynamodb.us-east-1.api.aws/",
        ),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "http://127.0.0.1:4566/"),
        ({"AWS_ENDPOINT_URL": "http://[::1]:4566/"}, "http://[::1]:4566/"),
        (
            {"AWS_ENDPOINT_URL": "http://a.example", "AWS_ENDPOINT_URL_DYNAMODB": "http://b.example"},
            "http://b.example/",
        ),
    ],
)
def test_the_endpoint_is_the_one_that_boto3_finds(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> None:
    asked = _light(monkeypatch, environment)
    assert asked.url == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://dynamodb.eu-west-1.amazonaws.com",
        "http://127.0.0.1:4566",
        "http://[::1]:4566",
        "http://[::1]",
        "https://aws.example:443",
    ],
)
def test_a_call_is_signed_for_the_host_that_is_asked(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    moment = datetime.fromtimestamp(NOW_S, UTC).replace(tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: moment)
    asked = _light(monkeypatch, {"AWS_ENDPOINT_URL": endpoint})
    given = {name: asked.headers[name] for name in ("Content-Type", "X-Amz-Target")}
    request = AWSRequest("POST", asked.url, headers=given, data=asked.body)
    SigV4Auth(Credentials("id", "secret", "testing"), "dynamodb", "eu-west-1").add_auth(request)
    assert asked.headers["Authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_signed_host_is_without_its_default_port(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    port = {"http": 80, "https": 443}[scheme]
    with_port = _light(monkeypatch, {"AWS_ENDPOINT_URL": f"{scheme}://aws.example:{port}"})
    without = _light(monkeypatch, {"AWS_ENDPOINT_URL": f"{scheme}://aws.example"})
    assert with_port.headers["Authorization"] == without.headers["Authorization"]


def _light(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Any:
    """Return the request of a call that a client of the process's own makes in an environment."""
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr("tunehook.aws.light.time", lambda: NOW_S)
    known = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (known | environment).items():
        monkeypatch.setenv(name, value)
    light = client("dynamodb")
    assert isinstance(light, LightDynamoDB)
    asked: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        asked.append(request)
        return Answered(request.url)

    light.meta.events.register_first("before-send.dynamodb", answer)
    light.get_item(TableName=TABLE, Key=KEY)
    return asked[0]


class Answered(AWSResponse):
    """An empty answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url, 200, {}, None)

    @property
    def content(self) -> bytes:
        return b"{}"


def test_an_endpoint_with_a_path_and_a_session_of_ones_own_are_left_to_boto3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = boto3.Session(region_name="eu-west-1")
    assert not isinstance(client("dynamodb", session=session), LightDynamoDB)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert not isinstance(client("dynamodb", endpoint_url="http://127.0.0.1:1/path"), LightDynamoDB)


def test_without_credentials_it_says_what_boto3_says() -> None:
    own = boto3_client()
    with pytest.raises(NoCredentialsError):
        LightDynamoDB(own, None).get_item(TableName=TABLE, Key=KEY)


def test_what_no_request_can_hold_is_an_error() -> None:
    light = LightDynamoDB(boto3_client(), Credentials("testing", "testing"))
    with pytest.raises(TypeError, match="object is no part of a request"):
        light.get_item(TableName=TABLE, Key={"id": {"S": object()}})
