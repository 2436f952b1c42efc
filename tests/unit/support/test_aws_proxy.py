"""The proxy that the kill tests stand on: what it does to a call, and that it leaves the others alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from tests.support.aws_proxy import (
    AwsProxy,
    Rule,
    broken,
    dropped,
    entries_refused,
    failed,
    run_aws_proxy,
    throttled,
    together,
    unanswered,
)
from tests.support.patience import until
from tests.support.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[AwsProxy]:
    with run_aws_proxy(upstream.url) as running:
        yield running


def client(proxy: AwsProxy, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=proxy.url, config=Config(retries={"total_max_attempts": 1}, proxies={})
    )


def update(proxy: AwsProxy, task_id: str = "task-1") -> None:
    client(proxy, "dynamodb").update_item(TableName="Tasks", Key={"task_id": {"S": task_id}})


def test_a_call_goes_through_with_the_host_that_it_was_signed_for(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    update(proxy)

    ((line, headers, body),) = upstream.requests
    assert line == "POST /"
    assert headers["host"] == proxy.url.removeprefix("http://")
    (call,) = proxy.calls
    assert headers["authorization"] == call.headers["authorization"]
    assert headers["x-amz-date"] == call.headers["x-amz-date"]
    assert body == call.body


def test_a_path_is_not_encoded_anew(proxy: AwsProxy, upstream: Upstream) -> None:
    client(proxy, "s3").put_object(Bucket="results", Key="a b/ü+%2F.mp3", Body=b"{}")

    assert upstream.requests[0][0] == "PUT /results/a%20b/%C3%BC%2B%252F.mp3"


def test_a_large_body_goes_through(proxy: AwsProxy, upstream: Upstream) -> None:
    body = bytes(range(256)) * 8192
    client(proxy, "s3").put_object(Bucket="results", Key="song.mp3", Body=body)

    assert upstream.requests[0][2].count(bytes(range(256))) == 8192


def test_the_length_of_an_object_that_is_only_asked_about_comes_back(proxy: AwsProxy) -> None:
    assert client(proxy, "s3").head_object(Bucket="results", Key="song.mp3")["ContentLength"] == 12345


def test_calls_are_named_by_the_service_and_the_operation_of_their_protocol(proxy: AwsProxy) -> None:
    update(proxy)
    client(proxy, "events").put_events(Entries=[{"Detail": "{}"}])
    client(proxy, "lambda").invoke(FunctionName="poller", InvocationType="Event", Payload=b"{}")

    assert [(call.service, call.operation) for call in proxy.calls] == [
        ("dynamodb", "UpdateItem"),
        ("events", "PutEvents"),
        ("lambda", "POST /2015-03-31/functions/poller/invocations"),
    ]


def test_a_call_of_the_query_protocol_is_named_by_its_action(proxy: AwsProxy) -> None:
    proxy.add(Rule("sts", "*", failed("AccessDenied")))
    with pytest.raises(ClientError):
        client(proxy, "sts").get_caller_identity()

    assert [call.operation for call in proxy.made("sts", "*")] == ["GetCallerIdentity"]


def test_a_dropped_call_never_happens_and_what_is_to_be_done_is_done(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    done: list[int] = []
    proxy.add(Rule("dynamodb", "UpdateItem", dropped(lambda: done.append(len(upstream.requests)))))

    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        update(proxy)

    assert done == [0]
    assert upstream.requests == []


def test_an_unanswered_call_has_happened_before_what_is_to_be_done_is_done(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    done: list[int] = []
    proxy.add(Rule("dynamodb", "UpdateItem", unanswered(lambda: done.append(len(upstream.requests)))))

    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        update(proxy)

    assert done == [1]
    assert len(upstream.requests) == 1


def test_only_the_numbered_ones_among_the_calls_that_match_are_touched(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    proxy.add(
        Rule(
            "dynamodb",
            "Update*",
            failed("ValidationException"),
            calls={2},
            where=lambda call: call.parameters["Key"]["task_id"]["S"] == "meant",
        )
    )

    update(proxy, "meant")
    update(proxy, "another")
    with pytest.raises(ClientError, match="ValidationException"):
        update(proxy, "meant")
    update(proxy, "meant")

    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        (
            "dynamodb",
            lambda aws: aws.update_item(TableName="Tasks", Key={}),
            "ProvisionedThroughputExceededException",
        ),
        ("events", lambda aws: aws.put_events(Entries=[{"Detail": "{}"}]), "ThrottlingException"),
        ("lambda", lambda aws: aws.invoke(FunctionName="poller"), "TooManyRequestsException"),
        ("s3", lambda aws: aws.put_object(Bucket="results", Key="key"), "SlowDown"),
    ],
)
def test_a_throttled_call_fails_with_the_code_that_its_service_has_for_it(
    proxy: AwsProxy, service: str, call: Any, code: str
) -> None:
    proxy.add(Rule(service, "*", throttled()))

    with pytest.raises(ClientError) as caught:
        call(client(proxy, service))

    assert caught.value.response["Error"]["Code"] == code


def test_refused_entries_are_marked_in_their_places_and_never_reach_the_bus(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    proxy.add(Rule("events", "PutEvents", entries_refused(lambda entry: entry["Detail"] in ("1", "3"))))

    answer = client(proxy, "events").put_events(
        Entries=[{"Source": "tunehook", "DetailType": "Test", "Detail": str(number)} for number in range(4)]
    )

    assert answer["FailedEntryCount"] == 2
    assert ["ErrorCode" in entry for entry in answer["Entries"]] == [False, True, False, True]
    ((_, headers, body),) = upstream.requests
    assert [entry["Detail"] for entry in json.loads(body)["Entries"]] == ["0", "2"]
    assert headers["authorization"] != proxy.calls[0].headers["authorization"]


def test_where_all_entries_are_refused_the_bus_hears_of_nothing(proxy: AwsProxy, upstream: Upstream) -> None:
    proxy.add(Rule("events", "PutEvents", entries_refused(lambda _entry: True)))

    answer = client(proxy, "events").put_events(Entries=[{"Detail": "{}"}])

    assert answer["FailedEntryCount"] == 1
    assert upstream.requests == []


def test_calls_that_are_held_together_happen_when_the_last_has_come(
    proxy: AwsProxy, upstream: Upstream
) -> None:
    proxy.add(Rule("dynamodb", "UpdateItem", together(2)))
    first = threading.Thread(target=update, args=(proxy, "first"))
    first.start()
    until(lambda: proxy.calls, "the first call")
    assert upstream.requests == []

    update(proxy, "second")
    first.join()

    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("dynamodb", lambda aws: aws.update_item(TableName="Tasks", Key={}), "InternalServerError"),
        ("sqs", lambda aws: aws.delete_message(QueueUrl="http://q", ReceiptHandle="r"), "InternalError"),
        ("s3", lambda aws: aws.put_object(Bucket="results", Key="key"), "InternalError"),
    ],
)
def test_a_broken_call_fails_with_the_code_that_its_service_has_for_it(
    proxy: AwsProxy, service: str, call: Any, code: str
) -> None:
    proxy.add(Rule(service, "*", broken()))

    with pytest.raises(ClientError) as caught:
        call(client(proxy, service))

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_rule_that_was_removed_takes_no_more_calls_and_its_equals_go_on(proxy: AwsProxy) -> None:
    act = failed("ValidationException")
    rules = [Rule("dynamodb", "UpdateItem", act, calls={1}) for _ in range(2)]
    proxy.add(*rules)
    proxy.remove(rules[0])
    with pytest.raises(ClientError, match="ValidationException"):
        update(proxy)
    proxy.remove(rules[1])

    update(proxy)

    assert [rule.matched for rule in rules] == [0, 1]


def test_a_call_tells_which_key_it_is_signed_with(proxy: AwsProxy) -> None:
    aws = boto3.client(
        "dynamodb", endpoint_url=proxy.url, aws_access_key_id="ASIAPOLLER", aws_secret_access_key="secret"
    )
    aws.update_item(TableName="Tasks", Key={})

    assert [call.access_key_id for call in proxy.calls] == ["ASIAPOLLER"]


def test_no_more_calls_are_kept_than_wanted(upstream: Upstream) -> None:
    with run_aws_proxy(upstream.url, kept=1) as proxy:
        update(proxy, "first")
        update(proxy, "second")

        assert [call.parameters["Key"]["task_id"]["S"] for call in proxy.calls] == ["second"]


def test_connections_break_off_while_the_embedded_aws_is_not_there() -> None:
    with Upstream() as gone:
        pass
    with run_aws_proxy(gone.url) as proxy, pytest.raises((ConnectionClosedError, HTTPClientError)):
        update(proxy)
