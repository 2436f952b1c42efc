"""Messages for the errors of boto3 calls, which say what to do about them."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as AwsConnectionError

from tunehook.aws.errors import THROTTLED, code_of, was_repeated
from tunehook.errors import TunehookError

_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_NOT_ACCEPTED: Final = frozenset(
    {
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
    }
)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


def describe_error(error: Exception) -> str | None:
    """Say in one sentence what one of our errors, or one of a call to AWS, means; None if it is a bug."""
    match error:
        case TunehookError():
            return str(error)
        case NoCredentialsError() | PartialCredentialsError():
            return (
                "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or start the embedded AWS with `tunehook local up`"
            )
        case NoRegionError():
            return "no AWS region: set AWS_DEFAULT_REGION, or start the embedded AWS with `tunehook local up`"
        case CredentialRetrievalError() | TokenRetrievalError() | SSOError():
            return f"cannot get AWS credentials: {error}"
        case ParamValidationError():
            return None
        case EndpointConnectionError() | ConnectionClosedError() if _is_nearby(
            endpoint := endpoint_of(error)
        ):
            return f"the embedded AWS at {endpoint} does not answer; start it: `tunehook local up`"
        case AwsConnectionError() | HTTPClientError():
            return f"AWS does not answer: {error}"
        case BotoCoreError():
            return f"AWS: {error}"
        case ClientError():
            return _refusal(error)
    return None


def endpoint_of(error: Exception) -> str:
    """Return the URL at which AWS could not be reached, without what follows the port; empty if that is not known."""
    parts = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    return parts._replace(path="", query="").geturl()


def _is_nearby(endpoint: str) -> bool:
    """Return whether an endpoint is on this machine: loopback, or its address on the containers' network."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"


def is_transient(error: Exception) -> bool:
    """Return whether a call to AWS that failed may succeed a little later, unchanged."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or code_of(error) in THROTTLED
    return isinstance(error, AwsConnectionError | HTTPClientError)


def is_denied(error: Exception) -> bool:
    """Return whether AWS knows who asks, and that person may not."""
    return isinstance(error, ClientError) and code_of(error) in _DENIED


def is_refused(error: BaseException) -> bool:
    """Return whether AWS has answered that it did not do what was asked; without an answer it may have done it."""
    if not isinstance(error, ClientError) or was_repeated(error.response):
        return False
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status < 500


def _refusal(error: ClientError) -> str:
    code, message = code_of(error), error.response.get("Error", {}).get("Message") or "no reason given"
    if code in _EXPIRED:
        return f"the AWS credentials have expired ({code}): get new ones, for example with `aws sso login`"
    if code in _NOT_ACCEPTED:
        return f"AWS does not accept these credentials ({code}): {message}"
    if code in _DENIED:
        return f"AWS denies {error.operation_name} ({code}): {message}"
    return f"AWS refuses {error.operation_name} ({code}): {message}"
