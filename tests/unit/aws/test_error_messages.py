from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoRegionError,
    ParamValidationError,
    UnauthorizedSSOTokenError,
)

from tunehook.aws.error_messages import describe_error, is_denied, is_refused, is_transient


def refusal(code: str, message: str = "because") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal("ExpiredToken"), "the AWS credentials have expired (ExpiredToken)"),
        (refusal("ExpiredTokenException"), "the AWS credentials have expired (ExpiredTokenException)"),
        (
            refusal("InvalidClientTokenId"),
            "AWS does not accept these credentials (InvalidClientTokenId): because",
        ),
        (refusal("UnrecognizedClientException"), "AWS does not accept these credentials"),
        (refusal("SignatureDoesNotMatch"), "AWS does not accept these credentials"),
        (refusal("AccessDenied"), "AWS denies DescribeStacks (AccessDenied): because"),
        (refusal("AccessDeniedException"), "AWS denies DescribeStacks (AccessDeniedException): because"),
        (refusal("ThrottlingException"), "AWS refuses DescribeStacks (ThrottlingException): because"),
        (refusal("500", ""), "AWS refuses DescribeStacks (500): no reason given"),
        (
            EndpointConnectionError(endpoint_url="http://x/"),
            "AWS does not answer: Could not connect to the endpoint",
        ),
        (
            EndpointConnectionError(endpoint_url="http://127.0.0.1:4700/a?b"),
            "the embedded AWS at http://127.0.0.1:4700 does not answer; start it: `tunehook local up`",
        ),
        (
            ConnectionClosedError(endpoint_url="http://172.17.0.1:4566/"),
            "the embedded AWS at http://172.17.0.1:4566 does not answer; start it: `tunehook local up`",
        ),
        (
            EndpointConnectionError(endpoint_url="https://s3.eu-west-1.amazonaws.com/"),
            "AWS does not answer: ",
        ),
        (ConnectTimeoutError(endpoint_url="http://x/"), "AWS does not answer: Connect timeout"),
        (UnauthorizedSSOTokenError(), "cannot get AWS credentials: "),
    ],
)
def test_an_answer_of_aws_is_put_into_words(error: Exception, words: str) -> None:
    assert (describe_error(error) or "").startswith(words)


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (
            "the AWS credentials have expired",
            ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"],
        ),
        (
            "AWS does not accept these credentials",
            [
                "AuthFailure",
                "IncompleteSignature",
                "IncompleteSignatureException",
                "InvalidAccessKeyId",
                "InvalidClientTokenId",
                "InvalidSignatureException",
                "InvalidToken",
                "MissingAuthenticationToken",
                "MissingAuthenticationTokenException",
                "NotAuthorized",
                "OptInRequired",
                "SignatureDoesNotMatch",
                "UnrecognizedClientException",
            ],
        ),
        ("AWS denies DescribeStacks", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]),
    ],
)
def test_whatever_a_service_calls_a_refusal_is_put_into_the_same_words(words: str, codes: list[str]) -> None:
    for code in codes:
        assert (describe_error(refusal(code)) or "").startswith(f"{words} ({code})")
        assert is_denied(refusal(code)) is words.startswith("AWS denies")


@pytest.mark.parametrize("bug", [KeyError("x"), ValueError("x"), ParamValidationError(report="x")])
def test_a_bug_is_not_put_into_words(bug: Exception) -> None:
    assert describe_error(bug) is None


@pytest.mark.parametrize(
    ("response", "refused"),
    [
        ({"HTTPStatusCode": 400}, True),
        ({}, True),
        ({"HTTPStatusCode": 500}, False),
        ({"HTTPStatusCode": 400, "RetryAttempts": 1}, False),
    ],
)
def test_what_aws_has_refused_was_not_done_unless_an_earlier_try_was(
    response: dict[str, int], refused: bool
) -> None:
    error = ClientError({"Error": {}, "ResponseMetadata": response}, "PutItem")  # type: ignore[typeddict-item]
    assert is_refused(error) is refused


def test_what_has_no_answer_may_have_been_done() -> None:
    assert not is_refused(ConnectTimeoutError(endpoint_url="https://x"))


def answered(status: int, code: str = "X") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "GetItem")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (answered(500), True),
        (answered(503), True),
        (answered(499), False),
        (answered(400), False),
        (answered(400, "ThrottlingException"), True),
        (refusal("ThrottlingException"), True),
        (refusal("X"), False),
        (EndpointConnectionError(endpoint_url="http://x/"), True),
        (ConnectTimeoutError(endpoint_url="http://x/"), True),
        (NoRegionError(), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_by_itself_is_told_from_what_does_not(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


def test_who_may_not_is_told_from_who_is_not_known() -> None:
    assert is_denied(refusal("AccessDenied"))
    assert not is_denied(refusal("ExpiredToken"))
    assert not is_denied(EndpointConnectionError(endpoint_url="http://x/"))
