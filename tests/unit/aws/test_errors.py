import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from tests.support.aws import fault

from tunehook.aws.errors import AWS_FAULTS, code_of, is_condition_failure, is_oversized, was_repeated


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (fault("ThrottlingException"), "ThrottlingException"),
        (ClientError({}, "PutItem"), "ClientError"),
        (EndpointConnectionError(endpoint_url="https://x"), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="https://x"), "ReadTimeoutError"),
    ],
)
def test_a_fault_has_a_short_name(error: Exception, code: str) -> None:
    assert isinstance(error, AWS_FAULTS)
    assert code_of(error) == code


def test_a_condition_that_does_not_hold_is_told_from_other_errors() -> None:
    assert is_condition_failure(fault("ConditionalCheckFailedException"))
    assert not is_condition_failure(fault("ValidationException"))


@pytest.mark.parametrize(
    ("code", "message", "oversized"),
    [
        ("ValidationException", "Item size to update has exceeded the maximum allowed size", True),
        ("ValidationException", "The provided key element does not match the schema", False),
        ("ThrottlingException", "Item size", False),
    ],
)
def test_only_a_write_that_would_be_too_large_is_oversized(code: str, message: str, oversized: bool) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "UpdateItem")
    assert is_oversized(error) is oversized


@pytest.mark.parametrize(
    ("metadata", "is_so"), [({}, False), ({"RetryAttempts": 0}, False), ({"RetryAttempts": 1}, True)]
)
def test_a_call_was_repeated_where_boto3_says_so(metadata: dict[str, int], is_so: bool) -> None:
    assert was_repeated({"ResponseMetadata": metadata}) is is_so
    assert not was_repeated({})
